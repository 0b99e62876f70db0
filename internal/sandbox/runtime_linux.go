package sandbox

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Runtime is an OCI runtime that was seen to work.
type Runtime struct {
	path     string
	version  string
	dir      string // holds a directory for each cage that runs
	rootless bool
}

// Name is the runtime and its version, "runc 1.1.5".
func (r *Runtime) Name() string { return filepath.Base(r.path) + " " + r.version }

// Find looks for an OCI runtime: the program explicit, or runc or crun in
// PATH and the system's directories. It runs it once to see that it can.
// Cages live in dir; those that dead processes left there are removed. The
// error is an *UnavailableError.
func Find(ctx context.Context, explicit, dir string) (*Runtime, error) {
	names := []string{"runc", "crun"}
	if explicit != "" {
		names = []string{explicit}
	}
	var path string
	for _, name := range names {
		for _, candidate := range []string{name, "/usr/sbin/" + name, "/usr/bin/" + name, "/sbin/" + name} {
			if found, err := exec.LookPath(candidate); err == nil {
				path = found
				break
			}
		}
		if path != "" {
			break
		}
	}
	if path == "" {
		return nil, &UnavailableError{"no OCI runtime was found (on Debian: apt-get install runc)"}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, &UnavailableError{fmt.Sprintf("make %s: %v", dir, err)}
	}
	r := &Runtime{path: path, dir: dir, rootless: os.Geteuid() != 0}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return nil, &UnavailableError{fmt.Sprintf("%s --version: %v", path, err)}
	}
	if fields := strings.Fields(string(out)); len(fields) >= 3 {
		r.version, _, _ = strings.Cut(fields[2], "+")
	}
	r.sweep(ctx)
	var log bytes.Buffer
	probe := Spec{Argv: []string{"/bin/true"}, Dir: "/", Stderr: &log, Stdout: &log, Limits: Limits{Time: time.Minute}}
	result, err := r.Run(ctx, probe)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil || result.ExitCode != 0 {
		why := strings.TrimSpace(log.String())
		if err != nil {
			why = err.Error()
		}
		hint := ""
		if r.rootless {
			hint = "; as root it needs no user namespaces"
		}
		return nil, &UnavailableError{fmt.Sprintf("%s can't run a container here: %s%s", r.Name(), why, hint)}
	}
	return r, nil
}

// hostDirs are the system's directories that a build may read.
var hostDirs = []string{"usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"}

// hostFiles are copied: small, and the same for every user.
var hostFiles = []string{"etc/ld.so.cache", "etc/ld.so.conf", "etc/debian_version", "etc/os-release"}

