package pypi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/truewheel/truewheel/pypi"
)

// What each is read as: name, extras, specifier, URL, marker.
var requirements = map[string]string{
	"A.B":                                 "a-b [] () () ()",
	"a[x, Y_z] >=1,<2 ; os_name == 'nt' ": "a [x y-z] (>=1,<2) () (os_name == 'nt')",
	"a (>=1)":                             "a [] (>=1) () ()",
	"a[]":                                 "a [] () () ()",
	"a==1.*;x=='y'":                       "a [] (==1.*) () (x=='y')",
	"a @ https://h.test/x;y#z":            "a [] () (https://h.test/x;y#z) ()",
	"a@file:///x ; z":                     "a [] () (file:///x) (z)",
	"zope.interface>5dev":                 "zope-interface [] (>5dev) () ()",
}

func TestRequirement(t *testing.T) {
	for in, want := range requirements {
		r, err := pypi.ParseRequirement(in)
		if got := fmt.Sprintf("%s %v (%s) (%s) (%s)", r.Name, r.Extras, r.Specifier, r.URL, r.Marker); got != want || err != nil {
			t.Errorf("%q: %s %v, want %s", in, got, err, want)
		}
	}
	for _, bad := range []string{"", "-a", "a[x", "a[x]]", "a (>=1", "a 1", "a @", "a @ u v", "a;", "a>=", "é", "a[-]", strings.Repeat("a", 20000)} {
		if r, err := pypi.ParseRequirement(bad); err == nil {
			t.Errorf("%.50q: %+v", bad, r)
		}
	}
	if _, err := pypi.ParseRequirement("a @ https://me:secret@h.test/ x"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
	for in, want := range map[string]string{"a==1.0": "1.0", "a[x] == 1 ; m": "1", "a===1.0-x": "", "a===2": "2", "a==1.*": "", "a==1,!=2": "", "a>=1": "", "a": ""} {
		r, err := pypi.ParseRequirement(in)
		v, ok := r.Pinned()
		if err != nil || ok != (want != "") || ok && v.Original() != want {
			t.Errorf("%q is pinned to %q (%v, %v)", in, v, ok, err)
		}
	}
}

func TestRequirements(t *testing.T) {
	one, two := strings.Repeat("ab", 32), strings.Repeat("cd", 32)
	text := "\ufeff# c\n" + // a comment continues nothing: \
		"# \\\n" +
		"-r other.txt\n-rmore.txt\n--requirement=\"last one.txt\"\n" +
		"--index-url https://me:secret@x.test\n-c constraints.txt\n-e .\n" +
		"A_b[x] == 1.0 ; python_version < '4' \\\r\n  --hash=sha256:" + strings.ToUpper(one) + " \\\n --hash md5:cd --hash 'sha256:" + two + "' # why\n" +
		"foo>=1\t# tab\n" +
		"bar==2.*\n" +
		"./local.whl\nhttps://me:secret@x.test/w.whl#frag\nsplit==1.\\\n5\n"
	lines, err := pypi.ParseRequirements(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range lines {
		got = append(got, fmt.Sprintf("%d %s|%s|%s|%s|%s|%d", l.Number, l.Text, l.Include, l.Name, l.Version, l.Marker, len(l.Hashes)))
	}
	want := []string{
		"3 |other.txt||||0",
		"4 |more.txt||||0",
		"5 |last one.txt||||0",
		"9 A_b[x] == 1.0 ; python_version < '4'||a-b|1.0|python_version < '4'|2",
		"12 foo>=1||foo|||0",
		"13 bar==2.*||bar|||0",
		"14 ./local.whl|||||0",
		"15 https://***@x.test/w.whl#frag|||||0",
		"16 split==1.5||split|1.5||0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !slices.Equal(lines[3].Hashes, []string{one, two}) {
		t.Errorf("%v", lines[3].Hashes)
	}
	for text, want := range map[string]string{
		"a==1 \\":                    "line 1: ",
		"\n???":                      "line 2: ",
		"a==x.y":                     "line 1: ",
		"a==1 --hash=sha256:ab":      "64 digits",
		"a==1 --hash=":               "64 digits",
		"a==1 --hash=sha512:" + one:  "none of its hashes",
		"-r":                         "names no file",
		strings.Repeat("a", 2000000): "line 1: ",
	} {
		if l, err := pypi.ParseRequirements(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: %+v %v", text, l, err)
		}
	}
}

func FuzzRequirement(f *testing.F) {
	for in := range requirements {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		r, err := pypi.ParseRequirement(in)
		if err != nil {
			return
		}
		if again, err := pypi.ParseName(string(r.Name)); err != nil || again != r.Name {
			t.Fatalf("%q: name %q %v", in, r.Name, err)
		}
		if r.URL != "" && r.Specifiers != nil {
			t.Fatalf("%q: %+v", in, r)
		}
	})
}

func FuzzRequirements(f *testing.F) {
	f.Add("a==1.0 --hash=sha256:" + strings.Repeat("00", 32) + "\n-r b\n")
	f.Add("a \\\n # \\\n==1\n")
	f.Fuzz(func(t *testing.T, text string) {
		lines, err := pypi.ParseRequirements(strings.NewReader(text))
		for _, l := range lines {
			if err == nil && (l.Version != "" && l.Name == "" || l.Number < 1) {
				t.Fatalf("%+v", l)
			}
			for _, sum := range l.Hashes {
				if len(sum) != 64 {
					t.Fatalf("%+v", l)
				}
			}
		}
	})
}
