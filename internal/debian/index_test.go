package debian

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/truewheel/truewheel/internal/store"
)

func TestPackages(t *testing.T) {
	s := newSite(t)
	good := stanza("gcc", "4:12.2.0-3", "Depends: gcc-12\n") + stanza("bash", "5.2", "Essential: yes\n")
	s.publish("bookworm", good, s.key, "")
	s.publish("bookworm-updates", stanza("bash", "5.3", ""), s.key, "Valid-Until: Sun, 29 Nov 2026 02:09:05 UTC\n")
	all, err := s.archive().Packages(t.Context(), "bookworm", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range all {
		names = append(names, p.Name+" "+p.Version)
	}
	if want := []string{"gcc 4:12.2.0-3", "bash 5.2", "bash 5.3"}; !reflect.DeepEqual(names, want) {
		t.Errorf("%q, not %q", names, want)
	}
	if !all[1].Essential || all[0].Depends != "gcc-12" || all[0].Filename() != "gcc_4%3a12.2.0-3_amd64.deb" {
		t.Errorf("%+v", all)
	}
}

// What is not signed by the archive, for this suite and still valid, is refused.
func TestForgedIndex(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*site)
		want  string
	}{
		"another key":  {func(s *site) { s.publish("bookworm", stanza("a1", "1", ""), s.other, "") }, "the signature is not good"},
		"expired":      {func(s *site) { s.publish("bookworm", "", s.key, "Valid-Until: Sat, 21 Nov 2026 02:09:05 UTC\n") }, "it expired on 2026-11-21"},
		"no date":      {func(s *site) { s.publish("bookworm", "", s.key, "Valid-Until: soon\n") }, "is not a date"},
		"not signed":   {func(s *site) { s.files["dists/bookworm/InRelease"] = []byte("Codename: bookworm\n") }, "it is not signed"},
		"other suite":  {func(s *site) { s.files["dists/bookworm/InRelease"] = s.files["dists/bookworm-updates/InRelease"] }, "it is for bookworm-updates"},
		"changed":      {func(s *site) { replace(s, "Codename: bookworm", "Codename: Bookworm") }, "the signature is not good"},
		"text before":  {func(s *site) { replace(s, "-----BEGIN PGP SIGNED", "Codename: x\n-----BEGIN PGP SIGNED") }, "outside of what is signed"},
		"text after":   {func(s *site) { replace(s, "-----END PGP SIGNATURE-----", "-----END PGP SIGNATURE-----\nx: y") }, "outside of what is signed"},
		"other index":  {func(s *site) { s.files["dists/bookworm/main/binary-amd64/Packages.xz"] = []byte("x") }, "sha256 is"},
		"no such file": {func(s *site) { s.files["dists/bookworm/InRelease"] = s.sign("Codename: bookworm\n", s.key) }, "names no main/binary-amd64"},
		"no index":     {func(s *site) { delete(s.files, "dists/bookworm/InRelease") }, "404"},
		"outside": {func(s *site) {
			s.publish("bookworm", strings.Replace(stanza("a1", "1", ""), "pool/main", "../main", 1), s.key, "")
		}, "is not a file of the pool"},
		"no sum": {func(s *site) { s.publish("bookworm", strings.Replace(stanza("a1", "1", ""), "abab", "", 1), s.key, "") }, "is not a sha256"},
		"no size": {func(s *site) {
			s.publish("bookworm", strings.Replace(stanza("a1", "1", ""), "Size: 5", "Size: -5", 1), s.key, "")
		}, "size"},
		"bad version": {func(s *site) { s.publish("bookworm", stanza("a1", "x:1", ""), s.key, "") }, "a1"},
		"bad name":    {func(s *site) { s.publish("bookworm", stanza("A", "1", ""), s.key, "") }, "is not a package's name"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.publish("bookworm", stanza("gcc", "1", ""), s.key, "")
			s.publish("bookworm-updates", "", s.key, "")
			c.spoil(s)
			a := s.archive()
			_, err := a.Packages(t.Context(), "bookworm", "amd64")
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, not %q", err, c.want)
			}
			// Nothing that failed its check has a name in the store.
			if _, bad, err := a.Client.Store.Verify(t.Context()); err != nil || len(bad) > 0 {
				t.Errorf("left in the store: %v %v", bad, err)
			}
		})
	}
}

