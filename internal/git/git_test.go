package git

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/truewheel/truewheel/internal/store"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		text string
		want Source
		err  string
	}{
		{"git+https://host.test/a/b.git@v1.0", Source{"https://host.test/a/b.git", "v1.0", ""}, ""},
		{"git+https://host.test/a@release/1#subdirectory=py/x/", Source{"https://host.test/a", "release/1", "py/x"}, ""},
		{"git+ssh://git@host.test/a@abc", Source{"ssh://git@host.test/a", "abc", ""}, ""},
		{"git+/srv/repo@1", Source{"/srv/repo", "1", ""}, ""},
		{"https://host.test/a@1", Source{}, "is not git+URL@REV"},
		{"git+https://host.test/a", Source{}, "names no commit"},
		{"git+ssh://git@host.test/a", Source{}, "names no commit"},
		{"git+https://host.test/a@--upload-pack=x", Source{}, "is not a commit"},
		{"git+https://host.test/a@a..b", Source{}, "is not a commit"},
		{"git+http://host.test/a@1", Source{}, "only https, ssh and local"},
		{"git+ext::sh@1", Source{}, "only https, ssh and local"},
		{"git+git://host.test/a@1", Source{}, "only https, ssh and local"},
		{"git+../repo@1", Source{}, "only https, ssh and local"},
		{"git+https://-oProxyCommand=x/a@1", Source{}, "names no host"},
		{"git+/srv/repo@1#subdirectory=../x", Source{}, "leaves the repository"},
	} {
		got, err := Parse(c.text)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, not %q", c.text, err, c.err)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %+v %v", c.text, got, err)
		}
		if again, err := Parse(got.String()); err != nil || again != got {
			t.Errorf("%s is written %s", c.text, got)
		}
	}
}

// repo makes a repository of files; an empty text removes one.
type repo struct {
	t   *testing.T
	dir string
}

func newRepo(t *testing.T) *repo {
	t.Helper()
	r := &repo{t, t.TempDir()}
	r.git("init", "-q", "-b", "main")
	return r
}

func (r *repo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", r.dir, "-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "protocol.file.allow=always"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=1700000000 +0100", "GIT_AUTHOR_DATE=1600000000 +0000", "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (r *repo) commit(files map[string]string) string {
	r.t.Helper()
	for name, text := range files {
		full := filepath.Join(r.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(text), 0o644)); err != nil {
			r.t.Fatal(err)
		}
	}
	r.git("add", "-A")
	r.git("commit", "-q", "-m", "x")
	return r.git("rev-parse", "HEAD")
}

func fetcher(t *testing.T) *Fetcher {
	t.Helper()
	st, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &Fetcher{Store: st, Environ: os.Environ()}
}

// packed are the members of what Pack writes, with contents.
func packed(t *testing.T, f *Fetcher, s Source, o Options) (map[string]string, Commit, error) {
	t.Helper()
	r, c, err := f.Fetch(t.Context(), s)
	if err != nil {
		return nil, c, err
	}
	var b bytes.Buffer
	if err := r.Pack(t.Context(), c, o, &b); err != nil {
		return nil, c, err
	}
	z, err := gzip.NewReader(&b)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return out, c, nil
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.ModTime.Unix() != 1700000000 {
			t.Errorf("%s has the time %s", h.Name, h.ModTime)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out[h.Name] = fmt.Sprintf("%o %s%s", h.Mode, h.Linkname, text)
	}
}

