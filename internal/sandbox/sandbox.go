// Package sandbox is the only door to the OCI runtime: it runs one program in
// a cage without network, as another user, with limits on time, memory,
// processes and disk, seeing only what is mounted for it.
//
// In every cage: own namespaces for processes, network (lo is there and up),
// mounts, host name, IPC and control groups; no capability and no way to gain
// one; no system call but those on a list; no device but null, zero, full,
// random, urandom and tty; no descriptor of the caller's but those given. Its
// host name, /etc and user are the same on every machine. The user is "build"
// where truewheel runs as root, else the caller as root of a user namespace.
// Everything that can be written is a tmpfs of the cage or a writable mount.
//
// A program that fails is a [Result]; an error means that it could not be run.
// When truewheel itself is killed, the cage ends at once; what might be left
// behind nevertheless is removed by the next [Find].
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

// Mount is a directory or file that is seen inside, read-only unless Writable,
// always without devices and without effect of setuid bits. What is mounted
// below Source is not seen (but by rootless cages).
type Mount struct {
	Source, Target string
	Writable       bool
}

// Limits of one run. Zero fields have safe values.
type Limits struct {
	Time      time.Duration // 0: 30 minutes
	Memory    int64         // bytes of the whole cage, all tmpfs together included; 0: 4 GiB
	Processes int64         // with their threads; 0: 512
	Disk      int64         // bytes of each tmpfs, and of a file in a writable mount; 0: 2 GiB
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
	Env            []string // whole environment; nothing is inherited; a runtime adds HOME=/build when there is none
	Dir            string   // working directory inside; "" is /
	Root           string   // directory that is seen as /, read-only; "": the host's system (/usr, /lib…, an /etc of our own)
	Mounts         []Mount  // what lies deeper is mounted later, with Tmpfs in one order
	Tmpfs          []string // writable places, empty at first: the build user's, 0755; /tmp and /var/tmp 1777
	Umask          uint32
	Hostname       string // "": build
	Limits         Limits
	Stdin          io.Reader // *os.File to talk to the program; nil: nothing
	Stdout, Stderr io.Writer
	ExtraFiles     []*os.File // become descriptors 3, 4, …
}

// Result is how a program ended.
type Result struct {
	ExitCode    int    // of a program that was killed 128 and the signal, as a shell says it
	Signal      string // "" when it exited by itself; a shell that tells 137 counts as "killed"
	TimedOut    bool   // Limits.Time ended it
	OutOfMemory bool   // Limits.Memory killed a process of it, maybe not the first
	MaxRSS      int64  // bytes of the whole cage, tmpfs and page cache included; 0 when unknown
	Duration    time.Duration
}

// UnavailableError says why there is no cage here, and how to get one.
type UnavailableError struct{ Reason string }

func (e *UnavailableError) Error() string { return "no cage: " + e.Reason }

// waitDelay is how long Run waits for readers and writers of the caller's
// after the program has ended. In a cage nothing is left that could hold them.
const waitDelay = 2 * time.Second

// shellCode and the signal's number is the exit code of what a signal ended.
const shellCode = 128

var errNoProgram = errors.New("run: no program")

// RunUncaged runs the program of s as a plain child in s.Dir: mounts, tmpfs
// and limits but time are not there. What it leaves running in its process
// group is killed. The report has to say isolation: none.
func RunUncaged(ctx context.Context, s Spec) (Result, error) {
	if len(s.Argv) == 0 {
		return Result{}, errNoProgram
	}
	outer := ctx
	ctx, stop := context.WithTimeout(ctx, s.Limits.fill().Time)
	defer stop()
	cmd := exec.CommandContext(ctx, s.Argv[0], s.Argv[1:]...)
	cmd.Env = append([]string{}, s.Env...) // nil would inherit ours
	cmd.Dir = s.Dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = s.Stdin, s.Stdout, s.Stderr, s.ExtraFiles
	ownGroup(cmd)
	cmd.WaitDelay = waitDelay
	closeInherited()
	start := time.Now()
	err := cmd.Run()
	if cmd.Process != nil {
		killGroup(cmd)
	}
	return finish(outer, ctx, cmd, err, start)
}

// finish turns what exec says into a Result. Outer is the caller's context,
// inner the one that also ends with the time limit.
func finish(outer, inner context.Context, cmd *exec.Cmd, err error, start time.Time) (Result, error) {
	r := Result{Duration: time.Since(start)}
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return r, nil // the latter left children that held our pipes
	case outer.Err() != nil:
		return r, outer.Err()
	case inner.Err() != nil:
		r.TimedOut = true
		return r, nil
	case errors.As(err, &exit):
		r.ExitCode, r.Signal = exitOf(exit)
		return r, nil
	}
	return r, fmt.Errorf("run %s: %w", cmd.Path, err)
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
