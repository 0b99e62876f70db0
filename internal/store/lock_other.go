//go:build !unix

package store

import "os"

// An open file can't be removed here: that is lock enough.
func acquire(*os.File) error { return nil }

// unowned reports whether the owner of a lock is dead.
func unowned(f *os.File) bool {
	f.Close()
	return os.Remove(f.Name()) == nil
}

// release gives a lock up and removes its file.
func release(f *os.File) {
	f.Close()
	os.Remove(f.Name())
}
