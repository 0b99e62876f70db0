package project

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truewheel/truewheel/internal/store"
	"github.com/truewheel/truewheel/recipe"
	"github.com/truewheel/truewheel/recipe/lock"
)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		full := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

func packOf(t *testing.T, dir string) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Pack(t.Context(), dir, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// members are names, modes and targets in a packed checkout.
func members(t *testing.T, data []byte) []string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		line := h.Name + " " + h.FileInfo().Mode().String()
		if h.Linkname != "" {
			line += " -> " + h.Linkname
		}
		out = append(out, line)
	}
}

// A checkout is packed the same whatever its directory's name, its times, and
// the umask of who made it; without what tools left in it.
func TestPack(t *testing.T) {
	make := func(name string) string {
		dir := filepath.Join(t.TempDir(), name)
		write(t, dir, map[string]string{
			"pyproject.toml": "x", "src/demo.py": "y", ".cargo/config.toml": "z", "truewheel.lock": "old", "dist/demo.whl": "w",
			"provenance/x": "p", "__pycache__/a.pyc": "c", ".venv/x": "v", "src/dist/kept": "k",
		})
		if err := errors.Join(os.Chmod(filepath.Join(dir, "src/demo.py"), 0o775), os.Symlink("src", filepath.Join(dir, "link"))); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	one, two := make("one"), make("two words")
	if err := errors.Join(os.Chtimes(filepath.Join(two, "pyproject.toml"), time.Time{}, time.Unix(5, 0)), os.Chmod(filepath.Join(two, "pyproject.toml"), 0o600)); err != nil {
		t.Fatal(err)
	}
	first := packOf(t, one)
	if !bytes.Equal(first, packOf(t, two)) {
		t.Errorf("%q\n%q", members(t, first), members(t, packOf(t, two)))
	}
	want := []string{
		"checkout/.cargo/config.toml -rw-r--r--", "checkout/link Lrwxrwxrwx -> src", "checkout/pyproject.toml -rw-r--r--",
		"checkout/src/demo.py -rwxr-xr-x", "checkout/src/dist/kept -rw-r--r--",
	}
	if got := members(t, first); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}

	// With git it is what is tracked; its hooks and filters are not run.
	git := func(args ...string) {
		cmd := exec.Command("git", append([]string{"-C", one, "-c", "user.name=x", "-c", "user.email=x@example.org"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=1700000000 +0000", "GIT_AUTHOR_DATE=1700000000 +0000", "GIT_CONFIG_GLOBAL="+os.DevNull)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
	}
	git("init", "-q")
	git("add", "pyproject.toml", "src", "dist", "truewheel.lock")
	git("commit", "-q", "-m", "x")
	git("config", "core.fsmonitor", "touch "+filepath.Join(one, "ran"))
	if err := os.Remove(filepath.Join(one, "src/dist/kept")); err != nil {
		t.Fatal(err)
	}
	want = []string{"checkout/dist/demo.whl -rw-r--r--", "checkout/pyproject.toml -rw-r--r--", "checkout/src/demo.py -rwxr-xr-x"}
	if got := members(t, packOf(t, one)); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if _, err := os.Stat(filepath.Join(one, "ran")); err == nil {
		t.Error("the checkout's own program was run")
	}
	if _, at, err := tracked(t.Context(), one); err != nil || at.Unix() != 1700000000 {
		t.Errorf("%v %v", at, err)
	}
}

func TestEffective(t *testing.T) {
	l := &lock.Lock{Packages: []lock.Package{{Name: "cython", Version: "3.0"}, {Name: "typing-extensions", Version: "4.1"}}}
	for name, c := range map[string]struct {
		used map[string]string
		pins []recipe.Pin
		want string
	}{
		"equal":         {map[string]string{"Cython": "3.0.0", "typing_extensions": "4.1"}, nil, ""},
		"nobody knows":  {nil, nil, ""},
		"other version": {map[string]string{"Cython": "3.1", "typing_extensions": "4.1"}, nil, "the lock says cython 3.0, the build used 3.1"},
		"missing":       {map[string]string{"Cython": "3.0"}, nil, "typing-extensions 4.1 is in the lock, but the build could not import it"},
		"more":          {map[string]string{"Cython": "3.0", "typing_extensions": "4.1", "wheel": "1"}, nil, "the build used wheel 1, which is not in the lock"},
		"pin in use":    {nil, []recipe.Pin{{Name: "cython", Version: "3.0"}}, ""},
		"idle pin":      {nil, []recipe.Pin{{Name: "numpy", Version: "2"}}, "numpy==2 pins nothing"},
	} {
		l.Recipe.Pins = c.pins
		err := effective(l, c.used)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, not %q", name, err, c.want)
		}
	}
}

func TestMoved(t *testing.T) {
	old := &lock.Lock{Python: "3.11.2", Packages: []lock.Package{{Name: "a", Version: "1"}, {Name: "b", Version: "1"}}}
	fresh := &lock.Lock{Python: "3.11.3", Packages: []lock.Package{{Name: "b", Version: "2"}, {Name: "c", Version: "1"}}}
	fresh.Environment.Debs = []lock.Deb{{Name: "gcc", Version: "4"}}
	want := []string{"wheel a 1 is gone", "wheel b: 2, was 1", "wheel c 1 is new", "deb gcc 4 is new", "python: 3.11.3, was 3.11.2"}
	if got := Moved(old, fresh); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := Moved(nil, fresh); got != nil {
		t.Errorf("%q", got)
	}
}

func TestSuiteOf(t *testing.T) {
	for _, c := range []struct{ target, suite, want string }{
		{"", "", "bookworm"},
		{"cp39-manylinux_x86_64", "", "bullseye"},
		{"cp313-cp313-manylinux_2_34_x86_64", "", "trixie"},
		{"py3-none-any", "", "bookworm"},
		{"py3-none-any", "trixie", "trixie"},
		{"cp312-manylinux_x86_64", "", "no suite has Python 3.12 (bullseye 3.9, bookworm 3.11, trixie 3.13)"},
		{"cp311-manylinux_x86_64", "trixie", "needs Python 3.11, but trixie has 3.13"},
		{"", "sid", "no suite \"sid\" is known"},
	} {
		r := Request{Target: c.target, Suite: c.suite}
		s, err := r.suite()
		if got := s.Name; err == nil && got != c.want || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %s %v", c, got, err)
		}
	}
}

// A bundle that was changed brings nothing into the store under a wrong name.
func TestUnbundle(t *testing.T) {
	text := []byte("a file of the lock")
	sum := lock.Lock{
		Source: &lock.File{PURL: "pkg:pypi/demo@1.0", Filename: "demo-1.0.tar.gz", Size: 1, SHA256: strings.Repeat("ab", 32)}, Python: "3.11.2",
		Environment: lock.Environment{Kind: lock.Host},
		Recipe:      recipe.Recipe{Python: "3.11", Mode: recipe.PEP517, Umask: 0o022, Clock: recipe.Clock{Start: time.Unix(1e9, 0).UTC()}},
	}
	data, err := sum.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	bundle := func(files ...string) string {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for i := 0; i < len(files); i += 2 {
			if err := w.WriteHeader(&tar.Header{Name: files[i], Size: int64(len(files[i+1])), Mode: 0o644}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(files[i+1])); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), "x.bundle")
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return name
	}
	st, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	_, good, err := st.Put(context.Background(), "", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		files []string
		want  string
	}{
		"good":       {[]string{LockFile, string(data), "files/" + good, string(text)}, ""},
		"no lock":    {[]string{"files/" + good, string(text)}, "it does not begin with a lock"},
		"other file": {[]string{LockFile, string(data), "files/" + strings.Repeat("00", 32), "x"}, "sha256 is"},
		"escape":     {[]string{LockFile, string(data), "../" + good, string(text)}, "is not one of a bundle"},
		"no sum":     {[]string{LockFile, string(data), "files/abc", "x"}, "is not one of a bundle"},
		"edited":     {[]string{LockFile, string(data) + "\n# by hand\n"}, "its lock was edited by hand"},
	} {
		l, err := Unbundle(t.Context(), st, bundle(c.files...))
		if c.want == "" && (err != nil || l.Python != "3.11.2") || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, not %q", name, err, c.want)
		}
	}
	if _, bad, err := st.Verify(t.Context()); err != nil || len(bad) > 0 {
		t.Errorf("in the store: %v %v", bad, err)
	}
}

func TestSealNames(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"provenance/x.whl.seal.json": `{"schema": "truewheel.seal/1", "files": [{"name": "../secret", "sha256": "x"}]}`})
	if _, err := VerifySeal(dir); err == nil || !strings.Contains(err.Error(), "leaves the directory") {
		t.Error(err)
	}
	write(t, dir, map[string]string{"provenance/x.whl.seal.json": `{"schema": "truewheel.seal/2", "files": []}`})
	if _, err := VerifySeal(dir); err == nil || !strings.Contains(err.Error(), "its schema is") {
		t.Error(err)
	}
}
