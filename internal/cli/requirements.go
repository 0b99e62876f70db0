package cli

import (
	"fmt"
	"os"
	"strings"

	"github.com/truewheel/truewheel/pypi"
)

// requirements are what a requirements file pins.
type requirements struct {
	releases []pinned
	skipped  []string // what could not be rebuilt, and why
}

type pinned struct {
	release string   // NAME==VERSION
	hashes  []string // sha256, lower-case hex
}

// readRequirements reads a requirements file with its includes.
func readRequirements(name string) (*requirements, error) {
	r := &requirements{}
	return r, r.read(name, 0)
}

func (r *requirements) read(name string, depth int) error {
	if depth > 10 {
		return usage("%s: requirements files include each other", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return &usageError{err}
	}
	defer f.Close()
	lines, err := pypi.ParseRequirements(f)
	if err != nil {
		return &usageError{fmt.Errorf("%s: %w", name, err)}
	}
	for _, l := range lines {
		switch {
		case l.Include != "":
			if err := r.read(relative(name, l.Include), depth+1); err != nil {
				return err
			}
		case l.Version == "":
			r.skipped = append(r.skipped, fmt.Sprintf("%s:%d: %s is not pinned with ==: left out", name, l.Number, l.Text))
		default:
			r.releases = append(r.releases, pinned{string(l.Name) + "==" + l.Version, l.Hashes})
		}
	}
	return nil
}

// relative is a path that stands in a file, from here.
func relative(file, path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	if i := strings.LastIndexByte(file, '/'); i >= 0 {
		return file[:i+1] + path
	}
	return path
}
