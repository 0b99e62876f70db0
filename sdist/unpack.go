package sdist

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// UnpackOptions say how an archive becomes files.
type UnpackOptions struct {
	// Mode gives a file the permission bits it is written with, from those
	// stored (0644, or 0755 for a directory, where the archive has none).
	// Nil: as stored. Directories get 0700 besides.
	Mode func(stored uint32, dir bool) uint32
	// Time gives the modification time, from the stored one. Nil: as stored.
	Time func(stored time.Time) time.Time
}

// DataFilter is the Mode of Python's tarfile filter "data" (PEP 706), as
// newer versions of build unpack: nothing for group and others to write, read and write
// for the owner, execution for all only where the owner has it. Directories
// are as the umask wants them.
func DataFilter(umask uint32) func(stored uint32, dir bool) uint32 {
	return func(stored uint32, dir bool) uint32 {
		if dir {
			return 0o777 &^ umask
		}
		mode := stored &^ 0o022
		if mode&0o100 == 0 {
			mode &^= 0o111
		}
		return mode | 0o600
	}
}

// Unpack writes the archive below dir, which must exist, as dir/Top, which
// must not. Directories that no entry names get 0755 and the time of the
// newest entry. Times of symbolic links are not set. After an error dir/Top
// may hold a part; a caller removes it.
func Unpack(ctx context.Context, filename string, r io.ReaderAt, size int64, dir string, lim Limits, opt UnpackOptions) (*Tree, error) {
	t, err := unpack(ctx, filename, r, size, dir, lim, opt)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", filename, err)
	}
	return t, nil
}

func unpack(ctx context.Context, filename string, r io.ReaderAt, size int64, dir string, lim Limits, opt UnpackOptions) (t *Tree, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if opt.Mode == nil {
		opt.Mode = func(stored uint32, _ bool) uint32 { return stored }
	}
	if opt.Time == nil {
		opt.Time = func(stored time.Time) time.Time { return stored }
	}
	w := &writer{root: root, opt: opt, made: map[string]bool{}}
	defer func() { err = errors.Join(err, w.close()) }()
	if t, err = read(ctx, filename, "", r, size, lim, w); err != nil {
		return nil, err
	}
	return t, w.finish(t)
}

// writer unpacks below root; nothing can lead out of it.
type writer struct {
	root *os.Root
	opt  UnpackOptions
	made map[string]bool // directories, the top one's name included

	// The directory last written to: a file costs one look-up, not one for
	// each directory above it.
	current *os.Root
	name    string
}

func (w *writer) close() error {
	err := w.root.Close()
	if w.current != nil {
		err = errors.Join(err, w.current.Close())
	}
	return err
}

// mkdir makes a directory and those above it. The first one is the top
// directory, which must be new: so nothing that was there before is written to.
func (w *writer) mkdir(dir string) error {
	if dir == "." || w.made[dir] {
		return nil
	}
	if err := w.mkdir(path.Dir(dir)); err != nil {
		return err
	}
	if err := local(dir); err != nil {
		return err
	}
	err := w.root.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrExist) && strings.Contains(dir, "/") {
		err = nil // by another case
	}
	if err != nil {
		return err
	}
	w.made[dir] = true
	return nil
}

// local refuses what means something else to this system.
func local(name string) error {
	if !filepath.IsLocal(filepath.FromSlash(name)) || runtime.GOOS == "windows" && strings.ContainsAny(name, `:*?"<>|`) {
		return fmt.Errorf("%q can't be a file's name on this system", name)
	}
	return nil
}

// in is the directory that a name lies in, opened.
func (w *writer) in(full string) (*os.Root, string, error) {
	if err := local(full); err != nil {
		return nil, "", err
	}
	dir, base := path.Split(full)
	dir = path.Clean(dir)
	if w.current != nil && w.name == dir {
		return w.current, base, nil
	}
	if err := w.mkdir(dir); err != nil {
		return nil, "", err
	}
	next, err := w.root.OpenRoot(dir)
	if err != nil {
		return nil, "", err
	}
	if w.current != nil {
		err = w.current.Close()
	}
	w.current, w.name = next, dir
	return next, base, err
}

// file writes one file by fill, then sets its mode and time.
func (w *writer) file(top string, e Entry, fill func(io.Writer) error) error {
	dir, base, err := w.in(path.Join(top, e.Name))
	if err != nil {
		return err
	}
	f, err := dir.OpenFile(base, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) { // the entry stands twice
		if err := dir.Remove(base); err != nil {
			return err
		}
		f, err = dir.OpenFile(base, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	}
	if err != nil {
		return err
	}
	err = fill(f)
	if err == nil {
		err = f.Chmod(w.mode(e))
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	when := w.opt.Time(e.ModTime)
	return dir.Chtimes(base, when, when)
}

func (w *writer) mode(e Entry) fs.FileMode {
	stored := e.Mode
	if stored == 0 {
		stored = 0o644
		if e.Dir {
			stored = 0o755
		}
	}
	return fs.FileMode(w.opt.Mode(stored, e.Dir)) & 0o777
}

// copy writes a hard link as a file of its own.
func (w *writer) copy(top, from string, e Entry) error {
	r, err := w.root.Open(path.Join(top, from))
	if err != nil {
		return err
	}
	err = w.file(top, e, func(out io.Writer) error {
		_, err := io.Copy(out, r)
		return err
	})
	return errors.Join(err, r.Close())
}

// finish makes directories and links, then sets modes and times of
// directories, deepest first, since each change in one alters its time.
func (w *writer) finish(t *Tree) error {
	listed := map[string]Entry{}
	implied := Entry{Dir: true}
	for _, e := range t.Entries {
		full := path.Join(t.Top, e.Name)
		if e.ModTime.After(implied.ModTime) {
			implied.ModTime = e.ModTime
		}
		switch {
		case e.Dir:
			if err := w.mkdir(full); err != nil {
				return err
			}
			listed[full] = e
		case e.Symlink != "":
			dir, base, err := w.in(full)
			if err != nil {
				return err
			}
			if err := dir.Symlink(e.Symlink, base); err != nil {
				return err
			}
		}
	}
	for _, full := range slices.Backward(slices.Sorted(maps.Keys(w.made))) {
		e, ok := listed[full]
		if !ok {
			e = implied
		}
		if err := w.root.Chmod(full, w.mode(e)|0o700); err != nil {
			return err
		}
		when := w.opt.Time(e.ModTime)
		if err := w.root.Chtimes(full, when, when); err != nil {
			return err
		}
	}
	return nil
}
