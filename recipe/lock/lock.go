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
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/package-url/packageurl-go"
	"github.com/pelletier/go-toml/v2"

	"github.com/truewheel/truewheel/recipe"
)

// Version of the format that Marshal writes, and the newest that Parse reads.
const Version = 1

// Lock is every input of one build, pinned.
type Lock struct {
	Subject     *File   // the published wheel that the recipe was made for; nil when there is none
	Source      *File   // the source distribution; nil: see Commit
	Commit      *Commit // of a repository; when both are nil, the checkout that the lock lies in
	Python      string  // full version of the interpreter, "3.11.7"
	Environment Environment
	UV          *File     // what installs the packages; nil when there are none
	Packages    []Package // sorted by name
	Recipe      recipe.Recipe
}

// Commit names a state of a repository, wherever that lies.
type Commit struct {
	ID           string // 40 hex digits
	Subdirectory string // of the project; "" is the top
}

// Kinds of environment.
const (
	Host   = "host"   // an interpreter of the machine
	Debian = "debian" // a root directory unpacked from .debs
	OCI    = "oci"    // a root directory unpacked from an image
)

// Environment is what a build runs in. Architecture and Root belong to Debian
// and OCI, Image, Digest and Python to OCI, the others to Debian.
type Environment struct {
	Kind         string
	Image        string   // without the registry's host, "pypa/manylinux_2_28_x86_64"
	Digest       string   // of the manifest for the architecture, "sha256:…"
	Python       string   // path of the interpreter in the root
	Suite        string   // codename, "bookworm"
	Architecture string   // as Debian, or as images name it: "amd64"
	Root         string   // sha256, lower-case hex, of the manifest of the root directory
	Requested    []string // packages that were asked for; the others came along, or are essential
	Debs         []Deb    // sorted by name
}

// Deb is a Debian package.
type Deb struct {
	Name    string `toml:"name"`
	Version string `toml:"version"`
	PURL    string `toml:"purl"`
	Pool    string `toml:"pool"` // path below a mirror
	Size    int64  `toml:"size"`
	SHA256  string `toml:"sha256"` // lower-case hex
}

// DebPURL is the package URL of a Debian package (purl-spec, type deb).
func DebPURL(name, version, architecture string) string {
	q := packageurl.QualifiersFromMap(map[string]string{"arch": architecture})
	return packageurl.NewPackageURL("deb", "debian", name, version, q, "").ToString()
}

// OCIPURL is the package URL of an image (purl-spec, type oci), without a registry.
func OCIPURL(image, digest string) string {
	return packageurl.NewPackageURL("oci", "", path.Base(image), digest, nil, "").ToString()
}

// PyPIURL is the package URL of a release (purl-spec, type pypi).
func PyPIURL(name, version string) string { return "pkg:pypi/" + name + "@" + version }

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
	LockVersion  int          `toml:"lock-version"`
	Subject      *File        `toml:"subject,omitempty"`
	Source       source       `toml:"source"`
	Python       python       `toml:"python"`
	Environment  environment  `toml:"environment"`
	UV           *File        `toml:"uv,omitempty"`
	Build        build        `toml:"build"`
	Wheel        *wheel       `toml:"wheel,omitempty"`
	Requirements requirements `toml:"requirements"`
}

type source struct {
	Kind string `toml:"kind"` // sdist | git | checkout
	sdist
	Commit       string `toml:"commit,omitempty"`
	Subdirectory string `toml:"subdirectory,omitempty"`
	Git          string `toml:"git,omitempty"` // present | hidden: whether the build sees .git
}

type sdist struct {
	PURL     string `toml:"purl,omitempty"`
	Filename string `toml:"filename,omitempty"`
	Size     int64  `toml:"size,omitempty"`
	SHA256   string `toml:"sha256,omitempty"`
}

type python struct {
	Version string `toml:"version"`
}

type environment struct {
	Kind         string   `toml:"kind"`
	Image        string   `toml:"image,omitempty"`
	Digest       string   `toml:"digest,omitempty"`
	Python       string   `toml:"python,omitempty"`
	Suite        string   `toml:"suite,omitempty"`
	Architecture string   `toml:"architecture,omitempty"`
	Root         string   `toml:"root,omitempty"`
	Requested    []string `toml:"requested,omitempty"`
	Debs         []Deb    `toml:"debs,omitempty,inline,multiline"`
}

