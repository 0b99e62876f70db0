package pypi_test

import (
	"testing"

	"github.com/truewheel/truewheel/pypi"
)

func TestPURL(t *testing.T) {
	for in, want := range map[string]string{
		"pkg:pypi/attrs@25.4.0":                                   "pkg:pypi/attrs@25.4.0",
		"pkg:PyPI/Zope.Event@6.0?file_name=zope_event-6.0.tar.gz": "pkg:pypi/zope-event@6.0?file_name=zope_event-6.0.tar.gz",
		"pkg:pypi/a": "pkg:pypi/a",
	} {
		p, err := pypi.ParsePURL(in)
		if err != nil || p.String() != want {
			t.Errorf("%s: %s %v", in, p, err)
		}
	}
	p, err := pypi.ParsePURL("pkg:pypi/a@1.0%2Bx?file_name=a-1.0%2Bx.tar.gz&other=y")
	if err != nil || p.Version.String() != "1.0+x" || p.Filename != "a-1.0+x.tar.gz" {
		t.Errorf("%+v %v", p, err)
	}
	if again, err := pypi.ParsePURL(p.String()); err != nil || again.String() != p.String() {
		t.Errorf("%s %v", p, err)
	}
	for _, bad := range []string{"", "attrs==1", "pkg:npm/a@1", "pkg:pypi/n/a@1", "pkg:pypi/a@x", "pkg:pypi/-@1", "pkg:pypi/a@1?file_name=..%2Fx"} {
		if p, err := pypi.ParsePURL(bad); err == nil {
			t.Errorf("%q: %s", bad, p)
		}
	}
}

func FuzzPURL(f *testing.F) {
	f.Add("pkg:pypi/a@1.0%2Bx?file_name=a-1.0%2Bx.tar.gz")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := pypi.ParsePURL(s)
		if err != nil {
			return
		}
		if again, err := pypi.ParsePURL(p.String()); err != nil || again.String() != p.String() {
			t.Fatalf("%q is %s is %s (%v)", s, p, again, err)
		}
	})
}

func FuzzWheelFilename(f *testing.F) {
	f.Add("zope.event-6.0-1b-cp311.cp312-abi3-manylinux_2_17_x86_64.whl")
	f.Add("six-1.17.0-py2.py3-none-any.whl")
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := pypi.ParseSdistFilename(s, "six"); err == nil && (d.Version.String() == "" || d.Suffix == "") {
			t.Fatalf("%+v", d)
		}
		w, err := pypi.ParseWheelFilename(s)
		if err != nil {
			return
		}
		if w.Name == "" || w.Version.String() == "" || len(w.Python)*len(w.ABI)*len(w.Platform) == 0 || w.Filename != s {
			t.Fatalf("%+v", w)
		}
	})
}
