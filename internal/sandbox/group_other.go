//go:build !unix

package sandbox

import "os/exec"

func ownGroup(*exec.Cmd) {}

func signalOf(*exec.ExitError) string { return "" }
