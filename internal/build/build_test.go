package build

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truewheel/truewheel/internal/env"
	"github.com/truewheel/truewheel/recipe"
)

func TestBuildEnv(t *testing.T) {
	epoch := int64(1700000000)
	got := buildEnv(recipe.Recipe{SourceDateEpoch: &epoch, TimeZone: "EST5", HashSeed: "7", Env: map[string]string{"NO_EXT": "1"}}, &env.Environment{Seen: "/env"}, "/home", "/tmp")
	want := []string{
		"HOME=/home", "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "NO_EXT=1", "PATH=/env/bin" + string(os.PathListSeparator) + "/usr/local/bin:/usr/bin:/bin",
		"PYTHONDONTWRITEBYTECODE=1", "PYTHONHASHSEED=7", "PYTHONNOUSERSITE=1", "SOURCE_DATE_EPOCH=1700000000", "TMPDIR=/tmp", "TZ=EST5",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestDistutilsConfig(t *testing.T) {
	if got := distutilsConfig(recipe.Switches{Universal: true, PythonTag: "py36"}); got != "[bdist_wheel]\nuniversal = 1\npython_tag = py36\n" {
		t.Errorf("%q", got)
	}
	if got := distutilsConfig(recipe.Switches{}); got != "" {
		t.Errorf("%q", got)
	}
}

func TestCopyTree(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "deep", "copy")
	when := time.Date(2020, 1, 2, 3, 4, 5, 678, time.UTC)
	if err := errors.Join(
		os.MkdirAll(filepath.Join(from, "d"), 0o755), os.WriteFile(filepath.Join(from, "d", "f"), []byte("x"), 0o600),
		os.Chmod(filepath.Join(from, "d", "f"), 0o640), os.Symlink("f", filepath.Join(from, "d", "l")),
		os.Chtimes(filepath.Join(from, "d", "f"), when, when), os.Chtimes(filepath.Join(from, "d"), when, when),
	); err != nil {
		t.Fatal(err)
	}
	if err := copyTree(from, to); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(to, "d", "f"))
	if err != nil || info.Mode().Perm() != 0o640 || !info.ModTime().Equal(when) {
		t.Errorf("%v %v", info, err)
	}
	if info, err := os.Stat(filepath.Join(to, "d")); err != nil || !info.ModTime().Equal(when) {
		t.Errorf("directory: %v %v", info, err)
	}
	if l, err := os.Readlink(filepath.Join(to, "d", "l")); err != nil || l != "f" {
		t.Errorf("link: %q %v", l, err)
	}
}

// What a build may write into our channel, and what comes of it.
func TestListen(t *testing.T) {
	line := func(m message) string {
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(b) + "\n"
	}
	good := line(message{Kind: "requires", Requires: []string{"a"}}) + line(message{Kind: "wheel", Name: "demo-1.0-py3-none-any.whl", Size: 4}) + "data"
	for _, test := range []struct{ name, in, want string }{
		{"good", good, ""},
		{"nothing", "", "EOF"},
		{"no JSON", "hello\n", "channel"},
		{"an unknown message", `{"kind":"x"}` + "\n", "channel"},
		{"an endless line", strings.Repeat("x", maxMessage+2), "channel"},
		{"a failure", line(message{Kind: "failed", Detail: "why"}), "why"},
		{"a path", line(message{Kind: "wheel", Name: "../demo.whl", Size: 1}), "named what it made"},
		{"no wheel", line(message{Kind: "wheel", Name: "demo.tar", Size: 1}), "named what it made"},
		{"a hidden file", line(message{Kind: "wheel", Name: ".whl", Size: 1}), "named what it made"},
		{"too large", line(message{Kind: "wheel", Name: "d.whl", Size: 1 << 40}), "at most"},
		{"cut off", line(message{Kind: "wheel", Name: "d.whl", Size: 10}) + "da", "EOF"},
	} {
		s := Spec{Work: t.TempDir(), Requires: func(_ context.Context, r []string) error {
			if !slices.Equal(r, []string{"a"}) {
				t.Errorf("%q", r)
			}
			return nil
		}}
		var told bytes.Buffer
		var r Result
		err := s.listen(context.Background(), bufio.NewReaderSize(strings.NewReader(test.in), 64<<10), &told, []byte("order\n"), &r)
		if test.want == "" {
			data, readErr := os.ReadFile(r.Path)
			if err != nil || readErr != nil || string(data) != "data" || told.String() != "order\ngo\n" {
				t.Errorf("%s: %v, %q, told %q", test.name, err, data, told.String())
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", test.name, err, test.want)
		}
	}
}

func FuzzListen(f *testing.F) {
	f.Add([]byte("{\"kind\":\"requires\"}\n{\"kind\":\"wheel\",\"name\":\"d.whl\",\"size\":1}\nx"))
	f.Add([]byte("{\"kind\":\"failed\"}\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, in []byte) {
		s := Spec{Work: dir, MaxSize: 1 << 16, Requires: func(context.Context, []string) error { return nil }}
		var r Result
		if err := s.listen(context.Background(), bufio.NewReader(bytes.NewReader(in)), io.Discard, nil, &r); err == nil {
			if filepath.Dir(r.Path) != filepath.Join(dir, "wheel") {
				t.Fatalf("written to %s", r.Path)
			}
		}
	})
}

// The clock, and names of temporary files, follow from the recipe and the
// program alone: not from chance, nor from how many jobs there are.
func TestSurroundings(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("the tests need a python3")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "surroundings.py"), surroundingsPy, 0o644); err != nil {
		t.Fatal(err)
	}
	run := func(before string, args ...string) string {
		code := before + "import surroundings, datetime, os, tempfile, time\n" +
			"d = tempfile.mkdtemp(); os.rmdir(d); print(d, datetime.datetime.now().year, datetime.date.today().year, time.gmtime().tm_year)"
		cmd := exec.Command(python, append([]string{"-c", code}, args...)...)
		cmd.Env = []string{"PYTHONPATH=" + dir, "TMPDIR=" + dir, surroundings{Start: 1000000000}.variable()}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	first := run("", "file.pyx", "-j4")
	if !strings.HasSuffix(first, " 2001 2001 2001\n") {
		t.Errorf("the clock is not 2001: %s", first)
	}
	if again := run("", "file.pyx", "-j1"); again != first {
		t.Errorf("%s is not %s", again, first)
	}
	if other := run("", "other.pyx"); other == first {
		t.Errorf("two programs have one name: %s", other)
	}
	// Whatever was imported before.
	if late, again := run("import tempfile, datetime\n"), run("import tempfile, datetime\n"); late != again || !strings.HasSuffix(late, " 2001 2001 2001\n") {
		t.Errorf("%s is not %s", late, again)
	}
}
