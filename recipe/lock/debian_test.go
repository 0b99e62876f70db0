package lock_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/truewheel/truewheel/recipe"
	"github.com/truewheel/truewheel/recipe/lock"
)

// native is a lock of a checkout in a root of two packages.
func native() lock.Lock {
	l := sample()
	l.Subject, l.Source = nil, nil
	deb := func(name, version, arch, pool string) lock.Deb {
		return lock.Deb{Name: name, Version: version, PURL: lock.DebPURL(name, version, arch), Pool: pool, Size: 7, SHA256: strings.Repeat("12", 32)}
	}
	l.Environment = lock.Environment{
		Kind: lock.Debian, Suite: "bookworm", Architecture: "amd64", Root: strings.Repeat("34", 32), Requested: []string{"g++"},
		Debs: []lock.Deb{
			deb("tzdata", "2024a-0+deb12u1", "all", "pool/main/t/tzdata/tzdata_2024a-0+deb12u1_all.deb"),
			deb("g++", "4:12.2.0-3", "amd64", "pool/main/g/gcc-defaults/g++_12.2.0-3_amd64.deb"),
		},
	}
	l.UV = &lock.File{PURL: lock.PyPIURL("uv", "0.13.9"), Filename: "uv-0.13.9-py3-none-any.whl", Size: 4, SHA256: strings.Repeat("56", 32)}
	l.Recipe.ConfigSettings = map[string][]string{"setup-args": {"-Da=b", "-Dc=d"}, "build-dir": {"build"}}
	l.Recipe.Target, l.Recipe.Extensions, l.Recipe.Repair = "cp311-manylinux_x86_64", []string{"demo/_x", "demo/_y"}, recipe.Auditwheel
	return l
}

func TestDebianRoundTrip(t *testing.T) {
	first, err := native().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	l, err := lock.Parse(first)
	if err != nil {
		t.Fatalf("%v in\n%s", err, first)
	}
	second, err := l.Marshal()
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("rewrite changed the lock: %v\n%s\nthen\n%s", err, first, second)
	}
	if l.Source != nil || l.Environment.Debs[0].Name != "g++" || l.Recipe.Repair != "auditwheel" || l.Recipe.ConfigSettings["setup-args"][1] != "-Dc=d" {
		t.Errorf("read back %+v", l)
	}
	// One line a file, to be reviewed and to be diffed.
	for _, want := range []string{
		"  {name = 'g++', version = '4:12.2.0-3', purl = 'pkg:deb/debian/g%2B%2B@4:12.2.0-3?arch=amd64', pool = 'pool/main/g/gcc-defaults/g++_12.2.0-3_amd64.deb', size = 7, sha256 = '" + strings.Repeat("12", 32) + "'},\n",
		"  {name = 'setuptools', version = '69.0.0', purl = 'pkg:pypi/setuptools@69.0.0', filename = 'setuptools-69.0.0-py3-none-any.whl', size = 3, sha256 = '" + strings.Repeat("ef", 32) + "'},\n",
	} {
		if !strings.Contains(string(first), want) {
			t.Errorf("no line %sin\n%s", want, first)
		}
	}
	if strings.Contains(string(first), "http") {
		t.Error("a lock names no host")
	}
}

