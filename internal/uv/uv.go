// Package uv is the only door to uv: it resolves build requirements as of a
// date and installs pinned wheels into a prefix. It never runs code of the
// packages it handles, and it never builds one.
package uv

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/truewheel/truewheel/recipe"
)

// UV is a uv program and the surroundings it is run in.
type UV struct {
	Path  string
	Cache string   // directory of uv's own cache
	Env   []string // index, certificates, proxies: what [index.Settings] gives; nothing else is inherited
}

// Request asks for build requirements.
type Request struct {
	Requires    []string
	Constraints []string
	Pins        []recipe.Pin
	Before      time.Time // no file uploaded later; zero: no limit
	Python      string    // executable of an interpreter; they are for it, unless PythonVersion says otherwise
	// PythonVersion ("3.11.2") and Platform ("x86_64-manylinux_2_36") are of
	// an interpreter that can't be run here.
	PythonVersion, Platform string
	Offline                 bool `json:"-"`
	Fresh                   bool `json:"-"` // ask anew, whatever was answered before
}

// newestGlibc is the minor version of the newest C library that this uv has a
// platform for.
const newestGlibc = 40

// Platform is uv's name of a Linux machine ("x86_64") with a C library
// ("2.36"): the nearest it knows that is not newer.
func Platform(machine, glibc string) string {
	_, minor, _ := strings.Cut(glibc, ".")
	n, err := strconv.Atoi(minor)
	if err != nil || n > newestGlibc {
		n = newestGlibc
	}
	return fmt.Sprintf("%s-manylinux_2_%d", machine, n)
}

// Resolved is one wheel of a resolution.
type Resolved struct {
	Name, Version, Filename, URL, SHA256 string
	Size                                 int64 // 0 when the index does not tell
}

// A ResolveError is uv's own word that the requirements can't be had together.
type ResolveError struct{ Detail string }

func (e *ResolveError) Error() string { return "resolve: " + e.Detail }

// resolveArgs is the command line of a resolution; the requirements come on standard input.
func resolveArgs(r Request, cache, constraints, overrides string) []string {
	args := []string{
		"pip", "compile", "-", "--quiet", "--no-progress", "--color", "never", "--no-config",
		"--cache-dir", cache, "--python", r.Python, "--no-python-downloads",
		"--format", "pylock.toml", "--no-header", "--no-annotate", "--no-build",
		"--constraint", constraints, "--override", overrides,
	}
	if !r.Before.IsZero() {
		args = append(args, "--exclude-newer", r.Before.UTC().Format(time.RFC3339))
	}
	if r.PythonVersion != "" {
		args = append(args, "--python-version", r.PythonVersion, "--python-platform", r.Platform)
	}
	if r.Offline {
		args = append(args, "--offline")
	}
	return args
}

// Resolve says which wheels satisfy r, sorted by name.
func (u *UV) Resolve(ctx context.Context, r Request) ([]Resolved, error) {
	dir, err := os.MkdirTemp("", "truewheel-resolve-")
	if err != nil {
		return nil, fmt.Errorf("resolve: %w", err)
	}
	defer os.RemoveAll(dir)
	constraints, overrides := filepath.Join(dir, "constraints.txt"), filepath.Join(dir, "overrides.txt")
	var pins strings.Builder
	for _, p := range r.Pins {
		fmt.Fprintf(&pins, "%s==%s\n", p.Name, p.Version)
	}
	if err := errors.Join(
		os.WriteFile(constraints, []byte(strings.Join(r.Constraints, "\n")+"\n"), 0o600),
		os.WriteFile(overrides, []byte(pins.String()), 0o600),
	); err != nil {
		return nil, fmt.Errorf("resolve: %w", err)
	}
	out, err := u.run(ctx, strings.Join(r.Requires, "\n")+"\n", resolveArgs(r, u.Cache, constraints, overrides))
	if err != nil {
		return nil, err
	}
	return parsePylock(out, r.Platform == "")
}

