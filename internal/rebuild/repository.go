package rebuild

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/truewheel/truewheel/compare"
	"github.com/truewheel/truewheel/internal/git"
	"github.com/truewheel/truewheel/internal/origin"
	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/report"
)

// find looks for the commit that the subject was made from.
func (r *run) find(ctx context.Context) error {
	release, err := r.release()
	if err != nil {
		return err
	}
	release.File = r.target.Wheel
	finder := origin.Finder{Git: r.Git, Client: r.Supply.Client, Root: r.Root}
	found, err := finder.Find(ctx, release)
	r.report.Suspicions = append(r.report.Suspicions, found.Suspicions...)
	if err != nil {
		return err
	}
	r.found, r.target.Git = &found, &found.Source
	return nil
}

// release is what a repository is looked for.
func (r *run) release() (origin.Release, error) {
	if r.published != nil {
		version, err := pypi.ParseVersion(r.report.Subject.Version)
		if err != nil {
			return origin.Release{}, err
		}
		text, err := r.published.Tree.ReadFile("PKG-INFO")
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // older sdists of other tools have none
		}
		return origin.Release{Name: r.target.Name, Version: version, Metadata: string(text)}, err
	}
	var out origin.Release
	name, err := pypi.ParseWheelFilename(r.target.Wheel.Filename)
	if err != nil {
		return out, err
	}
	dir, err := r.subject.DistInfo()
	if err != nil {
		return out, err
	}
	metadata, err := r.subject.ReadFile(dir+"/METADATA", 8<<20)
	return origin.Release{Name: name.Name, Version: name.Version, Metadata: string(metadata)}, err
}

// locate finds the project within the repository that was found.
func (r *run) locate(ctx context.Context, repository *git.Repository, c git.Commit, want *git.Source) error {
	if c.ID != r.found.Commit {
		return fmt.Errorf("%s is commit %s, and was %s when it was looked for", want, c.ID, r.found.Commit)
	}
	projects, err := repository.Projects(ctx, c)
	if err != nil {
		return err
	}
	want.Subdirectory, err = origin.Subdirectory(projects, r.target.Name, want.Subdirectory)
	return err
}

// howFound is for the report.
func (r *run) howFound() *report.Found {
	if r.found == nil {
		return nil
	}
	f := &report.Found{By: r.found.By, Label: r.found.Label}
	if id := r.found.Identity; id != nil {
		f.Identity = &report.Identity{
			Issuer: id.Issuer, Repository: id.Repository, Commit: id.Commit, Ref: id.Ref, Workflow: id.Workflow, Predicate: id.Predicate, Verified: id.Verified, Unverified: id.Unverified,
		}
	}
	return f
}

// missing is the cause that a commit may remedy.
const missing = "missing-from-sdist"

// wantsCommit reports whether the sdist lacks files that the wheel has.
func (r *run) wantsCommit() bool {
	return r.target.Find == FindNeeded && r.target.Git == nil && r.target.Lock == nil && r.report.Verdict == compare.Differs &&
		slices.ContainsFunc(r.report.Differences, func(d compare.Difference) bool { return d.Cause == missing })
}

// fromCommit builds from the commit that the release was made from, where that
// can be found, after the sdist did not give the wheel. The better outcome
// counts; nothing that goes wrong here takes the first one away.
func (r *run) fromCommit(ctx context.Context, first *Outcome) (*Outcome, error) {
	if err := r.find(ctx); err != nil {
		r.note("files are missing from the sdist, and no commit was tried: %v", err)
		return first, ctx.Err()
	}
	target := r.target
	again := &run{Rebuilder: r.Rebuilder, target: target, events: r.events, dir: filepath.Join(r.dir, "commit"), report: r.newReport(target), found: r.found}
	again.target.Path = r.path
	if err := os.Mkdir(again.dir, 0o755); err != nil {
		return nil, err
	}
	second, err := again.whole(ctx, again.do)
	if err != nil {
		return nil, err
	}
	from := fmt.Sprintf("from %s: files are missing from the sdist", found(r.found))
	if !better(second.Report, first.Report) {
		how := string(second.Report.Verdict)
		if f := second.Report.Failure; f != nil {
			how += ": " + f.Class + ": " + firstLine(f.Detail)
		}
		r.note("built %s too: %s", from, how)
		return first, nil
	}
	second.Report.Tries[0].Change = from
	second.Report.Suspicions = append(second.Report.Suspicions, slices.DeleteFunc(first.Report.Suspicions, func(s string) bool { return slices.Contains(second.Report.Suspicions, s) })...)
	second.Report.Tries = append(first.Report.Tries, second.Report.Tries...)
	second.Report.Timings = sum(first.Report.Timings, second.Report.Timings)
	return second, nil
}

// found says which commit it is, in words.
func found(f *origin.Found) string {
	if f.Source.Rev == f.Commit {
		return fmt.Sprintf("commit %s (of %s)", f.Commit[:12], f.Source.URL)
	}
	return fmt.Sprintf("commit %s (tag %s of %s)", f.Commit[:12], f.Source.Rev, f.Source.URL)
}

func (r *run) note(format string, args ...any) {
	r.report.Notes = append(r.report.Notes, fmt.Sprintf(format, args...))
}

// better reports whether a proves more than b.
func better(a, b *report.Report) bool {
	order := []compare.Verdict{compare.Failed, compare.Differs, compare.Replayed, compare.Reproduced}
	x, y := slices.Index(order, a.Verdict), slices.Index(order, b.Verdict)
	return x > y || x == y && a.Equal > b.Equal
}

// sum of the times of two runs.
func sum(a, b report.Timings) report.Timings {
	return report.Timings{
		Fetch: a.Fetch + b.Fetch, Resolve: a.Resolve + b.Resolve, Environment: a.Environment + b.Environment,
		Build: a.Build + b.Build, Compare: a.Compare + b.Compare, Total: a.Total + b.Total,
	}
}
