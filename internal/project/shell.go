package project

import (
	"cmp"
	"context"
	"io"
	"maps"
	"path/filepath"
	"slices"

	"github.com/truewheel/truewheel/internal/sandbox"
	"github.com/truewheel/truewheel/recipe/lock"
)

// Shell runs a command where a build would run: the same root, interpreter,
// packages and limits, without the source. It returns the exit code.
func (w *Workshop) Shell(ctx context.Context, l *lock.Lock, command []string, in io.Reader, out, errs io.Writer) (int, error) {
	tmp, done, err := w.Supply.Client.Store.TempDir("shell")
	if err != nil {
		return 0, err
	}
	defer done()
	python, root, err := w.Interpreter(ctx, l)
	if err != nil {
		return 0, err
	}
	for _, p := range l.Packages {
		if _, err := w.Supply.Locate(ctx, p.Name, p.File); err != nil {
			return 0, err
		}
	}
	e, err := w.install(ctx, filepath.Join(tmp, "env"), python, root, l.Packages)
	if err != nil {
		return 0, err
	}
	vars := maps.Clone(python.Vars)
	if vars == nil {
		vars = map[string]string{}
	}
	maps.Copy(vars, map[string]string{"PATH": e.SearchPath(), "HOME": "/build", "LC_ALL": cmp.Or(vars["LC_ALL"], "C.UTF-8"), "TZ": "UTC0", "PYTHONHASHSEED": "0", "TERM": "dumb"})
	var environ []string
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		environ = append(environ, k+"="+vars[k])
	}
	result, err := w.Runtime.Run(ctx, sandbox.Spec{
		Argv: append([]string{"/usr/bin/env"}, command...), Root: root, Dir: "/build", Umask: l.Recipe.Umask, Limits: w.Limits,
		Env:    environ,
		Mounts: e.Mounts(), Tmpfs: []string{"/build", "/tmp"}, Stdin: in, Stdout: out, Stderr: errs,
	})
	return result.ExitCode, err
}
