package project

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/truewheel/truewheel/internal/build"
	"github.com/truewheel/truewheel/internal/env"
	"github.com/truewheel/truewheel/internal/sandbox"
	"github.com/truewheel/truewheel/internal/uv"
	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/recipe/lock"
	"github.com/truewheel/truewheel/wheel"
)

// Check says what to test and how.
type Check struct {
	Wheel    string   // path of the wheel
	Requires []string // what the tests need besides what the wheel itself requires
	Command  []string // of the environment; empty: pytest on the source's tests
	Dir      string   // of the checkout, for a lock of one
	Out      io.Writer
	Events   Events
}

// where a test finds the source, read-only
const testSource = "/truewheel/source"

// Test installs a wheel, with what it requires, into an environment of the
// lock's kind, and runs the tests in a cage of their own: no network, the
// wheel's environment and the source read-only, and nothing else of this
// machine. It returns the exit code of the tests.
func (w *Workshop) Test(ctx context.Context, l *lock.Lock, c Check) (int, error) {
	if w.Runtime == nil {
		return 0, fmt.Errorf("tests of a sealed wheel run in a cage only: %s", w.Uncaged)
	}
	tmp, done, err := w.Supply.Client.Store.TempDir("test")
	if err != nil {
		return 0, err
	}
	defer done()
	c.Events.stage("source")
	source, _, err := w.open(ctx, l, c.Dir, tmp)
	if err != nil {
		return 0, err
	}
	defer source.Close()
	python, root, err := w.Interpreter(ctx, l)
	if err != nil {
		return 0, err
	}
	c.Events.stage("resolve")
	packages, top, err := w.testPackages(ctx, c, python, root)
	if err != nil {
		return 0, err
	}
	c.Events.stage("environment")
	e, err := w.install(ctx, filepath.Join(tmp, "env"), python, root, packages)
	if err != nil {
		return 0, fmt.Errorf("install %s: %w", filepath.Base(c.Wheel), err)
	}
	tree := filepath.Join(tmp, "source")
	if err := source.Unpack(ctx, l.Recipe, tree); err != nil {
		return 0, err
	}
	command := c.Command
	if len(command) == 0 {
		command = []string{"python", "-m", "pytest", "-q", "-p", "no:cacheprovider"}
		if dir := testsOf(filepath.Join(tree, source.Tree.Top)); dir != "" {
			command = append(command, path.Join(testSource, dir))
		} else {
			command = append(command, "--pyargs", top)
		}
	}
	c.Events.stage("test")
	spec := sandbox.Spec{
		Argv: append([]string{"/usr/bin/env"}, command...), Root: root, Dir: "/build", Umask: 0o022, Limits: w.Limits,
		Env: []string{
			"PATH=" + e.Bin() + ":/usr/bin:/bin", "HOME=/build", "TMPDIR=/tmp", "LC_ALL=C.UTF-8", "TZ=UTC0",
			"PYTHONDONTWRITEBYTECODE=1", "PYTHONNOUSERSITE=1",
		},
		Mounts: append(e.Mounts(), sandbox.Mount{Source: filepath.Join(tree, source.Tree.Top), Target: testSource}),
		Tmpfs:  []string{"/build", "/tmp"}, Stdout: c.Out, Stderr: c.Out,
	}
	result, err := w.Runtime.Run(ctx, spec)
	switch {
	case err != nil:
		return 0, err
	case result.TimedOut:
		return 0, &build.Failure{Class: "timeout", Detail: "the tests ran out of time"}
	case result.OutOfMemory:
		return 0, &build.Failure{Class: "test", Detail: "the tests ran out of memory"}
	}
	return result.ExitCode, nil
}

// install makes an environment of packages, which are in the store, in dir.
func (w *Workshop) install(ctx context.Context, dir string, python env.Python, root string, packages []lock.Package) (*env.Environment, error) {
	e, err := env.Create(dir, env.InCage, python)
	if err != nil {
		return nil, err
	}
	e.Root = root
	return e, w.Supply.Install(ctx, e, w.Runtime, packages)
}

// testsOf is the directory of a source's tests, "" when they are in the package or nowhere.
func testsOf(tree string) string {
	for _, name := range []string{"tests", "test"} {
		if info, err := os.Stat(filepath.Join(tree, name)); err == nil && info.IsDir() {
			return name
		}
	}
	return ""
}

// testPackages are the wheel, what it requires and what the tests require,
// and the name of the wheel's first package.
func (w *Workshop) testPackages(ctx context.Context, c Check, python env.Python, root string) ([]lock.Package, string, error) {
	name, err := pypi.ParseWheelFilename(filepath.Base(c.Wheel))
	if err != nil {
		return nil, "", err
	}
	f, err := os.Open(c.Wheel)
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, "", err
	}
	a, err := wheel.Open(name.Filename, f, info.Size(), w.Wheel)
	if err != nil {
		return nil, "", err
	}
	top := strings.ReplaceAll(string(name.Name), "-", "_")
	requires := c.Requires
	if len(requires) == 0 {
		requires = []string{"pytest"}
	}
	requires = append([]string{}, requires...)
	for _, e := range a.Entries {
		if dir, base := path.Split(e.Name); base == "__init__.py" && strings.Count(dir, "/") == 1 {
			top = strings.TrimSuffix(dir, "/")
			break
		}
	}
	dir, err := a.DistInfo()
	if err != nil {
		return nil, "", err
	}
	text, err := a.ReadFile(dir+"/METADATA", 8<<20)
	if err != nil {
		return nil, "", err
	}
	for line := range strings.Lines(string(text)) {
		if strings.TrimSpace(line) == "" {
			break
		}
		if v, ok := strings.CutPrefix(line, "Requires-Dist:"); ok && !strings.Contains(v, "extra ==") {
			requires = append(requires, strings.TrimSpace(v))
		}
	}
	req := uv.Request{Requires: requires, Python: python.Path}
	if root != "" {
		req.Python, req.PythonVersion, req.Platform = "", python.Version, python.Platform
	}
	packages, err := w.Supply.Resolve(ctx, req)
	if err != nil {
		return nil, "", err
	}
	if _, err := f.Seek(0, 0); err != nil {
		return nil, "", err
	}
	_, sum, err := w.Supply.Client.Store.Put(ctx, "", f)
	if err != nil {
		return nil, "", err
	}
	kept := packages[:0]
	for _, p := range packages {
		if p.Name != string(name.Name) { // a test's requirement may need the project itself: it gets this wheel
			kept = append(kept, p)
		}
	}
	own := lock.Package{Name: string(name.Name), Version: name.Version.String(), File: lock.File{Filename: name.Filename, Size: info.Size(), SHA256: sum}}
	return append(kept, own), top, nil
}
