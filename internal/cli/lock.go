package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/truewheel/truewheel/internal/debian"
	"github.com/truewheel/truewheel/internal/infer"
	"github.com/truewheel/truewheel/internal/project"
	"github.com/truewheel/truewheel/internal/rebuild"
	"github.com/truewheel/truewheel/internal/store"
	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/recipe"
	"github.com/truewheel/truewheel/recipe/lock"
)

// lockOptions are the flags of lock.
type lockOptions struct {
	common
	cageFlags
	mirrorFlags
	env      string
	suite    string
	target   string
	debs     []string
	pins     []string
	settings []string
	vars     []string
	epoch    int64
	noRepair bool
	upgrade  []string
	forget   bool
	check    bool
	out      string
	bundle   string
	verbose  bool
}

func (a *app) newLockCommand() *cobra.Command {
	var o lockOptions
	cmd := &cobra.Command{
		Use:   "lock [DIRECTORY | SDIST | NAME==VERSION]",
		Short: "Pin every input of a project's build by sha256",
		Long: `lock resolves what a project's build needs, down to the compiler, builds it once,
and writes truewheel.lock: a complete description, each file by its sha256, from
which anybody builds the same bytes. What an earlier lock pins and sets stays,
unless --upgrade, or another flag, says otherwise. A lock is of one target.

Without an argument it locks the checkout it is run in. The suite decides which
Python and which C library there is: bullseye has 3.9 and glibc 2.31, bookworm
3.11 and 2.36, trixie 3.13 and 2.41; a wheel can run where glibc is as new as
what it uses. With --env oci it is an image, of manylinux or musllinux or any
other, which the lock names by digest: that of --image, or the one that
cibuildwheel pins for the target.

A pin that takes no effect is an error: the packages that the build could
import are compared with the lock.`,
		Example: `  truewheel lock
  truewheel lock markupsafe==3.0.3 --target cp311-manylinux_x86_64 -o markupsafe.lock
  truewheel lock --env oci --image HOST/NAME:TAG --target cp311-manylinux_2_28_x86_64
  truewheel lock --upgrade cython
  truewheel lock --check`,
		Args: args(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.lock(cmd.Context(), &o, given, cmd.Flags().Changed("epoch"))
		},
	}
	o.common.register(cmd)
	o.cageFlags.register(cmd, true)
	o.mirrorFlags.register(cmd)
	f := cmd.Flags()
	f.StringVar(&o.env, "env", "", "`kind` of environment: debian (default), oci or host")
	f.StringVar(&o.suite, "suite", "", "Debian `suite`: bullseye, bookworm or trixie (default: the one with the target's Python, or bookworm)")
	f.StringVar(&o.target, "target", "", "`tag` the wheel has to have: cp311-manylinux_x86_64, py3-none-any")
	f.StringSliceVar(&o.debs, "deb", nil, "Debian `package` that the build needs besides Python and the compilers; NAME=VERSION holds it there")
	f.StringSliceVar(&o.pins, "pin", nil, "`NAME==VERSION` of a build requirement, whatever the project asks for")
	f.StringArrayVarP(&o.settings, "config-setting", "C", nil, "`KEY=VALUE` for the build backend (PEP 517); again for more")
	f.StringArrayVar(&o.vars, "set-env", nil, "`NAME=VALUE`, a variable of the build; again for more")
	f.Int64Var(&o.epoch, "epoch", 0, "SOURCE_DATE_EPOCH in `seconds` (default: the time of the source's newest file, or of the commit)")
	f.BoolVar(&o.noRepair, "no-repair", false, "leave the wheel as the backend made it: no auditwheel")
	f.StringSliceVar(&o.upgrade, "upgrade", nil, "take the newest of this `name` and print what moved; all: of everything")
	f.BoolVar(&o.forget, "new", false, "forget the lock that was there, with its pins and settings")
	f.BoolVar(&o.check, "check", false, "write nothing; say whether the lock and pyproject.toml have parted (exit 3)")
	f.StringVarP(&o.out, "output", "o", project.LockFile, "write the lock to `file`")
	f.StringVar(&o.bundle, "bundle", "", "also pack the lock and all it names into `file`, which builds anywhere, for ever")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "show the build log")
	return cmd
}

// workshop sets up what locking and building need.
func (a *app) workshop(ctx context.Context, c *common, cage *cageFlags, m *mirrorFlags) (*project.Workshop, error) {
	b, err := a.rebuilder(ctx, c, cage, m)
	if err != nil {
		return nil, err
	}
	w := &project.Workshop{
		Supply: b.Supply, Runtime: b.Runtime, Uncaged: b.Uncaged, Limits: b.Limits, Sdist: b.Sdist, Wheel: b.Wheel,
	}
	w.UV, err = uvFile()
	return w, err
}

