package project

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/truewheel/truewheel/internal/build"
	"github.com/truewheel/truewheel/internal/debian"
	"github.com/truewheel/truewheel/internal/env"
	"github.com/truewheel/truewheel/internal/infer"
	"github.com/truewheel/truewheel/internal/oci"
	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/recipe"
	"github.com/truewheel/truewheel/recipe/lock"
	"github.com/truewheel/truewheel/wheel"
)

// Request says what to lock.
type Request struct {
	// Source is the file to lock, in the store; nil: the checkout in Dir.
	Source *lock.File
	Dir    string
	// Old is the lock that was there: what it pins stays as long as it can.
	Old     *lock.Lock
	Upgrade []string // names of packages to take the newest of
	Newest  bool     // all of them

	// What follows wins over Old's, where it is not the zero value.
	Environment string // lock.Host, lock.Debian or lock.OCI
	Suite       string
	Image       *oci.Reference // of an oci environment; nil: the one that cibuildwheel pins now for the target
	Target      string         // "cp311-manylinux_x86_64", "py3-none-any"
	Debs        []string       // packages besides python3 and the compilers
	Pins        []recipe.Pin
	Settings    map[string][]string // config settings
	Env         map[string]string
	Epoch       *int64 // SOURCE_DATE_EPOCH
	NoRepair    bool
	Log         Events
}

// A PinError says that a pin did not take effect.
type PinError struct{ Detail string }

func (e *PinError) Error() string { return "pins: " + e.Detail }

// Lock resolves everything, builds once, and returns the lock of that build
// with the build itself: so a pin is known to have taken effect, and the lock
// says which extension modules there have to be.
func (w *Workshop) Lock(ctx context.Context, r Request) (*lock.Lock, *Built, error) {
	tmp, done, err := w.Supply.Client.Store.TempDir("lock")
	if err != nil {
		return nil, nil, err
	}
	l, b, err := w.lock(ctx, r, tmp)
	if err != nil {
		done()
		return nil, nil, err
	}
	b.close = done
	return l, b, nil
}

