package compare

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truewheel/truewheel/compare/cause"
	"github.com/truewheel/truewheel/compare/tree"
	"github.com/truewheel/truewheel/wheel"
)

const info = "demo-1.0.dist-info/"

func causesOf(fs []cause.Finding) string {
	var out []string
	for _, f := range fs {
		out = append(out, f.Cause)
	}
	return strings.Join(out, " ")
}

func TestExplainMetadata(t *testing.T) {
	for _, test := range []struct{ a, b, want string }{
		{"Metadata-Version: 2.1\n\n", "Metadata-Version: 2.2\n\n", "metadata-version"},
		{"Name: a\nLicense-File: L\n\n", "Name: a\n\n", "license-files"},
		{"Version: 1.1\n\n", "Version: 1.0\n\n", "another-release"},
		{"Version: 1.1.dev3+g12\n\n", "Version: 1.0\n\n", "scm-version"},
		{"Version: 2025.11.23\n\n", "Version: 2025.11.24\n\n", "version-from-clock"},
		{"Requires-Dist: b (>=1)\n\n", "Requires-Dist: b>=1\n\n", "metadata-writer"},
		{"Requires-Dist: b>=1,<2\n\n", "Requires-Dist: b<2,>=1\n\n", "metadata-writer"},
		{"Requires-Dist: b>=1\n\n", "Requires-Dist: b>=2\n\n", "metadata-requires"},
		{"Requires-Dist: a\nRequires-Dist: c\nRequires-Dist: b\n\n", "Requires-Dist: b\nRequires-Dist: a\nRequires-Dist: c\n\n", "hash-seed"},
		{"Name: a\nAuthor: x\n\n", "Author: x\nName: a\n\n", "metadata-writer"},
		{"Name: a\n\ntext", "Name: a\n\nother", "metadata-description"},
		{"Name: a\nPlatform: UNKNOWN\n\n", "Name: a\n\n", "metadata-writer"},
		{"Author: x\n\n", "Author: y\n\n", ""},
		{"Keywords: b,a\n\n", "Keywords: a, b\n\n", "metadata-writer"},
		{"Name: a\r\n\r\n", "Name: a\n\n", "line-endings"},
		{"Metadata-Version: 2.1\nLicense-File: L\n\n", "Metadata-Version: 2.4\n\n", "metadata-version license-files"},
	} {
		if got := causesOf(explainMetadata([]byte(test.a), []byte(test.b))); got != test.want {
			t.Errorf("%q %q: %s, want %s", test.a, test.b, got, test.want)
		}
	}
}

func TestExplainWheel(t *testing.T) {
	for _, test := range []struct{ a, b, want string }{
		{"Generator: wheel 1\n", "Generator: wheel 2\n", "generator-version"},
		{"Generator: w\nTag: py2-none-any\n", "Generator: w\nTag: py3-none-any\n", "python-tag"},
		{"Tag: cp311-cp311-linux_x86_64\n", "Tag: cp312-cp312-linux_x86_64\n", "python-version"},
		{"Generator: w\nX: 1\n", "Generator: w\n", "metadata-writer"},
		{"Generator: w\nX: 1\n", "X: 1\nGenerator: w\n", "metadata-writer"},
	} {
		if got := causesOf(explainWheel([]byte(test.a), []byte(test.b))); got != test.want {
			t.Errorf("%q %q: %s, want %s", test.a, test.b, got, test.want)
		}
	}
}

func TestMetadata(t *testing.T) {
	d := Metadata("A: 1\nB: 2\nB: 2\n\nbody", "B: 2\nC: 3\n\nbody")
	if strings.Join(d.Published, "|") != "A: 1|B: 2" || strings.Join(d.Rebuilt, "|") != "C: 3" || d.Body {
		t.Errorf("%+v", d)
	}
}

// What explains more stands first; consequences are no causes.
func TestCauses(t *testing.T) {
	r := &Result{Differences: []Difference{{Cause: "umask"}, {Member: "a", Cause: "pyc"}, {Member: "b", Cause: "pyc"}, {Cause: "compiler"}, {Cause: ""}, {Cause: Consequence}}}
	if got := strings.Join(r.Causes(), " "); got != "compiler pyc umask" {
		t.Error(got)
	}
	if r.Unexplained() != 1 {
		t.Error(r.Unexplained())
	}
}

// a draft of a wheel, which causes change.
type draft struct {
	names []string
	files map[string]string
	times map[string]time.Time
	modes map[string]fs.FileMode
	dirs  bool
	zone  time.Duration
}

