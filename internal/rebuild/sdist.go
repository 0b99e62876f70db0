package rebuild

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"time"

	"github.com/truewheel/truewheel/compare"
	"github.com/truewheel/truewheel/compare/source"
	"github.com/truewheel/truewheel/compare/tree"
	"github.com/truewheel/truewheel/internal/build"
	"github.com/truewheel/truewheel/internal/index"
	"github.com/truewheel/truewheel/internal/infer"
	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/recipe"
	"github.com/truewheel/truewheel/report"
	"github.com/truewheel/truewheel/wheel"
)

// SdistTarget finds the sdist of NAME==VERSION. Target.Wheel is the sdist.
func SdistTarget(ctx context.Context, c *index.Client, text string) (Target, error) {
	name, version, err := ParseRelease(text)
	if err != nil {
		return Target{}, err
	}
	page, err := c.Page(ctx, name)
	if err != nil {
		return Target{}, err
	}
	wheels, sdists := page.Release(name, version)
	switch {
	case len(wheels)+len(sdists) == 0:
		return Target{}, &NoFileError{fmt.Sprintf("the index has no release %s==%s", name, version)}
	case len(sdists) == 0:
		return Target{}, &NoFileError{fmt.Sprintf("%s==%s has no source distribution", name, version)}
	}
	t := Target{Name: name, Wheel: pypi.BestSdist(sdists), Find: FindAlways}
	if len(wheels) > 0 {
		// The smallest does: all were made with one backend, as a rule.
		t.Sibling = &wheels[0]
		for i, w := range wheels {
			if w.Size >= 0 && w.Size < t.Sibling.Size {
				t.Sibling = &wheels[i]
			}
		}
	}
	t.describe(page, nil)
	return t, nil
}

// RebuildSdist builds a published sdist again from the commit that it was made
// from, and compares both: the sdist with the commit file by file, and the
// sdist with the one that was built, byte for byte. The error is as for [Rebuilder.Rebuild].
func (b *Rebuilder) RebuildSdist(ctx context.Context, t Target, version string, ev Events) (*Outcome, error) {
	return b.begin(ctx, t, ev, func(r *run) (*Outcome, error) {
		r.report.Subject.Version = version
		return r.whole(ctx, r.doSdist)
	})
}

func (r *run) doSdist(ctx context.Context) error {
	r.events.stage("fetch")
	started := time.Now()
	ok, err := r.fetchBoth(ctx)
	report.Since(started, &r.report.Timings.Fetch)
	if err != nil || !ok {
		return err
	}
	rec, why := infer.SdistRecipe(r.evidence)
	for _, w := range why {
		r.report.Recipe = append(r.report.Recipe, report.Input(w))
	}
	hidden := rec
	hidden.SourceGit = recipe.Hidden
	for n, try := range []struct {
		recipe recipe.Recipe
		change string
	}{{rec, "inferred from the evidence"}, {hidden, "without .git, as in an export of the commit"}} {
		a, err := r.try(ctx, try.recipe, n)
		if err != nil {
			return err
		}
		r.tried = append(r.tried, a)
		r.record(a, try.change)
		if a.Class == "self-input" || a.Class == "timeout" || a.Result != nil && a.Result.Equal == a.Result.Members {
			break // no other input of the source gives more
		}
	}
	return nil
}

// fetchBoth brings the sdist and the commit here and compares their files.
func (r *run) fetchBoth(ctx context.Context) (ok bool, err error) {
	if r.path, err = r.Supply.Client.Fetch(ctx, r.target.Wheel); err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		r.fail("fetch", "%v", err)
		return false, nil
	}
	if r.published, err = build.OpenSource(ctx, r.target.Wheel.Filename, "", r.path, r.Sdist); err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		r.fail("unsafe-source", "%v", err)
		return false, nil
	}
	r.report.Subject.Size = r.published.Size
	r.report.Suspicions = append(r.report.Suspicions, r.published.Tree.Suspicions...)
	if r.target.Git == nil {
		if err := r.find(ctx); err != nil {
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			r.fail("source-missing", "%v", err)
			return false, nil
		}
	}
	if ok, err := r.fetchSource(ctx); err != nil || !ok {
		return false, err
	}
	version, err := pypi.ParseVersion(r.report.Subject.Version)
	if err != nil {
		return false, err
	}
	r.evidence = infer.ReadSdist(r.target.Name, version, r.published.Tree, r.source.Tree, r.target.Wheel.UploadTime)
	if err := r.generator(ctx); err != nil {
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
		r.note("which version of the backend made the release's wheel can't be told: %v", err)
	}
	return true, r.against(ctx, r.published, r.target.Wheel)
}

// generator reads off a wheel of the release which backend made it: an sdist does not say.
func (r *run) generator(ctx context.Context) error {
	if r.target.Sibling == nil {
		return nil
	}
	at, err := r.Supply.Client.Fetch(ctx, *r.target.Sibling)
	if err != nil {
		return err
	}
	f, err := os.Open(at)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	a, err := wheel.Open(r.target.Sibling.Filename, f, info.Size(), r.Wheel)
	if err != nil {
		return err
	}
	r.evidence.Generator, _, err = infer.Generator(a)
	return err
}

