package oci

import (
	"cmp"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/truewheel/truewheel/internal/rootfs"
)

// Python is an interpreter of an image. It was not run: this is what its files say.
type Python struct {
	Path     string // as one names it, "/opt/python/cp311-cp311/bin/python"
	Real     string // the file, "/opt/_internal/cpython-3.11.9/bin/python3.11"
	Version  string // "3.11.9"
	Minor    [2]int // {3, 11}
	Threaded bool   // a free-threaded build
}

var (
	pythonTag  = regexp.MustCompile(`^cp3([0-9]+)-cp3[0-9]+(m?)(t?)$`)
	pythonName = regexp.MustCompile(`^python3\.([0-9]+)(t?)$`)
	pyVersion  = regexp.MustCompile(`(?m)^#define\s+PY_VERSION\s+"([0-9]+\.[0-9]+\.[0-9][^"]*)"`)
)

// Pythons are the CPythons of a root: those of manylinux and musllinux
// images, which have each at /opt/python/TAG-ABI, then those of /usr/local/bin
// and /usr/bin; each file once. One whose headers do not tell its version is
// left out: it can't build extension modules.
func Pythons(t *rootfs.Tree) ([]Python, error) {
	var names []string
	if at, n := t.Real("opt/python"); n != nil && n.Kind == rootfs.Dir {
		tags, err := t.Children(at)
		if err != nil {
			return nil, err
		}
		for _, tag := range tags {
			if pythonTag.MatchString(path.Base(tag)) {
				names = append(names, "opt/python/"+path.Base(tag)+"/bin/python")
			}
		}
	}
	for _, dir := range []string{"usr/local/bin", "usr/bin"} {
		at, n := t.Real(dir)
		if n == nil || n.Kind != rootfs.Dir {
			continue
		}
		files, err := t.Children(at)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			if pythonName.MatchString(path.Base(file)) {
				names = append(names, dir+"/"+path.Base(file))
			}
		}
	}
	var out []Python
	for _, name := range names {
		p, ok, err := python(t, name)
		if err != nil {
			return nil, err
		}
		if ok && !slices.ContainsFunc(out, func(have Python) bool { return have.Real == p.Real }) {
			out = append(out, p)
		}
	}
	return out, nil
}

// python reads an interpreter that a path leads to.
func python(t *rootfs.Tree, name string) (Python, bool, error) {
	real, n := t.Real(name)
	m := pythonName.FindStringSubmatch(path.Base(real))
	if n == nil || n.Kind != rootfs.File || n.Mode&0o111 == 0 || m == nil {
		return Python{}, false, nil
	}
	minor, err := strconv.Atoi(m[1])
	if err != nil {
		return Python{}, false, nil
	}
	p := Python{Path: "/" + name, Real: "/" + real, Minor: [2]int{3, minor}, Threaded: m[2] == "t"}
	header := path.Join(path.Dir(path.Dir(real)), "include", path.Base(real), "patchlevel.h")
	if found := pyVersion.FindStringSubmatch(t.Text(header)); found != nil {
		p.Version = found[1]
	}
	return p, strings.HasPrefix(p.Version, fmt.Sprintf("3.%d.", minor)), nil
}

// Choose is the interpreter for a Python tag, "cp311" or "cp313t", or the one
// at a path. Without a tag it is the newest that is not free-threaded.
func Choose(pythons []Python, tag string) (Python, error) {
	var have []string
	var best Python
	for _, p := range pythons {
		own := fmt.Sprintf("cp%d%d", p.Minor[0], p.Minor[1])
		if p.Threaded {
			own += "t"
		}
		have = append(have, own)
		switch {
		case tag == own, tag == p.Path:
			return p, nil
		case tag == "" && !p.Threaded && p.Minor[1] > best.Minor[1]:
			best = p
		}
	}
	if best.Path != "" {
		return best, nil
	}
	return best, &NoPythonError{cmp.Or(tag, "any tag"), cmp.Or(strings.Join(have, ", "), "none")}
}

// A NoPythonError says that an image has not the interpreter that is wanted.
type NoPythonError struct{ Tag, Have string }

func (e *NoPythonError) Error() string {
	return fmt.Sprintf("the image has no Python for %q (it has %s)", e.Tag, e.Have)
}

var (
	muslName     = regexp.MustCompile(`^ld-musl-.*\.so\.1$`)
	muslVersion  = regexp.MustCompile(`\x00(1\.[0-9]+)\.[0-9]+\x00`)
	glibcVersion = regexp.MustCompile(`release version (2\.[0-9]+)`)
)

// maxLibrary bounds the C library that is read.
const maxLibrary = 16 << 20

// Libc says which C library a root has: "glibc" or "musl", and its version.
// It is read from the library: nothing is run.
func Libc(t *rootfs.Tree) (kind, version string, err error) {
	for _, at := range t.Paths() {
		base, pattern := path.Base(at), glibcVersion
		switch {
		case base == "libc.so.6":
			kind = "glibc"
		case muslName.MatchString(base):
			kind, pattern = "musl", muslVersion
		default:
			continue
		}
		real, n := t.Real(at)
		if n == nil || n.Kind != rootfs.File || n.Size > maxLibrary {
			continue
		}
		f, err := t.Open(real)
		if err != nil {
			return "", "", err
		}
		data, err := io.ReadAll(io.LimitReader(f, maxLibrary))
		f.Close()
		if err != nil {
			return "", "", err
		}
		if m := pattern.FindSubmatch(data); m != nil {
			return kind, string(m[1]), nil
		}
	}
	return "", "", fmt.Errorf("the image has no C library that is known (libc.so.6, ld-musl-*.so.1)")
}

// Compiler is the newest gcc of a root, by its directories: of a toolset of
// /opt/rh, which such images put first in PATH, else the system's; "" when
// there is none.
func Compiler(t *rootfs.Tree) string {
	best, toolset := 0, 0
	for _, at := range t.Paths() {
		if m := toolsetDir.FindStringSubmatch(at); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil {
				toolset = max(toolset, n)
			}
		}
		if m := gccDir.FindStringSubmatch(at); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil {
				best = max(best, n)
			}
		}
	}
	if n := cmp.Or(toolset, best); n > 0 {
		return fmt.Sprintf("gcc %d", n)
	}
	return ""
}

var (
	toolsetDir = regexp.MustCompile(`^opt/rh/(?:gcc-toolset|devtoolset)-([0-9]+)$`)
	gccDir     = regexp.MustCompile(`^usr/(?:lib|libexec)/gcc/[^/]+/([0-9]+)(?:\.[0-9.]+)?$`)
)