func (w *Workshop) lock(ctx context.Context, r Request, tmp string) (*lock.Lock, *Built, error) {
	r.Log.stage("source")
	l := &lock.Lock{Source: r.Source}
	source, file, err := w.open(ctx, l, r.Dir, tmp)
	if err != nil {
		return nil, nil, err
	}
	defer source.Close()
	r.inherit()
	job := &build.Job{Supply: w.Supply, Runtime: w.Runtime, Limits: w.Limits, Source: source, Dir: filepath.Join(tmp, "build"), Fresh: r.Newest || len(r.Upgrade) > 0}
	if err := os.Mkdir(job.Dir, 0o755); err != nil {
		return nil, nil, err
	}
	if err := w.environment(ctx, &r, l, job); err != nil {
		return nil, nil, err
	}
	l.Recipe = r.recipe(source, job.Python)
	if err := l.Recipe.Check(); err != nil {
		return nil, nil, err
	}
	job.Recipe = jobRecipe(l)
	job.Recipe.Constraints = r.kept()
	built, err := w.run(ctx, job, r.Log)
	if conflict(err) && len(job.Recipe.Constraints) > 0 {
		// What was kept can't be kept together with what the project asks for now.
		if err = os.RemoveAll(job.Dir); err == nil {
			err = os.Mkdir(job.Dir, 0o755)
		}
		if err == nil {
			job.Recipe.Constraints = nil
			built, err = w.run(ctx, job, r.Log)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	if tag, pure := pureTag(built.Filename); pure && r.Target == "" && l.Recipe.Repair != "" {
		// It needs neither compilers nor a repair tool: lock it without.
		if err := os.RemoveAll(job.Dir); err != nil {
			return nil, nil, err
		}
		r.Target = tag
		return w.lock(ctx, r, tmp)
	}
	l.Python, l.Packages = job.Python.Version, job.Packages
	if len(l.Packages) > 0 {
		l.UV = &w.UV
	}
	if err := effective(l, built.Used); err != nil {
		return nil, nil, err
	}
	if err := w.describe(l, built, r.Target); err != nil {
		return nil, nil, err
	}
	built.Source = file
	return l, built, nil
}

// pureTag is the target of a wheel for every platform.
func pureTag(filename string) (tag string, pure bool) {
	f, err := pypi.ParseWheelFilename(filename)
	if err != nil || !f.IsPure() {
		return "", false
	}
	return tagOf(f), true
}

func conflict(err error) bool {
	var failure *build.Failure
	return errors.As(err, &failure) && failure.Class == "resolve"
}

// inherit takes from the old lock what the request does not say.
func (r *Request) inherit() {
	o := r.Old
	if o == nil {
		return
	}
	if r.Environment == "" {
		r.Environment = o.Environment.Kind
	}
	if r.Environment == lock.Debian && o.Environment.Kind == lock.Debian {
		if r.Suite == "" && r.Target == "" {
			r.Suite = o.Environment.Suite
		}
		if len(r.Debs) == 0 {
			r.Debs = o.Environment.Requested
		}
	}
	if r.Environment == lock.OCI && o.Environment.Kind == lock.OCI && r.Image == nil {
		r.Image = &oci.Reference{Transport: oci.Registry, Name: o.Environment.Image, Digest: o.Environment.Digest}
	}
	if r.Target == "" && r.Suite == o.Environment.Suite {
		r.Target = o.Recipe.Target
	}
	if r.Pins == nil {
		r.Pins = o.Recipe.Pins
	}
	if r.Settings == nil {
		r.Settings = o.Recipe.ConfigSettings
	}
	if r.Env == nil {
		r.Env = o.Recipe.Env
	}
	r.NoRepair = r.NoRepair || o.Recipe.Repair == "" && strings.Contains(o.Recipe.Target, "linux")
}

// kept are constraints that hold what the old lock has.
func (r *Request) kept() []string {
	var out []string
	if r.Old == nil || r.Newest {
		return nil
	}
	for _, p := range r.Old.Packages {
		if !slices.Contains(r.Upgrade, p.Name) && !slices.ContainsFunc(r.Pins, func(q recipe.Pin) bool { return q.Name == p.Name }) {
			out = append(out, p.Name+"=="+p.Version)
		}
	}
	return out
}

// pure reports whether the target is a wheel for every platform.
func (r *Request) pure() bool { return strings.HasSuffix(r.Target, "-any") }

// environment chooses the interpreter and, for a debian one, its packages.
func (w *Workshop) environment(ctx context.Context, r *Request, l *lock.Lock, job *build.Job) error {
	if r.Environment == "" {
		r.Environment = lock.Debian
	}
	if r.Environment == lock.Host {
		l.Environment.Kind = lock.Host
		want := r.python()
		if want == "" && len(w.Supply.Pythons) > 0 {
			want = w.Supply.Pythons[0].Version
		}
		var ok bool
		if job.Python, ok = env.Nearest(w.Supply.Pythons, want); !ok {
			return fmt.Errorf("no Python %s here (uv python install gets one)", want)
		}
		return nil
	}
	if w.Runtime == nil {
		return fmt.Errorf("an environment of kind %s needs a cage: %s (--env host does without)", r.Environment, w.Uncaged)
	}
	if r.Environment == lock.OCI {
		return w.image(ctx, r, l, job)
	}
	suite, err := r.suite()
	if err != nil {
		return err
	}
	if have := debian.Machine(); r.architecture() != have {
		return fmt.Errorf("target %s is for %s, this machine is %s: lock it on one of those", r.Target, r.architecture(), have)
	}
	r.Log.stage("packages")
	wanted := append([]string{"python3"}, r.Debs...)
	if !r.pure() {
		wanted = append(wanted, debian.Compilers...)
	}
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	keep := map[string]string{}
	if r.Old != nil && !r.Newest && r.Old.Environment.Suite == suite.Name {
		for _, d := range r.Old.Environment.Debs {
			if !slices.Contains(r.Upgrade, d.Name) {
				keep[d.Name] = d.Version
			}
		}
	}
	e, err := w.Supply.Debian(ctx, suite.Name, r.architecture(), wanted, keep)
	if err != nil {
		return err
	}
	r.Log.stage("root")
	if job.Root, err = w.Supply.Root(ctx, e); err != nil {
		return err
	}
	l.Environment = e
	job.Python, err = env.DebianPython(e)
	return err
}

// image chooses the image and the interpreter in it.
func (w *Workshop) image(ctx context.Context, r *Request, l *lock.Lock, job *build.Job) error {
	python, platform, _ := strings.Cut(r.Target, "-")
	if r.Image == nil {
		ref, err := env.PinnedImage([]string{platform}, time.Now())
		if err != nil {
			return err
		}
		r.Image = &ref
	}
	if _, machine, ok := oci.ParsePolicy(platform); ok && machine != oci.Machines[oci.Machine()] {
		return fmt.Errorf("target %s is for %s, this machine is %s: lock it on one of those", r.Target, machine, oci.Machines[oci.Machine()])
	}
	if !strings.HasPrefix(python, "cp") {
		python = "" // py3-none-any, abi3
	}
	r.Log.stage("image")
	var err error
	if l.Environment, err = w.Supply.OCI(ctx, *r.Image, python); err != nil {
		return err
	}
	job.Python, job.Root, err = w.Interpreter(ctx, l)
	return err
}

// python is the minor version that the target names, "3.11", or "".
func (r *Request) python() string {
	tag, _, _ := strings.Cut(r.Target, "-")
	if digits, ok := strings.CutPrefix(tag, "cp3"); ok && digits != "" {
		return "3." + digits
	}
	return ""
}

func (r *Request) suite() (debian.Suite, error) {
	python := r.python()
	if r.Suite == "" && python == "" {
		r.Suite = "bookworm"
	}
	if r.Suite == "" {
		s, ok := debian.SuiteFor(python)
		if !ok {
			var have []string
			for _, s := range debian.Suites {
				have = append(have, s.Name+" "+s.Python)
			}
			return s, fmt.Errorf("target %s: no suite has Python %s (%s); --env host takes one of this machine", r.Target, python, strings.Join(have, ", "))
		}
		return s, nil
	}
	s, err := debian.ParseSuite(r.Suite)
	if err == nil && python != "" && python != s.Python {
		err = fmt.Errorf("target %s needs Python %s, but %s has %s", r.Target, python, s.Name, s.Python)
	}
	return s, err
}

// architecture is that of the target, else of this machine.
func (r *Request) architecture() string {
	for arch, machine := range debian.Machines {
		if strings.HasSuffix(r.Target, "_"+machine) {
			return arch
		}
	}
	return debian.Machine()
}

// recipe is the plain one: the project's own requirements, and surroundings
// that are the same everywhere.
func (r *Request) recipe(s *build.Source, python env.Python) recipe.Recipe {
	at := epoch(s.Tree)
	if r.Epoch != nil {
		at = time.Unix(*r.Epoch, 0).UTC()
	}
	seconds := at.Unix()
	rec := recipe.Recipe{
		Python: python.MinorString(), Requires: s.System.Requires, Pins: r.Pins, Mode: recipe.PEP517,
		SourceDateEpoch: &seconds, Clock: recipe.Clock{Start: at}, Umask: 0o022, HashSeed: "0",
		ConfigSettings: r.Settings, Env: r.Env, Target: r.Target,
	}
	if !r.NoRepair && !r.pure() && r.Environment != lock.Host {
		rec.Repair = recipe.Auditwheel
	}
	return rec
}

// effective compares what a build could import with what the lock says.
func effective(l *lock.Lock, used map[string]string) error {
	for _, p := range l.Recipe.Pins {
		if !slices.ContainsFunc(l.Packages, func(q lock.Package) bool { return q.Name == p.Name }) {
			return &PinError{fmt.Sprintf("%s==%s pins nothing: no build requirement needs %s", p.Name, p.Version, p.Name)}
		}
	}
	if used == nil {
		return nil
	}
	seen := map[string]string{}
	for name, version := range used {
		n, err := pypi.ParseName(name)
		if err != nil {
			return &PinError{fmt.Sprintf("the build used a package that calls itself %q", name)}
		}
		seen[string(n)] = version
	}
	for _, p := range l.Packages {
		have, ok := seen[p.Name]
		if !ok {
			return &PinError{fmt.Sprintf("%s %s is in the lock, but the build could not import it", p.Name, p.Version)}
		}
		if have != p.Version && !pypi.SameVersion(have, p.Version) {
			return &PinError{fmt.Sprintf("the lock says %s %s, the build used %s", p.Name, p.Version, have)}
		}
		delete(seen, p.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(seen)) {
		return &PinError{fmt.Sprintf("the build used %s %s, which is not in the lock", name, seen[name])}
	}
	return nil
}

// describe writes into the lock what wheel the build gave: its tag and its
// extension modules.
func (w *Workshop) describe(l *lock.Lock, b *Built, wanted string) error {
	modules, err := w.extensions(b)
	if err != nil {
		return err
	}
	f, err := pypi.ParseWheelFilename(b.Filename)
	if err != nil {
		return err
	}
	if wanted != "" && !f.Fits(wanted) {
		return &build.Failure{Class: "build", Detail: fmt.Sprintf("the wheel is %s, which is not the target %s", b.Filename, wanted)}
	}
	l.Recipe.Extensions = modules
	l.Recipe.Target = cmp.Or(wanted, tagOf(f))
	if f.IsPure() {
		l.Recipe.Repair = ""
	}
	return nil
}

// tagOf is a wheel's tag as a target: "cp311-manylinux_2_34_x86_64", "py3-none-any".
func tagOf(f pypi.WheelFilename) string {
	python, platform := strings.Join(f.Python, "."), f.Platform[0]
	if f.IsPure() {
		return python + "-none-any"
	}
	for _, p := range f.Platform {
		if strings.HasPrefix(p, "manylinux_") { // not its older name, manylinux2014
			platform = p
		}
	}
	return python + "-" + platform
}

// extensions are the extension modules of a wheel, without their suffixes,
// sorted. Libraries that a repair tool grafted in are none.
func (w *Workshop) extensions(b *Built) ([]string, error) {
	f, err := os.Open(b.Path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	a, err := wheel.Open(b.Filename, f, info.Size(), w.Wheel)
	if err != nil {
		return nil, &build.Failure{Class: "build", Detail: "the wheel that was built is refused: " + err.Error()}
	}
	return infer.Modules(a), nil
}

// Parted says in which ways a source and a lock no longer go together; none
// when they do.
func (w *Workshop) Parted(ctx context.Context, l *lock.Lock, checkout string) ([]string, error) {
	tmp, done, err := w.Supply.Client.Store.TempDir("check")
	if err != nil {
		return nil, err
	}
	defer done()
	s, _, err := w.open(ctx, l, checkout, tmp)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var out []string
	for _, r := range s.System.Requires {
		if !slices.Contains(l.Recipe.Requires, r) {
			out = append(out, fmt.Sprintf("pyproject.toml requires %q, which the lock does not know", r))
		}
	}
	for _, r := range l.Recipe.Requires {
		if !slices.Contains(s.System.Requires, r) {
			out = append(out, fmt.Sprintf("the lock was made for %q, which pyproject.toml no longer requires", r))
		}
	}
	return out, nil
}

// Moved says what differs between two locks, a line each.
func Moved(old, fresh *lock.Lock) []string {
	var out []string
	if old == nil {
		return nil
	}
	change := func(kind string, a, b map[string]string) {
		names := map[string]bool{}
		for n := range a {
			names[n] = true
		}
		for n := range b {
			names[n] = true
		}
		for _, n := range slices.Sorted(maps.Keys(names)) {
			switch x, y := a[n], b[n]; {
			case x == y:
			case x == "":
				out = append(out, fmt.Sprintf("%s %s %s is new", kind, n, y))
			case y == "":
				out = append(out, fmt.Sprintf("%s %s %s is gone", kind, n, x))
			default:
				out = append(out, fmt.Sprintf("%s %s: %s, was %s", kind, n, y, x))
			}
		}
	}
	wheels := func(l *lock.Lock) map[string]string {
		m := map[string]string{}
		for _, p := range l.Packages {
			m[p.Name] = p.Version
		}
		return m
	}
	debs := func(l *lock.Lock) map[string]string {
		m := map[string]string{}
		for _, d := range l.Environment.Debs {
			m[d.Name] = d.Version
		}
		return m
	}
	change("wheel", wheels(old), wheels(fresh))
	change("deb", debs(old), debs(fresh))
	if a, b := old.Environment, fresh.Environment; a.Image+a.Digest != b.Image+b.Digest {
		out = append(out, fmt.Sprintf("image: %s %s, was %s %s", b.Image, b.Digest, a.Image, a.Digest))
	}
	if old.Python != fresh.Python {
		out = append(out, fmt.Sprintf("python: %s, was %s", fresh.Python, old.Python))
	}
	if old.Source != nil && fresh.Source != nil && old.Source.SHA256 != fresh.Source.SHA256 {
		out = append(out, fmt.Sprintf("source: %s, was %s", fresh.Source.Filename, old.Source.Filename))
	}
	return out
}
