// Package sandbox is the only door to the OCI runtime: it runs one program in
// a cage without network, as another user, with limits on time, memory,
// processes and disk, seeing only what is mounted for it.
//
// A program that fails is a [Result]; an error means that it could not be run.
// Whatever a killed truewheel left behind is removed by the next [Find].
package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// buildID is user and group of a build where we are root; nobody's outside.
const buildID = 65533

// Mount is a directory or file that is seen inside, read-only unless Writable.
type Mount struct {
	Source, Target string
	Writable       bool
}

// Limits of one run. Zero fields have safe values.
type Limits struct {
	Time      time.Duration // 0: 30 minutes
	Memory    int64         // bytes, tmpfs included; 0: 4 GiB
	Processes int64         // 0: 512
	Disk      int64         // bytes of each tmpfs; 0: 2 GiB
}

func (l Limits) fill() Limits {
	if l.Time == 0 {
		l.Time = 30 * time.Minute
	}
	if l.Memory == 0 {
		l.Memory = 4 << 30
	}
	if l.Processes == 0 {
		l.Processes = 512
	}
	if l.Disk == 0 {
		l.Disk = 2 << 30
	}
	return l
}

// Spec is one run. The zero value of every field is the safe one.
type Spec struct {
	Argv           []string
	Env            []string // whole environment; nothing is inherited
	Dir            string   // working directory inside
	Mounts         []Mount
	Tmpfs          []string // writable places, empty at first
	Umask          uint32
	Limits         Limits
	Stdin          io.Reader // *os.File to talk to the program; nil: nothing
	Stdout, Stderr io.Writer
	ExtraFiles     []*os.File // become descriptors 3, 4, …
}

// Result is how a program ended.
type Result struct {
	ExitCode    int
	Signal      string // "" when it exited by itself
	TimedOut    bool
	OutOfMemory bool
	MaxRSS      int64 // bytes of the whole cage; 0 when unknown
}

// UnavailableError says why there is no cage here, and how to get one.
type UnavailableError struct{ Reason string }

func (e *UnavailableError) Error() string { return "no cage: " + e.Reason }

// RunUncaged runs the program of s as a plain child in s.Dir: mounts, tmpfs
// and limits but time are not there. The report has to say isolation: none.
func RunUncaged(ctx context.Context, s Spec) (Result, error) {
	lim := s.Limits.fill()
	ctx, stop := context.WithTimeout(ctx, lim.Time)
	defer stop()
	cmd := exec.CommandContext(ctx, s.Argv[0], s.Argv[1:]...)
	cmd.Env = append([]string{}, s.Env...) // nil would inherit ours
	cmd.Dir = s.Dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = s.Stdin, s.Stdout, s.Stderr, s.ExtraFiles
	ownGroup(cmd)
	cmd.WaitDelay = 5 * time.Second
	return finish(ctx, cmd, cmd.Run())
}

// finish turns what exec says into a Result.
func finish(ctx context.Context, cmd *exec.Cmd, err error) (Result, error) {
	var r Result
	var exit *exec.ExitError
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		r.TimedOut = true
		return r, nil
	case ctx.Err() != nil:
		return r, ctx.Err()
	case errors.As(err, &exit):
		r.ExitCode = exit.ExitCode()
		r.Signal = signalOf(exit)
		return r, nil
	case errors.Is(err, exec.ErrWaitDelay):
		return r, nil // it left children that held our pipes
	case err != nil:
		return r, fmt.Errorf("run %s: %w", cmd.Path, err)
	}
	return r, nil
}

// Own gives what a build shall read to the user it runs as. Only root can
// and needs to: in other cages the build runs as the caller.
func Own(dir string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, buildID, buildID)
	})
}
