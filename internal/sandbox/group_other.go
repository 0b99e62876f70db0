//go:build !unix

package sandbox

import "os/exec"

func ownGroup(*exec.Cmd) {}

func killGroup(*exec.Cmd) {}

func exitOf(e *exec.ExitError) (code int, signal string) { return e.ExitCode(), "" }
