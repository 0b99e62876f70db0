// Package pypi knows the words of Python packaging: project names (PEP 503),
// versions (PEP 440), file names (PEP 427, 625), requirements (PEP 508), and
// index pages (PEP 503, 592, 658, 691, 700). It asks no index.
package pypi

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Name is a project's name, always normalised (PEP 503): "zope-event".
type Name string

// ParseName parses a project's name and normalises it: at most 200 letters
// and digits of ASCII, '.', '-' and '_', not at its ends.
func ParseName(s string) (Name, error) {
	bad := len(s) == 0 || len(s) > 200
	var b strings.Builder
	run := false // in separators, each run of which becomes one '-'
	for i := 0; i < len(s) && !bad; i++ {
		c := s[i]
		switch {
		case isAlphanumeric(c):
			if run {
				b.WriteByte('-')
			}
			run = false
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			b.WriteByte(c)
		case c == '-' || c == '_' || c == '.':
			bad = i == 0
			run = true
		default:
			bad = true
		}
	}
	if bad || run {
		return "", fmt.Errorf("%s is not a project's name (letters, digits, '.', '-' and '_')", quote(s))
	}
	return Name(b.String()), nil
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// quote is s for an error: a hostile one may be long.
func quote(s string) string {
	if len(s) > 200 {
		return fmt.Sprintf("%.200q…", s)
	}
	return fmt.Sprintf("%q", s)
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

// Fits reports whether the wheel is what a target names: PYTHON-PLATFORM or
// PYTHON-ABI-PLATFORM, as in "cp311-manylinux_x86_64", "py3-none-any". The
// wheel's platform may have a C library's version where the target has none.
func (w WheelFilename) Fits(target string) bool {
	python, platform, _ := strings.Cut(target, "-")
	platform = platform[strings.LastIndexByte(platform, '-')+1:]
	if !slices.Contains(w.Python, python) && python != strings.Join(w.Python, ".") {
		return false
	}
	if platform == "any" {
		return w.IsPure()
	}
	family, machine, _ := strings.Cut(platform, "_")
	return slices.ContainsFunc(w.Platform, func(p string) bool {
		return p == platform || strings.HasPrefix(p, family) && strings.HasSuffix(p, "_"+machine)
	})
}

var policyTag = regexp.MustCompile(`^(?:many|musl)linux_([0-9]+)_([0-9]+)_`)

// PolicyVersion is the version of the C library in a platform tag (PEP 600,
// PEP 656), "2.28" of manylinux_2_28_x86_64; "" where it has none, as the
// older names have.
func PolicyVersion(platform string) string {
	if m := policyTag.FindStringSubmatch(platform); m != nil {
		return m[1] + "." + m[2]
	}
	return ""
}

// BestSdist is, of the source distributions of a release, of which there is at
// least one, the .tar.gz: PEP 517 builds no other.
func BestSdist(sdists []File) File {
	for _, f := range sdists {
		if strings.HasSuffix(f.Filename, ".tar.gz") {
			return f
		}
	}
	return sdists[0]
}

// SameVersion reports whether two texts are one version (PEP 440); what can't
// be parsed is none.
func SameVersion(a, b string) bool {
	x, errX := ParseVersion(a)
	y, errY := ParseVersion(b)
	return errX == nil && errY == nil && x.Compare(y) == 0
}

// ParseWheelFilename takes a wheel's name apart: five or six parts, none of
// them empty, of letters, digits, '_', '.', '+' and '!'.
func ParseWheelFilename(s string) (WheelFilename, error) {
	w := WheelFilename{Filename: s}
	stem, ok := strings.CutSuffix(s, ".whl")
	parts := strings.Split(stem, "-")
	if !ok || len(parts) != 5 && len(parts) != 6 || len(s) > 255 || !isFilename(s) {
		return w, fmt.Errorf("%s is not a wheel's name (NAME-VERSION-PYTHON-ABI-PLATFORM.whl)", quote(s))
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
	for _, tag := range tags {
		if slices.Contains(strings.Split(tag, "."), "") {
			return w, fmt.Errorf("wheel %q: tag %q is empty or has an empty part", s, tag)
		}
	}
	w.Python, w.ABI, w.Platform = strings.Split(tags[0], "."), strings.Split(tags[1], "."), strings.Split(tags[2], ".")
	return w, nil
}

// isFilename reports whether s holds only what the name of a distribution may.
func isFilename(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r >= 0x80 || !isAlphanumeric(byte(r)) && !strings.ContainsRune("-_.+!", r)
	})
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

// ParseSdistFilename takes the name of a source distribution of project apart:
// NAME-VERSION and one of .tar.gz, .zip, .tgz, .tar.bz2 and .tar.xz. In old ones
// (before PEP 625) the name has any separators, and either half may have '-'.
func ParseSdistFilename(s string, project Name) (SdistFilename, error) {
	f := SdistFilename{Filename: s}
	for _, suffix := range sdistSuffixes {
		if len(s) > 255 || !isFilename(s) {
			break
		}
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
	return f, fmt.Errorf("%s is not the name of a source distribution of %s", quote(s), project)
}
