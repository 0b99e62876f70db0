//go:build unix

package env

import "os"

func link(python, to string) error { return os.Symlink(python, to) }
