package tree

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

var at = time.Unix(1700000000, 0)

func tarOf(t testing.TB, names ...string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, n := range names {
		if err := w.WriteHeader(&tar.Header{Name: n, Mode: 0o644, Size: int64(len(n)), ModTime: at, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipOf(t testing.TB, names ...string) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, n := range names {
		f, err := w.CreateHeader(&zip.FileHeader{Name: n, Method: zip.Deflate, Modified: at})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(f, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func arOf(names ...string) []byte {
	b := []byte("!<arch>\n")
	for _, n := range names {
		pad := func(s string, n int) string { return s + strings.Repeat(" ", n-len(s)) }
		b = append(b, pad(n+"/", 16)+pad("1700000000", 12)+pad("0", 6)+pad("0", 6)+pad("644", 8)+pad("4", 10)+"`\n"+(n + "    ")[:4]...)
	}
	return b
}

func gzipped(t testing.TB, b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.ModTime = at
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func xzipped(t testing.TB, b []byte) []byte {
	var out bytes.Buffer
	w, err := xz.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstdOf(t testing.TB, b []byte) []byte {
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return e.EncodeAll(b, nil)
}

func opened(t testing.TB, name string, b []byte) *Tree {
	tr, err := Open(context.Background(), name, bytes.NewReader(b), int64(len(b)), Limits{})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return tr
}

// Every kind is told by what it holds, and its members are read.
func TestOpen(t *testing.T) {
	for _, test := range []struct {
		name  string
		data  []byte
		kind  string
		names string
	}{
		{"a.whl", zipOf(t, "x", "d/y"), "wheel", "x d/y"},
		{"a.zip", zipOf(t, "x"), "zip", "x"},
		{"a.tar", tarOf(t, "x", "d/y"), "tar", "x d/y"},
		{"a.tar.gz", gzipped(t, tarOf(t, "x")), "tar.gz", "x"},
		{"a.tgz", gzipped(t, tarOf(t, "x")), "tar.gz", "x"},
		{"a.tar.xz", xzipped(t, tarOf(t, "x")), "tar.xz", "x"},
		{"a.tar.zst", zstdOf(t, tarOf(t, "x")), "tar.zst", "x"},
		{"data.gz", gzipped(t, []byte("data")), "gz", "data"},
		{"a.a", arOf("ab.o", "cd.o"), "ar", "ab.o cd.o"},
		{"dir/plain.txt", []byte("text"), "file", "plain.txt"},
		{"empty", nil, "file", "empty"},
	} {
		tr := opened(t, test.name, test.data)
		if got := strings.Join(tr.Names(), " "); tr.Kind != test.kind || got != test.names {
			t.Errorf("%s: %s %q", test.name, tr.Kind, got)
		}
		for i := range tr.Members {
			m := &tr.Members[i]
			b, err := m.Read(1 << 20)
			if err != nil || test.kind != "file" && test.kind != "gz" && string(b) != m.Name {
				t.Errorf("%s: %s holds %q, %v", test.name, m.Name, b, err)
			}
		}
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestRefused(t *testing.T) {
	good := zipOf(t, "x")
	for name, b := range map[string][]byte{
		"a.whl":    good[:len(good)-3],
		"a.tar.gz": gzipped(t, tarOf(t, "x"))[:40],
		"b.whl":    []byte("text"),
		"a.a":      []byte("!<arch>\n" + strings.Repeat("x", 60)),
	} {
		if tr, err := Open(t.Context(), name, bytes.NewReader(b), int64(len(b)), Limits{}); err == nil {
			t.Errorf("%s: %+v", name, tr)
		}
	}
}

// What is larger than the limits is an error, whatever the archive says.
func TestLimits(t *testing.T) {
	big := gzipped(t, tarOf(t, strings.Repeat("n", 90), strings.Repeat("m", 90)))
	if _, err := Open(t.Context(), "a.tar.gz", bytes.NewReader(big), int64(len(big)), Limits{MaxSize: 1000}); err == nil {
		t.Error("more than MaxSize")
	}
	z := zipOf(t, "a", "b", "c")
	if _, err := Open(t.Context(), "a.zip", bytes.NewReader(z), int64(len(z)), Limits{MaxMembers: 2}); err == nil {
		t.Error("more than MaxMembers")
	}
	bomb := gzipped(t, make([]byte, 1<<20))
	if _, _, err := Inner(t.Context(), "x.gz", bomb, Limits{MaxInner: 1 << 10}); err == nil {
		t.Error("more than MaxInner")
	}
	m := opened(t, "a.zip", z).Members[0]
	if _, err := m.Read(0); err == nil {
		t.Error("more than asked for")
	}
}

// Much is unpacked to a file that has no name by the time it is used.
func TestSpool(t *testing.T) {
	dir := t.TempDir()
	body := strings.Repeat("x", inMemory+1)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "big", Mode: 0o644, Size: int64(len(body)), Typeflag: tar.TypeReg}), func() error { _, err := io.WriteString(w, body); return err }(), w.Close()); err != nil {
		t.Fatal(err)
	}
	z := gzipped(t, b.Bytes())
	tr, err := Open(t.Context(), "a.tar.gz", bytes.NewReader(z), int64(len(z)), Limits{TempDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	got, err := tr.Members[0].Read(1 << 30)
	if err != nil || string(got) != body {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := tr.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// A directory is read without following links, and twice the same.
func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	for _, err := range []error{
		os.MkdirAll(filepath.Join(dir, "d"), 0o755), os.WriteFile(filepath.Join(dir, "d", "x"), []byte("x"), 0o644),
		os.Symlink("..", filepath.Join(dir, "d", "up")), os.WriteFile(filepath.Join(dir, "a"), nil, 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tr, err := Directory(t.Context(), dir, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	if got := tr.Names(); !slices.Equal(got, []string{"a", "d/", "d/up", "d/x"}) {
		t.Errorf("%q", got)
	}
	if tr.Members[2].Link != ".." {
		t.Errorf("%+v", tr.Members[2])
	}
}

// Members with one name are told apart.
func TestUnique(t *testing.T) {
	tr := opened(t, "a.tar", tarOf(t, "x", "x", "y"))
	if got := tr.Names(); !slices.Equal(got, []string{"x", "x#2", "y"}) || len(tr.Odd) != 1 {
		t.Errorf("%q %q", got, tr.Odd)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add("a.whl", zipOf(f, "x", "y/z"))
	f.Add("a.tar", tarOf(f, "x"))
	f.Add("a.tar.gz", gzipped(f, tarOf(f, "x")))
	f.Add("a.tar.xz", xzipped(f, tarOf(f, "x")))
	f.Add("a.tar.zst", zstdOf(f, tarOf(f, "x")))
	f.Add("a.a", arOf("ab.o"))
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		tr, err := Open(context.Background(), name, bytes.NewReader(b), int64(len(b)), Limits{MaxSize: 1 << 20, MaxMembers: 100, TempDir: t.TempDir()})
		if err != nil {
			return
		}
		defer tr.Close()
		seen := map[string]bool{}
		for i := range tr.Members {
			m := &tr.Members[i]
			if seen[m.Name] {
				t.Errorf("%q twice", m.Name)
			}
			seen[m.Name] = true
			if b, err := m.Read(1 << 20); err == nil && len(b) > 1<<20 {
				t.Errorf("%d bytes", len(b))
			}
		}
	})
}
