//go:build unix

package store

import (
	"errors"
	"os"
	"syscall"
)

// acquire takes the lock of a file, or says errHeld. It dies with the process.
func acquire(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errHeld
	}
	return err
}

// unowned reports whether the owner of an acquired lock is dead: else it could not be acquired.
func unowned(*os.File) bool { return true }

// release gives a lock up and removes its file, in the order that leaves no
// moment in which the name stands for a free lock.
func release(f *os.File) {
	os.Remove(f.Name())
	f.Close()
}
