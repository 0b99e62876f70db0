// Package rebuild does the main job: find a published wheel and its source,
// infer how it was made, build it again, compare, and try again on causes.
package rebuild

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
	"strings"
	"time"

	"github.com/truewheel/truewheel/compare"
	"github.com/truewheel/truewheel/internal/build"
	"github.com/truewheel/truewheel/internal/debian"
	"github.com/truewheel/truewheel/internal/env"
	"github.com/truewheel/truewheel/internal/git"
	"github.com/truewheel/truewheel/internal/infer"
	"github.com/truewheel/truewheel/internal/oci"
	"github.com/truewheel/truewheel/internal/origin"
	"github.com/truewheel/truewheel/internal/provenance"
	"github.com/truewheel/truewheel/internal/sandbox"
	"github.com/truewheel/truewheel/internal/uv"
	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/recipe"
	"github.com/truewheel/truewheel/recipe/lock"
	"github.com/truewheel/truewheel/report"
	"github.com/truewheel/truewheel/sdist"
	"github.com/truewheel/truewheel/wheel"
)

// Rebuilder holds what all rebuilds of a run share. It is safe for concurrent use.
type Rebuilder struct {
	Supply   *env.Supply
	Git      *git.Fetcher
	Root     *provenance.TrustedRoot // what attestations are verified with; nil: they are not
	Runtime  *sandbox.Runtime        // nil: no cage
	Uncaged  string                  // why there is none
	Limits   sandbox.Limits
	Wheel    wheel.Limits
	Sdist    sdist.Limits
	Encoders wheel.Encoders
	Tries    int // builds at most; 0: 4
	// Environment is the kind of environment to build in: lock.Host,
	// lock.Debian, lock.OCI, or "": the host's, and Debian's where no Python fits.
	Environment string
	// Image is that of an oci environment; nil: the one that the cibuildwheel
	// of the wheel's upload pinned.
	Image *oci.Reference
	Keep  string // directory that build trees are kept in; "" keeps none
}

// Target is one wheel to rebuild.
type Target struct {
	Name   pypi.Name
	Wheel  pypi.File
	Path   string      // of the wheel, when it is at hand already
	Source *pypi.File  // nil: the release has no source distribution
	Git    *git.Source // build from this commit, and not from Source
	// Sibling is a wheel of the release where Wheel is an sdist; nil for none.
	Sibling *pypi.File
	Find    Find // whether to look for the commit where Git is nil
	Notes   []string
	Lock    *lock.Lock // use this and infer nothing
}

// Find says when a repository is looked for.
type Find string

const (
	FindNever  Find = ""
	FindNeeded Find = "needed" // when the release has no sdist, or files are missing from it
	FindAlways Find = "always" // the sdist is not built
)

// Events tell what goes on; any field may be nil.
type Events struct {
	Stage func(stage string) // fetch, resolve, environment, build, compare
	Log   io.Writer          // of the builds
}

func (e Events) stage(s string) {
	if e.Stage != nil {
		e.Stage(s)
	}
}

// Outcome is a report and the files that go with it, in a directory that
// lives until Close.
type Outcome struct {
	Report   *report.Report
	Wheel    string // path of the rebuilt wheel, "" when there is none
	Lock     []byte // of the best try, nil when nothing was resolved
	Envelope []byte // for a replayed one
	Log      []byte // of the best try's build
	close    func()
}

// Close removes the outcome's files.
func (o *Outcome) Close() {
	if o.close != nil {
		o.close()
	}
}

// run is one rebuild on its way.
type run struct {
	*Rebuilder
	target   Target
	events   Events
	report   *report.Report
	dir      string
	path     string // of the subject
	subject  *wheel.Archive
	source   *build.Source
	evidence *infer.Evidence
	used     lock.Environment // with a root; the zero value: the host's
	debs     []string         // packages that the build was found to need
	tried    []attempt
	// published is the subject where that is an sdist, and nil for a wheel.
	published *build.Source
	found     *origin.Found // of the commit, when it was not given
}

// attempt is what is kept of a try.
type attempt struct {
	infer.Attempt
	lock   *lock.Lock
	wheel  string
	sha256 string
	log    []byte
	dir    string
	rss    int64
	path   string // build path
}

