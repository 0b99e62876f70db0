//go:build unix

package build

import (
	"os"
	"syscall"
)

func setUmask(mask int) { syscall.Umask(mask) }

// open opens a file that a build left; a pipe does not hold us up.
func open(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
}
