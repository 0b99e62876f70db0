package sandbox

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test's own program run inside of cages, and as the
// truewheel that is killed.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 {
		switch os.Args[1] {
		case "escape":
			escape(os.Args[2])
			return
		case "victim":
			os.Exit(victim(os.Args[2]))
		}
	}
	os.Exit(m.Run())
}

// cages is the runtime of this machine, with a directory of its own; nil
// where there is none, which then has to say why.
func cages(t *testing.T) *Runtime {
	t.Helper()
	r, err := Find(t.Context(), "", filepath.Join(t.TempDir(), "cages"))
	var unavailable *UnavailableError
	switch {
	case err == nil:
		t.Cleanup(func() {
			if left, err := os.ReadDir(r.dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	case errors.As(err, &unavailable) && unavailable.Reason != "":
		t.Logf("no cages here, only that is tested: %v", err)
	default:
		t.Fatalf("Find: %v", err)
	}
	return r
}

// shell runs a script in a cage.
func shell(t *testing.T, r *Runtime, s Spec, script string) (string, Result) {
	t.Helper()
	var out bytes.Buffer
	s.Argv = append([]string{"/bin/sh", "-c", script}, s.Argv...)
	s.Stdout, s.Stderr = &out, &out
	if s.Env == nil {
		s.Env = []string{"PATH=/usr/bin:/bin"}
	}
	if s.Limits.Time == 0 {
		s.Limits.Time = time.Minute
	}
	result, err := r.Run(t.Context(), s)
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out.String())
	}
	return out.String(), result
}

func TestResults(t *testing.T) {
	r := cages(t)
	if r == nil {
		return
	}
	for _, c := range []struct {
		name, script string
		spec         Spec
		out          string // contained
		code         int
		signal       string
	}{
		{name: "success", script: "echo hello", out: "hello"},
		{name: "failure", script: "exit 7", code: 7},
		{name: "signal", script: "exec 2>/dev/null; sh -c 'kill -9 $$'", code: 137, signal: "killed"},
		{name: "user", script: "id -un", out: map[bool]string{false: "build\n", true: "root\n"}[r.grade.Rootless]},
		{name: "host name", script: "uname -n; cat /proc/sys/kernel/domainname", out: "build\n(none)\n"},
		{name: "own host name", spec: Spec{Hostname: "other"}, script: "uname -n", out: "other\n"},
		{name: "directory", spec: Spec{Tmpfs: []string{"/w"}, Dir: "/w"}, script: "pwd; echo x > y && cat y", out: "/w\nx\n"},
		{name: "umask", spec: Spec{Tmpfs: []string{"/w"}, Umask: 0o027}, script: "cd /w; echo > f; stat -c %a f", out: "640\n"},
		{name: "modes", spec: Spec{Tmpfs: []string{"/w", "/tmp"}}, script: "stat -c %a /w /tmp", out: "755\n1777\n"},
		{name: "deeper is later", spec: Spec{Tmpfs: []string{"/w"}, Mounts: []Mount{{Source: "/usr/bin", Target: "/w/bin"}}}, script: "ls /w/bin/env", out: "/w/bin/env\n"},
		{name: "capabilities", script: "grep -E '^Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status | sort -u -k2", out: "0000000000000000\n"},
		{name: "no new privileges", script: "grep NoNewPrivs /proc/self/status", out: "\t1\n"},
		{name: "filter", script: "grep Seccomp: /proc/self/status", out: "\t2\n"},
		{name: "processes", script: "echo $$", out: "1\n"},
		{name: "cgroups", script: "grep -v ':/$' /proc/self/cgroup", code: 1},
		{name: "no descriptors", script: "ls /proc/self/fd", out: "0\n1\n2\n3\n"}, // 3 is ls's own
		{name: "places", script: "ls /home /root /var /run /opt /sys /srv /mnt /etc/shadow /etc/machine-id /etc/hostname 2>/dev/null", code: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, result := shell(t, r, c.spec, c.script)
			if !strings.Contains(out, c.out) || c.out == "" && out != "" {
				t.Errorf("said %q, not %q", out, c.out)
			}
			if result.ExitCode != c.code || result.Signal != c.signal || result.TimedOut || result.OutOfMemory {
				t.Errorf("ended with %+v, not %d %q", result, c.code, c.signal)
			}
			if r.Limits && result.MaxRSS == 0 || result.Duration <= 0 {
				t.Errorf("measured nothing: %+v", result)
			}
		})
	}
}

