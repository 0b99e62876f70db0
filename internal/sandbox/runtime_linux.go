package sandbox

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Runtime is an OCI runtime that was seen to work.
type Runtime struct {
	Limits  bool // Limits of memory and processes hold for a cage as a whole; else only for each process
	path    string
	version string
	dir     string // holds a directory for each cage that runs
	grade   grade
}

// Name is the runtime and its version, "runc 1.1.5".
func (r *Runtime) Name() string { return filepath.Base(r.path) + " " + r.version }

// Find looks for an OCI runtime: the program explicit, or runc or crun in
// PATH and the system's directories. It runs it once to see that it can.
// Cages live in dir; those that dead processes left there are removed. The
// error is an *UnavailableError, or that of ctx.
func Find(ctx context.Context, explicit, dir string) (*Runtime, error) {
	path := lookRuntime(explicit)
	if path == "" {
		return nil, &UnavailableError{cmp.Or(explicit, "an OCI runtime") + " was not found (on Debian: apt-get install runc)"}
	}
	dir, err := filepath.Abs(dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return nil, &UnavailableError{fmt.Sprintf("make a place for cages: %v", err)}
	}
	r := &Runtime{path: path, dir: dir}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return nil, cmp.Or(ctx.Err(), error(&UnavailableError{fmt.Sprintf("%s --version: %v", path, err)}))
	}
	if fields := strings.Fields(string(out)); len(fields) >= 3 {
		r.version, _, _ = strings.Cut(fields[2], "+")
	}
	grades := []grade{{Limits: true, Swap: true}, {Limits: true}, {}}
	hint := ""
	if os.Geteuid() != 0 {
		grades = []grade{{Rootless: true}}
		hint = "; as root it needs no user namespaces"
	}
	r.grade = grades[0]
	r.sweep(ctx)
	var why string
	for _, r.grade = range grades {
		r.Limits = r.grade.Limits
		if why = r.probe(ctx); why == "" {
			return r, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return nil, &UnavailableError{fmt.Sprintf("%s can't run a container here: %s%s", r.Name(), why, hint)}
}

// lookRuntime is the path of the runtime, "" when there is none.
func lookRuntime(explicit string) string {
	names := []string{"runc", "crun"}
	if explicit != "" {
		names = []string{explicit}
	}
	for _, name := range names {
		candidates := []string{name}
		if !strings.Contains(name, "/") {
			candidates = append(candidates, "/usr/sbin/"+name, "/usr/bin/"+name, "/sbin/"+name)
		}
		for _, candidate := range candidates {
			if found, err := exec.LookPath(candidate); err == nil {
				return found
			}
		}
	}
	return ""
}

// probe says why no cage can be run, or nothing.
func (r *Runtime) probe(ctx context.Context) string {
	var log bytes.Buffer
	result, err := r.Run(ctx, Spec{
		Argv: []string{"/bin/true"}, Stdout: &log, Stderr: &log,
		Tmpfs: []string{"/build"}, Limits: Limits{Time: time.Minute},
	})
	switch {
	case err != nil:
		return err.Error()
	case result.TimedOut || result.ExitCode != 0:
		return cmp.Or(strings.TrimSpace(log.String()), fmt.Sprintf("/bin/true ended with %+v", result))
	}
	return ""
}

// cage is one container and its directory, owned by a lock while it runs.
type cage struct {
	id, dir string
	lock    *os.File
}

// newCage makes an empty cage. A sweep may take a lock before its maker has
// it; then there is another name.
func (r *Runtime) newCage() (*cage, error) {
	for range 100 {
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			return nil, err
		}
		c := &cage{id: "tw" + hex.EncodeToString(b[:])}
		c.dir = filepath.Join(r.dir, c.id)
		lock, err := os.OpenFile(c.dir+".lock", os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if err != nil {
			return nil, err
		}
		if !owns(lock) {
			lock.Close()
			continue
		}
		c.lock = lock
		if err := errors.Join(os.Mkdir(c.dir, 0o700), os.Mkdir(c.root(), 0o755), os.Chmod(c.root(), 0o755)); err != nil {
			c.close(nil)
			return nil, err
		}
		return c, nil
	}
	return nil, fmt.Errorf("%s: no lock is to be had", r.dir)
}

// owns takes the lock on f if nobody has it and f is still what its name says.
func owns(f *os.File) bool {
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return false
	}
	have, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Stat(f.Name())
	return err == nil && os.SameFile(have, named)
}

func (c *cage) root() string    { return filepath.Join(c.dir, "root") }
func (c *cage) state() string   { return filepath.Join(c.dir, "state") }
func (c *cage) log() string     { return filepath.Join(c.dir, "log") }
func (c *cage) pidFile() string { return filepath.Join(c.dir, "pid") }

// close removes the directory of a cage, or leaves it for the next sweep
// where its end failed: nothing else knows what there is to remove.
func (c *cage) close(end error) {
	if end == nil {
		os.RemoveAll(c.dir)
		os.Remove(c.lock.Name())
	}
	c.lock.Close()
}

// started says whether the program of the cage was run: the runtime writes
// the file after that.
func (c *cage) started() bool {
	_, err := os.Stat(c.pidFile())
	return err == nil
}

