//go:build !unix

package env

import (
	"os"
	"path/filepath"
)

// A copy needs the libraries beside it: PEP 405's launcher finds them by pyvenv.cfg.
func link(python, to string) error {
	launcher := filepath.Join(filepath.Dir(python), "Lib", "venv", "scripts", "nt", "python.exe")
	data, err := os.ReadFile(launcher)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o755)
}