func TestNotRun(t *testing.T) {
	r := cages(t)
	if r == nil {
		return
	}
	for name, s := range map[string]Spec{
		"no argv":    {},
		"no program": {Argv: []string{"/nowhere/program"}},
		"no source":  {Argv: []string{"/bin/true"}, Mounts: []Mount{{Source: "/nowhere/source", Target: "/s"}}},
		"no target":  {Argv: []string{"/bin/true"}, Mounts: []Mount{{Source: "/usr", Target: "s"}}},
		"no root":    {Argv: []string{"/bin/true"}, Root: "/nowhere"},
	} {
		if result, err := r.Run(t.Context(), s); err == nil {
			t.Errorf("%s: %+v", name, result)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := r.Run(ctx, Spec{Argv: []string{"/bin/true"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
}

// What the caller is and has must not show.
func TestSurroundings(t *testing.T) {
	r := cages(t)
	if r == nil {
		return
	}
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, "key"), []byte("secret"), 0o666); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	t.Setenv("TRUEWHEEL_TEST_TOKEN", "secret")
	var out bytes.Buffer
	s := Spec{Argv: []string{"/usr/bin/env"}, Env: []string{"A=b"}, Stdout: &out}
	if _, err := r.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Fields(out.String()); !slices.Equal(lines, []string{"A=b", "HOME=/build"}) {
		t.Errorf("environment: %q", lines)
	}
	// A descriptor and a umask as a careless parent would leave them to us.
	fd, err := syscall.Open(filepath.Join(home, "key"), syscall.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	script := `cat "$1" 2>/dev/null && echo seen; ls /proc/self/fd | tr '\n' ' '; cat /proc/self/fd/9 2>/dev/null
		tail -n 1 /etc/passwd; stat -c '%a %n' / /etc /etc/passwd /tmp /deep /deep/er; umask`
	got, _ := shell(t, r, Spec{
		Argv: []string{"sh", filepath.Join(home, "key")}, Umask: 0o022,
		Mounts: []Mount{{Source: "/usr/share", Target: "/deep/er/share"}},
	}, script)
	want := "0 1 2 3 build:x:65533:65533:build:/build:/bin/sh\n755 /\n755 /etc\n644 /etc/passwd\n755 /tmp\n755 /deep\n755 /deep/er\n0022\n"
	if got != want {
		t.Errorf("seen: %q", got)
	}
}

func TestMountModes(t *testing.T) {
	r := cages(t)
	if r == nil {
		return
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	script := "echo x > /rw/file && cat /ro/file; echo x > /ro/other || echo refused; echo x > /usr/y || echo refused; echo > /z || echo refused"
	out, _ := shell(t, r, Spec{Mounts: []Mount{{Source: dir, Target: "/ro"}, {Source: dir, Target: "/rw", Writable: true}}}, script)
	if strings.Count(out, "refused") != 3 || !strings.HasPrefix(out, "x\n") {
		t.Errorf("said %q", out)
	}
	if os.Geteuid() == 0 {
		// A setuid program gains nothing.
		data, err := os.ReadFile("/usr/bin/id")
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "id"), data, 0o755)
		}
		if err == nil {
			err = os.Chmod(filepath.Join(dir, "id"), 0o755|os.ModeSetuid|os.ModeSetgid)
		}
		if err != nil {
			t.Fatal(err)
		}
		if out, _ := shell(t, r, Spec{Mounts: []Mount{{Source: dir, Target: "/ro"}}}, "/ro/id -u; /ro/id -g"); out != "65533\n65533\n" {
			t.Errorf("setuid gave %q", out)
		}
	}
}

func TestOwnRoot(t *testing.T) {
	r := cages(t)
	if r == nil {
		return
	}
	root := t.TempDir()
	for _, dir := range []string{"usr", "etc", "proc", "tmp", "srv"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"bin", "lib", "lib64"} {
		target, err := os.Readlink("/" + name)
		if err != nil {
			t.Logf("/%s is no link here: nothing to test", name)
			return
		}
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "etc/issue"), []byte("unpacked\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _ := shell(t, r, Spec{Root: root, Mounts: []Mount{{Source: "/usr", Target: "/usr"}, {Source: "/usr/share", Target: "/truewheel/x"}}, Tmpfs: []string{"/build"}},
		"cat /etc/issue; ls -d /etc/* /srv /truewheel/x; echo x > /build/y; { echo x > /etc/y; } 2>/dev/null || echo refused")
	if want := "unpacked\n/etc/issue\n/srv\n/truewheel/x\nrefused\n"; out != want {
		t.Errorf("said %q", out)
	}
	if entries, err := os.ReadDir(root); err != nil || len(entries) != 8 {
		t.Errorf("the root was changed: %v %v", entries, err)
	}
}

func TestLimits(t *testing.T) {
	r := cages(t)
	if r == nil {
		return
	}
	if r.Limits {
		t.Run("memory", func(t *testing.T) {
			_, result := shell(t, r, Spec{Limits: Limits{Memory: 48 << 20}}, "head -c 400m /dev/zero | tail")
			if !result.OutOfMemory || result.ExitCode == 0 || result.MaxRSS > 48<<20 {
				t.Errorf("%+v", result)
			}
		})
		t.Run("memory of tmpfs", func(t *testing.T) {
			_, result := shell(t, r, Spec{Tmpfs: []string{"/a", "/b"}, Limits: Limits{Memory: 48 << 20, Disk: 40 << 20}},
				"head -c 40m /dev/zero > /a/x; head -c 40m /dev/zero > /b/x")
			if !result.OutOfMemory {
				t.Errorf("%+v", result)
			}
		})
		t.Run("processes", func(t *testing.T) {
			out, result := shell(t, r, Spec{Limits: Limits{Processes: 24}}, "i=0; while [ $i -lt 100 ]; do sleep 60 & i=$((i+1)); done")
			if result.ExitCode == 0 || !strings.Contains(out, "fork") {
				t.Errorf("%+v %s", result, out)
			}
		})
		t.Run("fork bomb", func(t *testing.T) {
			_, result := shell(t, r, Spec{Limits: Limits{Processes: 64, Time: time.Second}}, "f() { f | f & }; f 2>/dev/null; while :; do sleep 60; done")
			if !result.TimedOut && result.ExitCode == 0 {
				t.Errorf("%+v", result)
			}
		})
	}
	t.Run("disk", func(t *testing.T) {
		out, result := shell(t, r, Spec{Tmpfs: []string{"/build"}, Limits: Limits{Disk: 1 << 20}}, "head -c 2m /dev/zero > /build/x")
		if result.ExitCode == 0 || !strings.Contains(out, "No space left") {
			t.Errorf("%+v %s", result, out)
		}
	})
	t.Run("file in a mount", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		shell(t, r, Spec{Mounts: []Mount{{Source: dir, Target: "/w", Writable: true}}, Limits: Limits{Disk: 1 << 20}}, "head -c 2m /dev/zero > /w/x")
		if info, err := os.Stat(filepath.Join(dir, "x")); err != nil || info.Size() > 1<<20 {
			t.Errorf("%v %v", info, err)
		}
	})
	t.Run("time", func(t *testing.T) {
		_, result := shell(t, r, Spec{Limits: Limits{Time: 300 * time.Millisecond}}, "trap '' TERM INT HUP; while :; do sleep 60; done")
		if !result.TimedOut || result.Duration > 20*time.Second {
			t.Errorf("%+v", result)
		}
	})
	t.Run("time from the start", func(t *testing.T) {
		result, err := r.Run(t.Context(), Spec{Argv: []string{"/bin/sleep", "60"}, Limits: Limits{Time: time.Millisecond}})
		if err != nil || !result.TimedOut {
			t.Errorf("%+v %v", result, err)
		}
	})
}

// A build that floods, or that nobody listens to, or that leaves others
// behind, holds nothing up.
func TestHangers(t *testing.T) {
	r := cages(t)
	if r == nil {
		return
	}
	t.Run("grandchildren", func(t *testing.T) {
		out, result := shell(t, r, Spec{}, "setsid sleep 300 & setsid sh -c 'sleep 300 & sleep 300' & echo done")
		if out != "done\n" || result.Duration > 10*time.Second {
			t.Errorf("%q %+v", out, result)
		}
	})
	t.Run("flood", func(t *testing.T) {
		result, err := r.Run(t.Context(), Spec{Argv: []string{"/usr/bin/yes"}, Stdout: io.Discard, Limits: Limits{Time: 300 * time.Millisecond}})
		if err != nil || !result.TimedOut {
			t.Errorf("%+v %v", result, err)
		}
	})
	t.Run("nobody reads", func(t *testing.T) {
		from, to, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer from.Close()
		defer to.Close()
		result, err := r.Run(t.Context(), Spec{
			Argv: []string{"/bin/sh", "-c", "yes >&3 & yes"}, Env: []string{"PATH=/usr/bin:/bin"}, Stdout: to, Stderr: to,
			ExtraFiles: []*os.File{to}, Limits: Limits{Time: 300 * time.Millisecond},
		})
		if err != nil || !result.TimedOut || result.Duration > 20*time.Second {
			t.Errorf("%+v %v", result, err)
		}
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		_, err := r.Run(ctx, Spec{
			Argv: []string{"/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 60; done"}, Env: []string{"PATH=/usr/bin:/bin"},
			Stdout: writerFunc(func(p []byte) (int, error) { stop(); return len(p), nil }),
		})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// The talk that package build has with its program.
func TestTalk(t *testing.T) {
	r := cages(t)
	if r == nil {
		return
	}
	stdin, toStdin, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, three, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	done := make(chan error, 1)
	go func() {
		_, err := r.Run(t.Context(), Spec{
			Argv: []string{"/bin/sh", "-c", "while read x; do echo got $x >&3; done; echo end >&3"}, Stdin: stdin, ExtraFiles: []*os.File{three},
			Limits: Limits{Time: time.Minute},
		})
		done <- errors.Join(err, stdin.Close(), three.Close())
	}()
	lines := bufio.NewScanner(from)
	for _, word := range []string{"a", "b"} {
		if _, err := fmt.Fprintln(toStdin, word); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() || lines.Text() != "got "+word {
			t.Fatalf("%q %v", lines.Text(), lines.Err())
		}
	}
	toStdin.Close()
	if !lines.Scan() || lines.Text() != "end" || lines.Scan() {
		t.Errorf("%q %v", lines.Text(), lines.Err())
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAtOnce(t *testing.T) {
	r := cages(t)
	if r == nil {
		return
	}
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			out, result := shell(t, r, Spec{Tmpfs: []string{"/build"}}, fmt.Sprintf("echo %d > /build/x; cat /build/x; exit %d", i, i))
			if out != fmt.Sprintln(i) || result.ExitCode != i {
				t.Errorf("%d: %q %+v", i, out, result)
			}
			if _, err := Find(t.Context(), "", r.dir); err != nil { // it sweeps beside the others
				t.Error(err)
			}
		})
	}
	group.Wait()
}

// victim runs a cage until it is killed.
func victim(dir string) int {
	r, err := Find(context.Background(), "", dir)
	if err == nil {
		_, err = r.Run(context.Background(), Spec{
			Argv: []string{"/bin/sh", "-c", "trap '' TERM HUP INT PIPE; echo ready; while :; do sleep 60; done"}, Env: []string{"PATH=/usr/bin:/bin"},
			Stdout: os.Stdout, Stderr: os.Stderr,
		})
	}
	fmt.Println(err)
	return 1
}

func TestKilled(t *testing.T) {
	r := cages(t)
	if r == nil {
		return
	}
	cmd := exec.Command(os.Args[0], "victim", r.dir)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(stdout)
	if line, err := lines.ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q %v", line, err)
	}
	locks, err := filepath.Glob(filepath.Join(r.dir, "*.lock"))
	if err != nil || len(locks) != 1 {
		t.Fatal(locks, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// The end of its output is the end of all that ran in the cage.
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		t.Errorf("%q %v", rest, err)
	}
	_ = cmd.Wait()
	gone(t, r, strings.TrimSuffix(filepath.Base(locks[0]), ".lock"))
}

// Killed at any moment, of the probe's cage or its own.
func TestKilledEarly(t *testing.T) {
	r := cages(t)
	if r == nil {
		return
	}
	for i := range 12 {
		cmd := exec.Command(os.Args[0], "victim", r.dir)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Duration(i) * 8 * time.Millisecond)
		locks, err := filepath.Glob(filepath.Join(r.dir, "*.lock"))
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(stdout); err != nil { // until nobody holds it
			t.Error(err)
		}
		_ = cmd.Wait()
		for _, lock := range locks {
			gone(t, r, strings.TrimSuffix(filepath.Base(lock), ".lock"))
		}
		gone(t, r, "none")
	}
}

// gone waits until nothing is left of a cage after a Find.
func gone(t *testing.T, r *Runtime, id string) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		if _, err := Find(t.Context(), "", r.dir); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(r.dir); err == nil && len(left) == 0 && len(groups(id)) == 0 {
			return
		}
		<-tick.C
	}
	left, err := os.ReadDir(r.dir)
	t.Fatalf("left of %s: %v %v, %v", id, left, err, groups(id))
}

