package sdist

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// BuildSystem is what a source says about building it (PEP 517, 518).
type BuildSystem struct {
	Declared    bool     // pyproject.toml has a [build-system] table
	SetupPy     bool     // the source has a setup.py
	Requires    []string // as declared, else the default of PEP 518
	Backend     string   // "" when none is named: setuptools' legacy one
	BackendPath []string // directories inside the source, as declared
}

// BuildSystem reads pyproject.toml. It is an error when a source has neither
// pyproject.toml nor setup.py, when a [build-system] table lacks requires
// (PEP 518), and when backend-path leaves the source or comes without
// build-backend (PEP 517). The first result is the default then.
func (t *Tree) BuildSystem() (BuildSystem, error) {
	b := BuildSystem{Requires: []string{"setuptools>=40.8.0", "wheel"}}
	_, err := t.ReadFile("setup.py")
	b.SetupPy = !errors.Is(err, fs.ErrNotExist)
	data, err := t.ReadFile("pyproject.toml")
	if errors.Is(err, fs.ErrNotExist) && b.SetupPy {
		return b, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return b, errors.New("the source has neither pyproject.toml nor setup.py")
	}
	if err != nil {
		return b, err
	}
	var doc struct {
		BuildSystem *struct {
			Requires    *[]string `toml:"requires"`
			Backend     string    `toml:"build-backend"`
			BackendPath []string  `toml:"backend-path"`
		} `toml:"build-system"`
	}
	if err := toml.Unmarshal(data, &doc); err != nil {
		return b, fmt.Errorf("read pyproject.toml: %w", err)
	}
	table := doc.BuildSystem
	if table == nil {
		return b, nil
	}
	if table.Requires == nil {
		return b, errors.New("read pyproject.toml: [build-system] lacks requires")
	}
	if len(table.BackendPath) > 0 && table.Backend == "" {
		return b, errors.New("read pyproject.toml: backend-path without build-backend")
	}
	for _, dir := range table.BackendPath {
		clean := path.Clean(strings.ReplaceAll(dir, `\`, "/"))
		if path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../") || strings.ContainsAny(dir, ":\x00") {
			return b, fmt.Errorf("read pyproject.toml: backend-path %q leaves the source", dir)
		}
	}
	b.Declared, b.Requires, b.Backend, b.BackendPath = true, *table.Requires, table.Backend, table.BackendPath
	return b, nil
}

// Metadata are fields of a source's PKG-INFO (PEP 241, 643).
type Metadata struct {
	MetadataVersion string
	Name            string // as written, not normalised
	Version         string
	RequiresPython  string // "" when it says nothing
}

// Metadata reads PKG-INFO. The error is fs.ErrNotExist when there is none.
func (t *Tree) Metadata() (Metadata, error) {
	data, err := t.ReadFile("PKG-INFO")
	if err != nil {
		return Metadata{}, err
	}
	var m Metadata
	fields := map[string]*string{
		"metadata-version": &m.MetadataVersion, "name": &m.Name, "version": &m.Version, "requires-python": &m.RequiresPython,
	}
	for line := range strings.Lines(strings.TrimPrefix(string(data), "\ufeff")) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			break // the description follows
		}
		// Lines that go on with another one begin with a space, and so match nothing.
		key, value, _ := strings.Cut(line, ":")
		if field := fields[strings.ToLower(key)]; field != nil && *field == "" {
			*field = strings.TrimSpace(value)
		}
	}
	if m.Name == "" || m.Version == "" {
		return Metadata{}, errors.New("read PKG-INFO: no name or no version")
	}
	return m, nil
}
