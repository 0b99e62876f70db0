package project

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/truewheel/truewheel/internal/build"
	"github.com/truewheel/truewheel/internal/env"
	"github.com/truewheel/truewheel/internal/uv"
	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/recipe/lock"
)

// Built is a wheel and how it came about, in a directory that lives until Close.
type Built struct {
	build.Result
	Source   lock.File // what was built: of a checkout its packed form
	Log      string    // path of the build's log
	Started  time.Time
	Finished time.Time
	Ready    time.Duration // from the start until the environment was there
	close    func()
}

// Close removes the files.
func (b *Built) Close() {
	if b != nil && b.close != nil {
		b.close()
	}
}

// run does a job and keeps its log.
func (w *Workshop) run(ctx context.Context, j *build.Job, ev Events) (*Built, error) {
	b := &Built{Log: filepath.Join(j.Dir, "build.log"), Started: time.Now().UTC()}
	file, err := os.Create(b.Log)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var log io.Writer = file
	if ev.Log != nil {
		log = io.MultiWriter(file, ev.Log)
	}
	ev.stage("resolve")
	err = j.Resolve(ctx)
	if err == nil {
		ev.stage("environment")
		err = j.Prepare(ctx)
	}
	b.Ready = time.Since(b.Started)
	if err == nil {
		ev.stage("build")
		b.Result, err = j.Build(ctx, log)
	}
	b.Finished = time.Now().UTC()
	var resolve *uv.ResolveError
	var failure *build.Failure
	switch {
	case err == nil:
		return b, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.As(err, &resolve):
		return nil, &build.Failure{Class: "resolve", Detail: resolve.Detail}
	case errors.As(err, &failure):
		return nil, &Failed{failure, tail(b.Log)}
	}
	return nil, err
}

// Failed is a build that gave no wheel, with the end of its log.
type Failed struct {
	*build.Failure
	Log string
}

func (f *Failed) Unwrap() error { return f.Failure }

// tail is the end of a log, 4 KB.
func tail(name string) string {
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	buf := make([]byte, min(4096, info.Size()))
	n, err := f.ReadAt(buf, info.Size()-int64(len(buf)))
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	return string(buf[:n])
}

// Build builds from a lock and nothing else: everything it names is brought
// here and checked first, and then no network is used.
func (w *Workshop) Build(ctx context.Context, l *lock.Lock, checkout string, ev Events) (*Built, error) {
	tmp, done, err := w.Supply.Client.Store.TempDir("build")
	if err != nil {
		return nil, err
	}
	b, err := w.build(ctx, l, checkout, tmp, ev)
	if err != nil {
		done()
		return nil, err
	}
	b.close = done
	return b, nil
}

func (w *Workshop) build(ctx context.Context, l *lock.Lock, checkout, tmp string, ev Events) (*Built, error) {
	ev.stage("source")
	source, file, err := w.open(ctx, l, checkout, tmp)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	if requires := source.System.Requires; !slices.Equal(requires, l.Recipe.Requires) {
		return nil, fmt.Errorf("pyproject.toml and the lock have parted (truewheel lock --check says how)")
	}
	job := &build.Job{
		Supply: w.Supply, Runtime: w.Runtime, Limits: w.Limits, Recipe: jobRecipe(l), Source: source,
		Dir: filepath.Join(tmp, "build"), Locked: true, Packages: l.Packages,
	}
	if err := os.Mkdir(job.Dir, 0o755); err != nil {
		return nil, err
	}
	if err := w.useUV(ctx, l); err != nil {
		return nil, err
	}
	ev.stage("root")
	if job.Python, job.Root, err = w.Interpreter(ctx, l); err != nil {
		return nil, err
	}
	b, err := w.run(ctx, job, ev)
	if err != nil {
		return nil, err
	}
	b.Source = file
	if err := effective(l, b.Used); err != nil {
		return nil, err
	}
	return b, w.expected(l, b)
}

// useUV takes the uv that a lock names, where that is not the one that
// truewheel brings. It only installs from then on. With an environment of the
// host it may be for another machine: there ours has to do.
func (w *Workshop) useUV(ctx context.Context, l *lock.Lock) error {
	if l.UV == nil || l.UV.SHA256 == w.UV.SHA256 || l.Environment.Kind == lock.Host {
		return nil
	}
	at, err := w.Supply.Locate(ctx, "uv", *l.UV)
	if err != nil {
		return err
	}
	dir := w.Supply.Client.Store.Dir()
	exe, err := uv.Unpack(ctx, at, uv.Release{Filename: l.UV.Filename, SHA256: l.UV.SHA256, Size: l.UV.Size}, filepath.Join(dir, "tools"))
	w.Supply.UV = func(context.Context) (*uv.UV, error) { return &uv.UV{Path: exe, Cache: filepath.Join(dir, "uv")}, nil }
	return err
}

// Interpreter is what a lock's environment has, and its root directory, which is
// "" on the host.
func (w *Workshop) Interpreter(ctx context.Context, l *lock.Lock) (env.Python, string, error) {
	if l.Environment.Kind == lock.Host {
		p, ok := env.Nearest(w.Supply.Pythons, l.Python)
		if !ok || p.Version != l.Python {
			return p, "", fmt.Errorf("the lock's Python %s is not here (uv python install %s gets it)", l.Python, l.Python)
		}
		return p, "", nil
	}
	if w.Runtime == nil {
		return env.Python{}, "", fmt.Errorf("an environment of kind %s needs a cage: %s", l.Environment.Kind, w.Uncaged)
	}
	p, root, err := w.Supply.Enter(ctx, l.Environment)
	if err == nil && p.Version != l.Python && l.Python != "" {
		err = fmt.Errorf("the lock says Python %s, and its environment has %s: it was edited", l.Python, p.Version)
	}
	return p, root, err
}

// expected refuses a wheel that is not what the lock says: above all one from
// which extension modules are missing, because a compiler failed in silence.
func (w *Workshop) expected(l *lock.Lock, b *Built) error {
	f, err := pypi.ParseWheelFilename(b.Filename)
	if err != nil {
		return &build.Failure{Class: "build", Detail: err.Error()}
	}
	if t := l.Recipe.Target; t != "" && !f.Fits(t) {
		return &build.Failure{Class: "build", Detail: fmt.Sprintf("the wheel is %s; the lock's target is %s", b.Filename, t)}
	}
	have, err := w.extensions(b)
	if err != nil {
		return err
	}
	for _, want := range l.Recipe.Extensions {
		if !slices.Contains(have, want) {
			return &build.Failure{Class: "build", Detail: fmt.Sprintf("the wheel lacks the extension module %s: was it left out in silence? (see the log)", want)}
		}
	}
	return nil
}

// Sum is a file's sha256, lower-case hex, and size.
func Sum(name string) (string, int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), n, err
}
