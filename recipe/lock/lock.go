// Package lock reads and writes truewheel.lock: a recipe with every input
// pinned by sha256. Same lock, same bytes.
//
// The format is TOML (docs/formats/lock.md). It names no host: a file is a
// purl, a file name, a size and a sha256, and whoever reads the lock decides
// where to get it. [Lock.Marshal] is deterministic: equal locks are equal
// bytes. [Parse] refuses fields it does not know and versions above [Version].
package lock

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/truewheel/truewheel/recipe"
)

// Version of the format that Marshal writes, and the newest that Parse reads.
const Version = 1

// Lock is every input of one build, pinned.
type Lock struct {
	Subject     *File // the published wheel that the recipe was made for; nil when there is none
	Source      File
	Python      string // full version of the interpreter, "3.11.7"
	Environment string // kind: "host"
	Packages    []Package
	Recipe      recipe.Recipe
}

// File is a file of a package index.
type File struct {
	PURL     string `toml:"purl"`
	Filename string `toml:"filename"`
	Size     int64  `toml:"size"`
	SHA256   string `toml:"sha256"` // lower-case hex
}

// Package is a build requirement: one wheel of it.
type Package struct {
	Name    string `toml:"name"`
	Version string `toml:"version"`
	File
}

// the TOML as it stands in the file
type document struct {
	LockVersion int         `toml:"lock-version"`
	Subject     *File       `toml:"subject,omitempty"`
	Source      File        `toml:"source"`
	Python      python      `toml:"python"`
	Environment environment `toml:"environment"`
	Build       build       `toml:"build"`
	Packages    []pkg       `toml:"package,omitempty"`
}

type python struct {
	Version string `toml:"version"`
}

type environment struct {
	Kind string `toml:"kind"`
}

type pkg struct {
	Name     string `toml:"name"`
	Version  string `toml:"version"`
	PURL     string `toml:"purl"`
	Filename string `toml:"filename"`
	Size     int64  `toml:"size"`
	SHA256   string `toml:"sha256"`
}

type build struct {
	Mode            recipe.Mode       `toml:"mode"`
	Requires        []string          `toml:"requires,multiline"`
	Constraints     []string          `toml:"constraints,omitempty"`
	Pins            []string          `toml:"pins,omitempty"`
	Before          *time.Time        `toml:"before,omitempty"`
	SourceDateEpoch *int64            `toml:"source-date-epoch,omitempty"`
	Clock           time.Time         `toml:"clock"`
	ClockStep       int64             `toml:"clock-step-seconds,omitempty"`
	ClockStepAt     string            `toml:"clock-step-at,omitempty"`
	TimeZone        string            `toml:"time-zone,omitempty"`
	SourceZone      string            `toml:"source-zone,omitempty"`
	Umask           string            `toml:"umask"`
	SourceModes     string            `toml:"source-modes,omitempty"`
	SourceTime      *time.Time        `toml:"source-time,omitempty"`
	Path            string            `toml:"path,omitempty"`
	HashSeed        string            `toml:"hash-seed,omitempty"`
	LineEnds        string            `toml:"line-ends,omitempty"`
	Env             map[string]string `toml:"env,omitempty"`
	Switches        recipe.Switches   `toml:"switches,omitempty"`
}