func replace(s *site, old, new string) {
	name := "dists/bookworm/InRelease"
	s.files[name] = bytes.Replace(s.files[name], []byte(old), []byte(new), 1)
}

func TestOffline(t *testing.T) {
	s := newSite(t)
	s.publish("bookworm", stanza("gcc", "1", ""), s.key, "")
	s.publish("bookworm-updates", "", s.key, "")
	a := s.archive()
	a.Client.Settings.Offline = true
	if _, err := a.Packages(t.Context(), "bookworm", "amd64"); err == nil {
		t.Error("something from nothing")
	}
	a.Client.Settings.Offline = false
	if _, err := a.Packages(t.Context(), "bookworm", "amd64"); err != nil {
		t.Fatal(err)
	}
	s.server.Close()
	a.Client.Settings.Offline = true
	if all, err := a.Packages(t.Context(), "bookworm", "amd64"); err != nil || len(all) != 1 {
		t.Errorf("what was asked for before: %v %v", all, err)
	}
}

// Debian's own keys are the default, and they verify nothing of the test's.
func TestDefaultKeyring(t *testing.T) {
	s := newSite(t)
	s.publish("bookworm", "", s.key, "")
	s.publish("bookworm-updates", "", s.key, "")
	a := s.archive()
	a.Keyring = nil
	var forged *SignatureError
	if _, err := a.Packages(t.Context(), "bookworm", "amd64"); !errors.As(err, &forged) {
		t.Errorf("%v", err)
	}
}

func TestFindMirrors(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755), store.WriteFile(filepath.Join(dir, name), []byte(text))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := FindMirrors(dir, nil); !errors.Is(err, ErrNoMirror) {
		t.Errorf("of nothing: %v", err)
	}
	write("sources.list", "# deb http://no.test/debian bookworm main\ndeb-src http://src.test/debian bookworm main\n"+
		"deb [arch=amd64 signed-by=/x] http://one.test/debian/ bookworm main contrib # mine\ndeb http://other.test/x focal main\ndeb http://contrib.test/debian bookworm contrib\n")
	write("sources.list.d/debian.sources", "Types: deb\nURIs: http://two.test/debian\nSuites: bookworm bookworm-updates\nComponents: main\n\n"+
		"Types: deb deb-src\nURIs: http://two.test/debian-security\nSuites: bookworm-security\nComponents: main\n\n"+
		"Enabled: no\nTypes: deb\nURIs: http://off.test/debian\nSuites: bookworm\nComponents: main\n")
	for _, c := range []struct {
		given []string
		want  Mirrors
		err   string
	}{
		{nil, Mirrors{[]string{"http://one.test/debian", "http://two.test/debian"}, []string{"http://two.test/debian-security"}}, ""},
		{[]string{"https://m.test/debian/"}, Mirrors{[]string{"https://m.test/debian"}, []string{"https://m.test/debian-security"}}, ""},
		{[]string{"https://m.test/a", "https://m.test/s-security"}, Mirrors{[]string{"https://m.test/a"}, []string{"https://m.test/s-security"}}, ""},
		{[]string{"https://m.test/s-security"}, Mirrors{}, "name a main one"},
		{[]string{"ftp://m.test/debian"}, Mirrors{}, "not an http"},
	} {
		got, err := FindMirrors(dir, c.given)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: %v", c.given, err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %+v %v", c.given, got, err)
		}
	}
}

