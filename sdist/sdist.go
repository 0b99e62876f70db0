// Package sdist reads source distributions (PEP 517, 625, 643): one top
// directory in a .tar.gz, .tgz, .tar.bz2, .tar.xz or .zip.
//
// The reader is strict. It refuses
//
//   - names that are absolute, leave the archive, hold a backslash, a drive
//     letter or control characters, are not UTF-8, or are longer than 1,024
//     bytes or 100 directories;
//   - devices, FIFOs, sparse files and anything else that is no file,
//     directory or link; hard links to anything but a file before them;
//   - symbolic links that are absolute or lead out of the top directory, by
//     themselves or by way of other links;
//   - an entry that lies in a file or in a symbolic link, two entries of one
//     name with different contents, and the same for names that some file
//     system takes for one (by case, Unicode normal form, dots or spaces at
//     the end);
//   - more than one top directory, but for leftovers of packing programs
//     (PaxHeader, __MACOSX and the like), which are passed over;
//   - bytes after the end of the archive, and of zips all that package wheel
//     refuses;
//   - archives beyond [Limits].
//
// [Open] reads the archive once, streaming; [Unpack] writes it below a
// directory and nowhere else.
package sdist

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"
)

// Limits bound what is read. The zero value has safe bounds.
type Limits struct {
	MaxSize    int64 // total size of the contents; 0: 4 GiB
	MaxRatio   int64 // contents to archive, once contents are over 64 MiB; 0: 200
	MaxEntries int   // 0: 200,000
}

func (l Limits) fill() Limits {
	if l.MaxSize == 0 {
		l.MaxSize = 4 << 30
	}
	if l.MaxRatio == 0 {
		l.MaxRatio = 200
	}
	if l.MaxEntries == 0 {
		l.MaxEntries = 200_000
	}
	return l
}

// contents is how much an archive of size bytes may hold.
func (l Limits) contents(size int64) int64 {
	if size > l.MaxSize/l.MaxRatio {
		return l.MaxSize
	}
	return min(l.MaxSize, max(64<<20, size*l.MaxRatio))
}

// Entry is a file, directory or symbolic link of the archive. A hard link is
// a file with the contents of the one it links to.
type Entry struct {
	Name    string // below the top directory, slash separated; "" is the top directory itself
	Dir     bool
	Symlink string // target, "" for others
	Mode    uint32 // permission bits (0777) as stored; 0 when the archive (a zip) has none
	Size    int64
	ModTime time.Time // sub-seconds kept; of a zip: the local time read as UTC
	SHA256  [32]byte  // of a file's contents
	UID     int       // of a tar, as are the names
	GID     int
	Uname   string
	Gname   string
}

// Tree is an archive that was read.
type Tree struct {
	Top     string // name of the top directory
	Project string // directory of the project below it, "" for itself ([OpenProject])
	Entries []Entry
	Zip     bool
	Format  string // "tar.gz: gnu", "tar.gz: pax", "tar.gz: ustar", ..., "zip"
	// Suspicions are what was accepted and is worth telling, in words.
	Suspicions []string

	small map[string][]byte
}

// maxSmall bounds the files that Open keeps in memory, each.
const maxSmall = 1 << 20

// keep says which files are needed for reading the build system.
func (t *Tree) keep(name string) bool {
	if t.Project != "" {
		var ok bool
		if name, ok = strings.CutPrefix(name, t.Project+"/"); !ok {
			return false
		}
	}
	switch name {
	case "pyproject.toml", "setup.py", "setup.cfg", "PKG-INFO", "MANIFEST.in":
		return true
	}
	return path.Base(name) == "Cargo.lock" || name == ".cargo/config.toml" || strings.HasSuffix(name, "/.cargo/config.toml")
}

// ReadFile gives a small file of the project's directory that describes it (pyproject.toml,
// setup.py, setup.cfg, PKG-INFO, MANIFEST.in, and any Cargo.lock and
// .cargo/config.toml below it) from memory. The error is
// fs.ErrNotExist when the source has none.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	data, ok := t.small[path.Join(t.Project, name)]
	if ok && data == nil {
		return nil, fmt.Errorf("read %s of the source: larger than %d bytes", name, maxSmall)
	}
	if !ok {
		return nil, fmt.Errorf("read %s of the source: %w", name, fs.ErrNotExist)
	}
	return data, nil
}

// Open reads a source distribution of size bytes; filename tells the format.
func Open(ctx context.Context, filename string, r io.ReaderAt, size int64, lim Limits) (*Tree, error) {
	return OpenProject(ctx, filename, "", r, size, lim)
}

// OpenProject is [Open] for a source that holds more than the project: that
// lies in a directory below the top.
func OpenProject(ctx context.Context, filename, project string, r io.ReaderAt, size int64, lim Limits) (*Tree, error) {
	t, err := read(ctx, filename, project, r, size, lim, nil)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filename, err)
	}
	return t, nil
}

func read(ctx context.Context, filename, project string, r io.ReaderAt, size int64, lim Limits, w *writer) (*Tree, error) {
	lim = lim.fill()
	src, isZip, err := open(ctx, filename, r, size, lim)
	if err != nil {
		return nil, err
	}
	s := newScan(lim, lim.contents(size), w)
	s.t.Zip, s.t.Project = isZip, project
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, body, err := src.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := s.add(h, body); err != nil {
			return nil, err
		}
	}
	if s.t.Top == "" {
		return nil, errors.New("the archive is empty")
	}
	s.t.Format = src.format()
	return s.t, s.finish()
}
