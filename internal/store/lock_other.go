//go:build !unix

package store

import "os"

// An open file can't be removed here: that is lock enough.
func acquire(*os.File) error { return nil }

func tryAcquire(f *os.File) bool {
	name := f.Name()
	f.Close()
	return os.Remove(name) == nil
}
