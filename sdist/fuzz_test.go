package sdist

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// small keeps the fuzzer from spending its time on size.
var small = Limits{MaxSize: 1 << 20, MaxEntries: 100}

// FuzzOpenTar reads tar archives, compressed here, so that the fuzzer reaches
// the headers. What is accepted unpacks to exactly what was read, inside.
func FuzzOpenTar(f *testing.F) {
	f.Add(tarball(f, oddities...))
	f.Add(tarball(f, file("a/f"), symlink("a/b/l", "../f"), hard("a/h", "a/f")))
	f.Add(tarball(f, file("a/f"), file("a/F")))
	f.Add(tarball(f, symlink("a/l", "../../x")))
	f.Fuzz(func(t *testing.T, data []byte) {
		var b bytes.Buffer // stored: fast
		w, err := gzip.NewWriterLevel(&b, gzip.NoCompression)
		if err == nil {
			_, err = w.Write(data)
		}
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
		roundTrip(t, "a.tar.gz", b.Bytes())
	})
}

func FuzzOpenGzip(f *testing.F) {
	f.Add(gz(f, tarball(f, file("a/f"))))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, data []byte) { roundTrip(t, "a.tar.gz", data) })
}

func FuzzOpenXz(f *testing.F) {
	f.Add([]byte("\xfd7zXZ\x00\x00\x04\xe6\xd6\xb4F\x02\x00!\x01\x16\x00\x00\x00t/\xe5\xa3"))
	f.Fuzz(func(t *testing.T, data []byte) { roundTrip(t, "a.tar.xz", data) })
}

func FuzzOpenZip(f *testing.F) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range []string{"a/", "a/f", "a/d/g"} {
		out, err := w.Create(name)
		if err == nil && !strings.HasSuffix(name, "/") {
			_, err = out.Write([]byte("contents"))
		}
		if err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) { roundTrip(t, "a.zip", data) })
}

// FuzzBuildSystem reads pyproject.toml and PKG-INFO.
func FuzzBuildSystem(f *testing.F) {
	f.Add([]byte("[build-system]\nrequires = ['x']\nbuild-backend = 'x:y'\nbackend-path = ['.']\n"))
	f.Add([]byte("Metadata-Version: 2.1\nName: a\nVersion: 1\n\nbody"))
	f.Fuzz(func(t *testing.T, data []byte) {
		tree := &Tree{small: map[string][]byte{"pyproject.toml": data, "PKG-INFO": data}}
		if b, err := tree.BuildSystem(); err == nil {
			for _, dir := range b.BackendPath {
				if path.IsAbs(dir) || strings.HasPrefix(path.Clean(dir), "..") {
					t.Errorf("backend-path %q", dir)
				}
			}
		}
		if m, err := tree.Metadata(); err == nil && (m.Name == "" || strings.Contains(m.Name, "\n")) {
			t.Errorf("%+v", m)
		}
	})
}

func roundTrip(t *testing.T, filename string, data []byte) {
	tree, err := openBytes(filename, data, small)
	if err != nil {
		return
	}
	if tree.Top == "" || strings.ContainsAny(tree.Top, `/\`) || tree.Top == ".." {
		t.Fatalf("top %q", tree.Top)
	}
	for _, e := range tree.Entries {
		if e.Name != "" && !filepath.IsLocal(e.Name) {
			t.Fatalf("name %q", e.Name)
		}
	}
	in := t.TempDir()
	unpacked, err := Unpack(context.Background(), filename, bytes.NewReader(data), int64(len(data)), in, small, UnpackOptions{})
	if err != nil {
		// A name may be too long for the file system.
		if !strings.Contains(err.Error(), "too long") {
			t.Fatal(err)
		}
		return
	}
	checkUnpacked(t, in, unpacked)
}
