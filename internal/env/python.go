// Package env finds interpreters and makes the environments that builds run in.
package env

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Python is a CPython of this machine: a release, neither a debug nor a
// free-threaded build, and no virtual environment.
type Python struct {
	Path     string            `json:"path"`               // executable, symbolic links resolved
	Base     string            `json:"base"`               // sys.base_prefix, resolved
	Version  string            `json:"version"`            // "3.12.1"
	Minor    [2]int            `json:"minor"`              // {3, 12}
	Platform string            `json:"platform,omitempty"` // of a root directory: as uv names it, "x86_64-manylinux_2_36"
	Vars     map[string]string `json:"-"`                  // of a root directory: what its image sets
	Prefixes []string          `json:"prefixes"`           // directories it needs to run: base, standard library, executable, shared library; none lies in another
}

// MinorString is "3.12".
func (p Python) MinorString() string { return fmt.Sprintf("%d.%d", p.Minor[0], p.Minor[1]) }

var executableName = regexp.MustCompile(`^python(3(\.[0-9]+)?)?(\.exe)?$`)

// asked is what a Python is asked, without site and without environment. It
// is written for every CPython since 3.3, and 2.7 answers too.
const asked = `import json, os, sys, sysconfig
v = sysconfig.get_config_vars()
lib = os.path.join(v["LIBDIR"], v["LDLIBRARY"]) if v.get("Py_ENABLE_SHARED") and v.get("LIBDIR") and v.get("LDLIBRARY") else ""
real = os.path.realpath
print(json.dumps({
    "implementation": getattr(sys, "implementation", None) and sys.implementation.name,
    "version": list(sys.version_info[:3]), "level": sys.version_info[3], "flags": getattr(sys, "abiflags", ""),
    "base": real(getattr(sys, "base_prefix", "")), "stdlib": os.path.dirname(real(os.__file__)),
    "executable": real(getattr(sys, "_base_executable", None) or sys.executable),
    "venv": sys.prefix != getattr(sys, "base_prefix", sys.prefix),
    "lib": os.path.dirname(real(lib)) if lib else ""}))`

// reply is the answer.
type reply struct {
	Implementation string `json:"implementation"`
	Version        []int  `json:"version"`
	Level          string `json:"level"`
	Flags          string `json:"flags"`
	Base           string `json:"base"`
	Stdlib         string `json:"stdlib"`
	Executable     string `json:"executable"`
	Venv           bool   `json:"venv"`
	Lib            string `json:"lib"`
}

// Cache keeps answers of interpreters between runs.
type Cache interface {
	Cached(kind, key string, v any) (time.Time, bool)
	Cache(kind, key string, v any) error
}

// Pythons are the CPython 3 interpreters of this machine, newest first, each
// once: those of pyenv, uv, manylinux images, PATH and the usual places, in
// this order where versions are equal. Each is run once, for at most 10
// seconds, and not again while its path, size and time are those in cache.
// What can't be run or is something else is left out.
func Pythons(ctx context.Context, environ []string, cache Cache) ([]Python, error) {
	var names []string
	seen := map[string]bool{}
	for _, name := range candidates(environ) {
		real, err := filepath.EvalSymlinks(name)
		if err == nil && !seen[real] {
			seen[real] = true
			names = append(names, real)
		}
	}
	answers := make([]Python, len(names)) // of what is no Python: zero
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.NumCPU())
	for i, name := range names {
		g.Go(func() (err error) {
			answers[i], err = ask(ctx, name, environ, cache)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("find interpreters: %w", err)
	}
	var found []Python
	for _, p := range answers {
		known := func(q Python) bool { return q.Path == p.Path || q.Base == p.Base && q.Version == p.Version }
		if p.Path != "" && !slices.ContainsFunc(found, known) {
			found = append(found, p)
		}
	}
	slices.SortStableFunc(found, func(a, b Python) int { return compareVersions(b.Version, a.Version) })
	return found, nil
}

func compareVersions(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		m, _ := strconv.Atoi(x[i])
		n, _ := strconv.Atoi(y[i])
		if m != n {
			return m - n
		}
	}
	return len(x) - len(y)
}

