package sandbox

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestFindNothing(t *testing.T) {
	_, err := Find(t.Context(), filepath.Join(t.TempDir(), "no-such-runtime"), t.TempDir())
	var unavailable *UnavailableError
	if !errors.As(err, &unavailable) || unavailable.Reason == "" {
		t.Errorf("got %v", err)
	}
}

func TestLimitsFill(t *testing.T) {
	if got := (Limits{}).fill(); got.Time <= 0 || got.Memory <= 0 || got.Processes <= 0 || got.Disk <= 0 {
		t.Errorf("no limit: %+v", got)
	}
	want := Limits{Time: 1, Memory: 2, Processes: 3, Disk: 4}
	if got := want.fill(); got != want {
		t.Errorf("changed: %+v", got)
	}
}

// uncaged is a program that any system has, and its arguments.
func uncaged(unix, windows string) []string {
	if runtime.GOOS == "windows" {
		return []string{"cmd", "/c", windows}
	}
	return []string{"/bin/sh", "-c", unix}
}

func TestUncaged(t *testing.T) {
	t.Setenv("TRUEWHEEL_TEST_TOKEN", "secret")
	env := []string{"A=b"}
	if root := os.Getenv("SystemRoot"); root != "" {
		env = append(env, "SystemRoot="+root)
	}
	dir := t.TempDir()
	var out bytes.Buffer
	result, err := RunUncaged(t.Context(), Spec{
		Argv: uncaged("echo $A$TRUEWHEEL_TEST_TOKEN; echo > made; exit 3", "echo %A%& echo > made& exit 3"), Env: env, Dir: dir, Stdout: &out,
	})
	if err != nil || result.ExitCode != 3 || result.Signal != "" || result.TimedOut || strings.TrimSpace(out.String()) != "b" {
		t.Errorf("%+v %v %q", result, err, out.String())
	}
	if _, err := os.Stat(filepath.Join(dir, "made")); err != nil {
		t.Error(err)
	}
	if _, err := RunUncaged(t.Context(), Spec{}); err == nil {
		t.Error("nothing was run")
	}
	if _, err := RunUncaged(t.Context(), Spec{Argv: []string{filepath.Join(dir, "nowhere")}}); err == nil {
		t.Error("a program that is not there was run")
	}
}

func TestUncagedEnds(t *testing.T) {
	endless := uncaged("sleep 300 & sleep 300", "ping -n 300 127.0.0.1")
	env := []string{"PATH=" + os.Getenv("PATH"), "SystemRoot=" + os.Getenv("SystemRoot")}
	result, err := RunUncaged(t.Context(), Spec{Argv: endless, Env: env, Limits: Limits{Time: 100 * time.Millisecond}})
	if err != nil || !result.TimedOut || result.Duration > 20*time.Second {
		t.Errorf("%+v %v", result, err)
	}
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if result, err := RunUncaged(ctx, Spec{Argv: endless, Env: env}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the caller's limit: %+v %v", result, err)
	}
	// What it leaves behind holds its output, and is killed.
	if runtime.GOOS != "windows" {
		var out bytes.Buffer
		result, err := RunUncaged(t.Context(), Spec{Argv: uncaged("sleep 300 & echo done", ""), Env: env, Stdout: &out})
		if err != nil || result.ExitCode != 0 || result.Duration > 20*time.Second || out.String() != "done\n" {
			t.Errorf("%+v %v %q", result, err, out.String())
		}
		result, err = RunUncaged(t.Context(), Spec{Argv: uncaged("kill -9 $$", ""), Env: env})
		if err != nil || result.ExitCode != 137 || result.Signal != "killed" {
			t.Errorf("%+v %v", result, err)
		}
	}
}