func TestResolve(t *testing.T) {
	const index = `
base: Essential; Pre-Depends: libc6 (>= 2.0)
libc6 2.1
libc6 2.2
awk-a: Provides: awk
awk-b: Provides: awk; Priority: required
gcc 4:12: Depends: gcc-12 (>= 12.1), tool | other
gcc-12 12.2: Depends: libc6 (>= 2.2~), awk
other
needs-awk: Depends: awk
versioned: Depends: virtual (>= 2)
virtual-1: Provides: virtual (= 1)
virtual-3: Provides: virtual (= 3)
needs-old: Depends: libc6 (<< 2.1)
lost: Depends: nowhere
foe: Conflicts: other
breaks: Breaks: libc6 (<< 3)
any: Depends: other:any
self: Conflicts: awk; Provides: awk
`
	var all []Package
	for line := range strings.Lines(strings.TrimSpace(index)) {
		head, rest, _ := strings.Cut(strings.TrimSpace(line), ": ")
		name, version, ok := strings.Cut(strings.TrimSuffix(head, ":"), " ")
		if !ok {
			version = "1"
		}
		rest = strings.ReplaceAll(rest, "Essential", "Essential: yes")
		ps, err := ParsePackages(strings.NewReader(stanza(name, version, strings.ReplaceAll(rest, "; ", "\n")+"\n")))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ps...)
	}
	for _, c := range []struct {
		wanted string
		keep   map[string]string
		want   string // or the error
	}{
		{"", nil, "base=1 libc6=2.2"},
		{"", map[string]string{"libc6": "2.1"}, "base=1 libc6=2.1"},
		{"", map[string]string{"libc6": "1.0"}, "base=1 libc6=2.2"},
		{"libc6=2.1", nil, "base=1 libc6=2.1"},
		{"gcc", nil, "awk-b=1 base=1 gcc=4:12 gcc-12=12.2 libc6=2.2 other=1"},
		{"needs-awk awk-a", nil, "awk-a=1 base=1 libc6=2.2 needs-awk=1"},
		{"versioned", nil, "base=1 libc6=2.2 versioned=1 virtual-3=1"},
		{"any", nil, "any=1 base=1 libc6=2.2 other=1"},
		{"self", nil, "base=1 libc6=2.2 self=1"},
		{"nowhere", nil, "there is no package nowhere"},
		{"libc6=9", nil, "there is no libc6 9"},
		{"lost", nil, "lost needs nowhere, which is not to be had"},
		{"needs-old", nil, "needs-old needs libc6"},
		{"foe other", nil, "foe and other can't be installed together"},
		{"breaks", nil, "breaks and libc6 can't be installed together"},
	} {
		got, err := Resolve(all, strings.Fields(c.wanted), c.keep)
		var words []string
		for _, p := range got {
			words = append(words, p.Name+"="+p.Version)
		}
		said := strings.Join(words, " ")
		if err != nil {
			said = strings.TrimPrefix(err.Error(), "resolve Debian packages: ")
		}
		if said != c.want && (err == nil || !strings.HasPrefix(said, c.want)) {
			t.Errorf("%q keeping %v: %s\nwant %s", c.wanted, c.keep, said, c.want)
		}
	}
}

func TestSuites(t *testing.T) {
	if s, ok := SuiteFor("3.11"); !ok || s.Name != "bookworm" {
		t.Error(s)
	}
	if _, ok := SuiteFor("3.10"); ok {
		t.Error("3.10 is in no suite")
	}
	if _, err := ParseSuite("sid"); err == nil || !strings.Contains(err.Error(), "bullseye, bookworm, trixie") {
		t.Error(err)
	}
}

func FuzzParsePackages(f *testing.F) {
	f.Add([]byte(stanza("gcc", "4:12.2.0-3", "Depends: a, b | c (>= 2)\n multi\n")))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := ParsePackages(bytes.NewReader(data))
		if err != nil {
			return
		}
		var wanted []string
		for _, p := range all {
			wanted = append(wanted, p.Name)
		}
		chosen, err := Resolve(all, wanted, nil)
		if err == nil && len(chosen) == 0 && len(all) > 0 {
			t.Errorf("nothing chosen of %q", wanted)
		}
	})
}
