// Package env finds interpreters and makes the environments that builds run in.
package env

import (
	"context"
	"encoding/json"
	"errors"
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
)

// Python is a CPython of this machine.
type Python struct {
	Path     string   `json:"path"`     // executable
	Version  string   `json:"version"`  // "3.12.1"
	Minor    [2]int   `json:"minor"`    // {3, 12}
	Prefixes []string `json:"prefixes"` // directories it needs to run
}

// MinorString is "3.12".
func (p Python) MinorString() string { return fmt.Sprintf("%d.%d", p.Minor[0], p.Minor[1]) }

var executableName = regexp.MustCompile(`^python(3(\.[0-9]+)?)?(\.exe)?$`)

// asked is what a Python is asked, without site and without environment.
const asked = `import json, os, sys, sysconfig
v = sysconfig.get_config_vars()
lib = os.path.join(v["LIBDIR"], v["LDLIBRARY"]) if v.get("Py_ENABLE_SHARED") and v.get("LIBDIR") and v.get("LDLIBRARY") else ""
print(json.dumps([sys.implementation.name, ".".join(map(str, sys.version_info[:3])), sys.version_info[3],
    os.path.realpath(sys.base_prefix), os.path.realpath(os.path.dirname(os.__file__)), os.path.realpath(sys.executable),
    os.path.dirname(os.path.realpath(lib)) if lib else ""]))`

// Cache keeps answers of interpreters between runs.
type Cache interface {
	Cached(kind, key string, v any) (time.Time, bool)
	Cache(kind, key string, v any) error
}

// Pythons are the CPython 3 interpreters of this machine, newest first: those
// of PATH, of the usual places, of pyenv and of uv.
func Pythons(ctx context.Context, environ []string, cache Cache) ([]Python, error) {
	var found []Python
	seen := map[string]bool{}
	for _, name := range candidates(environ) {
		real, err := filepath.EvalSymlinks(name)
		if err != nil || seen[real] {
			continue
		}
		seen[real] = true
		p, ok, err := ask(ctx, real, cache)
		if err != nil {
			return nil, err
		}
		if ok && !slices.ContainsFunc(found, func(q Python) bool { return q.Path == p.Path }) {
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

// candidates are executables that may be Pythons.
func candidates(environ []string) []string {
	vars := map[string]string{}
	for _, kv := range environ {
		k, v, _ := strings.Cut(kv, "=")
		vars[k] = v
	}
	home := vars["HOME"]
	data := vars["XDG_DATA_HOME"]
	if data == "" {
		data = filepath.Join(home, ".local", "share")
	}
	pyenv := vars["PYENV_ROOT"]
	if pyenv == "" {
		pyenv = filepath.Join(home, ".pyenv")
	}
	uv := vars["UV_PYTHON_INSTALL_DIR"]
	if uv == "" {
		uv = filepath.Join(data, "uv", "python")
	}
	var dirs []string
	for _, pattern := range []string{filepath.Join(pyenv, "versions", "*", "bin"), filepath.Join(uv, "*", "bin"), "/opt/python/*/bin"} {
		matches, err := filepath.Glob(pattern)
		if err == nil {
			dirs = append(dirs, matches...)
		}
	}
	for _, dir := range filepath.SplitList(vars["PATH"]) {
		if filepath.Base(dir) != "shims" { // scripts of pyenv that start what was found above
			dirs = append(dirs, dir)
		}
	}
	if runtime.GOOS == "windows" {
		matches, _ := filepath.Glob(filepath.Join(vars["LOCALAPPDATA"], "Programs", "Python", "Python3*"))
		dirs = append(dirs, matches...)
	} else {
		dirs = append(dirs, "/usr/local/bin", "/usr/bin")
	}
	var out []string
	for _, dir := range dirs {
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

// ask runs an interpreter once; what fails or is no CPython 3 is not ok.
func ask(ctx context.Context, path string, cache Cache) (p Python, ok bool, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return p, false, nil
	}
	key := fmt.Sprintf("%s %d %d", path, info.Size(), info.ModTime().UnixNano())
	var kept struct {
		OK     bool
		Python Python
	}
	if _, hit := cache.Cached("pythons", key, &kept); hit {
		return kept.Python, kept.OK, nil
	}
	limited, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	cmd := exec.CommandContext(limited, path, "-I", "-S", "-c", asked)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "SYSTEMROOT=" + os.Getenv("SYSTEMROOT")}
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return p, false, ctx.Err()
	}
	if err == nil {
		p, ok = answer(path, out)
	}
	kept.OK, kept.Python = ok, p
	// Without the cache it is asked again next time.
	return p, ok, errors.Join(cache.Cache("pythons", key, kept))
}

func answer(path string, out []byte) (Python, bool) {
	var raw []any
	if json.Unmarshal(out, &raw) != nil || len(raw) != 7 || raw[0] != "cpython" || raw[2] != "final" {
		return Python{}, false
	}
	text := func(i int) string { s, _ := raw[i].(string); return s }
	p := Python{Path: path, Version: text(1)}
	parts := strings.Split(p.Version, ".")
	if len(parts) != 3 || parts[0] != "3" {
		return p, false
	}
	p.Minor[0] = 3
	p.Minor[1], _ = strconv.Atoi(parts[1])
	for _, dir := range []string{text(3), text(4), filepath.Dir(text(5)), text(6)} {
		if dir == "" || dir == "/" {
			continue
		}
		if !slices.ContainsFunc(p.Prefixes, func(have string) bool { return dir == have || strings.HasPrefix(dir, have+"/") }) {
			p.Prefixes = append(p.Prefixes, dir)
		}
	}
	return p, true
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