func newDraft(t testing.TB) *draft {
	d := &draft{files: map[string]string{}, times: map[string]time.Time{}, modes: map[string]fs.FileMode{}}
	so := member(t, "testdata/planted/strip.a.whl", ".so")
	for name, text := range map[string]string{
		"demo/__init__.py": "import os\n\n\ndef main():\n    return os.name\n", "demo/_config.py": "PREFIX = '/build/src/demo'\nN = 1\n",
		"demo/_names.py": "NAMES = {'alpha', 'beta', 'gamma', 'delta'}\n", "demo/data.txt": "one\ntwo\n", "demo/cli.py": "#!/usr/bin/python\nprint(1)\n",
		"demo/_fast.so": so, info + "METADATA": "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\nRequires-Dist: a\n\nText.\n",
		info + "WHEEL": "Wheel-Version: 1.0\nGenerator: flit 3.9.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
	} {
		d.files[name] = text
		d.names = append(d.names, name)
		d.times[name] = time.Date(2024, 5, 6, 7, 8, 10, 0, time.UTC)
		d.modes[name] = 0o644
	}
	slices.Sort(d.names)
	d.modes["demo/cli.py"] = 0o755
	return d
}

func member(t testing.TB, name, suffix string) string {
	z, err := zip.OpenReader(name)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, suffix) {
			var b bytes.Buffer
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.ReadFrom(r); err != nil {
				t.Fatal(err)
			}
			return b.String()
		}
	}
	t.Fatalf("no %s in %s", suffix, name)
	return ""
}

func (d *draft) wheel(t testing.TB) (*wheel.Archive, []byte) {
	var record strings.Builder
	for _, n := range d.names {
		sum := sha256.Sum256([]byte(d.files[n]))
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", n, base64.RawURLEncoding.EncodeToString(sum[:]), len(d.files[n]))
	}
	fmt.Fprintf(&record, "%sRECORD,,\n", info)
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	write := func(name, text string, mode fs.FileMode, at time.Time) {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate, CreatorVersion: 3<<8 | 20, ExternalAttrs: uint32(mode|0o100000) << 16}
		//lint:ignore SA1019 Modified adds an extra field, which backends do not
		h.ModifiedDate, h.ModifiedTime = dos(at.Add(d.zone))
		if strings.HasSuffix(name, "/") {
			h.Method, h.ExternalAttrs = zip.Store, 0o40755<<16|0x10
		}
		f, err := w.CreateHeader(h)
		if err == nil {
			_, err = f.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if d.dirs {
		write("demo/", "", 0o755, d.times[d.names[0]])
	}
	for _, n := range d.names {
		write(n, d.files[n], d.modes[n], d.times[n])
	}
	write(info+"RECORD", record.String(), 0o644, d.times[d.names[0]])
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	a, err := wheel.Open("demo-1.0-py3-none-any.whl", bytes.NewReader(b.Bytes()), int64(b.Len()), wheel.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return a, b.Bytes()
}

func dos(t time.Time) (date, clock uint16) {
	return uint16(t.Year()-1980)<<9 | uint16(t.Month())<<5 | uint16(t.Day()), uint16(t.Hour())<<11 | uint16(t.Minute())<<5 | uint16(t.Second()/2)
}

// ten causes, each of which changes a draft.
var ten = []struct {
	cause string
	plant func(testing.TB, *draft)
}{
	{"umask", func(_ testing.TB, d *draft) {
		for n := range d.modes {
			d.modes[n] = d.modes[n]&^0o022 | 0o020&(d.modes[n]>>3)<<0 | 0o020
		}
	}},
	{"time-zone", func(_ testing.TB, d *draft) { d.zone = 2 * time.Hour }},
	{"entry-order", func(_ testing.TB, d *draft) {
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(d.names), func(i, j int) { d.names[i], d.names[j] = d.names[j], d.names[i] })
	}},
	{"directory-entries", func(_ testing.TB, d *draft) { d.dirs = true }},
	{"line-endings", func(_ testing.TB, d *draft) {
		d.files["demo/__init__.py"] = strings.ReplaceAll(d.files["demo/__init__.py"], "\n", "\r\n")
	}},
	{"build-path", func(_ testing.TB, d *draft) {
		d.files["demo/_config.py"] = strings.ReplaceAll(d.files["demo/_config.py"], "/build/src", "/tmp/b/src")
	}},
	{"hash-seed", func(_ testing.TB, d *draft) {
		d.files["demo/_names.py"] = "NAMES = {'delta', 'alpha', 'gamma', 'beta'}\n"
	}},
	{"generator-version", func(_ testing.TB, d *draft) {
		d.files[info+"WHEEL"] = strings.ReplaceAll(d.files[info+"WHEEL"], "3.9.0", "3.12.0")
	}},
	{"strip", func(t testing.TB, d *draft) {
		d.files["demo/_fast.so"] = member(t, "testdata/planted/strip.b.whl", ".so")
	}},
	{"exec-bit", func(_ testing.TB, d *draft) { d.modes["demo/cli.py"] &^= 0o111 }},
}

// Of two causes at once both are named, and nothing else; of one only that.
func TestTwoCauses(t *testing.T) {
	plain, first := newDraft(t).wheel(t)
	for i := range ten {
		for j := i; j < len(ten); j++ {
			d := newDraft(t)
			ten[i].plant(t, d)
			if j != i {
				ten[j].plant(t, d)
			}
			other, second := d.wheel(t)
			r, err := Wheels(t.Context(), plain, other, Options{Scalar: true, SubjectSHA256: hexSum(first), RebuiltSHA256: hexSum(second)})
			if err != nil {
				t.Fatal(err)
			}
			want := []string{ten[i].cause, ten[j].cause}
			slices.Sort(want)
			want = slices.Compact(want)
			got := r.Causes()
			slices.Sort(got)
			if !slices.Equal(got, want) || r.Unexplained() > 0 {
				t.Errorf("%v: named %v, %d unexplained: %+v", want, got, r.Unexplained(), r.Differences)
			}
		}
	}
}

func hexSum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// The outcome does not depend on how many members are looked into at a time.
func TestDeterministic(t *testing.T) {
	var want []byte
	for _, workers := range []int{1, 2, 7} {
		for range 3 {
			r, err := Trees(t.Context(), side(t, "testdata/planted/cython-version.a.whl"), side(t, "testdata/planted/cython-version.b.whl"), Options{Full: true, Disassemble: -1, Workers: workers})
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = got
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("%d workers: another outcome", workers)
			}
		}
	}
}

