package compare

import (
	"strings"
	"testing"
)

const info = "demo-1.0.dist-info/"

// One pair of contents for each cause.
func TestExplain(t *testing.T) {
	for _, test := range []struct{ name, published, rebuilt, cause string }{
		{"demo/a.py", "x\r\ny\r\n", "x\ny\n", "line-endings"},
		{"demo/a.py", "path = '/tmp/build-1/x'\n", "path = '/build/x'\n", "build-path"},
		{"demo/_version.py", "v = '1.1'\n", "v = '1.0'\n", "scm-version"},
		{"demo/names.txt", "b\na\n", "a\nb\n", "hash-seed"},
		{"demo/a.pyc", "\x00a", "\x00b", "pyc"},
		{"demo/a.py", "x = 1\n", "x = 2\n", ""},
		{info + "RECORD", "a,sha256=x,1\n", "a,sha256=y,1\n", Consequence},
		{info + "RECORD", "a,,\nb,,\n", "b,,\na,,\n", "record-order"},
		{info + "WHEEL", "Generator: wheel 1\n", "Generator: wheel 2\n", "generator-version"},
		{info + "WHEEL", "Generator: w\nTag: py2-none-any\n", "Generator: w\nTag: py3-none-any\n", "python-tag"},
		{info + "WHEEL", "Generator: w\nX: 1\n", "Generator: w\n", "metadata-writer"},
		{info + "METADATA", "Metadata-Version: 2.1\n\n", "Metadata-Version: 2.2\n\n", "metadata-version"},
		{info + "METADATA", "Name: a\nLicense-File: L\n\n", "Name: a\n\n", "license-files"},
		{info + "METADATA", "Version: 1.1\n\n", "Version: 1.0\n\n", "scm-version"},
		{info + "METADATA", "Name: a\nRequires-Dist: b (>=1)\n\n", "Name: a\nRequires-Dist: b>=1\n\n", "metadata-requires"},
		{info + "METADATA", "Requires-Dist: a\nRequires-Dist: b\n\n", "Requires-Dist: b\nRequires-Dist: a\n\n", "hash-seed"},
		{info + "METADATA", "Name: a\nAuthor: x\n\n", "Author: x\nName: a\n\n", "metadata-writer"},
		{info + "METADATA", "Name: a\n\ntext", "Name: a\n\nother", "metadata-description"},
		{info + "METADATA", "Name: a\nPlatform: UNKNOWN\n\n", "Name: a\n\n", "metadata-writer"},
		{info + "entry_points.txt", "[a]\nb\nc\n", "[a]\nc\nb\n", "hash-seed"},
	} {
		cause, detail := explain(test.name, []byte(test.published), []byte(test.rebuilt))
		if cause != test.cause || detail == "" {
			t.Errorf("%s %q %q: %q (%s), want %q", test.name, test.published, test.rebuilt, cause, detail, test.cause)
		}
	}
	if cause, detail := explain("demo/big.bin", nil, []byte("x")); cause != "" || !strings.Contains(detail, "too large") {
		t.Errorf("%q %q", cause, detail)
	}
}

func TestMetadata(t *testing.T) {
	d := Metadata("A: 1\nB: 2\nB: 2\n\nbody", "B: 2\nC: 3\n\nbody")
	if strings.Join(d.Published, "|") != "A: 1|B: 2" || strings.Join(d.Rebuilt, "|") != "C: 3" || d.Body {
		t.Errorf("%+v", d)
	}
}

func TestCauses(t *testing.T) {
	r := &Result{Differences: []Difference{{Cause: "a"}, {Cause: "b"}, {Cause: "b"}, {Cause: ""}, {Cause: Consequence}}}
	if got := strings.Join(r.Causes(), " "); got != "b a" {
		t.Error(got)
	}
	if r.Unexplained() != 1 {
		t.Error(r.Unexplained())
	}
}

// A licence that moved is one cause on both sides.
func TestTogether(t *testing.T) {
	ds := []Difference{
		{Member: info + "LICENSE", Kind: "missing"},
		{Member: info + "licenses/LICENSE", Kind: "extra"},
		{Member: "demo/x.py", Kind: "extra"},
	}
	explainTogether(ds)
	if ds[0].Cause != "license-files" || ds[1].Cause != "license-files" || ds[2].Cause != "" {
		t.Errorf("%+v", ds)
	}
}

func FuzzExplain(f *testing.F) {
	f.Add("demo/a.py", []byte("a\n"), []byte("b\n"))
	f.Add(info+"METADATA", []byte("Name: a\n\n"), []byte("Name: b\n\n"))
	f.Fuzz(func(t *testing.T, name string, a, b []byte) {
		cause, _ := explain(name, append([]byte{}, a...), append([]byte{}, b...))
		if strings.ContainsAny(cause, " \n") {
			t.Errorf("cause %q", cause)
		}
	})
}
