package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/truewheel/truewheel/compare"
	"github.com/truewheel/truewheel/internal/git"
	"github.com/truewheel/truewheel/internal/rebuild"
	"github.com/truewheel/truewheel/internal/store"
	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/recipe/lock"
	"github.com/truewheel/truewheel/report"
)

// rebuildOptions are the flags of rebuild.
type rebuildOptions struct {
	common
	cageFlags
	mirrorFlags
	rootFlags
	env          string
	source       string
	git          *git.Source // what source means
	find         rebuild.Find
	tries        int
	keep         string
	requirements string
	jobs         int
	file         string
	all          bool
	lock         string
	compared     bool // with a release given beside the lock
	writeLock    string
	out          string
	view
}

// view are the flags that say how much of a report is shown.
type view struct {
	json    bool
	quiet   bool
	verbose bool
	explain bool
	full    bool
}

func (v *view) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&v.json, "json", false, "print reports as JSON (truewheel.report/1), one a line")
	f.BoolVarP(&v.quiet, "quiet", "q", false, "print one line for each")
	f.BoolVarP(&v.verbose, "verbose", "v", false, "show the build log")
	f.BoolVar(&v.explain, "explain", false, "say where each input of the recipe comes from")
	f.BoolVar(&v.full, "full", false, "list all differences")
}

func (a *app) newRebuildCommand() *cobra.Command {
	var o rebuildOptions
	cmd := &cobra.Command{
		Use:   "rebuild [NAME==VERSION | purl | URL | WHEEL]...",
		Short: "Rebuild published wheels from their source and compare",
		Long: `rebuild finds a published wheel and its source, infers from the wheel how it was
made, builds it again in a cage, compares byte for byte, and tries again on what
differs.

Verdicts: reproduced (same name and sha256), replayed (same contents, and an
inert envelope of the zip gives the same sha256), differs, failed.
Exit codes: 0 reproduced or replayed, 3 differs, 1 failed, 2 wrong usage; of
many the worst counts.`,
		Example: `  truewheel rebuild attrs==25.4.0
  truewheel rebuild -r requirements.txt --jobs 4
  truewheel rebuild attrs==25.4.0 --write-lock attrs.lock
  truewheel rebuild --lock attrs.lock --offline`,
		RunE: func(cmd *cobra.Command, given []string) error { return a.rebuild(cmd.Context(), &o, given) },
	}
	o.common.register(cmd)
	o.cageFlags.register(cmd, false)
	o.mirrorFlags.register(cmd)
	o.rootFlags.register(cmd)
	f := cmd.Flags()
	f.StringVar(&o.env, "env", "", "`kind` of environment: host; debian, a root of packages locked by sha256; or oci, an image (default: host, and debian where no Python here fits)")
	f.StringVar(&o.source, "source", "", "build from a commit, `git+URL@REV`[#subdirectory=DIR], and not from the sdist; URL is https, ssh or a local path; git: find the commit; sdist: never look for one (default: the sdist, and the commit where files are missing from it)")
	f.IntVar(&o.tries, "tries", 4, "builds at most, each with a better recipe")
	f.StringVar(&o.keep, "keep", "", "keep the unpacked sources in `directory`")
	f.StringVarP(&o.requirements, "requirements", "r", "", "rebuild what a requirements `file` pins; hashes in it are honoured")
	f.IntVarP(&o.jobs, "jobs", "j", 1, "rebuilds at once")
	f.StringVar(&o.file, "file", "", "the `name` of the file to rebuild, of a release with several")
	f.BoolVar(&o.all, "all", false, "all wheels of the release")
	f.StringVar(&o.lock, "lock", "", "build what this lock `file` says and infer nothing")
	f.StringVar(&o.writeLock, "write-lock", "", "write the lock of the best try to `file`")
	f.StringVarP(&o.out, "out", "o", "", "keep wheel, report, lock, envelope and log in `directory`")
	o.view.register(cmd)
	return cmd
}

// request is one thing to rebuild, as the user named it.
type request struct {
	text   string
	choice rebuild.Choice
}