// complaint is the last thing that the runtime logged.
func (c *cage) complaint() string {
	last := ""
	for line := range strings.Lines(readText(c.log())) {
		var entry struct{ Level, Msg string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg != "" {
			last = entry.Msg
		}
	}
	return last
}

// command is the runtime with the state of the cage c.
func (r *Runtime) command(ctx context.Context, c *cage, args ...string) *exec.Cmd {
	global := []string{"--root", c.state(), "--log", c.log(), "--log-format", "json"}
	if !r.grade.Limits && !r.grade.Rootless && r.isRunc() {
		global = append(global, "--rootless=true") // go on without control groups
	}
	cmd := exec.CommandContext(ctx, r.path, append(global, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); r.grade.Rootless && dir != "" {
		cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+dir)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to pass on
	return cmd
}

func (r *Runtime) isRunc() bool { return strings.HasPrefix(filepath.Base(r.path), "runc") }

// end ends the container, whatever it does, and removes what the runtime has of it.
func (r *Runtime) end(c *cage) error {
	var err error
	if _, missing := os.Stat(filepath.Join(c.state(), c.id)); missing == nil {
		ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
		defer stop()
		if err = r.command(ctx, c, "delete", "--force", c.id).Run(); err != nil {
			err = fmt.Errorf("remove cage: %w: %s", err, c.complaint())
		}
	}
	if r.grade.Limits {
		err = errors.Join(err, removeGroups(c.id))
	}
	return err
}

// sweep removes cages whose owner is dead.
func (r *Runtime) sweep(ctx context.Context) {
	locks, err := filepath.Glob(filepath.Join(r.dir, "*.lock"))
	if err != nil {
		return
	}
	for _, name := range locks {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil || ctx.Err() != nil {
			continue
		}
		if !owns(f) {
			f.Close()
			continue
		}
		dir := strings.TrimSuffix(name, ".lock")
		c := &cage{id: filepath.Base(dir), dir: dir, lock: f}
		c.close(r.end(c))
	}
}

// guard ends and removes the cage when we die, however: it waits for the end
// of a pipe that only we hold. Then it kills the runtime of that process id,
// which could still be making the container, waits for its end, and deletes
// what there is by then. Where that fails all is left to a sweep. The returned function dismisses the guard.
func (r *Runtime) guard(c *cage, pid int) (dismiss func(), err error) {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	const script = `read never
dir=$1 pid=$2; shift 2
kill -9 $pid
n=0; while [ $n -lt 100 ] && kill -0 $pid && ! grep -q '^State:.Z' /proc/$pid/status; do n=$((n+1)); sleep 0.02; done
"$@" || exit
for group in /sys/fs/cgroup/*/truewheel/"${dir##*/}" /sys/fs/cgroup/truewheel/"${dir##*/}"; do
	[ ! -d "$group" ] || rmdir "$group" || exit
done
rm -rf "$dir" "$dir.lock"`
	end := r.command(context.Background(), c, "delete", "--force", c.id)
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "truewheel-guard", c.dir, strconv.Itoa(pid)}, end.Args...)...)
	cmd.Env, cmd.Stdin, cmd.Dir = end.Env, theirs, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		ours.Close()
		return nil, err
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		ours.Close()
	}, nil
}

// Run runs the program of s in a cage of its own, and removes the cage. It
// returns when no process of the cage is left.
func (r *Runtime) Run(ctx context.Context, s Spec) (result Result, err error) {
	if len(s.Argv) == 0 {
		return Result{}, errNoProgram
	}
	closeInherited()
	c, err := r.newCage()
	if err != nil {
		return Result{}, fmt.Errorf("make cage: %w", err)
	}
	dismiss := func() {}
	defer func() {
		failure := r.end(c)
		dismiss()
		c.close(failure)
		err = errors.Join(err, failure)
	}()
	if err := r.describe(c, s); err != nil {
		return Result{}, fmt.Errorf("make cage: %w", err)
	}
	outer := ctx
	ctx, stop := context.WithTimeout(ctx, s.Limits.fill().Time)
	defer stop()
	args := []string{"run", "--bundle", c.dir, "--pid-file", c.pidFile()}
	if r.isRunc() {
		args = append(args, "--keep") // to read what it used
	}
	if n := len(s.ExtraFiles); n > 0 {
		args = append(args, "--preserve-fds", strconv.Itoa(n))
	}
	cmd := r.command(ctx, c, append(args, c.id)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = s.Stdin, s.Stdout, s.Stderr, s.ExtraFiles
	cmd.Cancel = func() error { return errors.Join(r.end(c), cmd.Process.Kill()) }
	cmd.WaitDelay = waitDelay
	// Where we die before there is a guard, the runtime dies with our thread.
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := time.Now()
	err = cmd.Start()
	if err == nil {
		release, failure := r.guard(c, cmd.Process.Pid)
		if failure != nil {
			stop()
			return Result{}, errors.Join(fmt.Errorf("guard cage: %w", failure), cmd.Wait())
		}
		dismiss = release
		err = cmd.Wait()
	}
	result, err = finish(outer, ctx, cmd, err, start)
	if err != nil || result.TimedOut {
		return result, err
	}
	if !c.started() {
		return result, fmt.Errorf("run %s in a cage: %s", s.Argv[0], cmp.Or(c.complaint(), "the runtime says nothing"))
	}
	if result.Signal != "" {
		return result, fmt.Errorf("run %s in a cage: the runtime ended by signal: %s", s.Argv[0], result.Signal)
	}
	if n := result.ExitCode - shellCode; n > 0 && n <= 64 {
		result.Signal = syscall.Signal(n).String()
	}
	result.MaxRSS, result.OutOfMemory = memory(c.id)
	return result, nil
}

// describe prepares the root directory of the cage and writes its config.json.
func (r *Runtime) describe(c *cage, s Spec) error {
	mounts, err := prepareRoot(c.root(), s)
	if err != nil {
		return err
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		return err
	}
	data, err := json.Marshal(config(s, cageOf{
		id: c.id, root: c.root(), mounts: mounts, uid: os.Getuid(), gid: os.Getgid(), files: files.Max, grade: r.grade,
	}))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.dir, "config.json"), data, 0o600)
}
