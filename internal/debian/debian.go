// Package debian reads Debian's signed package indexes, resolves packages,
// and unpacks .debs into a root directory that is the same wherever and by
// whomever it was made.
//
// An index counts only when its InRelease is signed by a key of Debian's
// archive (keyring.pgp, the package debian-archive-keyring), is for the suite
// that was asked for, and has not expired. Packages are what the index names
// by sha256. Maintainer scripts are never run: [Unpack] makes what a build
// needs of their effects, and says so (docs/native.md).
package debian

import (
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"

	"pault.ag/go/debian/version"
)

// A Suite is a release of Debian.
type Suite struct {
	Name   string // codename, "bookworm"
	Python string // minor version of its python3, "3.11"
	Glibc  string // "2.36": the newest manylinux tag that its wheels can have
	// Plain are the packages of a Python that can build pure wheels: old
	// setuptools use the distutils that the suite has apart.
	Plain []string
	// GCC are the versions of its compilers, its default first: "12.2.0" is
	// the package gcc-12.
	GCC []string
}

// Suites are those that are known, oldest first.
var Suites = []Suite{
	{"bullseye", "3.9", "2.31", []string{"python3", "python3-distutils"}, []string{"10.2.1", "9.3.0"}},
	{"bookworm", "3.11", "2.36", []string{"python3", "python3-distutils"}, []string{"12.2.0", "11.3.0"}},
	{"trixie", "3.13", "2.41", []string{"python3"}, []string{"14.2.0", "13.3.0", "12.4.0"}},
}

// Compilers are what native builds need besides a Python.
var Compilers = []string{"g++", "gcc", "python3-dev"}

// Tools are what PyPA's images have besides, and sources expect without saying so.
var Tools = []string{"file", "make", "pkg-config"}

// SuiteFor is the suite with that Python, a minor version.
func SuiteFor(python string) (Suite, bool) {
	i := slices.IndexFunc(Suites, func(s Suite) bool { return s.Python == python })
	if i < 0 {
		return Suite{}, false
	}
	return Suites[i], true
}

// ParseSuite finds a suite by its name.
func ParseSuite(name string) (Suite, error) {
	var names []string
	for _, s := range Suites {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Suite{}, fmt.Errorf("no suite %q is known (%s)", name, strings.Join(names, ", "))
}

// Machines are the names that wheels' tags have for Debian's architectures.
var Machines = map[string]string{"amd64": "x86_64", "arm64": "aarch64", "i386": "i686", "ppc64el": "ppc64le", "s390x": "s390x", "riscv64": "riscv64"}

// Machine is Debian's name of this machine's architecture, "" when it has none.
func Machine() string { return architectures[runtime.GOARCH] }

var architectures = map[string]string{"amd64": "amd64", "arm64": "arm64", "386": "i386", "ppc64le": "ppc64el", "s390x": "s390x", "riscv64": "riscv64"}

// A Package is a stanza of an index: what is used of it.
type Package struct {
	Name, Version, Architecture string
	Pool                        string // path below the mirror, "pool/main/g/gcc-12/gcc-12_12.2.0-14_amd64.deb"
	Size                        int64
	SHA256                      string
	Essential                   bool
	Required                    bool // its priority is required or important
	Depends, PreDepends         string
	Provides, Conflicts, Breaks string

	version version.Version
}

// Filename is the last part of the pool path.
func (p Package) Filename() string { return path.Base(p.Pool) }