func (o *lockOptions) request() (project.Request, error) {
	r := project.Request{
		Environment: o.env, Suite: o.suite, Target: o.target, Debs: o.debs, NoRepair: o.noRepair,
		Upgrade: o.upgrade, Newest: len(o.upgrade) == 1 && o.upgrade[0] == "all",
	}
	if o.env != "" && o.env != lock.Host && o.env != lock.Debian && o.env != lock.OCI {
		return r, usage("--env %q: debian, oci or host", o.env)
	}
	if (o.env == lock.Host || o.env == lock.OCI) && (o.suite != "" || len(o.debs) > 0) {
		return r, usage("--suite and --deb are for --env debian")
	}
	if o.image != "" {
		if o.env != "" && o.env != lock.OCI {
			return r, usage("--image is for --env oci")
		}
		r.Environment = lock.OCI
	}
	var err error
	if r.Image, err = o.reference(); err != nil {
		return r, err
	}
	for _, text := range o.pins {
		name, version, err := rebuild.ParseRelease(text)
		if err != nil {
			return r, usage("--pin %q is not NAME==VERSION", text)
		}
		r.Pins = append(r.Pins, recipe.Pin{Name: string(name), Version: version.String()})
	}
	for _, text := range o.settings {
		k, v, _ := strings.Cut(text, "=")
		if r.Settings == nil {
			r.Settings = map[string][]string{}
		}
		r.Settings[k] = append(r.Settings[k], v)
	}
	for _, text := range o.vars {
		k, v, ok := strings.Cut(text, "=")
		if !ok {
			return r, usage("--set-env %q is not NAME=VALUE", text)
		}
		if r.Env == nil {
			r.Env = map[string]string{}
		}
		r.Env[k] = v
	}
	return r, nil
}

