// Package tree reads what can be compared as members with names: wheels and
// other zip archives, tar archives however compressed, ar archives,
// compressed files, directories, and single files.
//
// It reads leniently, to tell differences: what is safe to install is package
// wheel's affair. Contents are read when asked for, and bounded by [Limits].
package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// Limits of what is read.
type Limits struct {
	MaxSize    int64  // of all that is decompressed of one archive; 0: 8 GiB
	MaxMembers int    // of one archive; 0: 200,000
	MaxInner   int64  // of an archive within an archive, decompressed; it is held in memory; 0: 64 MiB
	TempDir    string // where a compressed tar is unpacked to; "" is the system's
}

func (l Limits) fill() Limits {
	if l.MaxSize == 0 {
		l.MaxSize = 8 << 30
	}
	if l.MaxMembers == 0 {
		l.MaxMembers = 200_000
	}
	if l.MaxInner == 0 {
		l.MaxInner = 64 << 20
	}
	return l
}

// Field is something that an archive says of a member beside name and contents.
type Field struct{ Name, Value string }

// Member of a tree.
type Member struct {
	Name   string // slash-separated, unique in the tree; directories end in a slash
	Size   int64
	CRC32  uint32 // where the archive says it, else 0
	Mode   fs.FileMode
	Time   time.Time // as stored; zip's has no zone and is read as UTC; zero when there is none
	Link   string    // target of a symbolic link
	Fields []Field   // all else, in a fixed order for each format
	Stored bool      // not compressed

	open func() (io.ReadCloser, error)
	raw  func() (io.Reader, error) // the stream as stored; nil where there is none
}

// IsDir reports whether m is a directory.
func (m *Member) IsDir() bool { return strings.HasSuffix(m.Name, "/") }

// Open reads the contents.
func (m *Member) Open() (io.ReadCloser, error) {
	if m.open == nil {
		return io.NopCloser(strings.NewReader(m.Link)), nil
	}
	return m.open()
}

// Raw is the stream as stored; ok is false where contents are not kept in streams of their own.
func (m *Member) Raw() (r io.Reader, ok bool) {
	if m.raw == nil {
		return nil, false
	}
	r, err := m.raw()
	return r, err == nil
}

// Read reads the contents up to limit bytes; more is an error.
func (m *Member) Read(limit int64) ([]byte, error) {
	if m.Size > limit {
		return nil, fmt.Errorf("%q has %d bytes, more than %d", m.Name, m.Size, limit)
	}
	r, err := m.Open()
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", m.Name, err)
	}
	defer r.Close()
	buf := bytes.NewBuffer(make([]byte, 0, max(0, m.Size)+bytes.MinRead))
	if _, err := buf.ReadFrom(io.LimitReader(r, limit+1)); err != nil {
		return nil, fmt.Errorf("read %q: %w", m.Name, err)
	}
	if int64(buf.Len()) > limit {
		return nil, fmt.Errorf("%q has more than %d bytes", m.Name, limit)
	}
	return buf.Bytes(), nil
}

// Tree is one side of a comparison.
type Tree struct {
	Kind    string // wheel, zip, tar, tar.gz, ..., ar, gz, xz, zst, bz2, directory, file
	Members []Member
	Fields  []Field // of the archive as a whole
	// Odd says what could not be read as it should.
	Odd []string

	close []func() error
}

// Close frees what the tree holds.
func (t *Tree) Close() error {
	var errs []error
	for _, f := range t.close {
		errs = append(errs, f())
	}
	t.close = nil
	return errors.Join(errs...)
}

// Single reports whether the tree is one file, compressed or not.
func (t *Tree) Single() bool {
	switch t.Kind {
	case "file", "gz", "xz", "zst", "bz2":
		return len(t.Members) == 1
	}
	return false
}

// Names are the members' names in their order.
func (t *Tree) Names() []string {
	out := make([]string, len(t.Members))
	for i := range t.Members {
		out[i] = t.Members[i].Name
	}
	return out
}

// file is what was opened: bytes at offsets.
type file struct {
	io.ReaderAt
	size int64
}

func (f file) section() *io.SectionReader { return io.NewSectionReader(f, 0, f.size) }

