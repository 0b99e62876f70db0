package uv

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truewheel/truewheel/recipe"
)

func TestResolveArgs(t *testing.T) {
	r := Request{Before: time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC), Python: "/usr/bin/python3", Offline: true}
	got := strings.Join(resolveArgs(r, "/cache", "/c.txt", "/o.txt"), " ")
	want := "pip compile - --quiet --no-progress --color never --no-config --cache-dir /cache --python /usr/bin/python3 --no-python-downloads " +
		"--format pylock.toml --no-header --no-annotate --no-build --constraint /c.txt --override /o.txt --exclude-newer 2024-01-02T03:04:05Z --offline"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestInstallArgs(t *testing.T) {
	got := installArgs("/cache", "/usr/bin/python3", "/env", true)
	for _, want := range []string{"--offline", "--no-index", "--no-deps", "--no-build", "--require-hashes", "--prefix", "--link-mode"} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in %q", want, got)
		}
	}
	if slices.Contains(installArgs("/cache", "/p", "/env", false), "--link-mode") {
		t.Error("copies where links would do")
	}
}

const sum = "5a036d00caa73550a3a976432ef21c1e3fa12637e1616aab32caded35331ae96"

func TestParsePylock(t *testing.T) {
	got, err := parsePylock([]byte(`lock-version = "1.0"
[[packages]]
name = "wheel"
version = "0.42.0"
wheels = [{ url = "https://i.test/wheel-0.42.0-py3-none-any.whl#x", size = 7, hashes = { sha256 = "`+sum+`" } }]
[[packages]]
name = "cython"
version = "3.0"
wheels = [
  { url = "https://i.test/Cython-3.0-cp312-cp312-linux_x86_64.whl", hashes = { sha256 = "`+strings.Repeat("0", 64)+`" } },
  { url = "https://i.test/Cython-3.0-py2.py3-none-any.whl", hashes = { sha256 = "`+sum+`" } },
]
`), true)
	if err != nil {
		t.Fatal(err)
	}
	want := []Resolved{
		{"cython", "3.0", "Cython-3.0-py2.py3-none-any.whl", "https://i.test/Cython-3.0-py2.py3-none-any.whl", sum, 0},
		{"wheel", "0.42.0", "wheel-0.42.0-py3-none-any.whl", "https://i.test/wheel-0.42.0-py3-none-any.whl#x", sum, 7},
	}
	if !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{
		"x", "[[packages]]\nname = 'a'\nversion = '1'\n",
		"[[packages]]\nname = 'a'\nversion = '1'\nwheels = [{ url = 'https://i.test/a-1-py3-none-any.whl', hashes = { md5 = 'x' } }]\n",
	} {
		if got, err := parsePylock([]byte(bad), true); err == nil {
			t.Errorf("%q gives %+v", bad, got)
		}
	}
}

func TestKey(t *testing.T) {
	a := Request{Requires: []string{"a"}, Pins: []recipe.Pin{{Name: "a", Version: "1"}}}
	b := a
	b.Pins = []recipe.Pin{{Name: "a", Version: "2"}}
	same := Request{Requires: []string{"a"}, Pins: []recipe.Pin{{Name: "a", Version: "1"}}}
	if a.Key() == b.Key() || a.Key() != same.Key() {
		t.Error("keys")
	}
}

// uv's own words come back, and its environment is just what it is given.
func TestRun(t *testing.T) {
	if os.PathSeparator != '/' {
		return // a script stands in for uv below
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "uv")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nif [ \"$1\" = fail ]; then echo 'no such thing' >&2; exit 1; fi\nenv; cat\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SECRET", "must not be seen")
	u := &UV{Path: script, Cache: dir, Env: []string{"UV_DEFAULT_INDEX=https://i.test"}}
	out, err := u.run(context.Background(), "input\n", []string{"x"})
	if err != nil {
		t.Fatal(err)
	}
	text := string(out)
	if strings.Contains(text, "SECRET") || !strings.Contains(text, "UV_DEFAULT_INDEX=https://i.test") || !strings.HasSuffix(text, "input\n") {
		t.Errorf("%s", text)
	}
	var refused *ResolveError
	if _, err := u.run(context.Background(), "", []string{"fail"}); !errors.As(err, &refused) || refused.Detail != "no such thing" {
		t.Errorf("%v", err)
	}
}

// Every release is one file of a platform, with its own sum.
func TestReleases(t *testing.T) {
	seen := map[string]bool{}
	for platform, r := range releases {
		if len(r.SHA256) != 64 || seen[r.SHA256] || !strings.HasPrefix(r.Filename, "uv-"+Version+"-") || r.Size == 0 {
			t.Errorf("%s: %+v", platform, r)
		}
		seen[r.SHA256] = true
	}
	if _, err := For(); err != nil {
		t.Log(err) // this platform has none: that is said
	}
}

func TestPlatform(t *testing.T) {
	for glibc, want := range map[string]string{"2.36": "x86_64-manylinux_2_36", "2.41": "x86_64-manylinux_2_40", "?": "x86_64-manylinux_2_40"} {
		if got := Platform("x86_64", glibc); got != want {
			t.Errorf("%s: %s", glibc, got)
		}
	}
}
