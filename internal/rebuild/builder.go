package rebuild

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/truewheel/truewheel/internal/build"
	"github.com/truewheel/truewheel/internal/env"
	"github.com/truewheel/truewheel/internal/sandbox"
	"github.com/truewheel/truewheel/internal/uv"
	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/recipe"
	"github.com/truewheel/truewheel/recipe/lock"
	"github.com/truewheel/truewheel/sdist"
	"github.com/truewheel/truewheel/wheel"
)

// builder does one build: resolve, environment, source, hooks.
type builder struct {
	*run
	rec      recipe.Recipe
	python   env.Python
	dir      string
	packages []lock.Package
	env      *env.Environment
}

// resolve finds the packages of the environment, or takes the lock's.
func (b *builder) resolve(ctx context.Context) error {
	if l := b.target.Lock; l != nil {
		b.packages = l.Packages
		return b.checkSelf(ctx)
	}
	return b.resolveWith(ctx, nil)
}

func (b *builder) resolveWith(ctx context.Context, extra []string) error {
	if len(b.rec.Requires)+len(extra) == 0 {
		b.packages = nil
		return nil
	}
	req := uv.Request{
		Requires: slices.Concat(b.rec.Requires, extra), Constraints: b.rec.Constraints, Pins: b.rec.Pins,
		Before: b.rec.Before, Python: b.python.Path, Offline: b.Client.Settings.Offline,
	}
	resolved, err := b.resolution(ctx, req)
	if err != nil {
		return err
	}
	b.packages = nil
	for _, p := range resolved {
		b.packages = append(b.packages, lock.Package{
			Name: p.Name, Version: p.Version,
			File: lock.File{PURL: purl(p.Name, p.Version), Filename: p.Filename, Size: p.Size, SHA256: p.SHA256},
		})
		if _, err := b.Client.Fetch(ctx, pypi.File{Filename: p.Filename, URL: p.URL, SHA256: p.SHA256}); err != nil {
			return err
		}
	}
	return b.checkSelf(ctx)
}

// resolution asks uv, or the store when it was asked within a day: what was
// uploaded before a past moment changes no more, but for what is withdrawn.
func (b *builder) resolution(ctx context.Context, req uv.Request) ([]uv.Resolved, error) {
	online := req
	online.Offline = false
	key := b.Client.Settings.Redacted() + " " + online.Key()
	var kept []uv.Resolved
	if at, ok := b.Store.Cached("resolutions", key, &kept); ok && (req.Offline || time.Since(at) < 24*time.Hour) {
		return kept, nil
	}
	tool, err := b.UV(ctx)
	if err != nil {
		return nil, err
	}
	resolved, err := tool.Resolve(ctx, req)
	if err != nil {
		return nil, err
	}
	return resolved, b.Store.Cache("resolutions", key, resolved)
}

func purl(name, version string) string { return "pkg:pypi/" + name + "@" + version }

// checkSelf refuses a build that is given what it shall prove: the subject's
// own release as a wheel, or a package that carries the subject's bytes.
func (b *builder) checkSelf(ctx context.Context) error {
	for i, p := range b.packages {
		if p.SHA256 == b.target.Wheel.SHA256 || p.Name == string(b.target.Name) && sameVersion(p.Version, b.report.Subject.Version) {
			return &build.Failure{Class: "self-input", Detail: fmt.Sprintf("%s %s is needed to build itself: as a wheel it can't prove anything", p.Name, p.Version)}
		}
		path, ok := b.Store.Path(p.SHA256)
		if !ok {
			fetched, err := b.locate(ctx, p.File, p.Name)
			if err != nil {
				return err
			}
			path = fetched
		}
		carries, size, err := b.carriesSubject(p.Filename, path)
		if err != nil {
			return &build.Failure{Class: "environment", Detail: err.Error()}
		}
		b.packages[i].Size = size
		if carries != "" {
			return &build.Failure{Class: "self-input", Detail: fmt.Sprintf("%s %s carries the published wheel as %s", p.Name, p.Version, carries)}
		}
	}
	return nil
}

func sameVersion(a, b string) bool {
	x, errX := pypi.ParseVersion(a)
	y, errY := pypi.ParseVersion(b)
	return errX == nil && errY == nil && x.Compare(y) == 0
}

// carriesSubject looks for the subject's bytes among the members of a wheel.
func (b *builder) carriesSubject(filename, path string) (member string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	a, err := wheel.Open(filename, f, info.Size(), b.Wheel)
	if err != nil {
		// Older wheels of tools may be odd; uv decides whether it installs them.
		return "", info.Size(), nil
	}
	for i, e := range a.Entries {
		if e.Size != b.report.Subject.Size {
			continue
		}
		c, err := a.Contents(i)
		if err != nil {
			return "", 0, err
		}
		sum, err := sum(c)
		if err != nil {
			return "", 0, err
		}
		if sum == b.target.Wheel.SHA256 {
			return e.Name, info.Size(), nil
		}
	}
	return "", info.Size(), nil
}

// locate fetches a file of the lock by its hash from wherever the index has it.
func (b *builder) locate(ctx context.Context, f lock.File, project string) (string, error) {
	name, err := pypi.ParseName(project)
	if err != nil {
		return "", err
	}
	return b.Locate(ctx, name, f)
}