// wheel is what the build has to give.
type wheel struct {
	Target     string   `toml:"target,omitempty"`
	Extensions []string `toml:"extensions,omitempty,multiline"`
	Repair     string   `toml:"repair,omitempty"`
}

type requirements struct {
	Wheels []pkg `toml:"wheels,inline,multiline"`
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
	Mode            recipe.Mode         `toml:"mode"`
	Requires        []string            `toml:"requires,multiline"`
	Constraints     []string            `toml:"constraints,omitempty"`
	Pins            []string            `toml:"pins,omitempty"`
	Before          *time.Time          `toml:"before,omitempty"`
	SourceDateEpoch *int64              `toml:"source-date-epoch,omitempty"`
	Clock           time.Time           `toml:"clock"`
	ClockStep       int64               `toml:"clock-step-seconds,omitempty"`
	ClockStepAt     string              `toml:"clock-step-at,omitempty"`
	TimeZone        string              `toml:"time-zone,omitempty"`
	SourceZone      string              `toml:"source-zone,omitempty"`
	Umask           string              `toml:"umask"`
	SourceModes     string              `toml:"source-modes,omitempty"`
	SourceTime      *time.Time          `toml:"source-time,omitempty"`
	Path            string              `toml:"path,omitempty"`
	HashSeed        string              `toml:"hash-seed,omitempty"`
	LineEnds        string              `toml:"line-ends,omitempty"`
	Env             map[string]string   `toml:"env,omitempty"`
	ConfigSettings  map[string][]string `toml:"config-settings,omitempty"`
	Switches        recipe.Switches     `toml:"switches,omitempty"`
}

// present is what a lock writes for a recipe's "".
const present = "present"