func (o *rebuildOptions) check(given []string) error {
	n := len(given)
	if o.requirements != "" {
		n++
	}
	switch {
	case o.env != "" && o.env != lock.Host && o.env != lock.Debian && o.env != lock.OCI:
		return usage("--env %q: debian, oci or host", o.env)
	case o.lock != "" && (n > 1 || o.requirements != ""):
		return usage("--lock builds one wheel: give at most the release to compare it with")
	case o.lock == "" && n == 0:
		return usage("nothing to rebuild: give NAME==VERSION, -r FILE or --lock FILE")
	case o.jobs < 1:
		return usage("--jobs %d: at least one", o.jobs)
	case strings.HasPrefix(o.source, "git+") && (o.requirements != "" || n > 1 || o.all):
		return usage("--source is of one release")
	case o.tries < 1:
		return usage("--tries %d: at least one", o.tries)
	case o.file != "" && o.all:
		return usage("--file and --all exclude each other")
	case o.writeLock != "" && (o.requirements != "" || n > 1 || o.all):
		return usage("--write-lock writes one lock: use --out DIR for many")
	}
	for _, text := range given {
		if strings.HasSuffix(text, ".whl") || strings.Contains(text, "://") || strings.HasPrefix(text, "pkg:") {
			continue
		}
		if _, _, err := rebuild.ParseRelease(text); err != nil {
			return &usageError{err}
		}
	}
	return nil
}

func (a *app) rebuild(ctx context.Context, o *rebuildOptions, given []string) error {
	if err := o.check(given); err != nil {
		return err
	}
	switch o.source {
	case "":
		o.find = rebuild.FindNeeded
		if o.offline {
			o.find = rebuild.FindNever
		}
	case "git":
		o.find = rebuild.FindAlways
	case "sdist":
	default:
		s, err := git.Parse(o.source)
		if err != nil {
			return &usageError{err}
		}
		o.git = &s
	}
	var requests []request
	for _, text := range given {
		requests = append(requests, request{text, rebuild.Choice{File: o.file, All: o.all}})
	}
	if o.requirements != "" {
		pinned, err := readRequirements(o.requirements)
		if err != nil {
			return err
		}
		for _, p := range pinned.releases {
			requests = append(requests, request{p.release, rebuild.Choice{All: o.all, Hashes: p.hashes}})
		}
		for _, s := range pinned.skipped {
			fmt.Fprintf(a.stderr, "truewheel: %s\n", printable(s))
		}
		if len(requests) == 0 {
			return usage("%s pins no release with ==", o.requirements)
		}
	}
	b, err := a.rebuilder(ctx, &o.common, &o.cageFlags, &o.mirrorFlags)
	if err != nil {
		return err
	}
	if b.Root, err = a.trustedRoot(&o.rootFlags, b.Supply.Pythons); err != nil {
		return err
	}
	b.Environment, b.Image, b.Tries, b.Keep = o.env, b.Supply.From, o.tries, o.keep
	if b.Runtime == nil && !o.json {
		fmt.Fprintf(a.stderr, "truewheel: builds are not caged: %s\n", printable(b.Uncaged))
	}
	if o.lock != "" {
		o.compared = len(given) > 0
		target, err := a.locked(ctx, b, o, given)
		if err != nil {
			return err
		}
		return a.one(ctx, o, b, target)
	}
	return a.many(ctx, o, b, requests)
}

// locked makes a target of a lock: what it is compared with is the subject
// that the lock names, or the release given.
func (a *app) locked(ctx context.Context, b *rebuild.Rebuilder, o *rebuildOptions, given []string) (rebuild.Target, error) {
	l, err := a.readLock(ctx, nil, o.lock, "", "")
	if err != nil {
		return rebuild.Target{}, err
	}
	if len(given) == 0 {
		return b.FromLock(ctx, l, o.git, o.find)
	}
	targets, err := rebuild.Targets(ctx, b.Supply.Client, given[0], rebuild.Choice{File: o.file, All: true})
	if err != nil {
		return rebuild.Target{}, err
	}
	for _, t := range targets {
		t.Git, t.Find = o.git, o.find
		if f, err := pypi.ParseWheelFilename(t.Wheel.Filename); err == nil && (o.file != "" || f.Fits(l.Recipe.Target)) {
			return b.WithLock(ctx, t, l)
		}
	}
	return rebuild.Target{}, fmt.Errorf("%s has no wheel for the lock's target %s (--file NAME chooses one)", given[0], l.Recipe.Target)
}

