package env

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/truewheel/truewheel/internal/index"
	"github.com/truewheel/truewheel/internal/oci"
	"github.com/truewheel/truewheel/internal/store"
	"github.com/truewheel/truewheel/recipe/lock"
)

// writeImage writes an OCI layout with an image that looks like one of
// manylinux: its interpreters are no programs, and nothing here runs them.
func writeImage(t *testing.T, dir, libc string) {
	t.Helper()
	var data bytes.Buffer
	w := tar.NewWriter(&data)
	put := func(h *tar.Header, text string) {
		t.Helper()
		h.Size = int64(len(text))
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil && text != "" {
			t.Fatal(err)
		}
	}
	for _, home := range []string{"cpython-3.11.9/python3.11/cp311", "cpython-3.13.1t/python3.13t/cp313t"} {
		parts := strings.Split(home, "/")
		dir, exe, tag := "opt/_internal/"+parts[0], parts[1], parts[2]
		version := strings.TrimSuffix(strings.TrimPrefix(parts[0], "cpython-"), "t")
		put(&tar.Header{Name: dir + "/bin/" + exe, Mode: 0o755}, "program")
		put(&tar.Header{Name: dir + "/bin/python", Typeflag: tar.TypeSymlink, Linkname: exe}, "")
		put(&tar.Header{Name: dir + "/include/" + exe + "/patchlevel.h", Mode: 0o644}, "#define PY_VERSION \""+version+"\"\n")
		put(&tar.Header{Name: "opt/python/" + strings.TrimSuffix(tag, "t") + "-" + tag, Typeflag: tar.TypeSymlink, Linkname: "/" + dir}, "")
	}
	if libc != "" {
		put(&tar.Header{Name: "lib64/libc.so.6", Mode: 0o755}, libc)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		Architecture: runtime.GOARCH, OS: "linux", RootFS: v1.RootFS{Type: "layers"}, Config: v1.Config{Env: []string{"PATH=/opt/tools:/usr/bin", "LC_ALL=en_US.UTF-8"}},
	})
	if err == nil {
		image, err = mutate.AppendLayers(image, layer)
	}
	if err != nil {
		t.Fatal(err)
	}
	at, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = at.AppendImage(image)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func newSupply(t *testing.T) *Supply {
	t.Helper()
	st, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &Supply{Client: &index.Client{Store: st}, Images: &oci.Fetcher{Store: st}}
}

func TestImageEnvironment(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "native")
	writeImage(t, dir, "stable release version 2.28.\n")
	from := oci.Reference{Transport: oci.Layout, Path: dir, Name: "native"}
	s := newSupply(t)
	e, err := s.OCI(t.Context(), from, "cp311")
	if err != nil {
		t.Fatal(err)
	}
	if e.Kind != lock.OCI || e.Image != "native" || e.Python != "/opt/python/cp311-cp311/bin/python" || e.Architecture != runtime.GOARCH || len(e.Root) != 64 {
		t.Errorf("%+v", e)
	}
	python, root, err := s.Enter(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	want := oci.Machines[runtime.GOARCH] + "-manylinux_2_28"
	if python.Path != "/opt/_internal/cpython-3.11.9/bin/python3.11" || python.Version != "3.11.9" || python.Platform != want {
		t.Errorf("%+v", python)
	}
	seen := &Environment{Seen: InCage, Python: python}
	if p := seen.SearchPath(); !strings.HasSuffix(p, "/env/bin:/opt/tools:/usr/bin") {
		t.Error(p)
	}
	if text, err := os.ReadFile(filepath.Join(root, "etc/passwd")); err != nil || !strings.HasPrefix(string(text), "build:") {
		t.Errorf("%q %v", text, err)
	}

	// Elsewhere, from the layout that is named: the same root. Without one: an error.
	other := newSupply(t)
	if _, _, err := other.Enter(t.Context(), e); err == nil || !strings.Contains(err.Error(), "give --image HOST/NAME") {
		t.Error(err)
	}
	other.From = &from
	if _, _, err := other.Enter(t.Context(), e); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*lock.Environment){
		"the lock was edited":       func(e *lock.Environment) { e.Root = strings.Repeat("0", 64) },
		"this machine is":           func(e *lock.Environment) { e.Architecture = "vax" },
		"has no Python for":         func(e *lock.Environment) { e.Python = "/usr/bin/python3" },
		"a free-threaded Python":    func(e *lock.Environment) { e.Python = "/opt/python/cp313-cp313t/bin/python" },
		"no such file or directory": func(e *lock.Environment) { e.Digest = "sha256:" + strings.Repeat("0", 64) },
	} {
		changed := e
		change(&changed)
		if _, _, err := other.Enter(t.Context(), changed); err == nil || !strings.Contains(err.Error(), want) && runtime.GOOS != "windows" {
			t.Errorf("%v, not %q", err, want)
		}
	}
	if _, err := s.OCI(t.Context(), from, "cp39"); err == nil || !strings.Contains(err.Error(), "cp311, cp313t") {
		t.Error(err)
	}

	// An image without a C library that is known.
	bare := filepath.Join(t.TempDir(), "bare")
	writeImage(t, bare, "")
	e, err = s.OCI(t.Context(), oci.Reference{Transport: oci.Layout, Path: bare, Name: "bare"}, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Enter(t.Context(), e); err == nil || !strings.Contains(err.Error(), "no C library") {
		t.Error(err)
	}
}

func TestPinnedImage(t *testing.T) {
	at := time.Date(2024, 10, 20, 0, 0, 0, 0, time.UTC)
	r, err := PinnedImage([]string{"any", "manylinux_2_17_x86_64", "manylinux2014_x86_64"}, at)
	if err != nil || r.Name != "pypa/manylinux2014_x86_64" || r.Host != "" {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := PinnedImage([]string{"any"}, at); err == nil {
		t.Error("an image for a pure wheel")
	}
}