// head are the first bytes.
func (f file) head(n int) []byte {
	b := make([]byte, min(int64(n), f.size))
	n, _ = f.ReadAt(b, 0)
	return b[:n]
}

// Open reads an archive or a file by what it holds; name tells a wheel from
// another zip archive.
func Open(ctx context.Context, name string, r io.ReaderAt, size int64, lim Limits) (*Tree, error) {
	lim = lim.fill()
	t, err := open(ctx, name, file{r, size}, lim, lim.MaxSize, true)
	if err != nil {
		return nil, err
	}
	return t, nil
}

// Inner reads an archive within an archive, whose bytes are in memory. ok is
// false when the bytes are no archive.
func Inner(ctx context.Context, name string, b []byte, lim Limits) (t *Tree, ok bool, err error) {
	lim = lim.fill()
	if kind(b) == "" {
		return nil, false, nil
	}
	t, err = open(ctx, name, file{bytes.NewReader(b), int64(len(b))}, lim, lim.MaxInner, false)
	return t, err == nil, err
}

// kind of archive by its first bytes; "" for none.
func kind(head []byte) string {
	for _, m := range []struct{ magic, kind string }{
		{"PK\x03\x04", "zip"}, {"PK\x05\x06", "zip"}, {"\x1f\x8b", "gz"}, {"\xfd7zXZ\x00", "xz"},
		{"\x28\xb5\x2f\xfd", "zst"}, {"BZh", "bz2"}, {"!<arch>\n", "ar"},
	} {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.kind
		}
	}
	if len(head) > 262 && string(head[257:262]) == "ustar" {
		return "tar"
	}
	return ""
}

func open(ctx context.Context, name string, f file, lim Limits, left int64, outer bool) (*Tree, error) {
	switch k := kind(f.head(512)); k {
	case "zip":
		return openZip(name, f, lim)
	case "tar":
		return openTar(ctx, "tar", f, lim)
	case "ar":
		return openAr(f, lim)
	case "gz", "xz", "zst", "bz2":
		return openCompressed(ctx, name, k, f, lim, left, outer)
	}
	if strings.HasSuffix(name, ".whl") || strings.HasSuffix(name, ".zip") {
		return openZip(name, f, lim) // it says what is wrong, or reads an archive with a prefix
	}
	m := Member{Name: path.Base(name), Size: f.size, open: func() (io.ReadCloser, error) { return io.NopCloser(f.section()), nil }}
	return &Tree{Kind: "file", Members: []Member{m}}, nil
}

// Directory reads a directory; links are not followed.
func Directory(ctx context.Context, dir string, lim Limits) (*Tree, error) {
	lim = lim.fill()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	t := &Tree{Kind: "directory", close: []func() error{root.Close}}
	err = fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || name == "." {
			return err
		}
		if len(t.Members) == lim.MaxMembers {
			return fmt.Errorf("%s has more than %d files", dir, lim.MaxMembers)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		m := Member{Name: name, Mode: info.Mode(), Time: info.ModTime().UTC().Truncate(time.Second), Size: info.Size()}
		switch {
		case d.IsDir():
			m.Name, m.Size = name+"/", 0
		case info.Mode()&fs.ModeSymlink != 0:
			if m.Link, err = root.Readlink(name); err != nil {
				return err
			}
			m.Size = int64(len(m.Link))
		case info.Mode().IsRegular():
			m.open = func() (io.ReadCloser, error) { return root.Open(name) }
		}
		t.Members = append(t.Members, m)
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", dir, err), root.Close())
	}
	slices.SortFunc(t.Members, func(a, b Member) int { return strings.Compare(a.Name, b.Name) })
	return t, nil
}

// unique gives members with one name different names, so that each is compared.
func (t *Tree) unique() {
	seen := make(map[string]int, len(t.Members))
	for i := range t.Members {
		name := t.Members[i].Name
		seen[name]++
		if n := seen[name]; n > 1 {
			t.Odd = append(t.Odd, fmt.Sprintf("%q is there %d times", name, n))
			t.Members[i].Name = fmt.Sprintf("%s#%d", name, n)
		}
	}
}
