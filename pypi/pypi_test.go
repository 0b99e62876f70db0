package pypi_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/truewheel/truewheel/pypi"
)

func version(t testing.TB, s string) pypi.Version {
	t.Helper()
	v, err := pypi.ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// In PEP 440's order.
var ordered = []string{
	"1.dev0", "1.0.dev456", "1.0a1", "1.0a2.dev456", "1.0a12.dev456", "1.0a12", "1.0b1.dev456", "1.0b2", "1.0b2.post345.dev456",
	"1.0b2.post345", "1.0rc1.dev456", "1.0rc1", "1.0", "1.0+abc.5", "1.0+abc.7", "1.0+5", "1.0.post456.dev34", "1.0.post456", "1.0.15", "1.1.dev1", "1!0.1",
}

func TestVersionOrder(t *testing.T) {
	for i, a := range ordered {
		for j, b := range ordered {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if a == "1.dev0" && b == "1.0.dev456" || b == "1.dev0" && a == "1.0.dev456" {
				continue // both are developments of 1
			}
			if got := version(t, a).Compare(version(t, b)); got != want {
				t.Errorf("%s against %s: %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestVersionForms(t *testing.T) {
	for in, want := range map[string]string{
		"1.0": "1.0", "v1.0": "1.0", "1.0-alpha.1": "1.0a1", "1.0.ALPHA": "1.0a0", "1.0c3": "1.0rc3", "1.0-1": "1.0.post1", "1.0.rev2": "1.0.post2",
		"1.0.DEV3": "1.0.dev3", "01.02": "1.2", "1.0+Ubuntu-01": "1.0+ubuntu.1", "0!1": "1", "0.30.0.a0": "0.30.0a0",
	} {
		if got := version(t, in).String(); got != want {
			t.Errorf("%q is %q, want %q", in, got, want)
		}
	}
	for _, in := range []string{"", "a", "1.0.x", "1.0-", "1..0", "1.0+", "1.0 1", "1.0.po\u017ft1", strings.Repeat("1", 300)} {
		if v, err := pypi.ParseVersion(in); err == nil {
			t.Errorf("%q is %s", in, v)
		}
	}
}

func TestSpecifiers(t *testing.T) {
	for _, test := range []struct {
		spec    string
		in, out string // versions, space separated
	}{
		{"", "1 2", ""},
		{">=3.8,<4", "3.8 3.12.1", "3.7.9 4 4.0a1"},
		{"==1.0", "1.0 1 1.0.0 1.0+local", "1.0.1 1.0a1"},
		{"==1.*", "1 1.5", "2 0.9"},
		{"!=1.5.*,>=1", "1.4 1.6", "1.5 1.5.3"},
		{"~=1.4.2", "1.4.2 1.4.9", "1.5 1.4.1"},
		{"~=1.4", "1.4 1.9", "2.0"},
		{">1.0", "1.1", "1.0 1.0.post1"},
		{"===1.0", "1.0", "1.0.0"},
		{"<1!1.0", "1.0a1 2", "1!1.0a1 1!1.0"},
		{">1.0", "1!1.0.post1 1.0.1", "1.0.post1"},
		{">=1.0a1", "1.0a1 1.0", "0.9"},
		{"==1.0+a", "1.0+a", "1.0 1.0+b"},
		{"~=1.4a1", "1.4 1.9", "2"},
	} {
		s, err := pypi.ParseSpecifiers(test.spec)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range strings.Fields(test.in) {
			if !s.Contains(version(t, v), true) {
				t.Errorf("%q does not hold for %s", test.spec, v)
			}
		}
		for _, v := range strings.Fields(test.out) {
			if s.Contains(version(t, v), true) {
				t.Errorf("%q holds for %s", test.spec, v)
			}
		}
	}
	for _, bad := range []string{"1.0", ">=", "=>1", "~=1", ">=x", ">=1+a", "==1a1.*", ">=1.*"} {
		if _, err := pypi.ParseSpecifiers(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestSpecifiersAndPrereleases(t *testing.T) {
	for spec, want := range map[string]bool{">=1.0": false, ">=2.0a1": true, "!=3a1": false, "": false} {
		s, err := pypi.ParseSpecifiers(spec)
		if err != nil || s.Contains(version(t, "2.0b1"), false) != want || !s.Contains(version(t, "2.0b1"), true) {
			t.Errorf("%q: %v", spec, err)
		}
	}
}

func TestZeroVersion(t *testing.T) {
	var zero pypi.Version
	if zero.String() != "" || zero.Compare(version(t, "0.dev0")) != -1 || version(t, "0").Compare(zero) != 1 || zero.Compare(zero) != 0 {
		t.Error("the zero Version is not before all others")
	}
}

func TestNames(t *testing.T) {
	if n, err := pypi.ParseName("Zope._.Event"); err != nil || n != "zope-event" {
		t.Errorf("%q %v", n, err)
	}
	for _, bad := range []string{"", "-a", "a-", "a b", "a/b", "é", "\u017fix", "\u212aey", "a\n", strings.Repeat("a", 300)} {
		if n, err := pypi.ParseName(bad); err == nil {
			t.Errorf("%q is %q", bad, n)
		}
	}
}

func TestFilenames(t *testing.T) {
	w, err := pypi.ParseWheelFilename("zope.event-6.0-1b-cp311.cp312-abi3-manylinux_2_17_x86_64.whl")
	if err != nil || w.Name != "zope-event" || w.Build != "1b" || !slices.Equal(w.Python, []string{"cp311", "cp312"}) || w.IsPure() {
		t.Errorf("%+v %v", w, err)
	}
	if w, err := pypi.ParseWheelFilename("six-1.17.0-py2.py3-none-any.whl"); err != nil || !w.IsPure() || w.Version.String() != "1.17.0" {
		t.Errorf("%+v %v", w, err)
	}
	for _, bad := range []string{"six.whl", "six-1.17.0.whl", "six-x-py3-none-any.whl", "../six-1-py3-none-any.whl", "six-1-b1-py3-none-any.whl", "six-1-py3-none-any.zip",
		"six-1---.whl", "six-1-py3-none-a\ny.whl", "six- 1-py3-none-any.whl", "six-1-py3..py2-none-any.whl"} {
		if _, err := pypi.ParseWheelFilename(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	for file, want := range map[string]string{"zope.event-6.0.tar.gz": "6.0", "zope_event-6.0.zip": "6.0", "Zope-Event-6.0.tar.bz2": "6.0"} {
		s, err := pypi.ParseSdistFilename(file, "zope-event")
		if err != nil || s.Version.String() != want {
			t.Errorf("%s: %+v %v", file, s, err)
		}
	}
	if _, err := pypi.ParseSdistFilename("zope.event.extra-6.0.tar.gz", "zope-event"); err == nil {
		t.Error("another project's sdist is taken")
	}
}

var base = &url.URL{Scheme: "https", Host: "index.test", Path: "/simple/demo/"}

var ab, cd = strings.Repeat("ab", 32), strings.Repeat("cd", 32)

var jsonPage = strings.NewReplacer("AB", strings.ToUpper(ab), "CD", strings.ToUpper(cd)).Replace(`{"meta":{"api-version":"1.1"},"files":[
{"filename":"demo-1.0.tar.gz","url":"/f/demo-1.0.tar.gz","hashes":{"sha256":"AB"},"size":7,"upload-time":"2024-01-02T03:04:05.678Z","yanked":false},
{"filename":"demo-1.0-py3-none-any.whl","url":"../../w.whl","hashes":{},"yanked":"broken","core-metadata":{"sha256":"CD"},"requires-python":">=3.8"},
{"filename":"../evil.whl","url":"/x","hashes":{}},
{"filename":"local.whl","url":"file:///etc/passwd","hashes":{}},
{"filename":"odd.whl","url":"http://[x","hashes":{}}],"name":"demo"}`)

var htmlPage = strings.NewReplacer("=ab", "="+ab, "=cd", "="+cd).Replace(`<html><meta name="pypi:repository-version" content="1.0">
<a href="https://me:secret@index.test/f/demo-1.0.tar.gz#egg=x&sha256=ab">x</a>
<a href="../../demo-1.0-py3-none-any.whl" data-yanked="broken" data-requires-python="&gt;=3.8" data-dist-info-metadata="sha256=cd">y</a>
<a href="https://elsewhere.test/">not a file</a>
<a href="file:///etc/a-1.tar.gz">local</a><a href="http://[x.whl">odd</a><a href="x%2f..%5cy-1.whl">name</a></html>`)

func TestPages(t *testing.T) {
	for kind, body := range map[string]string{"application/vnd.pypi.simple.v1+json": jsonPage, "text/html; charset=utf-8": htmlPage} {
		p, err := pypi.ParsePage(base, kind, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Files) != 2 || p.Skipped < 2 {
			t.Fatalf("%s: %+v", kind, p.Files)
		}
		s, w := p.Files[0], p.Files[1]
		if s.URL != "https://index.test/f/demo-1.0.tar.gz" || s.SHA256 != ab || s.Yanked {
			t.Errorf("%s: %+v", kind, s)
		}
		if !w.Yanked || w.YankedReason != "broken" || w.RequiresPython != ">=3.8" || !w.Metadata || w.MetadataSHA256 != cd {
			t.Errorf("%s: %+v", kind, w)
		}
		isJSON := strings.Contains(kind, "json")
		if p.HasUploadTimes != isJSON || s.UploadTime.IsZero() == isJSON || (s.Size == 7) != isJSON {
			t.Errorf("%s: %+v", kind, s)
		}
		wheels, sdists := p.Release("demo", version(t, "1.0.0"))
		if len(wheels) != 1 || len(sdists) != 1 {
			t.Errorf("%s: %d wheels, %d sdists", kind, len(wheels), len(sdists))
		}
	}
	for kind, body := range map[string]string{"text/plain": "x", "application/vnd.pypi.simple.v1+json": `{"meta":{"api-version":"2.0"}}`, "": "x",
		"application/vnd.pypi.simple.latest+json": `{"meta":{"api-version":"1.0"},"files":[{"filename":"a.whl","url":"/a.whl"}`,
		"application/vnd.pypi.simple.v1+html":     `<meta name="pypi:repository-version" content="2.0">`} {
		if _, err := pypi.ParsePage(base, kind, []byte(body)); err == nil {
			t.Errorf("%q is taken", kind)
		}
	}
}

func FuzzVersion(f *testing.F) {
	for _, s := range ordered {
		f.Add(s, "1.0")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		v, err := pypi.ParseVersion(a)
		if err != nil {
			return
		}
		again, err := pypi.ParseVersion(v.String())
		if err != nil || again.Compare(v) != 0 || again.String() != v.String() {
			t.Fatalf("%q is %q is %q (%v)", a, v, again, err)
		}
		if w, err := pypi.ParseVersion(b); err == nil && v.Compare(w) != -w.Compare(v) {
			t.Fatalf("%q and %q have no order", a, b)
		}
	})
}

func FuzzPage(f *testing.F) {
	f.Add("text/html", []byte(htmlPage))
	f.Add("application/vnd.pypi.simple.v1+json", []byte(jsonPage))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		p, err := pypi.ParsePage(base, kind, body)
		if err != nil {
			return
		}
		for _, file := range p.Files {
			if strings.ContainsAny(file.Filename, "/\\\x00") || file.Filename == "" {
				t.Fatalf("file name %q", file.Filename)
			}
			if u, err := url.Parse(file.URL); err != nil || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
				t.Fatalf("URL %q", file.URL)
			}
			if file.SHA256 != "" && len(file.SHA256) != 64 {
				t.Fatalf("sha256 %q", file.SHA256)
			}
		}
	})
}