// Key names a request: equal keys, equal requests.
func (r Request) Key() string {
	data, err := json.Marshal(r)
	if err != nil {
		panic(err) // plain strings and times
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// pylock is what is read of a pylock.toml (PEP 751).
type pylock struct {
	Packages []struct {
		Name    string `toml:"name"`
		Version string `toml:"version"`
		Wheels  []struct {
			URL    string            `toml:"url"`
			Path   string            `toml:"path"`
			Name   string            `toml:"name"`
			Size   int64             `toml:"size"`
			Hashes map[string]string `toml:"hashes"`
		} `toml:"wheels"`
	} `toml:"packages"`
}

// parsePylock takes one wheel of each package: for this machine one that is
// the same on every machine, if there is one; for a given platform its own.
func parsePylock(data []byte, portable bool) ([]Resolved, error) {
	var doc pylock
	if err := toml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("read uv's resolution: %w", err)
	}
	var out []Resolved
	for _, p := range doc.Packages {
		if len(p.Wheels) == 0 {
			return nil, &ResolveError{p.Name + " " + p.Version + " has no wheel"}
		}
		best := p.Wheels[0]
		for _, w := range p.Wheels {
			if strings.HasSuffix(wheelName(w.Name, w.URL, w.Path), "-none-any.whl") == portable {
				best = w
				break
			}
		}
		sum := best.Hashes["sha256"]
		if len(sum) != 2*sha256.Size {
			return nil, &ResolveError{p.Name + " " + p.Version + ": the index gives no sha256"}
		}
		out = append(out, Resolved{
			Name: p.Name, Version: p.Version, Filename: wheelName(best.Name, best.URL, best.Path),
			URL: best.URL, SHA256: sum, Size: best.Size,
		})
	}
	slices.SortFunc(out, func(a, b Resolved) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func wheelName(name, url, path string) string {
	if name == "" {
		name = url
	}
	if name == "" {
		name = path
	}
	name, _, _ = strings.Cut(name, "#")
	name = name[strings.LastIndexByte(name, '/')+1:]
	return strings.ReplaceAll(name, "%2B", "+")
}

// Wheel is a file to install.
type Wheel struct {
	Name, Path, SHA256 string
}

// installArgs is the command line of an installation; the requirements come on standard input.
func installArgs(cache, python, prefix string, copies bool) []string {
	args := []string{
		"pip", "install", "--requirements", "-", "--quiet", "--no-progress", "--color", "never", "--no-config",
		"--cache-dir", cache, "--python", python, "--no-python-downloads",
		"--offline", "--no-index", "--no-deps", "--no-build", "--require-hashes",
	}
	if prefix != "" {
		args = append(args, "--prefix", prefix)
	}
	if copies {
		args = append(args, "--link-mode", "copy")
	}
	return args
}

// InstallInto is the command line, without the program, and the standard input
// that install wheels into the environment whose interpreter is python.
func InstallInto(python, cache string, wheels []Wheel) (args []string, stdin string) {
	return installArgs(cache, python, "", true), requirements(wheels)
}

func requirements(wheels []Wheel) string {
	var in strings.Builder
	for _, w := range wheels {
		fmt.Fprintf(&in, "%s @ file://%s --hash=sha256:%s\n", w.Name, filepath.ToSlash(w.Path), w.SHA256)
	}
	return in.String()
}

// Install unpacks wheels into prefix for the interpreter python, each checked
// against its hash. With copies nothing in prefix shares a file with uv's
// cache: needed where the build could write to it.
func (u *UV) Install(ctx context.Context, python, prefix string, wheels []Wheel, copies bool) error {
	_, err := u.run(ctx, requirements(wheels), installArgs(u.Cache, python, prefix, copies))
	return err
}

// run is the one place where uv is started.
func (u *UV) run(ctx context.Context, stdin string, args []string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, u.Path, args...)
	cmd.Env = append([]string{"HOME=" + u.Cache, "PATH=" + os.Getenv("PATH"), "UV_NO_CONFIG=1", "UV_PYTHON_PREFERENCE=only-system"}, u.Env...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		detail := strings.TrimSpace(errs.String())
		if detail == "" {
			detail = err.Error()
		}
		return nil, &ResolveError{detail}
	}
	return out.Bytes(), nil
}