// one rebuilds one target and prints its report.
func (a *app) one(ctx context.Context, o *rebuildOptions, b *rebuild.Rebuilder, t rebuild.Target) error {
	p := newProgress(a.stderr, 1, o.quiet || o.json)
	outcome, err := b.Rebuild(ctx, t, a.events(&o.view, p, t))
	p.clear()
	if err != nil {
		return err
	}
	defer outcome.Close()
	if err := a.deliver(o, outcome); err != nil {
		return err
	}
	return exit(exitCode(outcome.Report.Verdict))
}

func exit(code int) error {
	if code == exitOK {
		return nil
	}
	return &exitError{code}
}

func (a *app) events(v *view, p *progress, t rebuild.Target) rebuild.Events {
	ev := rebuild.Events{Stage: func(stage string) { p.stage(t.Wheel.Filename, stage) }}
	if v.verbose {
		ev.Log = a.stderr
	}
	return ev
}

// many rebuilds all requests, some at once, and goes on after a failure.
// What is done is remembered until all is, so that an interrupted run resumes.
func (a *app) many(ctx context.Context, o *rebuildOptions, b *rebuild.Rebuilder, requests []request) error {
	m := &batch{app: a, o: o, b: b, p: newProgress(a.stderr, len(requests), o.quiet || o.json), reports: make([][]*report.Report, len(requests))}
	var g errgroup.Group
	g.SetLimit(o.jobs)
	for i, r := range requests {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error { return m.request(ctx, i, r) })
	}
	err := g.Wait()
	m.p.clear()
	if ctx.Err() != nil && len(requests) > 1 {
		fmt.Fprintf(a.stderr, "truewheel: interrupted after %d of %d: the same command goes on from there\n", m.finished, len(requests))
	}
	if err != nil {
		return err
	}
	var all []*report.Report
	for _, r := range m.reports {
		all = append(all, r...)
	}
	m.forget(requests)
	if len(all) > 1 && !o.json {
		a.summary(all)
	}
	return exit(m.code)
}

// batch is a run over many.
type batch struct {
	*app
	o *rebuildOptions
	b *rebuild.Rebuilder
	p *progress

	mu       sync.Mutex // guards what follows, and printing
	reports  [][]*report.Report
	code     int
	finished int
}

// key names a request among the runs that were not finished.
func (m *batch) key(r request) string {
	return fmt.Sprintf("%s %s %v %s %d %s %v %s", Version, r.text, r.choice, m.b.Supply.Client.Settings.Redacted(), m.o.tries, m.o.out, m.o.noCage, m.o.source)
}

func (m *batch) request(ctx context.Context, i int, r request) error {
	many := len(m.reports) > 1
	var kept []*report.Report
	if _, ok := m.b.Supply.Client.Store.Cached("unfinished", m.key(r), &kept); ok && many && len(kept) > 0 {
		return m.done(i, kept, func() error {
			for _, rep := range kept {
				if err := m.print(rep); err != nil {
					return err
				}
			}
			return nil
		})
	}
	targets, err := rebuild.Targets(ctx, m.b.Supply.Client, r.text, r.choice)
	if err != nil {
		if ctx.Err() != nil || !many {
			return err
		}
		rep := rebuild.Unfound(r.text, err)
		return m.done(i, []*report.Report{rep}, func() error { return m.print(rep) })
	}
	var reports []*report.Report
	for _, t := range targets {
		t.Git, t.Find = m.o.git, m.o.find
		outcome, err := m.b.Rebuild(ctx, t, m.events(&m.o.view, m.p, t))
		m.p.stage(t.Wheel.Filename, "")
		if err != nil {
			return err
		}
		reports = append(reports, outcome.Report)
		m.mu.Lock()
		m.p.clear()
		err = m.deliver(m.o, outcome)
		m.mu.Unlock()
		outcome.Close()
		if err != nil {
			return err
		}
	}
	if many {
		if err := m.b.Supply.Client.Store.Cache("unfinished", m.key(r), reports); err != nil {
			return err
		}
	}
	return m.done(i, reports, func() error { return nil })
}

func (m *batch) done(i int, reports []*report.Report, print func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reports[i] = reports
	m.finished++
	for _, rep := range reports {
		m.code = worse(m.code, exitCode(rep.Verdict))
	}
	m.p.clear()
	return print()
}