// Locate brings a file of a lock into the store: by its hash, from the
// project's page.
func (b *Rebuilder) Locate(ctx context.Context, project pypi.Name, f lock.File) (string, error) {
	if path, ok := b.Store.Path(f.SHA256); ok {
		return path, nil
	}
	page, err := b.Client.Page(ctx, project)
	if err != nil {
		return "", err
	}
	for _, have := range page.Files {
		if have.SHA256 == f.SHA256 {
			return b.Client.Fetch(ctx, have)
		}
	}
	return "", fmt.Errorf("the index has no %s with sha256 %s", f.Filename, f.SHA256)
}

func sum(r io.ReadCloser) (string, error) {
	h := newHash()
	_, err := io.Copy(h, r)
	if err2 := r.Close(); err == nil {
		err = err2
	}
	return hex.EncodeToString(h.Sum(nil)), err
}

// prepare makes the environment and unpacks the source.
func (b *builder) prepare(ctx context.Context) error {
	dir := filepath.Join(b.dir, "env")
	seen := dir
	if b.Runtime != nil {
		seen = env.InCage
	}
	var err error
	if b.env, err = env.Create(dir, seen, b.python); err != nil {
		return err
	}
	if err := b.install(ctx); err != nil {
		return err
	}
	return b.unpack(ctx)
}

func (b *builder) install(ctx context.Context) error {
	if len(b.packages) == 0 {
		return nil
	}
	var wheels []uv.Wheel
	for _, p := range b.packages {
		path, err := b.Store.Link(p.SHA256, p.Filename)
		if err != nil {
			return err
		}
		wheels = append(wheels, uv.Wheel{Name: p.Name, Path: path, SHA256: p.SHA256})
	}
	tool, err := b.UV(ctx)
	if err != nil {
		return err
	}
	if err := tool.Install(ctx, b.python.Path, b.env.Dir, wheels, b.Runtime == nil); err != nil {
		return fmt.Errorf("install build requirements: %w", err)
	}
	return b.env.AdoptScripts()
}

func (b *builder) unpack(ctx context.Context) error {
	dir := filepath.Join(b.dir, "source")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	info, err := b.srcFile.Stat()
	if err != nil {
		return err
	}
	zone, err := location(b.rec.SourceZone)
	if err != nil {
		return err
	}
	options := sdist.UnpackOptions{
		Mode: func(stored uint32, dir bool) uint32 { return sourceMode(b.rec, stored, dir) },
		Time: func(stored time.Time) time.Time { return sourceTime(b.rec, b.source.Zip, zone, stored) },
	}
	if _, err := sdist.Unpack(ctx, b.report.Source.Filename, b.srcFile, info.Size(), dir, b.Sdist, options); err != nil {
		return err
	}
	if b.Runtime == nil {
		return nil
	}
	return sandbox.Own(dir)
}

// build runs the hooks. What the backend asks for besides is resolved,
// together with the rest, and installed before the wheel is built.
func (b *builder) build(ctx context.Context, log io.Writer) (build.Result, error) {
	asked := func(ctx context.Context, more []string) error {
		if b.target.Lock != nil {
			return b.checkLocked(more)
		}
		if len(more) == 0 {
			return nil
		}
		before := b.packages
		if err := b.resolveWith(ctx, more); err != nil {
			return err
		}
		if slices.Equal(before, b.packages) {
			return nil
		}
		return b.install(ctx)
	}
	result, err := build.Run(ctx, build.Spec{
		Recipe: b.rec, Source: filepath.Join(b.dir, "source", b.source.Top), Project: b.source.Top,
		Backend: b.system.Backend, BackendPath: b.system.BackendPath, Environment: b.env,
		Runtime: b.Runtime, Limits: b.Limits, Requires: asked, Log: log, Work: b.dir,
	})
	if err == nil && b.Keep != "" {
		err = os.CopyFS(filepath.Join(b.Keep, b.source.Top), os.DirFS(filepath.Join(b.dir, "source")))
	}
	return result, err
}

// checkLocked: what the backend asks for has to be in the lock.
func (b *builder) checkLocked(more []string) error {
	for _, text := range more {
		name := strings.TrimSpace(text)
		if i := strings.IndexAny(name, " \t<>=!~;[("); i >= 0 {
			name = name[:i]
		}
		n, err := pypi.ParseName(name)
		if err != nil {
			return &build.Failure{Class: "build", Detail: fmt.Sprintf("the backend asks for %q", text)}
		}
		if !slices.ContainsFunc(b.packages, func(p lock.Package) bool { return p.Name == string(n) }) {
			return &build.Failure{Class: "environment", Detail: fmt.Sprintf("the backend asks for %s, which the lock has not", text)}
		}
	}
	return nil
}

// lock is the recipe with everything pinned.
func (b *builder) lock() *lock.Lock {
	s := b.report.Subject
	info, err := b.srcFile.Stat()
	if err != nil {
		return nil
	}
	id := purl(s.Name, s.Version)
	return &lock.Lock{
		Subject:     &lock.File{PURL: id, Filename: s.Filename, Size: s.Size, SHA256: s.SHA256},
		Source:      lock.File{PURL: id, Filename: b.report.Source.Filename, Size: info.Size(), SHA256: b.report.Source.SHA256},
		Python:      b.python.Version,
		Environment: "host",
		Packages:    b.packages,
		Recipe:      b.rec,
	}
}