func side(t testing.TB, name string) Side {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := tree.Open(t.Context(), name, bytes.NewReader(b), int64(len(b)), tree.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return Side{filepath.Base(name), tr}
}

// What is too large for the memory given is compared as bytes, and that is said.
func TestTooLarge(t *testing.T) {
	r, err := Trees(t.Context(), side(t, "testdata/planted/strip.a.whl"), side(t, "testdata/planted/strip.b.whl"), Options{MaxMemory: 6 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Notes) == 0 || !slices.ContainsFunc(r.Differences, func(d Difference) bool { return strings.Contains(d.Detail, "compared as bytes") }) {
		t.Errorf("%+v", r)
	}
}

// Only members that the pattern fits are looked into.
func TestMember(t *testing.T) {
	a, b := side(t, "testdata/planted/line-endings.a.whl"), side(t, "testdata/planted/line-endings.b.whl")
	all, err := Trees(t.Context(), a, b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	one, err := Trees(t.Context(), a, b, Options{Member: "*/RECORD"})
	if err != nil {
		t.Fatal(err)
	}
	if len(one.Differences) != 1 || len(all.Differences) < 2 || !strings.HasSuffix(one.Differences[0].Member, "/RECORD") {
		t.Errorf("%+v", one.Differences)
	}
}

// A release job that appends to a licence changes nothing else of it.
func TestAppendedLicence(t *testing.T) {
	const name = info + "licenses/LICENSE.txt"
	licensed := func(text string) (*wheel.Archive, string) {
		d := newDraft(t)
		d.files[name] = text
		d.names = append(d.names, name)
		d.modes[name], d.times[name] = 0o644, d.times["demo/cli.py"]
		a, b := d.wheel(t)
		return a, hexSum(b)
	}
	for _, test := range []struct{ a, b, want string }{
		{"one\ntwo\nthree\n", "one\ntwo\n", "license-files"},
		{"one\ntwo\n", "one\nof a library\ntwo\n", "license-files"},
		{"one\nTWO\nthree\n", "one\ntwo\n", ""},
		{"other\n", "", ""},
	} {
		a, first := licensed(test.a)
		b, second := licensed(test.b)
		r, err := Wheels(t.Context(), a, b, Options{SubjectSHA256: first, RebuiltSHA256: second})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(r.Differences, func(d Difference) bool { return d.Member == name })
		if i < 0 || r.Differences[i].Cause != test.want {
			t.Errorf("%q against %q: %+v", test.a, test.b, r.Differences)
		}
	}
}

// An archive within an archive is looked into, to the depth that was asked for.
func TestNested(t *testing.T) {
	inner := func(text string) []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		f, err := w.Create("x.py")
		if err == nil {
			_, err = f.Write([]byte(text))
		}
		if err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	outer := func(text string) Side {
		d := newDraft(t)
		d.files["demo/inner.zip"] = string(inner(text))
		d.names = append(d.names, "demo/inner.zip")
		d.modes["demo/inner.zip"], d.times["demo/inner.zip"] = 0o644, d.times["demo/cli.py"]
		_, b := d.wheel(t)
		tr, err := tree.Open(t.Context(), "demo-1.0-py3-none-any.whl", bytes.NewReader(b), int64(len(b)), tree.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return Side{"demo-1.0-py3-none-any.whl", tr}
	}
	for depth, want := range map[int]string{1: "", 4: "line-endings"} {
		r, err := Trees(t.Context(), outer("a\n"), outer("a\r\n"), Options{Depth: depth})
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(r.Differences, func(d Difference) bool { return d.Member == "demo/inner.zip" })
		if i < 0 || r.Differences[i].Cause != want {
			t.Errorf("depth %d: %+v", depth, r.Differences)
		}
	}
}

// A difference of one bit in a member is never taken for equal.
func TestNothingIsMissed(t *testing.T) {
	plain, first := newDraft(t).wheel(t)
	for _, name := range newDraft(t).names {
		d := newDraft(t)
		b := []byte(d.files[name])
		b[len(b)/2] ^= 1
		d.files[name] = string(b)
		other, second := d.wheel(t)
		r, err := Wheels(context.Background(), plain, other, Options{Scalar: true, SubjectSHA256: hexSum(first), RebuiltSHA256: hexSum(second)})
		if err != nil || r.Verdict != Differs || !slices.ContainsFunc(r.Differences, func(d Difference) bool { return d.Member == name }) {
			t.Errorf("%s: %+v %v", name, r, err)
		}
	}
}

// Each entry of the catalogue says what it has to.
func TestCatalogue(t *testing.T) {
	all := cause.Catalogue()
	if !slices.IsSortedFunc(all, func(a, b cause.Cause) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("not sorted: Find needs it")
	}
	for _, c := range all {
		for _, field := range []string{"Name", "Shows", "Sure", "Input", "Fix"} {
			if reflect.ValueOf(c).FieldByName(field).String() == "" {
				t.Errorf("%s: no %s", c.Name, field)
			}
		}
	}
}

func FuzzMembers(f *testing.F) {
	f.Add(info+"METADATA", []byte("Name: a\n\n"), []byte("Name: b\n\n"))
	f.Add(info+"RECORD", []byte("a,,\n"), []byte("\"a\",sha256=x,1\n"))
	f.Add(info+"WHEEL", []byte("Generator: a\r\n"), []byte("Tag: b\n"))
	f.Add("demo/a.pyc", []byte("0123456789abcdefz\x04/tmp"), []byte("0123456789abcdefz\x04/srv"))
	f.Add(info+"sboms/x.cdx.json", []byte("{}"), []byte("{\"a\": 1}"))
	f.Fuzz(func(t *testing.T, name string, a, b []byte) {
		if name == "" || strings.HasSuffix(name, "/") || bytes.Equal(a, b) {
			return
		}
		one := func(data []byte) Side {
			var buf bytes.Buffer
			w := zip.NewWriter(&buf)
			if f, err := w.Create(name); err == nil {
				_, _ = f.Write(data)
			}
			_ = w.Close()
			tr, err := tree.Open(context.Background(), "demo-1.0-py3-none-any.whl", bytes.NewReader(buf.Bytes()), int64(buf.Len()), tree.Limits{})
			if err != nil {
				t.Skip()
			}
			return Side{"demo-1.0-py3-none-any.whl", tr}
		}
		r, err := Trees(context.Background(), one(a), one(b), Options{Full: true, Disassemble: 1, MaxMemory: 16 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if r.Verdict != Differs {
			t.Errorf("%q: %q and %q are no difference", name, a, b)
		}
	})
}
