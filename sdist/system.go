package sdist

import (
	"errors"
	"fmt"

	"github.com/pelletier/go-toml/v2"
)

// BuildSystem is what a source says about building it (PEP 517, 518).
type BuildSystem struct {
	Declared    bool     // pyproject.toml has a [build-system] table
	Requires    []string // as declared, else PEP 517's default
	Backend     string   // "" when none is named: setuptools' legacy one
	BackendPath []string
}

// BuildSystem reads pyproject.toml. A source with neither pyproject.toml nor setup.py is an error.
func (t *Tree) BuildSystem() (BuildSystem, error) {
	legacy := BuildSystem{Requires: []string{"setuptools>=40.8.0", "wheel"}}
	data, err := t.ReadFile("pyproject.toml")
	if err != nil {
		if _, err := t.ReadFile("setup.py"); err != nil {
			return legacy, errors.New("the source has neither pyproject.toml nor setup.py")
		}
		return legacy, nil
	}
	var doc struct {
		BuildSystem *struct {
			Requires    []string `toml:"requires"`
			Backend     string   `toml:"build-backend"`
			BackendPath []string `toml:"backend-path"`
		} `toml:"build-system"`
	}
	if err := toml.Unmarshal(data, &doc); err != nil {
		return legacy, fmt.Errorf("read pyproject.toml: %w", err)
	}
	if doc.BuildSystem == nil {
		return legacy, nil
	}
	return BuildSystem{
		Declared: true, Requires: doc.BuildSystem.Requires,
		Backend: doc.BuildSystem.Backend, BackendPath: doc.BuildSystem.BackendPath,
	}, nil
}