// forget ends a run: the next one begins anew.
func (m *batch) forget(requests []request) {
	for _, r := range requests {
		m.b.Supply.Client.Store.Forget("unfinished", m.key(r))
	}
}

func exitCode(v compare.Verdict) int {
	switch v {
	case compare.Reproduced, compare.Replayed:
		return exitOK
	case compare.Differs:
		return exitDiffers
	}
	return exitFailed
}

// worse: failed is worse than differs, and both than proved.
func worse(a, b int) int {
	order := map[int]int{exitOK: 0, exitDiffers: 1, exitFailed: 2}
	if order[b] > order[a] {
		return b
	}
	return a
}

// deliver writes the files that were asked for and prints the report.
func (a *app) deliver(o *rebuildOptions, outcome *rebuild.Outcome) error {
	rep := outcome.Report
	if o.out != "" {
		if err := writeOut(o.out, outcome); err != nil {
			return fmt.Errorf("write results: %w", err)
		}
	}
	if o.writeLock != "" {
		if outcome.Lock == nil {
			fmt.Fprintf(a.stderr, "truewheel: %s was not written: nothing was built\n", o.writeLock)
		} else if err := store.WriteFile(o.writeLock, outcome.Lock); err != nil {
			return fmt.Errorf("write lock: %w", err)
		}
	}
	rep.Rerun = a.rerun(o, rep)
	return a.print1(&o.view, rep)
}

func (m *batch) print(rep *report.Report) error { return m.print1(&m.o.view, rep) }

func (a *app) print1(v *view, rep *report.Report) error {
	if v.json {
		return json.NewEncoder(a.stdout).Encode(rep)
	}
	a.printReport(rep, v)
	return nil
}

// rerun is the command that does it again.
func (a *app) rerun(o *rebuildOptions, rep *report.Report) string {
	from := ""
	if o.source != "" {
		from = " --source " + o.source
	}
	if s := rep.Source; s != nil && s.Commit != nil && s.Commit.Found != nil && rep.Lock != nil && (o.writeLock != "" || rep.Lock.Path != "") {
		// A lock names the commit, and not where it is.
		from = " --source '" + git.Source{URL: s.Commit.Repository, Rev: s.Commit.ID, Subdirectory: s.Commit.Subdirectory}.String() + "'"
	}
	if o.image != "" {
		from += " --image " + o.image
	}
	switch {
	case o.lock != "" && o.compared:
		return fmt.Sprintf("truewheel rebuild %s==%s --lock %s", rep.Subject.Name, rep.Subject.Version, o.lock) + from
	case o.lock != "":
		return "truewheel rebuild --lock " + o.lock + from
	case o.writeLock != "" && rep.Lock != nil:
		return "truewheel rebuild --lock " + o.writeLock + " --offline" + from
	case rep.Lock != nil && rep.Lock.Path != "":
		return "truewheel rebuild --lock " + rep.Lock.Path + " --offline" + from
	}
	if o.env != "" {
		from = " --env " + o.env + from // a lock has its own
	}
	again := fmt.Sprintf("truewheel rebuild %s==%s", rep.Subject.Name, rep.Subject.Version) + from
	if o.file != "" || o.all {
		again += " --file " + rep.Subject.Filename
	}
	return again + "   (--write-lock FILE keeps every input)"
}

// writeOut puts everything that belongs to a rebuild into dir.
func writeOut(dir string, outcome *rebuild.Outcome) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	rep := outcome.Report
	stem := filepath.Join(dir, rep.Subject.Filename)
	var errs []error
	put := func(suffix string, data []byte) string {
		if data == nil {
			return ""
		}
		errs = append(errs, store.WriteFile(stem+suffix, data))
		return stem + suffix
	}
	if outcome.Wheel != "" {
		rep.Rebuilt.Path = filepath.Join(dir, filepath.Base(outcome.Wheel))
		errs = append(errs, store.CopyFile(outcome.Wheel, rep.Rebuilt.Path))
	}
	if rep.Lock != nil {
		rep.Lock.Path = put(".truewheel.lock", outcome.Lock)
	}
	if rep.Envelope != nil {
		rep.Envelope.Path = put(".envelope.json", outcome.Envelope)
	}
	put(".log", outcome.Log)
	data, err := json.MarshalIndent(rep, "", "  ")
	errs = append(errs, err)
	put(".report.json", append(data, '\n'))
	return errors.Join(errs...)
}