// Marshal writes l, packages sorted by name.
func (l Lock) Marshal() ([]byte, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	r := l.Recipe
	d := document{
		LockVersion: Version,
		Subject:     l.Subject,
		Source:      source{Kind: "checkout"},
		Python:      python{l.Python},
		Environment: environment(l.Environment),
		UV:          l.UV,
		Build: build{
			Mode: r.Mode, Requires: r.Requires, Constraints: r.Constraints,
			Before: moment(r.Before), SourceDateEpoch: r.SourceDateEpoch,
			Clock: r.Clock.Start.UTC(), ClockStep: int64(r.Clock.Step / time.Second), ClockStepAt: r.Clock.StepAt,
			TimeZone: r.TimeZone, SourceZone: r.SourceZone,
			Umask: fmt.Sprintf("%04o", r.Umask), SourceModes: r.SourceModes, SourceTime: moment(r.SourceTime),
			Path: r.Path, HashSeed: r.HashSeed, LineEnds: r.LineEnds, Env: r.Env, Switches: r.Switches,
			ConfigSettings: r.ConfigSettings,
		},
	}
	if f := l.Source; f != nil {
		d.Source = source{Kind: "sdist", sdist: sdist(*f)}
	}
	if c := l.Commit; c != nil {
		d.Source = source{Kind: "git", Commit: c.ID, Subdirectory: c.Subdirectory, Git: cmp.Or(r.SourceGit, present)}
	}
	if w := (wheel{r.Target, r.Extensions, r.Repair}); w.Target != "" || w.Repair != "" || len(w.Extensions) > 0 {
		d.Wheel = &w
	}
	for _, p := range r.Pins {
		d.Build.Pins = append(d.Build.Pins, p.Name+"=="+p.Version)
	}
	wheels := []pkg{}
	for _, p := range l.Packages {
		wheels = append(wheels, pkg{p.Name, p.Version, p.PURL, p.Filename, p.Size, p.SHA256})
	}
	slices.SortFunc(wheels, func(a, b pkg) int { return cmp.Compare(a.Name, b.Name) })
	d.Requirements.Wheels = wheels
	d.Environment.Debs = slices.SortedFunc(slices.Values(d.Environment.Debs), func(a, b Deb) int { return cmp.Compare(a.Name, b.Name) })
	d.Environment.Requested = slices.Sorted(slices.Values(d.Environment.Requested))
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
	l := &Lock{Subject: d.Subject, Python: d.Python.Version, Environment: Environment(d.Environment), UV: d.UV}
	git := d.Source.Git
	if git == present {
		git = ""
	}
	if d.Source.Kind != "git" && d.Source.Git != "" {
		return nil, fmt.Errorf("read lock: a source of kind %s has no git", d.Source.Kind)
	}
	switch f, c := File(d.Source.sdist), (Commit{d.Source.Commit, d.Source.Subdirectory}); {
	case d.Source.Kind == "sdist" && c == Commit{}:
		l.Source = &f
	case d.Source.Kind == "git" && f == File{}:
		l.Commit = &c
	case d.Source.Kind == "checkout" && f == File{} && c == Commit{}:
	case d.Source.Kind == "sdist", d.Source.Kind == "git", d.Source.Kind == "checkout":
		return nil, fmt.Errorf("read lock: a source of kind %s has no such fields", d.Source.Kind)
	default:
		return nil, fmt.Errorf("read lock: source kind %q is not known (sdist, git, checkout)", d.Source.Kind)
	}
	var umask uint32
	if _, err := fmt.Sscanf(b.Umask, "%o", &umask); err != nil {
		return nil, fmt.Errorf("read lock: umask %q is not octal", b.Umask)
	}
	l.Recipe = recipe.Recipe{
		Python: minor(d.Python.Version), Requires: b.Requires, Constraints: b.Constraints, Before: value(b.Before), Mode: b.Mode,
		SourceDateEpoch: b.SourceDateEpoch,
		Clock:           recipe.Clock{Start: b.Clock, Step: time.Duration(b.ClockStep) * time.Second, StepAt: b.ClockStepAt},
		TimeZone:        b.TimeZone, SourceZone: b.SourceZone, Umask: umask, SourceModes: b.SourceModes, SourceGit: git,
		SourceTime: value(b.SourceTime), Path: b.Path, HashSeed: b.HashSeed, LineEnds: b.LineEnds,
		Env: b.Env, Switches: b.Switches, ConfigSettings: b.ConfigSettings,
	}
	if w := d.Wheel; w != nil {
		l.Recipe.Target, l.Recipe.Extensions, l.Recipe.Repair = w.Target, w.Extensions, w.Repair
	}
	for _, p := range b.Pins {
		name, version, ok := strings.Cut(p, "==")
		if !ok {
			return nil, fmt.Errorf("read lock: pin %q is not NAME==VERSION", p)
		}
		l.Recipe.Pins = append(l.Recipe.Pins, recipe.Pin{Name: name, Version: version})
	}
	for _, p := range d.Requirements.Wheels {
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

func (l Lock) check() error {
	if l.Source != nil {
		if err := l.Source.check("source"); err != nil {
			return err
		}
	}
	if c := l.Commit; c != nil && (!commitID.MatchString(c.ID) || c.Subdirectory != "" && !fs.ValidPath(c.Subdirectory) || l.Source != nil) {
		return fmt.Errorf("lock: source: commit %q, subdirectory %q", c.ID, c.Subdirectory)
	}
	if l.UV != nil {
		if err := l.UV.check("uv"); err != nil {
			return err
		}
	}
	if l.Subject != nil {
		if err := l.Subject.check("subject"); err != nil {
			return err
		}
	}
	if err := l.Environment.check(); err != nil {
		return err
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

var (
	word     = regexp.MustCompile(`^[a-z0-9]+$`)
	commitID = regexp.MustCompile(`^[0-9a-f]{40}$`)
	debName  = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)
	image    = regexp.MustCompile(`^[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$`)
	poolPath = regexp.MustCompile(`^pool(/[A-Za-z0-9+~_:%-][A-Za-z0-9+.~_:%-]*)+\.deb$`)
)

func (e Environment) check() error {
	packaged, imaged := e.Suite != "" || len(e.Debs)+len(e.Requested) > 0, e.Image+e.Digest+e.Python != ""
	switch e.Kind {
	case Host:
		if packaged || imaged || e.Architecture != "" || e.Root != "" {
			return fmt.Errorf("lock: an environment of kind host has neither suite, nor packages, nor an image")
		}
		return nil
	case OCI:
		if packaged {
			return fmt.Errorf("lock: an environment of kind oci has no suite and no packages")
		}
		return e.checkImage()
	case Debian:
		if imaged {
			return fmt.Errorf("lock: an environment of kind debian has no image")
		}
	default:
		return fmt.Errorf("lock: environment kind %q is not known (host, debian, oci)", e.Kind)
	}
	if !word.MatchString(e.Suite) || !word.MatchString(e.Architecture) {
		return fmt.Errorf("lock: suite %q or architecture %q is not one", e.Suite, e.Architecture)
	}
	if !IsSum(e.Root) {
		return fmt.Errorf("lock: root: %q is not a sha256", e.Root)
	}
	seen := map[string]bool{}
	for _, d := range e.Debs {
		arch := e.Architecture
		if strings.HasSuffix(d.Pool, "_all.deb") {
			arch = "all"
		}
		switch {
		case !debName.MatchString(d.Name) || d.Version == "":
			return fmt.Errorf("lock: deb %q %q: not a name and version", d.Name, d.Version)
		case seen[d.Name]:
			return fmt.Errorf("lock: deb %s stands twice", d.Name)
		case d.PURL != DebPURL(d.Name, d.Version, arch):
			return fmt.Errorf("lock: deb %s: purl %q is not that of its name, version and architecture", d.Name, d.PURL)
		case !IsPool(d.Pool):
			return fmt.Errorf("lock: deb %s: %q is not a path in a pool", d.Name, d.Pool)
		case !IsSum(d.SHA256) || d.Size <= 0:
			return fmt.Errorf("lock: deb %s: size %d, sha256 %q", d.Name, d.Size, d.SHA256)
		}
		seen[d.Name] = true
	}
	for _, name := range e.Requested {
		if !seen[name] {
			return fmt.Errorf("lock: %s was asked for and is not among the debs", name)
		}
	}
	return nil
}

func (e Environment) checkImage() error {
	sum, ok := strings.CutPrefix(e.Digest, "sha256:")
	host, _, nested := strings.Cut(e.Image, "/")
	switch {
	case !image.MatchString(e.Image):
		return fmt.Errorf("lock: image %q is not the name of one", e.Image)
	case nested && (strings.Contains(host, ".") || host == "localhost"):
		return fmt.Errorf("lock: image %q names a host", e.Image)
	case !ok || !IsSum(sum):
		return fmt.Errorf("lock: image %s: %q is not sha256: and 64 hex digits", e.Image, e.Digest)
	case !word.MatchString(e.Architecture):
		return fmt.Errorf("lock: image %s: architecture %q is not one", e.Image, e.Architecture)
	case !path.IsAbs(e.Python) || path.Clean(e.Python) != e.Python || strings.ContainsAny(e.Python, "\x00\n"):
		return fmt.Errorf("lock: image %s: %q is not the path of an interpreter", e.Image, e.Python)
	case !IsSum(e.Root):
		return fmt.Errorf("lock: root: %q is not a sha256", e.Root)
	}
	return nil
}

// IsPool reports whether s is the path of a .deb in a mirror's pool.
func IsPool(s string) bool { return poolPath.MatchString(s) }

// IsSum reports whether s is a sha256 in lower-case hex.
func IsSum(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == sha256.Size && strings.ToLower(s) == s
}

func (f File) check(what string) error {
	if f.Filename == "" || strings.ContainsAny(f.Filename, "/\\\x00") || strings.HasPrefix(f.Filename, ".") {
		return fmt.Errorf("lock: %s: %q is not a file name", what, f.Filename)
	}
	if !IsSum(f.SHA256) {
		return fmt.Errorf("lock: %s: %q is not a sha256", what, f.SHA256)
	}
	if f.Size < 0 {
		return fmt.Errorf("lock: %s: size %d", what, f.Size)
	}
	return nil
}