// A truewheel that was killed together with its guard.
func TestSweep(t *testing.T) {
	r := cages(t)
	if r == nil {
		return
	}
	c, err := r.newCage()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.describe(c, Spec{Argv: []string{"/bin/sleep", "300"}}); err != nil {
		t.Fatal(err)
	}
	if err := r.command(t.Context(), c, "run", "--detach", "--bundle", c.dir, "--pid-file", c.pidFile(), c.id).Run(); err != nil {
		t.Fatal(err, c.complaint())
	}
	pid := readText(c.pidFile())
	r.sweep(t.Context())
	if _, err := os.Stat("/proc/" + pid); err != nil {
		t.Error("a living owner's cage was swept")
	}
	c.lock.Close()
	r.sweep(t.Context())
	if len(groups(c.id)) > 0 {
		t.Error("control groups are left:", groups(c.id))
	}
	// As root of other names the sleeper is init's child: it may be a zombie yet.
	if status := readText("/proc/" + pid + "/status"); status != "" && !strings.Contains(status, "State:\tZ") {
		t.Errorf("it runs: %s", status)
	}
}

func TestEscape(t *testing.T) {
	r := cages(t)
	if r == nil {
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var out bytes.Buffer
	result, err := r.Run(t.Context(), Spec{
		Argv: []string{"/truewheel/self", "escape", listener.Addr().String()}, Mounts: []Mount{{Source: self, Target: "/truewheel/self"}},
		Tmpfs: []string{"/build"}, Dir: "/build", Stdout: &out, Stderr: &out, Limits: Limits{Time: time.Minute},
	})
	if err != nil || result.ExitCode != 0 {
		t.Fatalf("%+v %v\n%s", result, err, out.String())
	}
	n := 0
	for line := range strings.Lines(out.String()) {
		n++
		if strings.Contains(line, "escaped") {
			t.Error(strings.TrimSpace(line))
		} else {
			t.Log(strings.TrimSpace(line))
		}
	}
	if n < 20 {
		t.Errorf("only %d ways were tried:\n%s", n, out.String())
	}
}

func BenchmarkTrue(b *testing.B) {
	r, err := Find(b.Context(), "", b.TempDir())
	if err != nil {
		b.Logf("no cages here: %v", err)
		return
	}
	for b.Loop() {
		if _, err := r.Run(b.Context(), Spec{Argv: []string{"/bin/true"}, Tmpfs: []string{"/build", "/tmp"}}); err != nil {
			b.Fatal(err)
		}
	}
}