func (a *app) lock(ctx context.Context, o *lockOptions, given []string, withEpoch bool) error {
	r, err := o.request()
	if err != nil {
		return err
	}
	if withEpoch {
		r.Epoch = &o.epoch
	}
	w, err := a.workshop(ctx, &o.common, &o.cageFlags, &o.mirrorFlags)
	if err != nil {
		return err
	}
	what := "."
	if len(given) == 1 {
		what = given[0]
	}
	if system, abroad := infer.Abroad(o.target); abroad {
		return a.abroad(ctx, w, o, what, system)
	}
	if err := w.Find(ctx, what, &r); err != nil {
		return err
	}
	if r.Source == nil && o.out == project.LockFile {
		o.out = filepath.Join(r.Dir, o.out)
	}
	old, err := os.ReadFile(o.out)
	switch {
	case err == nil && o.forget:
	case err == nil:
		if r.Old, err = lock.Parse(old); err != nil {
			return fmt.Errorf("%s: %w", o.out, err)
		}
	case o.check || !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if o.check {
		return a.checkLock(ctx, w, o, r)
	}
	p := newProgress(a.stderr, 1, false)
	r.Log = a.projectEvents(p, what, o.verbose)
	l, built, err := w.Lock(ctx, r)
	p.clear()
	if err != nil {
		return a.buildFailed(err)
	}
	defer built.Close()
	data, err := l.Marshal()
	if err != nil {
		return err
	}
	if o.bundle != "" {
		if err := w.Bundle(ctx, l, o.bundle); err != nil {
			return fmt.Errorf("write bundle: %w", err)
		}
	}
	if err := store.WriteFile(o.out, data); err != nil {
		return fmt.Errorf("write lock: %w", err)
	}
	a.describeLock(o.out, l, built)
	for _, line := range project.Moved(r.Old, l) {
		fmt.Fprintf(a.stdout, "  moved     %s\n", oneLine(line))
	}
	fmt.Fprintf(a.stdout, "  next: truewheel build --lock %s\n", o.out)
	return nil
}

// abroad says what a target of another system is built on, as the published
// wheel tells where a release is given: it can't be locked here.
func (a *app) abroad(ctx context.Context, w *project.Workshop, o *lockOptions, what, system string) error {
	refused := fmt.Errorf("target %s is built on %s: lock it there, with --env host", o.target, system)
	if _, _, err := rebuild.ParseRelease(what); err != nil {
		return refused
	}
	targets, err := rebuild.Targets(ctx, w.Supply.Client, what, rebuild.Choice{All: true})
	if err != nil {
		return err
	}
	for _, t := range targets {
		f, err := pypi.ParseWheelFilename(t.Wheel.Filename)
		if err != nil || !f.Fits(o.target) {
			continue
		}
		path, err := w.Supply.Client.Fetch(ctx, t.Wheel)
		if err != nil {
			return err
		}
		subject, err := o.open(path)
		if err != nil {
			return err
		}
		defer subject.file.Close()
		subject.Filename = t.Wheel.Filename
		e, err := infer.Read(ctx, subject.Archive, nil, t.Wheel.UploadTime)
		if err != nil {
			return err
		}
		if p := e.Place; p != nil {
			fmt.Fprintf(a.stdout, "%s\n  published on %s\n", printable(t.Wheel.Filename), printable(p.Needs))
		}
		break
	}
	return refused
}

func (a *app) checkLock(ctx context.Context, w *project.Workshop, o *lockOptions, r project.Request) error {
	if r.Source != nil {
		r.Old.Source = r.Source
	}
	parted, err := w.Parted(ctx, r.Old, r.Dir)
	if err != nil {
		return err
	}
	for _, line := range parted {
		fmt.Fprintf(a.stdout, "%s\n", oneLine(line))
	}
	if len(parted) > 0 {
		return exit(exitDiffers)
	}
	fmt.Fprintf(a.stdout, "%s and pyproject.toml go together\n", o.out)
	return nil
}

// describeLock is the first screen of a new lock.
func (a *app) describeLock(name string, l *lock.Lock, b *project.Built) {
	e := l.Environment
	fmt.Fprintf(a.stdout, "%s\n", name)
	fmt.Fprintf(a.stdout, "  source    %s   sha256 %s…\n", oneLine(b.Source.Filename), b.Source.SHA256[:8])
	switch e.Kind {
	case lock.OCI:
		fmt.Fprintf(a.stdout, "  root      %s %s   %s…   Python %s\n", oneLine(e.Image), e.Architecture, e.Digest[:15], l.Python)
	case lock.Debian:
		fmt.Fprintf(a.stdout, "  root      %s %s, %d packages   Python %s   %s\n", e.Suite, e.Architecture, len(e.Debs), l.Python, compilerOf(e))
	default:
		fmt.Fprintf(a.stdout, "  python    %s of this machine\n", l.Python)
	}
	var names []string
	for _, p := range l.Packages {
		names = append(names, p.Name+" "+p.Version)
	}
	fmt.Fprintf(a.stdout, "  requires  %s\n", cmp.Or(strings.Join(names, ", "), "nothing"))
	fmt.Fprintf(a.stdout, "  clock     %s\n", l.Recipe.Clock.Start.UTC().Format("2006-01-02T15:04:05Z"))
	fmt.Fprintf(a.stdout, "  built     %s   sha256 %s…   %d extension modules\n", oneLine(b.Filename), b.SHA256[:8], len(l.Recipe.Extensions))
	if len(l.Recipe.Extensions) == 0 {
		fmt.Fprintf(a.stdout, "  note      it holds no extension module; --target makes that an error where it should: a compiler may have failed in silence\n")
	}
	if e.Kind == lock.Debian && strings.Contains(b.Filename, "linux") {
		if s, err := debian.ParseSuite(e.Suite); err == nil {
			fmt.Fprintf(a.stdout, "  note      %s has glibc %s: no tag can be older than what the wheel uses of it%s\n", s.Name, s.Glibc, older(s))
		}
	}
}

// older offers a suite with an older C library.
func older(s debian.Suite) string {
	out := ""
	for _, o := range debian.Suites {
		if o.Name == s.Name {
			break
		}
		out = fmt.Sprintf("; %s has %s, and Python %s", o.Name, o.Glibc, o.Python)
	}
	return out
}

// compilerOf is the compiler of an environment, in words.
func compilerOf(e lock.Environment) string {
	for _, d := range e.Debs {
		version := strings.TrimLeft(d.Name, "gc-")
		if _, err := strconv.Atoi(version); err == nil && d.Name == "gcc-"+version {
			return "gcc " + d.Version
		}
	}
	return "no compiler"
}

// projectEvents shows how far a build is.
func (a *app) projectEvents(p *progress, what string, verbose bool) project.Events {
	ev := project.Events{Stage: func(stage string) { p.stage(what, stage) }}
	watch := &ninja{tell: func(done, of string) { p.stage(what, "build "+done+"/"+of) }}
	if verbose {
		watch.to = a.stderr
	}
	ev.Log = watch
	return ev
}

// buildFailed prints the end of a failed build's log.
func (a *app) buildFailed(err error) error {
	var failed *project.Failed
	if errors.As(err, &failed) {
		lines := strings.Split(strings.TrimSpace(failed.Log), "\n")
		for _, line := range lines[max(0, len(lines)-20):] {
			fmt.Fprintf(a.stderr, "  | %s\n", oneLine(line))
		}
	}
	return err
}
