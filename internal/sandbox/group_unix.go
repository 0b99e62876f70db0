//go:build unix

package sandbox

import (
	"os/exec"
	"syscall"
)

// ownGroup makes cmd the leader of a process group that is killed as one.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// killGroup ends what is left of the group of cmd, which has ended itself.
func killGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// exitOf is how a program ended: its code, or as a shell says it the signal.
func exitOf(e *exec.ExitError) (code int, signal string) {
	if s, ok := e.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return shellCode + int(s.Signal()), s.Signal().String()
	}
	return e.ExitCode(), ""
}