func TestPack(t *testing.T) {
	r := newRepo(t)
	if err := errors.Join(os.WriteFile(filepath.Join(r.dir, "run"), []byte("#!"), 0o755), os.Symlink("pyproject.toml", filepath.Join(r.dir, "link"))); err != nil {
		t.Fatal(err)
	}
	// A filter that would run on a checkout.
	id := r.commit(map[string]string{"pyproject.toml": "x\n", "py/demo/__init__.py": "y", ".gitattributes": "* filter=evil text eol=crlf ident\n", "ä ö\"": "z"})
	r.git("config", "filter.evil.smudge", "touch "+filepath.Join(r.dir, "ran"))
	r.git("tag", "-a", "v1.0", "-m", "one")
	f := fetcher(t)
	got, c, err := packed(t, f, Source{URL: r.dir, Rev: "v1.0"}, Options{Top: "demo-1.0"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"demo-1.0/pyproject.toml": "644 x\n", "demo-1.0/py/demo/__init__.py": "644 y", "demo-1.0/run": "755 #!", "demo-1.0/link": "777 pyproject.toml",
		"demo-1.0/.gitattributes": "644 * filter=evil text eol=crlf ident\n", "demo-1.0/ä ö\"": "644 z",
	}
	if !mapsEqual(got, want) {
		t.Errorf("%q", got)
	}
	if c.ID != id || c.Tag != "v1.0" || c.Time.Unix() != 1700000000 || c.Signature != "" {
		t.Errorf("%+v", c)
	}
	if _, err := os.Stat(filepath.Join(r.dir, "ran")); err == nil {
		t.Error("a filter was run")
	}
	// A part of it; a branch; a commit; and all of that offline later.
	f.Offline = true
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	for _, rev := range []string{id, "v1.0"} {
		if _, _, err := packed(t, f, Source{URL: r.dir, Rev: rev}, Options{Top: "demo-1.0"}); err != nil {
			t.Errorf("%s: %v", rev, err)
		}
	}
	if _, _, err := packed(t, f, Source{URL: r.dir, Rev: "v2"}, Options{}); err == nil || !strings.Contains(err.Error(), "--offline") {
		t.Error(err)
	}
}

func mapsEqual(a, b map[string]string) bool {
	keys := func(m map[string]string) (out []string) {
		for k, v := range m {
			out = append(out, k+"="+v)
		}
		slices.Sort(out)
		return out
	}
	return slices.Equal(keys(a), keys(b))
}

// What tools ask git for is there: the tag, the files, and a clean state.
func TestDotGit(t *testing.T) {
	r := newRepo(t)
	r.commit(map[string]string{"old": "o"})
	r.commit(map[string]string{"a": "x", "b/c": "y"})
	r.git("tag", "v1.2.3")
	f := fetcher(t)
	repository, c, err := f.Fetch(t.Context(), Source{URL: "file://" + r.dir, Rev: "v1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "x.tar.gz")
	w, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(repository.Pack(t.Context(), c, Options{Top: "top", Git: true}, w), w.Close()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if out, err := exec.Command("tar", "-xzf", name, "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	there := &repo{t, filepath.Join(dir, "top")}
	if got := there.git("describe", "--dirty", "--tags", "--long"); !strings.HasPrefix(got, "v1.2.3-0-g") || strings.Contains(got, "dirty") {
		t.Errorf("describe says %q", got)
	}
	if got := there.git("ls-files"); got != "a\nb/c\nold" {
		t.Errorf("files: %q", got)
	}
	if got := there.git("status", "--porcelain"); got != "" {
		t.Errorf("status: %q", got)
	}
}

func TestSubmodule(t *testing.T) {
	inner, outer := newRepo(t), newRepo(t)
	inner.commit(map[string]string{"lib.c": "int x;"})
	outer.commit(map[string]string{"pyproject.toml": "p"})
	outer.git("submodule", "--quiet", "add", inner.dir, "vendor/lib")
	outer.git("commit", "-q", "-m", "sub")
	f := fetcher(t)
	got, _, err := packed(t, f, Source{URL: outer.dir, Rev: "main"}, Options{Top: "t"})
	if err != nil || got["t/vendor/lib/lib.c"] != "644 int x;" {
		t.Errorf("%q %v", got, err)
	}
	for url, want := range map[string]string{"http://host.test/x": "only https, ssh", "ext::touch ran": "only https, ssh", "../nowhere": "git fetch"} {
		outer.git("config", "-f", ".gitmodules", "submodule.vendor/lib.url", url)
		outer.git("commit", "-q", "-a", "-m", "x")
		if _, _, err := packed(t, fetcher(t), Source{URL: outer.dir, Rev: "main"}, Options{Top: "t"}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "vendor/lib") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := relative("https://host.test/a/b", "../c"); err != nil {
		t.Error(err)
	}
	if got, err := relative("https://host.test/a/b.git", "../c.git"); got != "https://host.test/a/c.git" || err != nil {
		t.Errorf("%s %v", got, err)
	}
}

func TestLFS(t *testing.T) {
	r := newRepo(t)
	sum := sha256.Sum256([]byte("large"))
	oid := hex.EncodeToString(sum[:])
	r.commit(map[string]string{"data.bin": pointer + "oid sha256:" + oid + "\nsize 5\n", "no-pointer": pointer})
	if _, _, err := packed(t, fetcher(t), Source{URL: r.dir, Rev: "main"}, Options{Top: "t"}); err == nil || !strings.Contains(err.Error(), "data.bin: it lies in LFS, and "+oid) {
		t.Error(err)
	}
	at := filepath.Join(r.dir, ".git/lfs/objects", oid[:2], oid[2:4], oid)
	if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte("large"), 0o644)); err != nil {
		t.Fatal(err)
	}
	got, _, err := packed(t, fetcher(t), Source{URL: r.dir, Rev: "main"}, Options{Top: "t"})
	if err != nil || got["t/data.bin"] != "644 large" || got["t/no-pointer"] != "644 "+pointer {
		t.Errorf("%q %v", got, err)
	}
	if err := os.WriteFile(at, []byte("other"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := packed(t, fetcher(t), Source{URL: r.dir, Rev: "main"}, Options{Top: "t"}); err == nil || !strings.Contains(err.Error(), "is not "+oid) {
		t.Error(err)
	}
}

func TestHostile(t *testing.T) {
	r := newRepo(t)
	first := r.commit(map[string]string{"a": "x"})
	r.git("tag", "v1")
	f := fetcher(t)
	if _, _, err := f.Fetch(t.Context(), Source{URL: r.dir, Rev: "v1"}); err != nil {
		t.Fatal(err)
	}
	r.commit(map[string]string{"a": "evil"})
	r.git("tag", "-f", "v1")
	var moved *MovedError
	if _, _, err := f.Fetch(t.Context(), Source{URL: r.dir, Rev: "v1"}); !errors.As(err, &moved) || moved.Was != first {
		t.Errorf("a tag that moved: %v", err)
	}
	for rev, want := range map[string]string{"v9": "no tag or branch v9", strings.Repeat("0", 40): "no commit"} {
		if _, _, err := f.Fetch(t.Context(), Source{URL: r.dir, Rev: rev}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", rev, err)
		}
	}
	if _, _, err := f.Fetch(t.Context(), Source{URL: filepath.Join(r.dir, "nowhere"), Rev: "v1"}); err == nil {
		t.Error("fetched from nowhere")
	}
	// Huge: neither a pack nor the files may be larger than the limit.
	r.commit(map[string]string{"big": strings.Repeat("0123456789", 300_000)})
	small := fetcher(t)
	small.MaxSize = 1 << 20
	if _, _, err := packed(t, small, Source{URL: r.dir, Rev: "main"}, Options{Top: "t"}); err == nil || !strings.Contains(err.Error(), "big") {
		t.Errorf("3 MB under a limit of 1: %v", err)
	}
	left, err := os.ReadDir(filepath.Join(f.Store.Dir(), "tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
