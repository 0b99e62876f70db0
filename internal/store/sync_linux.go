package store

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// syncTree flushes the file system: one call where each file would be one.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}
