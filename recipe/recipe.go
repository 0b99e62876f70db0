// Package recipe holds the inputs of one build of a Python wheel.
//
// A Recipe is a plain value: it says what a builder has to be given, not
// where to find it. Every field is something a publisher could have set
// once for the whole build (a version, an epoch, a clock, a time zone, a
// umask, a path, a documented switch), with one exception, [Switches.NoExtensions],
// which [Recipe.Scalar] reports. With every file pinned by sha256 a recipe
// becomes a lock (package recipe/lock).
package recipe

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"
)

// Mode names the front end a wheel is built with.
type Mode string

const (
	// PEP517 calls the hooks of the build backend.
	PEP517 Mode = "pep517"
	// SetupPy runs `setup.py bdist_wheel`, for setuptools that have no hooks.
	SetupPy Mode = "setup.py"
)

// Recipe is every input of one build.
// The zero value of each field is the most common choice.
type Recipe struct {
	Python string // CPython's minor version, "3.11"
	// Requires are the build requirements (PEP 508), after pins.
	Requires []string
	// Constraints bound versions without requiring anything ("setuptools<70.1").
	Constraints []string
	// Pins are versions that win over Requires and what those require.
	Pins []Pin
	// Before is the moment of resolution: no file uploaded later is used. Zero: no limit.
	Before time.Time
	Mode   Mode

	// SourceDateEpoch is set in the build's environment when not nil (seconds, UTC).
	SourceDateEpoch *int64
	Clock           Clock
	TimeZone        string // POSIX TZ; "" is UTC
	// SourceZone is the zone the local times of a zip sdist are read in; "" is UTC.
	SourceZone string
	Umask      uint32
	// SourceModes says how the files of the sdist are unpacked: "raw" as the
	// archive has them, "umask" with the umask taken off, "data" as Python's
	// data filter does (PEP 706: no write for group and others).
	SourceModes string
	// SourceGit says whether the build sees the .git directory of a commit: it
	// does when this is "", and does not when it is [Hidden].
	SourceGit string
	// SourceTime, when not zero, is the modification time of all source files: a fresh checkout.
	SourceTime time.Time
	Path       string // absolute directory of the source tree; "" is /build/NAME-VERSION
	HashSeed   string // PYTHONHASHSEED; "" is "0"
	LineEnds   string // "" or "crlf": what the build writes text files with
	// Env are further variables, documented switches of the project or its backend.
	Env      map[string]string
	Switches Switches
	// ConfigSettings are given to the backend's hooks (PEP 517).
	ConfigSettings map[string][]string

	// Target is the tag the wheel has to have, as cibuildwheel writes it, with
	// or without a C library's version: "cp311-manylinux_x86_64". "": any.
	Target string
	// Extensions are members that the wheel has to have, without what follows
	// the first dot of their last part: "markupsafe/_speedups".
	Extensions []string
	// Repair says what makes the wheel portable: "auditwheel", or "" for nothing.
	Repair string
}

// Switches are settings given to the backend from outside the source.
type Switches struct {
	// Universal, PythonTag and LimitedAPI are [bdist_wheel] settings of setuptools.
	Universal bool   `json:"universal,omitempty" toml:"universal,omitempty"`
	PythonTag string `json:"python_tag,omitempty" toml:"python_tag,omitempty"`
	// LimitedAPI is the oldest Python of an abi3 wheel, "cp38".
	LimitedAPI string `json:"limited_api,omitempty" toml:"limited_api,omitempty"`
	// NoExtensions drops ext_modules from setup(): a file that a publisher had no compiler for.
	NoExtensions bool `json:"no_extensions,omitempty" toml:"no_extensions,omitempty"`
	// Args are further command-line arguments of setup.py's commands ("--no-cython-compile").
	Args []string `json:"args,omitempty" toml:"args,omitempty"`
}

// Pin is a version that wins over every requirement of its project.
type Pin struct {
	Name, Version string
}