// againstSdist compares the release's sdist with the commit that the wheel is built from.
func (r *run) againstSdist(ctx context.Context) error {
	file := *r.target.Source
	at, err := r.Supply.Client.Fetch(ctx, file)
	var published *build.Source
	if err == nil {
		published, err = build.OpenSource(ctx, file.Filename, "", at, r.Sdist)
	}
	if err != nil {
		r.note("the sdist was not compared with the commit: %v", err)
		return ctx.Err()
	}
	defer published.Close()
	return r.against(ctx, published, file)
}

// against compares an sdist with the commit. Both are unpacked for it, where
// nothing but this program reads them.
func (r *run) against(ctx context.Context, published *build.Source, file pypi.File) error {
	version, err := pypi.ParseVersion(r.report.Subject.Version)
	if err != nil {
		return err
	}
	here, closeHere, err := r.side(ctx, published, "sdist")
	if err != nil {
		return err
	}
	defer closeHere()
	there, closeThere, err := r.side(ctx, r.source, "checkout")
	if err != nil {
		return err
	}
	defer closeThere()
	found, err := source.Compare(ctx, r.target.Name, version, here, there)
	if err != nil {
		return fmt.Errorf("compare %s with commit %s: %w", file.Filename, r.report.Source.Commit.ID[:12], err)
	}
	r.report.Source.Sdist = &report.Sdist{Filename: file.Filename, SHA256: file.SHA256, Files: found.Files, Equal: found.Equal, Differences: found.Differences, Missing: found.Missing}
	return nil
}

// side is a source whose files can be read.
func (r *run) side(ctx context.Context, s *build.Source, name string) (source.Side, func(), error) {
	dir := filepath.Join(r.dir, name)
	if err := s.Unpack(ctx, recipe.Recipe{}, dir); err != nil {
		return source.Side{}, nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return source.Side{}, nil, err
	}
	read := func(name string) ([]byte, error) { return root.ReadFile(path.Join(s.Tree.Top, name)) }
	// What is read once needs its place no longer.
	return source.Side{Tree: s.Tree, Read: read}, func() { _ = errors.Join(root.Close(), os.RemoveAll(dir)) }, nil
}

// compareSdist compares the sdist that was built with the published one.
func (r *run) compareSdist(ctx context.Context, a *attempt) error {
	if a.sha256 == r.target.Wheel.SHA256 && a.Name == r.target.Wheel.Filename {
		n := len(r.evidence.Members)
		a.Result = &compare.Result{Verdict: compare.Reproduced, Members: n, Equal: n}
		return nil
	}
	x, closeX, err := openTree(ctx, r.path, r.target.Wheel.Filename)
	if err != nil {
		return err
	}
	defer closeX()
	y, closeY, err := openTree(ctx, a.wheel, a.Name)
	if err != nil {
		a.Class, a.Detail = "build", "the sdist that was built is refused: "+err.Error()
		return ctx.Err()
	}
	defer closeY()
	a.Result, err = compare.Trees(ctx, compare.Side{Name: r.target.Wheel.Filename, Tree: x}, compare.Side{Name: a.Name, Tree: y}, compare.Options{
		Scalar: true, InSource: r.inSource(), SubjectSHA256: r.target.Wheel.SHA256, RebuiltSHA256: a.sha256,
	})
	if err != nil {
		return err
	}
	if a.Name != r.target.Wheel.Filename {
		a.Result.Differences = append(a.Result.Differences, compare.Difference{
			Kind: "container", Where: "name", Sure: true, Published: r.target.Wheel.Filename, Rebuilt: a.Name, Detail: fmt.Sprintf("the file is named %s, not %s", a.Name, r.target.Wheel.Filename),
		})
	}
	if len(a.Result.Differences) == 0 {
		a.Result.Differences = []compare.Difference{{Kind: "container", Where: "stream", Cause: "deflate-encoder", Detail: "all files and headers are equal, and the compressed streams are not"}}
	}
	a.Result.Verdict = compare.Differs
	if a.Name != r.target.Wheel.Filename || slices.ContainsFunc(a.Result.Differences, func(d compare.Difference) bool { return d.Kind != "container" }) {
		return nil
	}
	encoder, ok, err := regzip(ctx, r.path, r.target.Wheel.SHA256, a.wheel, r.Encoders)
	if err != nil {
		return fmt.Errorf("compress the tar of %s as the published one was: %w", a.Name, err)
	}
	if ok {
		a.Result.Verdict, a.Result.Replayed = compare.Replayed, []string{"gzip header", "deflate " + encoder}
	}
	return nil
}

// openTree opens an archive; what is returned closes it and its file.
func openTree(ctx context.Context, at, name string) (*tree.Tree, func(), error) {
	f, err := os.Open(at)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	var t *tree.Tree
	if err == nil {
		t, err = tree.Open(ctx, name, f, info.Size(), tree.Limits{})
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return t, func() { _ = errors.Join(t.Close(), f.Close()) }, nil
}
