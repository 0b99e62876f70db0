// Package pypi knows the words of Python packaging: project names (PEP 503),
// versions (PEP 440), file names (PEP 427, 625), requirements (PEP 508), and
// index pages (PEP 503, 592, 658, 691, 700). It asks no index.
package pypi

import (
	"fmt"
	"regexp"
	"strings"
)

// Name is a project's name, always normalised (PEP 503): "zope-event".
type Name string

var (
	namePattern = regexp.MustCompile(`^(?i)([a-z0-9]|[a-z0-9][a-z0-9._-]*[a-z0-9])$`)
	runs        = regexp.MustCompile(`[-_.]+`)
)

// ParseName parses a project's name and normalises it.
func ParseName(s string) (Name, error) {
	if len(s) > 200 || !namePattern.MatchString(s) {
		return "", fmt.Errorf("%q is not a project's name (letters, digits, '.', '-' and '_')", s)
	}
	return Name(strings.ToLower(runs.ReplaceAllString(s, "-"))), nil
}

// WheelFilename is the name of a wheel, taken apart (PEP 427).
type WheelFilename struct {
	Filename     string // as given
	Distribution string // as written: "zope.event"
	Name         Name
	Version      Version
	Build        string
	Python       []string // compressed tags, "py2" "py3"
	ABI          []string
	Platform     []string
}

// ParseWheelFilename takes a wheel's name apart.
func ParseWheelFilename(s string) (WheelFilename, error) {
	w := WheelFilename{Filename: s}
	stem, ok := strings.CutSuffix(s, ".whl")
	parts := strings.Split(stem, "-")
	if !ok || len(parts) != 5 && len(parts) != 6 || strings.ContainsAny(s, "/\\\x00") {
		return w, fmt.Errorf("%q is not a wheel's name (NAME-VERSION-PYTHON-ABI-PLATFORM.whl)", s)
	}
	var err error
	w.Distribution = parts[0]
	if w.Name, err = ParseName(parts[0]); err != nil {
		return w, fmt.Errorf("wheel %q: %w", s, err)
	}
	if w.Version, err = ParseVersion(parts[1]); err != nil {
		return w, fmt.Errorf("wheel %q: %w", s, err)
	}
	tags := parts[2:]
	if len(parts) == 6 {
		w.Build, tags = parts[2], parts[3:]
		if w.Build == "" || w.Build[0] < '0' || w.Build[0] > '9' {
			return w, fmt.Errorf("wheel %q: build tag %q does not begin with a digit", s, w.Build)
		}
	}
	w.Python, w.ABI, w.Platform = strings.Split(tags[0], "."), strings.Split(tags[1], "."), strings.Split(tags[2], ".")
	return w, nil
}

// IsPure reports whether the wheel runs on every ABI and platform.
func (w WheelFilename) IsPure() bool {
	return len(w.ABI) == 1 && w.ABI[0] == "none" && len(w.Platform) == 1 && w.Platform[0] == "any"
}

var sdistSuffixes = []string{".tar.gz", ".zip", ".tgz", ".tar.bz2", ".tar.xz"}

// SdistFilename is the name of a source distribution, taken apart.
type SdistFilename struct {
	Filename string
	Version  Version
	Suffix   string // ".tar.gz"
}

// ParseSdistFilename takes the name of a source distribution of project apart.
// Old ones separate by any character and may have '-' in either half (before PEP 625).
func ParseSdistFilename(s string, project Name) (SdistFilename, error) {
	f := SdistFilename{Filename: s}
	for _, suffix := range sdistSuffixes {
		stem, ok := strings.CutSuffix(s, suffix)
		if !ok {
			continue
		}
		f.Suffix = suffix
		for i := range len(stem) {
			if stem[i] != '-' {
				continue
			}
			name, err := ParseName(stem[:i])
			if err != nil || name != project {
				continue
			}
			if f.Version, err = ParseVersion(stem[i+1:]); err == nil {
				return f, nil
			}
		}
	}
	return f, fmt.Errorf("%q is not the name of a source distribution of %s", s, project)
}