// Failures that need no build.
func (r *run) fail(class, format string, args ...any) {
	r.report.Verdict = compare.Failed
	r.report.Failure = &report.Failure{Class: class, Detail: fmt.Sprintf(format, args...)}
}

// Rebuild rebuilds one target. The error is for what stops us (a cancelled
// context, a broken store); everything about the target stands in the report.
func (b *Rebuilder) Rebuild(ctx context.Context, t Target, ev Events) (*Outcome, error) {
	return b.begin(ctx, t, ev, func(r *run) (*Outcome, error) {
		o, err := r.whole(ctx, r.do)
		if err == nil && r.wantsCommit() {
			o, err = r.fromCommit(ctx, o)
		}
		return o, err
	})
}

// begin gives a run its directory, which lives as long as the outcome.
func (b *Rebuilder) begin(ctx context.Context, t Target, ev Events, do func(*run) (*Outcome, error)) (*Outcome, error) {
	dir, done, err := b.Supply.Client.Store.TempDir("rebuild")
	if err != nil {
		return nil, err
	}
	o, err := do(&run{Rebuilder: b, target: t, events: ev, dir: dir, report: b.newReport(t)})
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		done()
		return nil, err
	}
	o.close = done
	return o, nil
}

// whole does the run and makes its outcome.
func (r *run) whole(ctx context.Context, do func(context.Context) error) (*Outcome, error) {
	started := time.Now()
	err := do(ctx)
	report.Since(started, &r.report.Timings.Total)
	for _, s := range []*build.Source{r.source, r.published} {
		if s != nil {
			s.Close()
		}
	}
	if err != nil {
		return nil, err
	}
	o := &Outcome{Report: r.report}
	r.outcome(o)
	return o, nil
}

func (b *Rebuilder) newReport(t Target) *report.Report {
	rep := &report.Report{
		Schema:  report.Schema,
		Subject: report.Subject{Name: string(t.Name), Filename: t.Wheel.Filename, SHA256: t.Wheel.SHA256, Size: t.Wheel.Size, URL: t.Wheel.URL},
		Verdict: compare.Failed, Isolation: "none", Notes: slices.Clone(t.Notes),
		Recipe: []report.Input{}, Tries: []report.Try{}, Differences: []compare.Difference{},
	}
	if b.Runtime != nil {
		rep.Isolation, rep.Runtime = "caged", b.Runtime.Name()
	}
	if !t.Wheel.UploadTime.IsZero() {
		rep.Subject.UploadTime = t.Wheel.UploadTime.UTC().Format(time.RFC3339Nano)
	}
	if w, err := pypi.ParseWheelFilename(t.Wheel.Filename); err == nil {
		rep.Subject.Version = w.Version.String()
	}
	return rep
}

// maxSupplied bounds the tries that are added because packages were missing.
const maxSupplied = 6

// do returns errors that are ours; the target's own end in r.fail.
func (r *run) do(ctx context.Context) error {
	r.events.stage("fetch")
	started := time.Now()
	ok, err := r.fetch(ctx)
	report.Since(started, &r.report.Timings.Fetch)
	if err != nil || !ok {
		return err
	}
	var rec recipe.Recipe
	var why []infer.Reason
	change := "inferred from the evidence"
	if l := r.target.Lock; l != nil {
		rec, change = l.Recipe, "the lock's recipe"
	} else {
		rec, why = infer.Recipe(r.evidence)
	}
	tries := r.Tries
	if tries == 0 {
		tries = 4
	}
	if r.target.Lock != nil {
		tries = 1
	}
	for n := 1; ; {
		a, err := r.try(ctx, rec, len(r.tried))
		if err != nil {
			return err
		}
		r.tried = append(r.tried, a)
		r.record(a, change)
		if a.Class == "self-input" || a.Result != nil && a.Result.Verdict != compare.Differs {
			break
		}
		if supplied, err := r.supply(ctx, a); err != nil {
			return err
		} else if supplied != "" && len(r.tried) < tries+maxSupplied {
			change = supplied
			continue // it was not the recipe's fault
		}
		if a.Class == "timeout" || n == tries {
			break
		}
		var known []infer.Attempt
		for _, t := range r.tried {
			known = append(known, t.Attempt)
		}
		next, reason, ok := infer.Retry(r.evidence, known)
		if !ok {
			break
		}
		rec, change = next, reason
		n++
	}
	for _, w := range why {
		r.report.Recipe = append(r.report.Recipe, report.Input(w))
	}
	return nil
}