// variable is the last value of an environment variable.
func variable(environ []string, name string) string {
	for _, kv := range slices.Backward(environ) {
		k, v, _ := strings.Cut(kv, "=")
		if k == name || runtime.GOOS == "windows" && strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

// candidates are executables that may be Pythons.
func candidates(environ []string) []string {
	home := variable(environ, "HOME")
	if runtime.GOOS == "windows" {
		home = variable(environ, "USERPROFILE")
	}
	data := variable(environ, "XDG_DATA_HOME")
	if data == "" {
		data = filepath.Join(home, ".local", "share")
	}
	if runtime.GOOS == "windows" {
		data = variable(environ, "APPDATA")
	}
	pyenv := variable(environ, "PYENV_ROOT")
	if pyenv == "" {
		pyenv = filepath.Join(home, ".pyenv")
	}
	uv := variable(environ, "UV_PYTHON_INSTALL_DIR")
	if uv == "" {
		uv = filepath.Join(data, "uv", "python")
	}
	patterns := []string{filepath.Join(pyenv, "versions", "*", "bin"), filepath.Join(uv, "*", "bin"), "/opt/python/*/bin"}
	after := []string{"/usr/local/bin", "/usr/bin"}
	if runtime.GOOS == "windows" {
		patterns = []string{
			filepath.Join(home, ".pyenv", "pyenv-win", "versions", "*"), filepath.Join(uv, "*"),
			filepath.Join(variable(environ, "LOCALAPPDATA"), "Programs", "Python", "Python3*"),
			filepath.Join(variable(environ, "PROGRAMFILES"), "Python3*"),
		}
		after = nil
	}
	var dirs []string
	for _, pattern := range patterns {
		matches, err := filepath.Glob(pattern)
		if err == nil { // else a directory's name has a bracket
			dirs = append(dirs, matches...)
		}
	}
	dirs = append(dirs, filepath.SplitList(variable(environ, "PATH"))...)
	var out []string
	for _, dir := range append(dirs, after...) {
		// Shims of pyenv start what was found above. A relative directory
		// would let the current one say what is run.
		if filepath.Base(dir) == "shims" || !filepath.IsAbs(dir) {
			continue
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if executableName.MatchString(e.Name()) {
				out = append(out, filepath.Join(dir, e.Name()))
			}
		}
	}
	return out
}

// ask runs an interpreter once. The zero Python is the answer of what fails
// or is no CPython 3.
func ask(ctx context.Context, path string, environ []string, cache Cache) (Python, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Python{}, nil
	}
	const kind = "interpreters"
	key := fmt.Sprintf("%s %d %d", path, info.Size(), info.ModTime().UnixNano())
	var p Python
	if _, hit := cache.Cached(kind, key, &p); hit && installed(p) {
		return p, nil
	}
	limited, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	cmd := exec.CommandContext(limited, path, "-I", "-S", "-c", asked)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "SYSTEMROOT=" + variable(environ, "SYSTEMROOT")}
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return Python{}, ctx.Err()
	}
	if limited.Err() != nil {
		return Python{}, nil // not kept: the machine may have been busy
	}
	p = Python{}
	if err == nil {
		p = answer(out)
	}
	return p, cache.Cache(kind, key, p)
}

// installed reports whether what a kept answer names is still there.
func installed(p Python) bool {
	if p.Path == "" {
		return true
	}
	_, err := os.Stat(p.Path)
	_, err2 := os.Stat(p.Base)
	return err == nil && err2 == nil
}

func answer(out []byte) Python {
	var r reply
	if json.Unmarshal(out, &r) != nil || r.Implementation != "cpython" || r.Level != "final" || r.Venv ||
		strings.ContainsAny(r.Flags, "dt") || len(r.Version) != 3 || r.Version[0] != 3 {
		return Python{}
	}
	if !filepath.IsAbs(r.Executable) || !filepath.IsAbs(r.Base) {
		return Python{}
	}
	p := Python{
		Path: r.Executable, Base: r.Base, Minor: [2]int{3, r.Version[1]},
		Version: fmt.Sprintf("%d.%d.%d", r.Version[0], r.Version[1], r.Version[2]),
	}
	for _, dir := range []string{r.Base, r.Stdlib, filepath.Dir(r.Executable), r.Lib} {
		if dir == "" || filepath.Dir(dir) == dir {
			continue
		}
		if !slices.ContainsFunc(p.Prefixes, func(have string) bool { return inside(dir, have) }) {
			p.Prefixes = slices.DeleteFunc(p.Prefixes, func(have string) bool { return inside(have, dir) })
			p.Prefixes = append(p.Prefixes, dir)
		}
	}
	return p
}

func inside(dir, other string) bool {
	return dir == other || strings.HasPrefix(dir, other+string(filepath.Separator))
}

// Nearest is the Python of that minor version, with the patch version given
// if there is one; else none.
func Nearest(pythons []Python, version string) (Python, bool) {
	var best Python
	for _, p := range pythons {
		if p.Version == version {
			return p, true
		}
		if best.Path == "" && (p.MinorString() == version || strings.HasPrefix(version, p.MinorString()+".")) {
			best = p
		}
	}
	return best, best.Path != ""
}
