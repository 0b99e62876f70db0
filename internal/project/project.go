// Package project locks and builds a project's own wheels: it writes a lock
// of everything a build needs, builds from a lock and nothing else, seals
// what was built before any test runs, and tests a wheel where it can't reach
// the sealed files.
package project

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/truewheel/truewheel/internal/build"
	"github.com/truewheel/truewheel/internal/env"
	"github.com/truewheel/truewheel/internal/sandbox"
	"github.com/truewheel/truewheel/recipe"
	"github.com/truewheel/truewheel/recipe/lock"
	"github.com/truewheel/truewheel/sdist"
	"github.com/truewheel/truewheel/wheel"
)

// LockFile is the name of the lock in a project.
const LockFile = "truewheel.lock"

// Workshop is what locking and building need.
type Workshop struct {
	Supply  *env.Supply
	Runtime *sandbox.Runtime // nil: no cage
	Uncaged string           // why there is none
	UV      lock.File        // the uv that truewheel brings
	Limits  sandbox.Limits
	Sdist   sdist.Limits
	Wheel   wheel.Limits
}

// Events tell what goes on; any field may be nil.
type Events struct {
	Stage func(stage string) // source, packages, root, resolve, environment, build, repair, seal
	Log   io.Writer          // of the build
}

func (e Events) stage(s string) {
	if e.Stage != nil {
		e.Stage(s)
	}
}

// epoch is the time a source is from: that of its newest file, or 1980 for
// one that tells none.
func epoch(t *sdist.Tree) time.Time {
	newest := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, e := range t.Entries {
		if e.ModTime.After(newest) {
			newest = e.ModTime
		}
	}
	return newest.UTC().Truncate(time.Second)
}

// Pack writes a checkout as a source distribution to w: the files that git
// tracks, or all where there is no git, without the lock and what `build` and
// other tools leave behind. Times are the last commit's, or 1980 without one;
// modes 0644 and 0755. Equal checkouts give equal bytes.
func Pack(ctx context.Context, dir string, w io.Writer) error {
	names, at, err := tracked(ctx, dir)
	if err != nil {
		return fmt.Errorf("read checkout: %w", err)
	}
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	const top = "checkout" // whatever the directory's name is: it shows in what is built
	for _, name := range names {
		if name == LockFile {
			continue
		}
		if err := packFile(t, dir, name, top, at); err != nil {
			return fmt.Errorf("read checkout: %w", err)
		}
	}
	return errors.Join(t.Close(), z.Close())
}

func packFile(t *tar.Writer, dir, name, top string, at time.Time) error {
	full := filepath.Join(dir, filepath.FromSlash(name))
	info, err := os.Lstat(full)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // tracked and deleted
	}
	if err != nil {
		return err
	}
	h := &tar.Header{Name: path.Join(top, name), Mode: 0o644, ModTime: at, Format: tar.FormatPAX}
	if info.Mode()&0o100 != 0 {
		h.Mode = 0o755
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		if h.Linkname, err = os.Readlink(full); err != nil {
			return err
		}
		h.Typeflag, h.Mode = tar.TypeSymlink, 0o777
		return t.WriteHeader(h)
	case info.IsDir():
		return fmt.Errorf("%s is a submodule: check it out as files, or lock a source distribution", name)
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is neither a file nor a link", name)
	}
	f, err := os.Open(full)
	if err != nil {
		return err
	}
	defer f.Close()
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(t, io.LimitReader(f, info.Size()))
	return err
}

// left are directories of a checkout that are no source: of version control,
// and what tools keep there.
var left = []string{".git", ".hg", ".svn", ".jj", ".venv", "venv", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache", "__pycache__"}

// tracked are the files of a checkout, sorted, and its time.
func tracked(ctx context.Context, dir string) ([]string, time.Time, error) {
	at := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	// No hooks, no file system monitor: nothing of the checkout is run.
	git := func(args ...string) ([]byte, error) {
		return exec.CommandContext(ctx, "git", append([]string{"-c", "core.fsmonitor=false", "-c", "core.hooksPath=" + os.DevNull, "-C", dir}, args...)...).Output()
	}
	if out, err := git("ls-files", "-z", "--cached"); err == nil && len(out) > 0 {
		names := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
		if out, err = git("log", "-1", "--format=%ct"); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64); err == nil {
				at = time.Unix(n, 0).UTC()
			}
		}
		slices.Sort(names)
		return slices.Compact(names), at, nil
	}
	var names []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || p == dir {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		switch {
		case err != nil:
			return err
		case !d.IsDir():
			names = append(names, filepath.ToSlash(rel))
		case slices.Contains(left, d.Name()) || rel == "dist" || rel == ProvenanceDir:
			return filepath.SkipDir
		}
		return nil
	})
	slices.Sort(names)
	return names, at, err
}

// open reads the source of a lock: the file it names, or the checkout.
func (w *Workshop) open(ctx context.Context, l *lock.Lock, checkout, tmp string) (*build.Source, lock.File, error) {
	var f lock.File
	at := ""
	if l.Source != nil {
		f = *l.Source
		var err error
		if at, err = w.Supply.Locate(ctx, project(f.PURL), f); err != nil {
			return nil, f, fmt.Errorf("source: %w", err)
		}
	} else {
		if l.Commit != nil {
			return nil, f, fmt.Errorf("the lock is of commit %s: `truewheel rebuild` with --source builds it", l.Commit.ID[:12])
		}
		if checkout == "" {
			return nil, f, errors.New("the lock is of a checkout: run it there")
		}
		var err error
		if f, at, err = packed(ctx, checkout, tmp); err != nil {
			return nil, f, err
		}
	}
	s, err := w.read(ctx, f.Filename, at)
	return s, f, err
}

// jobRecipe is a lock's recipe: the files of a checkout have the clock's time.
func jobRecipe(l *lock.Lock) recipe.Recipe {
	r := l.Recipe
	if l.Source == nil && r.SourceTime.IsZero() {
		r.SourceTime = r.Clock.Start
	}
	return r
}

// project is the name in a purl of type pypi.
func project(purl string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(purl, "pkg:pypi/"), "@")
	return name
}

// packed is a checkout as a file in tmp.
func packed(ctx context.Context, checkout, tmp string) (lock.File, string, error) {
	at := filepath.Join(tmp, "checkout.tar.gz")
	file, err := os.Create(at)
	if err != nil {
		return lock.File{}, "", err
	}
	if err := errors.Join(Pack(ctx, checkout, file), file.Close()); err != nil {
		return lock.File{}, "", err
	}
	sum, size, err := Sum(at)
	return lock.File{Filename: "checkout.tar.gz", Size: size, SHA256: sum}, at, err
}

func (w *Workshop) read(ctx context.Context, filename, at string) (*build.Source, error) {
	s, err := build.OpenSource(ctx, filename, "", at, w.Sdist)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filename, err)
	}
	if err := s.ReadSystem(); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", filename, err), s.Close())
	}
	return s, nil
}