// record adds a try to the report.
func (r *run) record(a attempt, change string) {
	t := report.Try{Change: change, Verdict: compare.Failed}
	if a.Result != nil {
		t.Verdict, t.Equal, t.Remaining = a.Result.Verdict, a.Result.Equal, a.Result.Causes()
	} else {
		t.Failure = &report.Failure{Class: a.Class, Detail: firstLine(a.Detail)}
	}
	r.report.Tries = append(r.report.Tries, t)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

// fetch brings subject and source here and reads them. ok is false when the report says why not.
func (r *run) fetch(ctx context.Context) (ok bool, err error) {
	r.path = r.target.Path
	if r.path == "" {
		if r.path, err = r.Supply.Client.Fetch(ctx, r.target.Wheel); err != nil {
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			r.fail("fetch", "%v", err)
			return false, nil
		}
	}
	f, err := os.Open(r.path)
	if err != nil {
		return false, err
	}
	info, err := f.Stat()
	if err != nil {
		return false, errors.Join(err, f.Close())
	}
	r.report.Subject.Size = info.Size()
	// The file stays open as long as the archive is read; the run is short.
	if r.subject, err = wheel.Open(r.target.Wheel.Filename, f, info.Size(), r.Wheel); err != nil {
		r.fail("unsafe-wheel", "%v", err)
		return false, errors.Join(f.Close())
	}
	suspicions, err := r.subject.CheckRecord(ctx)
	if err != nil {
		r.fail("unsafe-wheel", "%v", err)
		return false, f.Close()
	}
	for _, s := range append(suspicions, r.subject.Suspicions()...) {
		r.report.Suspicions = append(r.report.Suspicions, fmt.Sprintf("%s %s", s.Member, s.Detail))
	}
	if r.target.Git == nil && (r.target.Find == FindAlways || r.target.Source == nil && r.target.Find == FindNeeded) {
		if err := r.find(ctx); err != nil {
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			if r.target.Find == FindNeeded {
				err = fmt.Errorf("the release has no source distribution, and %w", err)
			}
			r.fail("source-missing", "%v", err)
			return false, f.Close()
		}
	}
	if r.target.Git == nil && r.target.Source == nil {
		r.fail("source-missing", "the release has no source distribution")
		return false, f.Close()
	}
	if ok, err := r.fetchSource(ctx); err != nil || !ok {
		return false, err
	}
	if r.evidence, err = infer.Read(ctx, r.subject, r.source.Tree, r.target.Wheel.UploadTime); err != nil {
		r.fail("unsafe-wheel", "%v", err)
		return false, nil
	}
	r.evidence.InImage = r.Environment == lock.OCI
	if p := r.evidence.Place; p != nil {
		r.report.Native = &report.Native{Modules: len(r.evidence.Native.Modules), Image: p.Image, Pinned: p.Pinned, Suite: p.Suite, Near: p.Near, Needs: p.Needs}
	}
	if r.target.Git != nil && r.target.Source != nil {
		return true, r.againstSdist(ctx)
	}
	return true, nil
}

// fetchSource brings the source here and reads it.
func (r *run) fetchSource(ctx context.Context) (bool, error) {
	fetch := r.fetchSdist
	if r.target.Git != nil {
		fetch = r.fetchCommit
	}
	path, err := fetch(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		r.fail("fetch", "%v", err)
		return false, nil
	}
	src := r.report.Source
	if r.source, err = build.OpenSource(ctx, src.Filename, r.project(), path, r.Sdist); err != nil {
		r.fail("unsafe-source", "%v", err)
		return false, nil
	}
	for _, e := range r.source.Tree.Entries {
		if hex.EncodeToString(e.SHA256[:]) == r.target.Wheel.SHA256 {
			r.fail("self-input", "the source holds the published file itself: %s", e.Name)
			return false, nil
		}
	}
	if err := r.source.ReadSystem(); err != nil {
		r.fail("build", "%v", err)
		return false, nil
	}
	r.report.Source.Binaries = infer.Binaries(r.source.Tree)
	return true, nil
}

// lockedCommit is the commit of a lock, in words.
func lockedCommit(c *lock.Commit) string {
	if c.Subdirectory == "" {
		return c.ID
	}
	return c.ID + ", subdirectory " + c.Subdirectory
}

// top is the directory that a commit is packed in, and built in.
func (r *run) top() string {
	if w, err := pypi.ParseWheelFilename(r.target.Wheel.Filename); err == nil {
		return w.Distribution + "-" + w.Version.String()
	}
	return strings.TrimSuffix(strings.TrimSuffix(r.target.Wheel.Filename, ".tar.gz"), ".zip")
}

// project is where in the source the project lies.
func (r *run) project() string {
	if c := r.report.Source.Commit; c != nil {
		return c.Subdirectory
	}
	return ""
}

// fetchSdist brings the release's source distribution here.
func (r *run) fetchSdist(ctx context.Context) (string, error) {
	src := *r.target.Source
	r.report.Source = &report.Source{Kind: "sdist", Filename: src.Filename, SHA256: src.SHA256}
	return r.Supply.Client.Fetch(ctx, src)
}

// fetchCommit brings a commit here, packed as a source distribution.
func (r *run) fetchCommit(ctx context.Context) (string, error) {
	want := *r.target.Git
	repository, c, err := r.Git.Fetch(ctx, want)
	if err != nil {
		return "", err
	}
	if r.found != nil {
		if err := r.locate(ctx, repository, c, &want); err != nil {
			return "", err
		}
	}
	if l := r.target.Lock; l != nil && l.Commit != nil && (l.Commit.ID != c.ID || l.Commit.Subdirectory != want.Subdirectory) {
		return "", fmt.Errorf("%s is commit %s, and the lock is of %s", want, c.ID, lockedCommit(l.Commit))
	}
	top := r.top()
	r.report.Source = &report.Source{Kind: "git", Filename: top + ".tar.gz", Commit: &report.Commit{
		Repository: want.URL, ID: c.ID, Tag: c.Tag, Subdirectory: want.Subdirectory, Time: c.Time.Format(time.RFC3339), Signature: c.Signature,
		Found: r.howFound(),
	}}
	path := filepath.Join(r.dir, r.report.Source.Filename)
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	err = repository.Pack(ctx, c, git.Options{Top: top, Git: true}, f)
	return path, errors.Join(err, f.Close())
}

// try builds once with a recipe and compares.
func (r *run) try(ctx context.Context, rec recipe.Recipe, n int) (attempt, error) {
	a := attempt{Attempt: infer.Attempt{Recipe: rec}, dir: filepath.Join(r.dir, fmt.Sprint(n))}
	failed := func(class, format string, args ...any) (attempt, error) {
		a.Class, a.Detail = class, fmt.Sprintf(format, args...)
		return a, ctx.Err()
	}
	if err := os.MkdirAll(a.dir, 0o755); err != nil {
		return a, err
	}
	python, root, class, err := r.interpreter(ctx, rec)
	if class != "" {
		return failed(class, "%v", err)
	}
	log := &tail{also: r.events.Log}
	j := &build.Job{
		Supply: r.Supply, Runtime: r.Runtime, Limits: r.Limits, Recipe: rec, Source: r.source,
		Python: python, Root: root, Dir: a.dir, Check: r.checkSelf, Sdist: r.published != nil,
	}
	if l := r.target.Lock; l != nil {
		j.Locked, j.Packages = true, l.Packages
	}
	started := time.Now()
	r.events.stage("resolve")
	err = j.Resolve(ctx)
	report.Since(started, &r.report.Timings.Resolve)
	if err == nil {
		started = time.Now()
		r.events.stage("environment")
		err = j.Prepare(ctx)
		report.Since(started, &r.report.Timings.Environment)
	}
	var built build.Result
	if err == nil {
		started = time.Now()
		r.events.stage("build")
		built, err = j.Build(ctx, log)
		report.Since(started, &r.report.Timings.Build)
	}
	a.log, a.rss, a.path = log.bytes(), built.MaxRSS, built.BuildPath
	if err == nil && r.Keep != "" {
		err = os.CopyFS(filepath.Join(r.Keep, r.source.Tree.Top), os.DirFS(filepath.Dir(j.Unpacked())))
	}
	var failure *build.Failure
	var resolve *uv.ResolveError
	switch {
	case ctx.Err() != nil:
		return a, ctx.Err()
	case errors.As(err, &failure):
		if n := r.evidence.Native; n != nil && n.Rust != "" && failure.Class == "build" {
			failure.Detail += " (the wheel is of Rust " + n.Rust + ")"
		}
		return failed(failure.Class, "%s", failure.Detail)
	case errors.As(err, &resolve):
		return failed("resolve", "%s", resolve.Detail)
	case err != nil:
		return failed("environment", "%v", err)
	}
	if r.published == nil {
		a.lock = r.lock(j)
	}
	a.wheel, a.sha256, a.Name = built.Path, built.SHA256, built.Filename
	started = time.Now()
	r.events.stage("compare")
	if r.published != nil {
		err = r.compareSdist(ctx, &a)
	} else {
		err = r.compare(ctx, &a)
	}
	report.Since(started, &r.report.Timings.Compare)
	return a, err
}

// interpreter is what a recipe is built with: of the lock's environment, of
// the one that was asked for, or of this machine. A class says why there is none.
func (r *run) interpreter(ctx context.Context, rec recipe.Recipe) (python env.Python, root, class string, err error) {
	want := rec.Python
	if l := r.target.Lock; l != nil {
		if l.Environment.Kind != lock.Host {
			return r.enter(ctx, l.Environment)
		}
		want = l.Python
	}
	python, ok := env.Nearest(r.Supply.Pythons, want)
	suite, packaged := debian.SuiteFor(rec.Python)
	place := r.evidence.Place
	if err := place.Elsewhere(); err != nil && r.target.Lock == nil {
		return python, "", "machine", err
	}
	if r.target.Lock == nil && r.Environment == lock.OCI {
		return r.image(ctx, rec)
	}
	hermetic := packaged && r.Environment == "" && r.Runtime != nil && (!ok || place != nil)
	switch {
	case r.Environment == lock.Debian && !packaged:
		return python, "", "python-missing", fmt.Errorf("no Debian suite has Python %s", rec.Python)
	case r.target.Lock == nil && (r.Environment == lock.Debian || hermetic):
		e, err := r.Supply.Debian(ctx, suite.Name, debian.Machine(), r.wanted(suite, rec), nil)
		if err != nil {
			return python, "", "environment", err
		}
		return r.enter(ctx, e)
	case !ok:
		return python, "", "python-missing", fmt.Errorf("no Python %s here (uv python install %s gets one)", rec.Python, rec.Python)
	}
	if r.target.Lock != nil && python.Version != want {
		r.report.Notes = append(r.report.Notes, fmt.Sprintf("built with Python %s: the lock's %s is not here", python.Version, want))
	}
	return python, "", "", nil
}

// wanted are the packages of a suite that a recipe is built with.
func (r *run) wanted(suite debian.Suite, rec recipe.Recipe) []string {
	out := slices.Clone(suite.Plain)
	if r.evidence.Native != nil {
		out = slices.Concat(out, debian.Compilers, debian.Tools, r.debs)
		if r.evidence.Native.Rust != "" {
			out = append(out, "cargo", "rustc")
		}
		for _, compiler := range []string{rec.Env["CC"], rec.Env["CXX"]} {
			if compiler != "" {
				out = append(out, compiler)
			}
		}
	}
	if r.target.Git != nil {
		out = append(out, "git") // backends ask it for the version
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// image is the environment of the image that was asked for, or that
// cibuildwheel had when the wheel was uploaded.
func (r *run) image(ctx context.Context, rec recipe.Recipe) (python env.Python, root, class string, err error) {
	ref := r.Image
	if ref == nil {
		name, err := pypi.ParseWheelFilename(r.target.Wheel.Filename)
		if err != nil {
			return python, "", "environment", err
		}
		at := r.target.Wheel.UploadTime
		if at.IsZero() {
			at = time.Now()
		}
		platforms := name.Platform
		if n := r.report.Native; n != nil && n.Image != "" {
			platforms = []string{n.Image}
		}
		pinned, err := env.PinnedImage(platforms, at)
		if err != nil {
			return python, "", "environment", err
		}
		ref = &pinned
	}
	e, err := r.Supply.OCI(ctx, *ref, "cp"+strings.ReplaceAll(rec.Python, ".", ""))
	var missing *oci.NoPythonError
	if errors.As(err, &missing) {
		return python, "", "python-missing", err
	}
	if err != nil {
		return python, "", "environment", err
	}
	return r.enter(ctx, e)
}

// enter is the interpreter and the root directory of an environment that has one.
func (r *run) enter(ctx context.Context, e lock.Environment) (python env.Python, root, class string, err error) {
	if r.Runtime == nil {
		return python, "", "environment", fmt.Errorf("an environment of kind %s needs a cage: %s", e.Kind, r.Uncaged)
	}
	python, root, err = r.Supply.Enter(ctx, e)
	if err != nil {
		return python, "", "environment", err
	}
	r.used = e
	return python, root, "", nil
}

// environment is what the builds of this run have run in.
func (r *run) environment() lock.Environment {
	if r.used.Kind == "" {
		return lock.Environment{Kind: lock.Host}
	}
	return r.used
}

// compare opens what was built and compares it with the subject.
func (r *run) compare(ctx context.Context, a *attempt) error {
	f, err := os.Open(a.wheel)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	rebuilt, err := wheel.Open(a.Name, f, info.Size(), r.Wheel)
	if err == nil {
		_, err = rebuilt.Sums(ctx)
	}
	if err != nil {
		a.Class, a.Detail = "build", "the wheel that was built is refused: "+err.Error()
		return ctx.Err()
	}
	a.Result, err = compare.Wheels(ctx, r.subject, rebuilt, compare.Options{
		Scalar: a.Recipe.Scalar(), InSource: r.inSource(),
		SubjectSHA256: r.target.Wheel.SHA256, RebuiltSHA256: a.sha256, Encoders: r.Encoders,
	})
	if err != nil {
		return err
	}
	if dir, err := rebuilt.DistInfo(); err == nil {
		if text, err := rebuilt.ReadFile(dir+"/METADATA", 8<<20); err == nil {
			a.Rebuilt = string(text)
		}
	}
	return nil
}

// inSource tells whether the source has a file of a sum.
func (r *run) inSource() func(sum [32]byte) bool {
	has := map[[32]byte]bool{}
	for _, e := range r.source.Tree.Entries {
		has[e.SHA256] = true
	}
	return func(sum [32]byte) bool { return has[sum] }
}

// outcome fills the report from the best try.
func (r *run) outcome(o *Outcome) {
	rep := r.report
	if len(r.tried) == 0 {
		return
	}
	var known []infer.Attempt
	for _, t := range r.tried {
		known = append(known, t.Attempt)
	}
	best := r.tried[infer.Best(known)]
	o.Log = best.log
	if best.lock != nil {
		if data, err := best.lock.Marshal(); err == nil {
			sum := sha256.Sum256(data)
			o.Lock, rep.Lock = data, &report.File{SHA256: hex.EncodeToString(sum[:])}
			rep.Python = best.lock.Python
		}
	}
	if best.Result == nil {
		rep.Failure = &report.Failure{Class: best.Class, Detail: best.Detail, Log: lastLines(string(best.log), 12)}
		return
	}
	res := best.Result
	rep.Verdict, rep.Members, rep.Equal = res.Verdict, res.Members, res.Equal
	rep.Differences, rep.Unexplained, rep.Replayed = append(rep.Differences, res.Differences...), res.Unexplained(), res.Replayed
	if n := rep.Native; n != nil {
		for _, d := range res.Differences {
			if f := d.Functions; f != nil {
				n.Functions, n.Same, n.Start = n.Functions+f.Published, n.Same+f.Same, n.Start+f.Start
			}
		}
	}
	rep.Rebuilt = &report.Rebuilt{SHA256: best.sha256}
	o.Wheel = best.wheel
	if res.Envelope != nil {
		if data, err := res.Envelope.Marshal(); err == nil {
			sum := sha256.Sum256(data)
			o.Envelope, rep.Envelope = data, &report.File{SHA256: hex.EncodeToString(sum[:])}
		}
	}
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// tail keeps the end of a log and passes it on.
type tail struct {
	kept []byte
	also io.Writer
}

const maxLog = 4 << 20

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*maxLog {
		t.kept = slices.Clone(t.kept[len(t.kept)-maxLog:])
	}
	if t.also != nil {
		if _, err := t.also.Write(p); err != nil {
			t.also = nil // whoever watched is gone; the build goes on
		}
	}
	return len(p), nil
}

func (t *tail) bytes() []byte { return append([]byte{}, t.kept...) }