// Marshal writes l, packages sorted by name.
func (l Lock) Marshal() ([]byte, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	r := l.Recipe
	d := document{
		LockVersion: Version,
		Subject:     l.Subject,
		Source:      l.Source,
		Python:      python{l.Python},
		Environment: environment{l.Environment},
		Build: build{
			Mode: r.Mode, Requires: r.Requires, Constraints: r.Constraints,
			Before: moment(r.Before), SourceDateEpoch: r.SourceDateEpoch,
			Clock: r.Clock.Start.UTC(), ClockStep: int64(r.Clock.Step / time.Second), ClockStepAt: r.Clock.StepAt,
			TimeZone: r.TimeZone, SourceZone: r.SourceZone,
			Umask: fmt.Sprintf("%04o", r.Umask), SourceModes: r.SourceModes, SourceTime: moment(r.SourceTime),
			Path: r.Path, HashSeed: r.HashSeed, LineEnds: r.LineEnds, Env: r.Env, Switches: r.Switches,
		},
	}
	for _, p := range r.Pins {
		d.Build.Pins = append(d.Build.Pins, p.Name+"=="+p.Version)
	}
	for _, p := range l.Packages {
		d.Packages = append(d.Packages, pkg{p.Name, p.Version, p.PURL, p.Filename, p.Size, p.SHA256})
	}
	slices.SortFunc(d.Packages, func(a, b pkg) int { return cmp.Compare(a.Name, b.Name) })
	var buf bytes.Buffer
	buf.WriteString("# Every input of one build, by sha256. Made by truewheel; docs/formats/lock.md says what each field means.\n")
	if err := toml.NewEncoder(&buf).Encode(d); err != nil {
		return nil, fmt.Errorf("write lock: %w", err)
	}
	return buf.Bytes(), nil
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Parse reads a lock; an unknown field, a missing one or a malformed value is an error that names it.
func Parse(data []byte) (*Lock, error) {
	var v struct {
		LockVersion int `toml:"lock-version"`
	}
	if err := toml.Unmarshal(data, &v); err != nil {
		return nil, fmt.Errorf("read lock: %w", err)
	}
	if v.LockVersion > Version {
		return nil, fmt.Errorf("read lock: version %d is newer than this program knows (%d): update truewheel", v.LockVersion, Version)
	}
	if v.LockVersion < 1 {
		return nil, fmt.Errorf("read lock: no lock-version: not a truewheel lock")
	}
	var d document
	dec := toml.NewDecoder(bytes.NewReader(data)).DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) && len(strict.Errors) > 0 {
			return nil, fmt.Errorf("read lock: unknown field %q", strings.Join(strict.Errors[0].Key(), "."))
		}
		return nil, fmt.Errorf("read lock: %w", err)
	}
	b := d.Build
	l := &Lock{Subject: d.Subject, Source: d.Source, Python: d.Python.Version, Environment: d.Environment.Kind}
	var umask uint32
	if _, err := fmt.Sscanf(b.Umask, "%o", &umask); err != nil {
		return nil, fmt.Errorf("read lock: umask %q is not octal", b.Umask)
	}
	l.Recipe = recipe.Recipe{
		Python: minor(d.Python.Version), Requires: b.Requires, Constraints: b.Constraints, Before: value(b.Before), Mode: b.Mode,
		SourceDateEpoch: b.SourceDateEpoch,
		Clock:           recipe.Clock{Start: b.Clock, Step: time.Duration(b.ClockStep) * time.Second, StepAt: b.ClockStepAt},
		TimeZone:        b.TimeZone, SourceZone: b.SourceZone, Umask: umask, SourceModes: b.SourceModes,
		SourceTime: value(b.SourceTime), Path: b.Path, HashSeed: b.HashSeed, LineEnds: b.LineEnds,
		Env: b.Env, Switches: b.Switches,
	}
	for _, p := range b.Pins {
		name, version, ok := strings.Cut(p, "==")
		if !ok {
			return nil, fmt.Errorf("read lock: pin %q is not NAME==VERSION", p)
		}
		l.Recipe.Pins = append(l.Recipe.Pins, recipe.Pin{Name: name, Version: version})
	}
	for _, p := range d.Packages {
		l.Packages = append(l.Packages, Package{p.Name, p.Version, File{p.PURL, p.Filename, p.Size, p.SHA256}})
	}
	if err := l.check(); err != nil {
		return nil, err
	}
	return l, nil
}

func value(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

func minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return version
	}
	return parts[0] + "." + parts[1]
}

// Digest is the sha256, lower-case hex, of the lock's bytes.
func (l Lock) Digest() (string, error) {
	data, err := l.Marshal()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

// Files are all files that a build of l needs: the source, then the packages.
func (l Lock) Files() []File {
	files := []File{l.Source}
	for _, p := range l.Packages {
		files = append(files, p.File)
	}
	return files
}

func (l Lock) check() error {
	if err := l.Source.check("source"); err != nil {
		return err
	}
	if l.Subject != nil {
		if err := l.Subject.check("subject"); err != nil {
			return err
		}
	}
	if l.Environment != "host" {
		return fmt.Errorf("lock: environment kind %q is not known (host)", l.Environment)
	}
	seen := map[string]bool{}
	for _, p := range l.Packages {
		if p.Name == "" || p.Version == "" {
			return fmt.Errorf("lock: a package without name or version")
		}
		if seen[p.Name] {
			return fmt.Errorf("lock: package %s stands twice", p.Name)
		}
		seen[p.Name] = true
		if err := p.check("package " + p.Name); err != nil {
			return err
		}
	}
	return l.Recipe.Check()
}

func (f File) check(what string) error {
	if f.Filename == "" || strings.ContainsAny(f.Filename, "/\\\x00") || strings.HasPrefix(f.Filename, ".") {
		return fmt.Errorf("lock: %s: %q is not a file name", what, f.Filename)
	}
	if b, err := hex.DecodeString(f.SHA256); err != nil || len(b) != sha256.Size || strings.ToLower(f.SHA256) != f.SHA256 {
		return fmt.Errorf("lock: %s: %q is not a sha256", what, f.SHA256)
	}
	if f.Size < 0 {
		return fmt.Errorf("lock: %s: size %d", what, f.Size)
	}
	return nil
}
