package native

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
)

var (
	cythonVersion = regexp.MustCompile(`_cython_(\d+(?:_\d+)*(?:[ab]\d+|rc\d+|dev)?)`)
	rustVersion   = regexp.MustCompile(`rustc version (\d+\.\d+\.\d+[^ ]*)`)
	pybind        = regexp.MustCompile(`__pybind11_internals_(v\d+)`)
)

// Tools are the generators that left their mark, with what they say of their
// version: Cython, pybind11's ABI, rustc, Go, the names by which numpy is asked for.
func (im *Image) Tools() []Fact {
	var out []Fact
	add := func(name, value string) {
		for _, f := range out {
			if f.Name == name {
				return
			}
		}
		out = append(out, Fact{name, value})
	}
	for _, s := range im.Sections {
		switch s.Kind {
		case ReadOnly, Data:
			if at := bytes.Index(s.Bytes, []byte("_cython_")); at >= 0 {
				if m := cythonVersion.FindSubmatch(s.Bytes[at:]); m != nil {
					add("Cython", strings.ReplaceAll(string(m[1]), "_", "."))
				}
			}
			if at := bytes.Index(s.Bytes, []byte("__pybind11_internals_")); at >= 0 {
				if m := pybind.FindSubmatch(s.Bytes[at:min(len(s.Bytes), at+64)]); m != nil {
					add("pybind11", "internals "+string(m[1]))
				}
			}
			if bytes.Contains(s.Bytes, []byte("numpy._core._multiarray_umath\x00")) {
				add("NumPy API", "2 or later")
			} else if bytes.Contains(s.Bytes, []byte("numpy.core._multiarray_umath\x00")) {
				add("NumPy API", "1")
			}
		}
	}
	for _, c := range im.Compilers {
		if m := rustVersion.FindStringSubmatch(c); m != nil {
			add("rustc", m[1])
		}
	}
	if im.goVersion != "" {
		add("Go", im.goVersion)
	}
	return out
}

// MadeBy is what made an image: compilers (those that DWARF names where none
// names itself), linker and generators, with versions.
func (im *Image) MadeBy() []string {
	out := slices.Clone(im.Compilers)
	if len(out) == 0 {
		out = producers(im)
	}
	if im.Linker != "" {
		out = append(out, im.Linker)
	}
	for _, t := range im.Tools() {
		out = append(out, t.Name+" "+t.Value)
	}
	return out
}
