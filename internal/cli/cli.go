// Package cli is truewheel's command line: one file a verb. It is the only
// package that prints, and the owner of exit codes.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/truewheel/truewheel/internal/build"
	"github.com/truewheel/truewheel/internal/index"
)

// Exit codes.
const (
	exitOK      = 0 // reproduced or replayed; equal
	exitFailed  = 1 // it could not be told
	exitUsage   = 2
	exitDiffers = 3
)

// app is what all verbs share: the streams and the environment.
type app struct {
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer
	color          bool
}

// An exitError carries an exit code; what there is to say was said.
type exitError struct{ code int }

func (e *exitError) Error() string { return fmt.Sprintf("exit %d", e.code) }

// A usageError is the caller's: exit 2.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usage(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// Version of truewheel.
const Version = "0.1.0"

// Run runs one command line and says with which code to exit.
func Run(ctx context.Context, environ []string, stdin io.Reader, stdout, stderr io.Writer, args []string) int {
	if len(args) == 1 && args[0] == build.Inside {
		// The first program of a cage: descriptor 3 is the way out.
		if err := build.RunInside(stdin, os.NewFile(3, "out"), stderr); err != nil {
			fmt.Fprintln(stderr, err)
			return exitFailed
		}
		return exitOK
	}
	a := &app{environ: environ, stdin: stdin, stdout: stdout, stderr: stderr}
	_, noColor := a.lookup("NO_COLOR")
	a.color = !noColor && isTerminal(stdout)
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var exit *exitError
	var use *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.code
	case ctx.Err() != nil:
		fmt.Fprintf(stderr, "truewheel: interrupted: %s was not finished; nothing half-made is left\n", printable(strings.Join(args, " ")))
		return exitFailed
	}
	fmt.Fprintf(stderr, "truewheel: error: %s\n", printable(err.Error()))
	if hint := hintFor(err); hint != "" {
		fmt.Fprintf(stderr, "truewheel: hint: %s\n", hint)
	}
	if errors.As(err, &use) || strings.HasPrefix(err.Error(), "unknown command") { // cobra has no type for it
		return exitUsage
	}
	return exitFailed
}

func hintFor(err error) string {
	var missing *index.NotFoundError
	var offline *index.OfflineError
	switch {
	case errors.Is(err, index.ErrNoIndex):
		return "truewheel doctor says where it looked"
	case errors.As(err, &missing):
		return "check the spelling; `truewheel doctor` says which index was asked"
	case errors.As(err, &offline):
		return "run it once without --offline"
	}
	return ""
}

func (a *app) lookup(key string) (string, bool) {
	for i := len(a.environ) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(a.environ[i], key+"="); ok {
			return v, true
		}
	}
	return "", false
}

// Command is the whole command line, for documentation made from it.
func Command() *cobra.Command { return (&app{}).root() }

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "truewheel",
		Short: "Rebuild published Python wheels from source and prove, byte for byte, what matches",
		Long: `truewheel rebuilds a published Python wheel from its source and proves, byte for
byte, what matches: it finds out how the wheel was made, builds it again in a
cage, compares, and says what is proved and why the rest differs.`,
		Version:       Version,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(a.newRebuildCommand(), a.newSdistCommand(), a.newLockCommand(), a.newBuildCommand(), a.newTestCommand(), a.newVerifySealCommand(),
		a.newEnvCommand(), a.newExportCommand(), a.newInspectCommand(), a.newDiffCommand(), a.newDoctorCommand(), a.newCacheCommand())
	return root
}

// args makes cobra's complaints about arguments usage errors.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := check(cmd, given); err != nil {
			return &usageError{err}
		}
		return nil
	}
}

var breaks = strings.NewReplacer("\n", "\uFFFD", "\t", "\uFFFD")

// oneLine is printable without breaks: for names from outside.
func oneLine(s string) string { return breaks.Replace(printable(s)) }

// printable replaces control characters, so that nothing from outside speaks to the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '\uFFFD'
		}
		return r
	}, s)
}