func TestCommit(t *testing.T) {
	l := native()
	l.Commit = &lock.Commit{ID: strings.Repeat("0a", 20), Subdirectory: "python/demo"}
	first, err := l.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := lock.Parse(first)
	if err != nil || again.Source != nil || *again.Commit != *l.Commit || !bytes.Equal(first, must(again.Marshal())) {
		t.Errorf("%v\n%s", err, first)
	}
	for text, want := range map[string]string{"git = 'hidden'": "hidden", "git = 'present'": "", "": "", "git = 'maybe'": "error"} {
		got := "error"
		if l, err := lock.Parse(bytes.Replace(first, []byte("git = 'present'"), []byte(text), 1)); err == nil {
			got = l.Recipe.SourceGit
			if back := must(l.Marshal()); want == "hidden" && !bytes.Contains(back, []byte(text)) {
				t.Errorf("%s is lost:\n%s", text, back)
			}
		}
		if got != want {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
	}
	for _, c := range []lock.Commit{{ID: "v1"}, {ID: strings.Repeat("0a", 20), Subdirectory: "../x"}, {ID: strings.Repeat("0a", 20), Subdirectory: "/x"}} {
		l.Commit = &c
		if _, err := l.Marshal(); err == nil {
			t.Errorf("%+v", c)
		}
	}
}

func TestDebianErrors(t *testing.T) {
	data, err := native().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"kind":          {"kind = 'debian'", "kind = 'moon'", `kind "moon" is not known (host, debian, oci)`},
		"host":          {"kind = 'debian'", "kind = 'host'", "neither suite, nor packages, nor an image"},
		"suite":         {"suite = 'bookworm'", "suite = '../x'", "suite"},
		"root":          {strings.Repeat("34", 32), "34", "root"},
		"sum":           {strings.Repeat("12", 32), "12", "deb g++"},
		"size":          {"size = 7", "size = 0", "deb g++: size 0"},
		"pool":          {"pool/main/g/gcc-defaults/", "pool/../../", "not a path in a pool"},
		"absolute":      {"'pool/main/g", "'/pool/main/g", "not a path in a pool"},
		"name":          {"name = 'g++'", "name = '../g'", "not a name and version"},
		"purl":          {"g%2B%2B@4:12.2.0-3", "g%2B%2B@4:12.2.0-4", "is not that of its name"},
		"requested":     {"requested = ['g++']", "requested = ['gcc']", "gcc was asked for"},
		"repair":        {"repair = 'auditwheel'", "repair = 'rm'", "repair"},
		"target":        {"target = 'cp311-manylinux_x86_64'", "target = '; rm'", "target"},
		"source":        {"kind = 'checkout'", "kind = 'checkout'\nfilename = 'x'", "has no such fields"},
		"source kind":   {"kind = 'checkout'", "kind = 'svn'", `source kind "svn"`},
		"unknown field": {"suite = 'bookworm'", "suite = 'bookworm'\nmirror = 'x'", `unknown field "environment.mirror"`},
		"in a line":     {"size = 7, sha256", "size = 7, extra = 1, sha256", "unknown field"},
	} {
		if !bytes.Contains(data, []byte(c.old)) {
			t.Fatalf("%s: no %q in\n%s", name, c.old, data)
		}
		_, err := lock.Parse(bytes.Replace(data, []byte(c.old), []byte(c.new), 1))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, not %q", name, err, c.want)
		}
	}
}

func TestExports(t *testing.T) {
	l, err := lock.Parse(must(native().Marshal()))
	if err != nil {
		t.Fatal(err)
	}
	want := "setuptools==69.0.0 --hash=sha256:" + strings.Repeat("ef", 32) + "\nwheel==0.42.0 --hash=sha256:" + strings.Repeat("cd", 32) + "\n"
	if got := string(l.Constraints()); got != want {
		t.Errorf("%s", got)
	}
	pylock, err := l.Pylock(func(p lock.Package) (string, error) { return "https://index.test/" + p.Filename, nil })
	if err != nil || !strings.Contains(string(pylock), "requires-python = '==3.11.*'") || !strings.Contains(string(pylock), "url = 'https://index.test/wheel-0.42.0-py3-none-any.whl'") {
		t.Errorf("%v\n%s", err, pylock)
	}
	gone := errors.New("gone")
	if _, err := l.Pylock(func(lock.Package) (string, error) { return "", gone }); !errors.Is(err, gone) {
		t.Error(err)
	}
	bom, err := l.SBOM()
	if err != nil || !bytes.Equal(bom, must(l.SBOM())) {
		t.Fatalf("not the same twice: %v", err)
	}
	var doc struct {
		BOMFormat, SpecVersion, SerialNumber string
		Components                           []struct{ Name, PURL string }
	}
	if err := json.Unmarshal(bom, &doc); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range doc.Components {
		names = append(names, c.Name)
	}
	if doc.BOMFormat != "CycloneDX" || doc.SpecVersion != "1.6" || strings.Join(names, " ") != "uv setuptools wheel g++ tzdata" {
		t.Errorf("%+v", doc)
	}
	if len(doc.SerialNumber) != len("urn:uuid:")+36 || doc.SerialNumber[23] != '8' {
		t.Errorf("serial number %s", doc.SerialNumber)
	}
}

func must(data []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return data
}
