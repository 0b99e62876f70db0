//go:build unix

package store

import (
	"os"
	"syscall"
)

func acquire(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

func tryAcquire(f *os.File) bool { return acquire(f) == nil }
