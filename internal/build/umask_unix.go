//go:build unix

package build

import "syscall"

func setUmask(mask int) { syscall.Umask(mask) }
