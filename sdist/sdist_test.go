package sdist

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ulikunitz/xz"
)

var when = time.Date(2021, 3, 4, 5, 6, 8, 0, time.UTC)

func dir(name string) tar.Header { return tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: 0o755} }
func file(name string) tar.Header {
	return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}
}
func symlink(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777}
}
func hard(name, to string) tar.Header {
	return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: to, Mode: 0o644}
}

type member struct {
	tar.Header
	data string
}

// with gives an entry contents.
func with(h tar.Header, data string) member { return member{h, data} }

func tarball(t testing.TB, members ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		var one member
		switch m := m.(type) {
		case tar.Header:
			one = member{m, ""}
			if m.Typeflag == tar.TypeReg {
				one.data = "contents of " + m.Name
			}
		case member:
			one = m
		}
		if one.ModTime.IsZero() && one.Typeflag != tar.TypeXGlobalHeader {
			one.ModTime = when
		}
		one.Size = int64(len(one.data))
		if err := w.WriteHeader(&one.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(one.data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gz(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func openBytes(filename string, data []byte, lim Limits) (*Tree, error) {
	return Open(context.Background(), filename, bytes.NewReader(data), int64(len(data)), lim)
}

func TestRefused(t *testing.T) {
	a, top := file("a/f"), dir("a/")
	for _, c := range []struct {
		name    string
		members []any
		want    string
	}{
		{"absolute", []any{file("/a/f")}, "absolute"},
		{"parent", []any{a, file("a/../../f")}, "leaves the archive"},
		{"parent inside", []any{a, file("a/x/../f2")}, "leaves the archive"},
		{"backslash", []any{file(`a/..\f`)}, "backslash"},
		{"drive", []any{file("c:/f")}, "drive letter"},
		{"control", []any{file("a/f\x1b[2J")}, "control characters"},
		{"not UTF-8", []any{file("a/f\xff")}, "not UTF-8"},
		{"long", []any{file("a/" + strings.Repeat("x", 1100))}, "too long"},
		{"deep", []any{file(strings.Repeat("a/", 102) + "f")}, "too deep"},
		{"fifo", []any{top, tar.Header{Typeflag: tar.TypeFifo, Name: "a/f"}}, "special file"},
		{"device", []any{top, tar.Header{Typeflag: tar.TypeChar, Name: "a/f"}}, "special file"},
		{"block", []any{top, tar.Header{Typeflag: tar.TypeBlock, Name: "a/f"}}, "special file"},
		{"two tops", []any{a, file("b/f")}, "beside the top directory"},
		{"file as top", []any{file("a")}, "outside of a top directory"},
		{"top as file", []any{a, file("a")}, "outside of a top directory"},
		{"dot as file", []any{file(".")}, "no directory"},
		{"twice", []any{a, with(a, "other")}, "stands twice"},
		{"by case", []any{a, file("a/F")}, "differ only by case"},
		{"by case of a directory", []any{with(file("a/d/f"), "1"), with(file("a/D/f"), "2")}, "differ only by case"},
		{"by normal form", []any{file("a/\u00e9"), file("a/e\u0301")}, "Unicode form"},
		{"by dot", []any{file("a/f."), a}, "differ only"},
		{"file as directory", []any{a, file("a/f/g")}, "not a directory"},
		{"directory as file", []any{file("a/f/g"), a}, "others lie in it"},
		{"file as directory by case", []any{a, file("a/F/g")}, "not a directory"},
		{"directory as file by case", []any{file("a/F/g"), a}, "differ only"},
		{"through a link", []any{symlink("a/l", "."), file("a/l/f")}, "not a directory"},
		{"link over a directory", []any{file("a/l/f"), symlink("a/l", "..")}, "others lie in it"},
		{"absolute link", []any{top, symlink("a/l", "/etc/passwd")}, "links to"},
		{"link out", []any{top, symlink("a/l", "../b")}, "out of the top"},
		{"link out from below", []any{top, symlink("a/x/l", "../../b")}, "out of the top"},
		{"links out together", []any{top, symlink("a/b/c/l", "../.."), symlink("a/m", "b/c/l/../x")}, "out of the top"},
		{"link loop", []any{top, symlink("a/l", "m/x"), symlink("a/m", "l/x")}, "too many links"},
		{"link with drive", []any{top, symlink("a/l", "c:x")}, "links to"},
		{"hard link to nothing", []any{top, hard("a/l", "a/none")}, "no file before it"},
		{"hard link out", []any{top, hard("a/l", "../x")}, "leaves the archive"},
		{"hard link to another top", []any{a, hard("a/l", "b/f")}, "no file before it"},
		{"hard link to a symbolic one", []any{top, symlink("a/s", "f"), hard("a/l", "a/s")}, "no file before it"},
		{"time", []any{tar.Header{Typeflag: tar.TypeReg, Name: "a/f", ModTime: time.Unix(1<<40, 0), Format: tar.FormatGNU}}, "out of range"},
		{"empty", nil, "empty"},
		{"leftovers only", []any{file("PaxHeader/f")}, "empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := gz(t, tarball(t, c.members...))
			_, err := openBytes("a-1.tar.gz", data, Limits{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Open: %v, want %q", err, c.want)
			}
			in := t.TempDir()
			_, err = Unpack(context.Background(), "a-1.tar.gz", bytes.NewReader(data), int64(len(data)), in, Limits{}, UnpackOptions{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Unpack: %v, want %q", err, c.want)
			}
		})
	}
}

func TestRefusedBytes(t *testing.T) {
	plain := tarball(t, file("a/f"))
	good := gz(t, plain)
	broken := bytes.Clone(good)
	broken[len(broken)-5] ^= 1 // of the CRC, which stands after the last entry
	headers := make([]byte, 0, 4<<20)
	for range 2000 {
		one := tarball(t, tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "g", PAXRecords: map[string]string{"comment": strings.Repeat("x", 900<<10)}})
		if headers = append(headers, one[:len(one)-1024]...); len(headers) > 68<<20 {
			break
		}
	}
	bomb := gz(t, tarball(t, with(file("a/f"), strings.Repeat("\x00", 65<<20))))
	for _, c := range []struct {
		name, filename string
		data           []byte
		lim            Limits
		want           string
	}{
		{"name", "a-1.rar", good, Limits{}, "not the name of a source distribution"},
		{"no gzip", "a-1.tar.gz", plain, Limits{}, "gzip"},
		{"cut", "a-1.tar.gz", good[:len(good)-20], Limits{}, "unexpected EOF"},
		{"crc", "a-1.tar.gz", broken, Limits{}, "checksum"},
		{"after the end", "a-1.tar.gz", gz(t, append(bytes.Clone(plain), tarball(t, file("b/g"))...)), Limits{}, "after the end"},
		{"after gzip", "a-1.tar.gz", append(bytes.Clone(good), "more than that"...), Limits{}, "gzip"},
		{"second gzip", "a-1.tar.gz", append(bytes.Clone(good), gz(t, tarball(t, file("a/g")))...), Limits{}, "after the end"},
		{"size", "a-1.tar.gz", good, Limits{MaxSize: 5}, "limits"},
		{"entries", "a-1.tar.gz", gz(t, tarball(t, file("a/f"), file("a/g"))), Limits{MaxEntries: 1}, "more than 1 entries"},
		{"repeated entries", "a-1.tar.gz", gz(t, tarball(t, file("a/f"), file("a/f"))), Limits{MaxEntries: 1}, "more than 1 entries"},
		{"bomb", "a-1.tar.gz", bomb, Limits{}, "limits"},
		{"bomb of headers", "a-1.tar.gz", gz(t, headers), Limits{MaxEntries: 10}, "limits"},
		{"no zip", "a-1.zip", good, Limits{}, "not a zip"},
		{"no bzip2", "a-1.tar.bz2", good, Limits{}, "bzip2"},
		{"no xz", "a-1.tar.xz", good, Limits{}, "xz"},
		{"xz dictionary", "a-1.tar.xz", xzWith(t, 40), Limits{}, "dictionary"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := openBytes(c.filename, c.data, c.lim)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// xzWith is an xz stream whose dictionary is said to be of that size.
func xzWith(t *testing.T, bits byte) []byte {
	t.Helper()
	data := xzip(t, tarball(t, file("a/f")))
	i := bytes.Index(data[12:], []byte{0x21, 1})
	data[12+i+2] = bits
	return data
}

func xzip(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := xz.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRefusedZip(t *testing.T) {
	pack := func(set func(*zip.FileHeader)) []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		h := &zip.FileHeader{Name: "a/f", Method: zip.Deflate}
		set(h)
		f, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for name, data := range map[string][]byte{
		"parent":    pack(func(h *zip.FileHeader) { h.Name = "a/../../f" }),
		"link":      pack(func(h *zip.FileHeader) { h.SetMode(fs.ModeSymlink | 0o777) }),
		"device":    pack(func(h *zip.FileHeader) { h.SetMode(fs.ModeDevice | 0o777) }),
		"backslash": pack(func(h *zip.FileHeader) { h.Name = `a\f` }),
		"prefixed":  append([]byte("#!/bin/sh\n"), pack(func(*zip.FileHeader) {})...),
		"trailing":  append(pack(func(*zip.FileHeader) {}), 0),
	} {
		if _, err := openBytes("a-1.zip", data, Limits{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	tree, err := openBytes("a-1.zip", pack(func(h *zip.FileHeader) {
		h.Modified = when
		h.SetMode(0o755)
	}), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if e := tree.Entries[0]; tree.Format != "zip" || !tree.Zip || e.Name != "f" || e.Mode != 0o755 || !e.ModTime.Equal(when) {
		t.Errorf("%+v", tree)
	}
}

// oddities are archives as they are found, accepted.
var oddities = []any{
	tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "0123456789abcdef"}},
	dir("./"),
	dir("./demo/"),
	file("PaxHeader/demo"),
	with(file("./demo/pyproject.toml"), "[build-system]\nrequires = ['x']\n"),
	with(tar.Header{Typeflag: tar.TypeReg, Name: "demo/exact", Mode: 0o4755, ModTime: when.Add(123456789), Format: tar.FormatPAX, Uid: 1000, Uname: "builder"}, ""),
	with(tar.Header{Typeflag: tar.TypeReg, Name: "demo/epoch", Mode: 0o600, ModTime: time.Unix(0, 0)}, "0"),
	file("demo/deep/er/file"),
	dir("demo/deep"),
	file("demo/twice"),
	tar.Header{Typeflag: tar.TypeReg, Name: "demo/twice", Mode: 0o640, ModTime: when.Add(time.Hour)},
	hard("demo/hard", "demo/twice"),
	symlink("demo/deep/link", "../twice"),
	symlink("demo/dangling", "deep/none"),
	file("demo/" + strings.Repeat("long/", 30) + "name"),
	with(file("demo/same"), "s"), with(file("demo/SAME"), "s"),
}

func TestOpen(t *testing.T) {
	plain := tarball(t, oddities...)
	for filename, data := range map[string][]byte{"other-1.0.tar.gz": gz(t, plain), "x.TGZ": gz(t, append(plain, make([]byte, 20480)...)), "x.tar.xz": xzip(t, plain)} {
		tree, err := openBytes(filename, data, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if tree.Top != "demo" || tree.Zip || !strings.HasSuffix(tree.Format, ": pax") {
			t.Errorf("%s: top %q, format %q", filename, tree.Top, tree.Format)
		}
		at := map[string]Entry{}
		for _, e := range tree.Entries {
			at[e.Name] = e
		}
		if e := at["exact"]; e.Mode != 0o755 || e.UID != 1000 || e.Uname != "builder" || e.ModTime.Nanosecond() != 123456789 {
			t.Errorf("exact: %+v", e)
		}
		if e := at["hard"]; e.SHA256 != at["twice"].SHA256 || at["twice"].Mode != 0o640 {
			t.Errorf("hard: %+v", e)
		}
		if e := at["deep/link"]; e.Symlink != "../twice" {
			t.Errorf("link: %+v", e)
		}
		if len(tree.Suspicions) != 4 {
			t.Errorf("suspicions: %q", tree.Suspicions)
		}
		if data, err := tree.ReadFile("pyproject.toml"); err != nil || !bytes.Contains(data, []byte("build-system")) {
			t.Errorf("pyproject.toml: %q, %v", data, err)
		}
		if _, err := tree.ReadFile("setup.py"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("setup.py: %v", err)
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	data := gz(t, tarball(t, file("a/f")))
	if _, err := Open(ctx, "a.tar.gz", bytes.NewReader(data), int64(len(data)), Limits{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// checkUnpacked compares what lies in a directory with the tree.
func checkUnpacked(t *testing.T, in string, tree *Tree) {
	t.Helper()
	want := map[string]Entry{}
	for _, e := range tree.Entries {
		want[filepath.Join(in, tree.Top, filepath.FromSlash(e.Name))] = e
	}
	err := filepath.WalkDir(filepath.Join(in, tree.Top), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		e, listed := want[name]
		delete(want, name)
		info, err := d.Info()
		if err != nil {
			return err
		}
		if !listed {
			if !d.IsDir() || runtime.GOOS != "windows" && info.Mode().Perm() != 0o755 {
				return fmt.Errorf("%s: mode %v and not in the archive", name, info.Mode())
			}
			return nil
		}
		if e.Symlink != "" {
			to, err := os.Readlink(name)
			if err != nil || filepath.ToSlash(to) != e.Symlink {
				return fmt.Errorf("%s links to %q, %v", name, to, err)
			}
			return nil
		}
		if d.IsDir() != e.Dir || !info.ModTime().Equal(e.ModTime) {
			return fmt.Errorf("%s: %v, %v; want %+v", name, info.IsDir(), info.ModTime(), e)
		}
		stored := e.Mode
		if e.Dir {
			stored |= 0o700
		}
		if runtime.GOOS != "windows" && e.Mode != 0 && uint32(info.Mode().Perm()) != stored {
			return fmt.Errorf("%s: mode %v, want %#o", name, info.Mode(), e.Mode)
		}
		if e.Dir {
			return nil
		}
		data, err := os.ReadFile(name)
		if err == nil && sha256.Sum256(data) != e.SHA256 {
			err = fmt.Errorf("%s has other contents", name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for name := range want {
		t.Errorf("%s is missing", name)
	}
}

func TestUnpack(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
		t.Log("names that differ by case alone become one here")
		return
	}
	data := gz(t, tarball(t, oddities...))
	in := t.TempDir()
	unpack := func() (*Tree, error) {
		return Unpack(context.Background(), "d.tar.gz", bytes.NewReader(data), int64(len(data)), in, Limits{}, UnpackOptions{})
	}
	tree, err := unpack()
	if err != nil {
		t.Fatal(err)
	}
	checkUnpacked(t, in, tree)
	if _, err := unpack(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
}

// A link that stood there before is not followed.
func TestUnpackOverLink(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	if err := os.Symlink(out, filepath.Join(in, "a")); err != nil {
		t.Log("no symbolic links here: ", err)
		return
	}
	data := gz(t, tarball(t, file("a/f")))
	if _, err := Unpack(context.Background(), "a.tar.gz", bytes.NewReader(data), int64(len(data)), in, Limits{}, UnpackOptions{}); err == nil {
		t.Error("no error")
	}
	if left, err := os.ReadDir(out); err != nil || len(left) != 0 {
		t.Errorf("written outside: %v, %v", left, err)
	}
}

func TestDataFilter(t *testing.T) {
	for _, c := range []struct {
		stored uint32
		dir    bool
		want   uint32
	}{{0o644, false, 0o644}, {0o664, false, 0o644}, {0o777, false, 0o755}, {0o111, false, 0o711}, {0o411, false, 0o600}, {0o444, false, 0o644}, {0o700, true, 0o755}} {
		if got := DataFilter(0o022)(c.stored, c.dir); got != c.want {
			t.Errorf("%#o: %#o, want %#o", c.stored, got, c.want)
		}
	}
}

// A dictionary is checked in each block, not in the first one alone.
func TestXzBlocks(t *testing.T) {
	var b bytes.Buffer
	w, err := xz.WriterConfig{BlockSize: 3000}.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(tarball(t, oddities...)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openBytes("a.tar.xz", b.Bytes(), Limits{}); err != nil {
		t.Error(err)
	}
	data := b.Bytes()
	last := bytes.LastIndex(data, []byte{0x21, 1})
	if last < 3000/20 || bytes.Count(data, []byte{0x21, 1}) < 2 {
		t.Fatalf("no second block in %d bytes", len(data))
	}
	data[last+2] = 39
	if _, err := openBytes("a.tar.xz", data, Limits{}); err == nil || !strings.Contains(err.Error(), "dictionary") {
		t.Error(err)
	}
}
