//go:build !unix

package build

// Other systems have no umask.
func setUmask(int) {}
