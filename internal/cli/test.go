package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/truewheel/truewheel/internal/project"
)

// testOptions are the flags of test.
type testOptions struct {
	common
	cageFlags
	mirrorFlags
	lockFile string
	requires []string
	dir      string
}

func (a *app) newTestCommand() *cobra.Command {
	var o testOptions
	cmd := &cobra.Command{
		Use:   "test WHEEL [-- COMMAND...]",
		Short: "Run a project's tests on a sealed wheel, out of reach of the seal",
		Long: `test installs a wheel, with what it requires, into an environment of its own and
runs the tests in a cage: no network, everything read-only but /build and /tmp.
The wheel's own file and its provenance are not to be seen in there; the seal is
verified before and after.

Without a COMMAND pytest runs the source's tests, or those in the package. What
the tests require is resolved when they run: it is no part of the build.`,
		Example: `  truewheel test dist/demo-1.0-cp311-cp311-manylinux_2_34_x86_64.whl
  truewheel test dist/demo-1.0-py3-none-any.whl --requires pytest,numpy -- python -m pytest --pyargs demo`,
		Args: args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error { return a.test(cmd.Context(), &o, given) },
	}
	o.common.register(cmd)
	o.cageFlags.register(cmd, true)
	o.mirrorFlags.register(cmd)
	f := cmd.Flags()
	f.StringVar(&o.lockFile, "lock", "", "the lock `file` (default: the one sealed with the wheel)")
	f.StringSliceVar(&o.requires, "requires", []string{"pytest"}, "`requirement` of the tests")
	f.StringVar(&o.dir, "source", ".", "`directory` of the checkout, when the lock is of one")
	return cmd
}

func (a *app) test(ctx context.Context, o *testOptions, given []string) error {
	sealed, err := project.VerifySeal(given[0])
	if err != nil {
		return err
	}
	w, err := a.workshop(ctx, &o.common, &o.cageFlags, &o.mirrorFlags)
	if err != nil {
		return err
	}
	if o.lockFile == "" {
		o.lockFile = project.Beside(given[0], ".lock")
	}
	l, err := a.readLock(ctx, w, o.lockFile, "", "")
	if errors.Is(err, fs.ErrNotExist) {
		return usage("%s: give the lock with --lock", err)
	}
	if err != nil {
		return err
	}
	p := newProgress(a.stderr, 1, false)
	ev := a.projectEvents(p, given[0], false)
	stage := ev.Stage
	ev.Stage = func(s string) {
		stage(s)
		if s == "test" {
			p.clear() // the tests speak for themselves
		}
	}
	code, err := w.Test(ctx, l, project.Check{
		Wheel: given[0], Requires: o.requires, Command: given[1:], Dir: o.dir, Out: a.stdout, Events: ev,
	})
	p.clear()
	if err != nil {
		return err
	}
	after, err := project.VerifySeal(given[0])
	if err != nil {
		return err
	}
	if after != sealed {
		return fmt.Errorf("%d files are sealed, %d were", after, sealed)
	}
	verdict := "PASSED"
	if code != 0 {
		verdict = fmt.Sprintf("FAILED  the tests ended with exit code %d", code)
	}
	fmt.Fprintf(a.stdout, "%s\nSEAL GOOD  %d files are as they were sealed\n", verdict, after)
	if code != 0 {
		return exit(exitFailed)
	}
	return nil
}

func (a *app) newVerifySealCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify-seal WHEEL | DIRECTORY",
		Short: "Check that what was sealed is as it was",
		Long: `verify-seal compares a wheel, its provenance, record, lock and log with the sums
that were written when the build ended, before any test ran. Exit 3 when
something is not as it was sealed.`,
		Example: `  truewheel verify-seal dist`,
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, given []string) error {
			n, err := project.VerifySeal(given[0])
			var broken *project.BrokenError
			if errors.As(err, &broken) {
				fmt.Fprintf(a.stdout, "SEAL BROKEN  %s\n", oneLine(broken.Detail))
				return exit(exitDiffers)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(a.stdout, "SEAL GOOD  %d files are as they were sealed\n", n)
			return nil
		},
	}
}