// hostRoot prepares a root directory that shows the host's system read-only:
// programs and libraries, and an /etc of our own. Homes, /root, /var, /run,
// /opt, /srv and the host's /etc are not there.
func hostRoot(root string) ([]Mount, error) {
	files := map[string]string{
		"etc/passwd":        fmt.Sprintf("root:x:0:0:root:/:/bin/sh\nbuild:x:%d:%d:build:/build:/bin/sh\n", buildID, buildID),
		"etc/group":         fmt.Sprintf("root:x:0:\nbuild:x:%d:\n", buildID),
		"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
		"etc/hosts":         "127.0.0.1 localhost build\n::1 localhost\n",
		"etc/resolv.conf":   "",
	}
	for _, dir := range []string{"etc", "proc", "dev", "tmp", "build", "truewheel"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			return nil, err
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	for _, name := range hostFiles {
		if data, err := os.ReadFile("/" + name); err == nil {
			if err := os.WriteFile(filepath.Join(root, name), data, 0o644); err != nil {
				return nil, err
			}
		}
	}
	var mounts []Mount
	for _, name := range hostDirs {
		info, err := os.Lstat("/" + name)
		if err != nil {
			continue
		}
		if info.Mode()&os.ModeSymlink != 0 {
			target, err := os.Readlink("/" + name)
			if err == nil {
				err = os.Symlink(target, filepath.Join(root, name))
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil {
			return nil, err
		}
		mounts = append(mounts, Mount{Source: "/" + name, Target: "/" + name})
	}
	if _, err := os.Stat("/etc/alternatives"); err == nil {
		mounts = append(mounts, Mount{Source: "/etc/alternatives", Target: "/etc/alternatives"})
	}
	return mounts, nil
}

// cage is one container and its directory, owned by a lock while it runs.
type cage struct {
	id, dir string
	lock    *os.File
}

func (r *Runtime) newCage() (*cage, error) {
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
	c.lock = lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	// The container's own user has to reach the root directory.
	return c, os.MkdirAll(filepath.Join(c.dir, "root"), 0o755)
}

func (c *cage) remove() {
	os.RemoveAll(c.dir)
	os.Remove(c.lock.Name())
	c.lock.Close()
}

func (r *Runtime) command(ctx context.Context, c string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, r.path, append([]string{"--root", filepath.Join(c, "state")}, args...)...)
}

// delete ends the container, whatever it does.
func (r *Runtime) delete(c *cage) error {
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	return r.command(ctx, c.dir, "delete", "--force", c.id).Run()
}

// sweep removes cages whose owner is dead.
func (r *Runtime) sweep(ctx context.Context) {
	locks, err := filepath.Glob(filepath.Join(r.dir, "*.lock"))
	if err != nil {
		return
	}
	for _, name := range locks {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
			f.Close()
			continue
		}
		dir := strings.TrimSuffix(name, ".lock")
		if _, err := os.Stat(filepath.Join(dir, "state")); err == nil {
			_ = r.command(ctx, dir, "delete", "--force", filepath.Base(dir)).Run()
		}
		os.RemoveAll(dir)
		os.Remove(name)
		f.Close()
	}
}

// Run runs the program of s in a cage of its own, and removes the cage.
func (r *Runtime) Run(ctx context.Context, s Spec) (Result, error) {
	c, err := r.newCage()
	if err != nil {
		return Result{}, fmt.Errorf("make cage: %w", err)
	}
	defer c.remove()
	root := filepath.Join(c.dir, "root")
	mounts, err := hostRoot(root)
	if err != nil {
		return Result{}, fmt.Errorf("make cage: %w", err)
	}
	data, err := json.Marshal(config(s, root, c.id, append(mounts, s.Mounts...), r.rootless, os.Getuid(), os.Getgid()))
	if err != nil {
		return Result{}, fmt.Errorf("make cage: %w", err)
	}
	if err := os.WriteFile(filepath.Join(c.dir, "config.json"), data, 0o600); err != nil {
		return Result{}, fmt.Errorf("make cage: %w", err)
	}
	ctx, stop := context.WithTimeout(ctx, s.Limits.fill().Time)
	defer stop()
	args := []string{"run", "--keep", "--bundle", c.dir}
	if n := len(s.ExtraFiles); n > 0 {
		args = append(args, "--preserve-fds", strconv.Itoa(n))
	}
	cmd := r.command(ctx, c.dir, append(args, c.id)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); r.rootless && dir != "" {
		cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR="+dir)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = s.Stdin, s.Stdout, s.Stderr, s.ExtraFiles
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is ours to pass on
	cmd.Cancel = func() error { return errors.Join(r.delete(c), cmd.Process.Kill()) }
	cmd.WaitDelay = 10 * time.Second
	result, err := finish(ctx, cmd, cmd.Run())
	if !r.rootless {
		result.MaxRSS, result.OutOfMemory = memory(c.id)
	}
	return result, errors.Join(err, r.ended(c))
}

// ended removes what --keep left: the container's state and control groups.
func (r *Runtime) ended(c *cage) error {
	if _, err := os.Stat(filepath.Join(c.dir, "state", c.id)); err != nil {
		return nil // it was never made, or is gone already
	}
	if err := r.delete(c); err != nil {
		return fmt.Errorf("remove cage: %w", err)
	}
	return nil
}

// memory reads what the cage used at most and whether the limit killed in it.
func memory(id string) (peak int64, killed bool) {
	read := func(name string) string {
		data, err := os.ReadFile(name)
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(data))
	}
	for _, dir := range []string{"/sys/fs/cgroup/memory/truewheel/" + id, "/sys/fs/cgroup/truewheel/" + id} {
		for _, file := range []string{"memory.max_usage_in_bytes", "memory.peak"} {
			if n, err := strconv.ParseInt(read(filepath.Join(dir, file)), 10, 64); err == nil {
				peak = max(peak, n)
			}
		}
		for _, file := range []string{"memory.oom_control", "memory.events"} {
			for line := range strings.Lines(read(filepath.Join(dir, file))) {
				f := strings.Fields(line)
				killed = killed || len(f) == 2 && f[0] == "oom_kill" && f[1] != "0"
			}
		}
	}
	return peak, killed
}
