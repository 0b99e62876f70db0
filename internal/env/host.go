package env

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/truewheel/truewheel/internal/sandbox"
)

// InCage is where the directory of an Environment is seen inside a cage.
const InCage = "/truewheel/env"

// Environment is a virtual environment (PEP 405) in the making: a directory
// that packages are installed into from outside with a prefix, so that no
// code of theirs runs before the cage is closed.
type Environment struct {
	Dir    string // on this machine
	Seen   string // where the build sees it: Dir, or InCage
	Root   string // directory that is seen as /; "": the host's system
	Python Python
}

// Create makes an empty environment of py in dir, which must not exist.
// Seen says where a build will find it.
func Create(dir, seen string, py Python) (*Environment, error) {
	e := &Environment{Dir: dir, Seen: seen, Python: py}
	for _, d := range []string{filepath.Dir(e.executable(dir)), e.SitePackages()} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("make environment: %w", err)
		}
	}
	config := fmt.Sprintf("home = %s\ninclude-system-site-packages = false\nversion = %s\n", filepath.Dir(py.Path), py.Version)
	if err := os.WriteFile(filepath.Join(dir, "pyvenv.cfg"), []byte(config), 0o644); err != nil {
		return nil, fmt.Errorf("make environment: %w", err)
	}
	if err := link(py.Path, e.executable(dir)); err != nil {
		return nil, fmt.Errorf("make environment: %w", err)
	}
	return e, nil
}

func (e *Environment) executable(root string) string {
	if runtime.GOOS == "windows" {
		return filepath.Join(root, "Scripts", "python.exe")
	}
	return filepath.Join(root, "bin", "python")
}

// Executable is the environment's Python as the build sees it.
func (e *Environment) Executable() string { return e.executable(e.Seen) }

// Bin is the directory of programs as the build sees it.
func (e *Environment) Bin() string { return filepath.Dir(e.Executable()) }

// SearchPath is the PATH of a build: its own programs, then those of the
// image, or of the system.
func (e *Environment) SearchPath() string {
	return e.Bin() + string(os.PathListSeparator) + cmp.Or(e.Python.Vars["PATH"], "/usr/local/bin:/usr/bin:/bin")
}

// Mounts are what a cage has to see of it: itself, read-only, and an
// interpreter of the host that does not lie where every cage sees it.
func (e *Environment) Mounts() []sandbox.Mount {
	mounts := []sandbox.Mount{{Source: e.Dir, Target: e.Seen}}
	if e.Root != "" {
		return mounts
	}
	for _, p := range e.Python.Prefixes {
		if !strings.HasPrefix(p+"/", "/usr/") {
			mounts = append(mounts, sandbox.Mount{Source: p, Target: p})
		}
	}
	return mounts
}

// SitePackages is the directory of packages on this machine.
func (e *Environment) SitePackages() string {
	if runtime.GOOS == "windows" {
		return filepath.Join(e.Dir, "Lib", "site-packages")
	}
	return filepath.Join(e.Dir, "lib", fmt.Sprintf("python%d.%d", e.Python.Minor[0], e.Python.Minor[1]), "site-packages")
}

// Add writes a file into site-packages.
func (e *Environment) Add(name string, data []byte) error {
	if err := os.WriteFile(filepath.Join(e.SitePackages(), name), data, 0o644); err != nil {
		return fmt.Errorf("make environment: %w", err)
	}
	return nil
}

// AdoptScripts makes the installed programs start the environment's Python:
// an installer that was given a prefix wrote the path of the base one.
func (e *Environment) AdoptScripts() error {
	dir := filepath.Dir(e.executable(e.Dir))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("adopt scripts: %w", err)
	}
	base := []byte("#!" + e.Python.Path + "\n")
	for _, entry := range entries {
		if !entry.Type().IsRegular() {
			continue
		}
		name := filepath.Join(dir, entry.Name())
		data, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("adopt scripts: %w", err)
		}
		rest, ok := bytes.CutPrefix(data, base)
		if !ok {
			continue
		}
		// A new file: the old one may be a hard link into a cache.
		if err := os.Remove(name); err != nil {
			return fmt.Errorf("adopt scripts: %w", err)
		}
		if err := os.WriteFile(name, append([]byte("#!"+e.Executable()+"\n"), rest...), 0o755); err != nil {
			return fmt.Errorf("adopt scripts: %w", err)
		}
	}
	return nil
}
