package source

import (
	"bytes"
	"math"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/truewheel/truewheel/sdist"
)

// magics of what a file may hold beside text.
var magics = []struct{ magic, flag string }{
	{"PK\x03\x04", "archive"}, {"\x1f\x8b", "archive"}, {"\xfd7zXZ\x00", "archive"}, {"BZh", "archive"}, {"\x28\xb5\x2f\xfd", "archive"},
	{"7z\xbc\xaf\x27\x1c", "archive"}, {"!<arch>\n", "archive"}, {"\x5d\x00\x00", "archive"},
	{"\x7fELF", "compiled code"}, {"MZ", "compiled code"}, {"\xcf\xfa\xed\xfe", "compiled code"}, {"\xce\xfa\xed\xfe", "compiled code"}, {"\xca\xfe\xba\xbe", "compiled code"},
	{"\x00asm", "compiled code"},
}

// buildScripts are run, or read, by whatever builds a project.
func buildScript(name string) bool {
	base := strings.ToLower(path.Base(name))
	switch base {
	case "setup.py", "setup.cfg", "pyproject.toml", "configure", "configure.ac", "configure.in", "cmakelists.txt", "meson.build", "meson.options",
		"build.rs", "cargo.toml", "cargo.lock", "build.py", "_build.py", "sconstruct", "sconscript", "wscript", "conanfile.py", "conftest.py", "sitecustomize.py",
		"autogen.sh", "ltmain.sh", "config.guess", "config.sub", "install-sh", "depcomp", "missing", "compile", "test-driver", "ltconfig", "libtool", "aclocal.m4", "pkgconfig.m4":
		return true
	}
	if strings.HasPrefix(base, "makefile") || strings.HasPrefix(base, "gnumakefile") {
		return true
	}
	return slices.Contains([]string{".m4", ".cmake", ".mk", ".mak", ".sh", ".bash", ".pth", ".bat", ".ps1", ".ac", ".am"}, path.Ext(base))
}

// flags say what makes a file worth a look.
func flags(e sdist.Entry, text []byte) []string {
	var out []string
	if buildScript(e.Name) {
		out = append(out, "build script")
	}
	if e.Mode&0o111 != 0 || bytes.HasPrefix(text, []byte("#!")) {
		out = append(out, "executable")
	}
	if e.Symlink != "" {
		return append(out, "link")
	}
	if isText(text) {
		return out
	}
	for _, m := range magics {
		if bytes.HasPrefix(text, []byte(m.magic)) {
			return append(out, m.flag)
		}
	}
	if len(text) >= 256 && entropy(text) > 7.5 {
		return append(out, "high entropy")
	}
	return append(out, "binary")
}

func isText(b []byte) bool { return utf8.Valid(b) && bytes.IndexByte(b, 0) < 0 }

// plain is a text in which every reader sees the same lines: Python ends one at
// a carriage return too.
func plain(b []byte) bool { return isText(b) && bytes.IndexByte(unix(b), '\r') < 0 }

// entropy of the bytes, in bits for each.
func entropy(b []byte) float64 {
	var n [256]int
	for _, c := range b {
		n[c]++
	}
	sum := 0.0
	for _, k := range n {
		if k > 0 {
			p := float64(k) / float64(len(b))
			sum -= p * math.Log2(p)
		}
	}
	return sum
}
