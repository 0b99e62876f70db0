package env

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// memory is a cache that counts what is asked anew.
type memory struct {
	mu    sync.Mutex
	kept  map[string][]byte
	asked int
}

func (m *memory) Cached(kind, key string, v any) (time.Time, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, ok := m.kept[kind+key]
	return time.Time{}, ok && json.Unmarshal(data, v) == nil
}

func (m *memory) Cache(kind, key string, v any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	data, err := json.Marshal(v)
	if m.kept == nil {
		m.kept = map[string][]byte{}
	}
	m.kept[kind+key] = data
	m.asked++
	return err
}

func TestAnswer(t *testing.T) {
	const good = `{"implementation": "cpython", "version": [3, 12, 1], "level": "final", "flags": "", "base": "/opt/p", "stdlib": "/opt/p/lib/python3.12", "executable": "/opt/p/bin/python3.12", "venv": false, "lib": "/opt/lib"}`
	for _, c := range []struct {
		name, old, new string
		want           []string // prefixes; nil: refused
	}{
		{"as it is", "", "", []string{"/opt/p", "/opt/lib"}},
		{"no library", `"/opt/lib"`, `""`, []string{"/opt/p"}},
		{"library in the root", `"/opt/lib"`, `"/"`, []string{"/opt/p"}},
		{"standard library above", `"/opt/p/lib/python3.12"`, `"/opt"`, []string{"/opt"}},
		{"executable outside", `/opt/p/bin/`, `/opt/pq/bin/`, []string{"/opt/p", "/opt/pq/bin", "/opt/lib"}},
		{"pypy", "cpython", "pypy", nil},
		{"2.7", "[3, 12, 1]", "[2, 7, 18]", nil},
		{"candidate", "final", "candidate", nil},
		{"debug", `"flags": ""`, `"flags": "d"`, nil},
		{"free-threaded", `"flags": ""`, `"flags": "t"`, nil},
		{"pymalloc", `"flags": ""`, `"flags": "m"`, []string{"/opt/p", "/opt/lib"}},
		{"virtual environment", `"venv": false`, `"venv": true`, nil},
		{"relative", "/opt/p/bin", "bin", nil},
		{"no JSON", good, "Python 3.12.1", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			if runtime.GOOS == "windows" {
				t.Log("paths of other systems")
				return
			}
			p := answer([]byte(strings.Replace(good, c.old, c.new, 1)))
			if !reflect.DeepEqual(p.Prefixes, c.want) || (p.Path != "") != (c.want != nil) {
				t.Errorf("%+v, want %q", p, c.want)
			}
			if c.want != nil && (p.Version != "3.12.1" || p.MinorString() != "3.12" || p.Base != "/opt/p") {
				t.Errorf("%+v", p)
			}
		})
	}
}

// fake writes a program that answers as a Python of that version would.
func fake(t *testing.T, name, version, script string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	base := filepath.Dir(filepath.Dir(name))
	if script == "" {
		script = fmt.Sprintf(`echo '{"implementation": "cpython", "version": [%s], "level": "final", "base": "%s", "stdlib": "%s/lib", "executable": "%s"}'`,
			strings.ReplaceAll(version, ".", ","), base, base, name)
	}
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestPythons(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Log("the fakes are shell scripts")
		return
	}
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(home, filepath.FromSlash(name)) }
	fake(t, in(".pyenv/versions/3.9/bin/python3.9"), "3.9.101", "")
	fake(t, in(".pyenv/versions/2.7/bin/python"), "2.7.18", "")
	fake(t, in("uv/cpython-3.88/bin/python3.88"), "3.88.1", "")
	fake(t, in("uv/cpython-3.88b/bin/python3.88"), "3.88.10", "")
	fake(t, in("broken/bin/python3"), "", "exit 1")
	fake(t, in("shims/python3"), "", "touch "+in("ran"))
	fake(t, in("wrapper/python3"), "", "exec "+in("uv/cpython-3.88/bin/python3.88"))
	fake(t, in("other/bin/python3-config"), "", "touch "+in("ran"))
	fake(t, in("relative/python3"), "", "touch "+in("ran"))
	if err := os.Symlink("python3.9", in(".pyenv/versions/3.9/bin/python3")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(in("relative"))
	environ := []string{
		"HOME=" + home, "UV_PYTHON_INSTALL_DIR=" + in("uv"),
		"PATH=" + strings.Join([]string{in("broken/bin"), in("shims"), in("wrapper"), in("other/bin"), ".", "", in("none")}, ":"),
	}
	cache := &memory{}
	for _, again := range []bool{false, true} {
		before := cache.asked
		pythons, err := Pythons(context.Background(), environ, cache)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range pythons {
			if strings.HasPrefix(p.Path, home) {
				got = append(got, p.Version)
			}
		}
		if want := []string{"3.88.10", "3.88.1", "3.9.101"}; !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if again && cache.asked != before {
			t.Errorf("%d asked again", cache.asked-before)
		}
	}
	if _, err := os.Stat(in("ran")); err == nil {
		t.Error("something was run that must not be")
	}
	if err := os.RemoveAll(in("uv")); err != nil {
		t.Fatal(err)
	}
	pythons, err := Pythons(context.Background(), environ, cache)
	if _, ok := Nearest(pythons, "3.88"); ok || err != nil {
		t.Errorf("found what was removed: %v, %v", pythons, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Pythons(ctx, environ, &memory{}); err == nil {
		t.Error("cancelled: no error")
	}
}

func TestNearest(t *testing.T) {
	var pythons []Python
	for _, v := range []string{"3.12.10", "3.12.4", "3.9.1"} {
		p := Python{Path: "/" + v, Version: v, Minor: [2]int{3, 12}}
		if v == "3.9.1" {
			p.Minor[1] = 9
		}
		pythons = append(pythons, p)
	}
	for want, got := range map[string]string{
		"3.12": "3.12.10", "3.12.4": "3.12.4", "3.12.1": "3.12.10", "3.9": "3.9.1", "3.1": "", "3.90": "", "": "",
	} {
		p, ok := Nearest(pythons, want)
		if p.Version != got || ok != (got != "") {
			t.Errorf("%q: %q, want %q", want, p.Version, got)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	for _, c := range []struct {
		a, b string
		sign int
	}{{"3.9.1", "3.10.0", -1}, {"3.10.2", "3.10.11", -1}, {"3.8.1", "3.8.1", 0}, {"3.8.1", "3.8", 1}} {
		if got := compareVersions(c.a, c.b); got < 0 != (c.sign < 0) || got > 0 != (c.sign > 0) {
			t.Errorf("%s, %s: %d", c.a, c.b, got)
		}
	}
}