// Clock is what the build believes the time to be: it starts at Start and
// makes at most one step, when the file StepAt of the wheel is written.
type Clock struct {
	Start  time.Time     `json:"start" toml:"start"`
	Step   time.Duration `json:"step,omitempty" toml:"step,omitempty"` // whole seconds, >= 0
	StepAt string        `json:"step_at,omitempty" toml:"step_at,omitempty"`
}

// Scalar reports whether every input is one that a publisher could have set:
// only then can a build be `reproduced`.
func (r Recipe) Scalar() bool { return !r.Switches.NoExtensions }

// Hidden is what a build can't see of its source.
const Hidden = "hidden"

// Auditwheel is the tool that grafts libraries into Linux wheels (PEP 600).
const Auditwheel = "auditwheel"

var target = regexp.MustCompile(`^[a-z0-9_.]+(-[a-z0-9_.]+){1,2}$`)

var minorVersion = regexp.MustCompile(`^3\.[0-9]{1,2}$`)

// Check says what is wrong with r, or nil.
func (r Recipe) Check() error {
	switch {
	case !minorVersion.MatchString(r.Python):
		return fmt.Errorf("recipe: python %q is not a minor version such as 3.11", r.Python)
	case r.Mode != PEP517 && r.Mode != SetupPy:
		return fmt.Errorf("recipe: mode %q is neither %s nor %s", r.Mode, PEP517, SetupPy)
	case r.Umask&^0o777 != 0:
		return fmt.Errorf("recipe: umask %#o is not a umask", r.Umask)
	case r.SourceModes != "" && r.SourceModes != "raw" && r.SourceModes != "umask" && r.SourceModes != "data":
		return fmt.Errorf("recipe: source modes %q are none of raw, umask, data", r.SourceModes)
	case r.SourceGit != "" && r.SourceGit != Hidden:
		return fmt.Errorf("recipe: source git %q is not %s", r.SourceGit, Hidden)
	case r.LineEnds != "" && r.LineEnds != "crlf":
		return fmt.Errorf("recipe: line ends %q are not crlf", r.LineEnds)
	case r.Clock.Start.IsZero():
		return fmt.Errorf("recipe: no clock")
	case r.Clock.Step < 0 || r.Clock.Step%time.Second != 0:
		return fmt.Errorf("recipe: clock step %s is not a whole number of seconds", r.Clock.Step)
	case r.Clock.Step > 0 && r.Clock.StepAt == "":
		return fmt.Errorf("recipe: clock step without the file it happens at")
	case r.Path != "" && !safePath(r.Path):
		return fmt.Errorf("recipe: build path %q is not a clean absolute path below /build or /tmp or another place of its own", r.Path)
	}
	if r.Repair != "" && r.Repair != Auditwheel {
		return fmt.Errorf("recipe: repair %q is not %s", r.Repair, Auditwheel)
	}
	if r.Target != "" && !target.MatchString(r.Target) {
		return fmt.Errorf("recipe: target %q is not like cp311-manylinux_x86_64 or py3-none-any", r.Target)
	}
	for k := range r.Env {
		if k == "" || strings.ContainsAny(k, "=\x00") || reserved(k) {
			return fmt.Errorf("recipe: variable %q can't be set by a recipe", k)
		}
	}
	return nil
}

// safePath: a build path is made inside the cage and must not hide what the
// build needs from the system.
func safePath(p string) bool {
	if !path.IsAbs(p) || path.Clean(p) != p || strings.ContainsAny(p, "\x00\n") || p == "/" {
		return false
	}
	switch top := strings.Split(p, "/")[1]; top {
	case "usr", "lib", "lib32", "lib64", "libx32", "bin", "sbin", "etc", "proc", "sys", "dev", "truewheel":
		return false
	case "tmp", "build", "home", "root", "var", "opt", "run", "boot", "srv", "mnt", "media":
		return "/"+top != p // below it, not in its place
	}
	return true
}

// reserved variables have fields of their own or belong to the builder.
func reserved(k string) bool {
	switch k {
	case "SOURCE_DATE_EPOCH", "TZ", "PYTHONHASHSEED", "PATH", "HOME", "TMPDIR", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP":
		return true
	}
	return strings.HasPrefix(k, "LD_") || strings.HasPrefix(k, "TRUEWHEEL_")
}
