// Package store keeps files by their sha256, safe for many processes and for
// being killed at any moment.
//
// A file gets its name only when it is whole, checked and on disk: it is
// written to a temporary name in the same file system, flushed, and renamed.
// A full disk or a kill leaves a temporary file, never a short one under its
// name. Files are read-only; [Store.Verify] finds what a disk or a person
// damaged later. Temporary directories are owned by a lock that dies with its
// process; whoever opens the store next removes those without owner.
//
//	files/ab/abcd…            contents
//	links/abcd…/NAME          the same file under a name, for tools that need one
//	cache/KIND/KEY            small values: index pages, resolutions
//	tmp/NAME/                 temporary directories, each with a lock beside it
package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Store is a directory of files.
type Store struct{ dir string }

// DefaultDir is $XDG_CACHE_HOME/truewheel, or what the system has for caches.
func DefaultDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w", err)
	}
	return filepath.Join(dir, "truewheel"), nil
}

// Open opens the store in dir, making it when needed, and removes what dead processes left in tmp.
func Open(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	for _, sub := range []string{"files", "links", "cache", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("open store: %w", err)
		}
	}
	s := &Store{dir}
	return s, s.sweep()
}

// Dir is where the store lies.
func (s *Store) Dir() string { return s.dir }

// A MismatchError says that contents are not what their sha256 says.
type MismatchError struct{ Want, Got string }

func (e *MismatchError) Error() string {
	return fmt.Sprintf("sha256 is %s, not %s", e.Got, e.Want)
}

var sumPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (s *Store) path(sum string) string { return filepath.Join(s.dir, "files", sum[:2], sum) }

// Path is the file with that sha256, if the store has it.
func (s *Store) Path(sum string) (string, bool) {
	if !sumPattern.MatchString(sum) {
		return "", false
	}
	p := s.path(sum)
	info, err := os.Stat(p)
	return p, err == nil && info.Mode().IsRegular()
}

// Put keeps what r gives, if its sha256 is sum (any, when sum is ""), and
// says under which path. Nothing is kept otherwise; a wrong sum is a *MismatchError.
func (s *Store) Put(ctx context.Context, sum string, r io.Reader) (path, got string, err error) {
	if sum != "" && !sumPattern.MatchString(sum) {
		return "", "", fmt.Errorf("keep file: %q is not a sha256", sum)
	}
	dir, done, err := s.TempDir("put")
	if err != nil {
		return "", "", err
	}
	defer done()
	f, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		return "", "", fmt.Errorf("keep file: %w", err)
	}
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), &reader{ctx, r})
	if err := errors.Join(err, f.Chmod(0o444), f.Sync(), f.Close()); err != nil {
		return "", "", fmt.Errorf("keep file: %w", err)
	}
	got = hex.EncodeToString(h.Sum(nil))
	if sum != "" && got != sum {
		return "", got, &MismatchError{sum, got}
	}
	path = s.path(got)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", got, fmt.Errorf("keep file: %w", err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		// Windows replaces no read-only file: another process was faster.
		if info, there := os.Stat(path); there != nil || info.Size() != n {
			return "", got, fmt.Errorf("keep file: %w", err)
		}
	}
	return path, got, nil
}

type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// Link is the file with that sha256 under a name of its own, a file name
// without directories, with the file's modification time. Where the file
// system has no hard links it is a copy.
func (s *Store) Link(sum, name string) (string, error) {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\\:\x00") {
		return "", fmt.Errorf("link %q: not a file name", name)
	}
	from, ok := s.Path(sum)
	if !ok {
		return "", fmt.Errorf("link %s: not in the store", name)
	}
	to := filepath.Join(s.dir, "links", sum, name)
	if same(from, to) {
		return to, nil
	}
	dir, done, err := s.TempDir("link")
	if err != nil {
		return "", err
	}
	defer done()
	fresh := filepath.Join(dir, "file")
	if err := os.Link(from, fresh); err != nil {
		if err := copyReadOnly(from, fresh); err != nil {
			return "", fmt.Errorf("link %s: %w", name, err)
		}
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return "", fmt.Errorf("link %s: %w", name, err)
	}
	// It also replaces a link to an earlier, damaged file.
	if err := os.Rename(fresh, to); err != nil && !same(from, to) {
		return "", fmt.Errorf("link %s: %w", name, err)
	}
	return to, nil
}

// same reports whether two names are one file.
func same(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Lstat(b)
	return err == nil && os.SameFile(x, y)
}

func copyReadOnly(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := CopyFile(from, to); err != nil {
		return err
	}
	return errors.Join(os.Chtimes(to, time.Time{}, info.ModTime()), os.Chmod(to, 0o444))
}

// TempDir makes a directory that lives until done is called or this process
// dies: then the next Open removes it.
func (s *Store) TempDir(what string) (dir string, done func(), err error) {
	lock, err := s.newLock(what)
	if err != nil {
		return "", nil, fmt.Errorf("make temporary directory: %w", err)
	}
	dir = strings.TrimSuffix(lock.Name(), ".lock")
	done = func() {
		removeAll(dir)
		release(lock)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		done()
		return "", nil, fmt.Errorf("make temporary directory: %w", err)
	}
	return dir, done, nil
}

// errHeld says that another process holds a lock.
var errHeld = errors.New("another process holds the lock")

// newLock makes a file and holds its lock. Between the two a sweep may take
// it for left behind and remove it: then another is made.
func (s *Store) newLock(what string) (*os.File, error) {
	for {
		f, err := os.CreateTemp(filepath.Join(s.dir, "tmp"), what+"-*.lock")
		if err != nil {
			return nil, err
		}
		err = acquire(f)
		switch {
		case err == nil && stillNamed(f):
			return f, nil
		case err == nil || errors.Is(err, errHeld):
			f.Close()
		default:
			release(f)
			return nil, err
		}
	}
}

// stillNamed reports whether the open file still has its name.
func stillNamed(f *os.File) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(open, named)
}

// removeAll removes trees that hold directories nobody may write to.
func removeAll(dir string) {
	if os.RemoveAll(dir) == nil {
		return
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	os.RemoveAll(dir)
}

// sweep removes temporary directories whose owner is dead.
func (s *Store) sweep() error {
	locks, err := filepath.Glob(filepath.Join(s.dir, "tmp", "*.lock"))
	if err != nil {
		return err
	}
	for _, name := range locks {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue // somebody else's, or gone
		}
		if acquire(f) != nil || !stillNamed(f) {
			f.Close()
			continue
		}
		if unowned(f) {
			removeAll(strings.TrimSuffix(name, ".lock"))
		}
		release(f)
	}
	return nil
}

// Cached reads the value kept for key into v, and says when it was kept.
func (s *Store) Cached(kind, key string, v any) (time.Time, bool) {
	data, at, ok := s.CachedBytes(kind, key)
	return at, ok && json.Unmarshal(data, v) == nil
}

// CachedBytes are the bytes kept for key, and when they were kept.
func (s *Store) CachedBytes(kind, key string) ([]byte, time.Time, bool) {
	name := s.cachePath(kind, key)
	info, err := os.Stat(name)
	if err != nil {
		return nil, time.Time{}, false
	}
	data, err := os.ReadFile(name)
	return data, info.ModTime(), err == nil
}

// Cache keeps v for key, as JSON. The cache is only an optimisation: it may
// be emptied at any time, and what a power cut made of it is read as nothing.
func (s *Store) Cache(kind, key string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("cache %s: %w", kind, err)
	}
	return s.CacheBytes(kind, key, data)
}

// CacheBytes keeps bytes for key.
func (s *Store) CacheBytes(kind, key string, data []byte) error {
	name := s.cachePath(kind, key)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("cache %s: %w", kind, err)
	}
	if err := WriteFile(name, data); err != nil {
		return fmt.Errorf("cache %s: %w", kind, err)
	}
	return nil
}

// Forget drops the value kept for key.
func (s *Store) Forget(kind, key string) { os.Remove(s.cachePath(kind, key)) }

func (s *Store) cachePath(kind, key string) string {
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(s.dir, "cache", kind, hex.EncodeToString(sum[:16])+".json")
}

// WriteFile writes a file that is whole or not there.
func WriteFile(name string, data []byte) error { return WriteFrom(name, bytes.NewReader(data)) }

// CopyFile copies a file; the copy is whole or not there.
func CopyFile(from, to string) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	return WriteFrom(to, r)
}

// WriteFrom writes what r gives to a file that is whole or not there.
func WriteFrom(name string, r io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".write-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// SyncTree brings everything below dir to the disk, as far as the system has a
// way to.
func SyncTree(dir string) error { return syncTree(dir) }

// Usage is what a part of the store takes.
type Usage struct {
	Part  string `json:"part"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
}

// Size says what each part of the store takes. Links share their contents with files and count nothing.
func (s *Store) Size() ([]Usage, error) {
	var out []Usage
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("measure store: %w", err)
	}
	for _, e := range entries {
		if !e.IsDir() || e.Name() == "links" {
			continue
		}
		u := Usage{Part: e.Name()}
		err := filepath.WalkDir(filepath.Join(s.dir, e.Name()), func(_ string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil // it may vanish while we look
			}
			if info, err := d.Info(); err == nil {
				u.Files++
				u.Bytes += info.Size()
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("measure store: %w", err)
		}
		out = append(out, u)
	}
	return out, nil
}

// Verify reads every file and removes those whose contents are not what
// their name says. It returns the names of those.
func (s *Store) Verify(ctx context.Context) (checked int, bad []string, err error) {
	err = s.each(func(path, sum string, _ fs.FileInfo) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // pruned meanwhile
		}
		if err != nil {
			return err
		}
		h := sha256.New()
		_, err = io.Copy(h, &reader{ctx, f})
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
		checked++
		if hex.EncodeToString(h.Sum(nil)) == sum {
			return nil
		}
		bad = append(bad, sum)
		return s.remove(path, sum)
	})
	if err != nil {
		return checked, bad, fmt.Errorf("verify store: %w", err)
	}
	return checked, bad, nil
}

// remove takes a file and its links away.
func (s *Store) remove(path, sum string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // another process was faster
	}
	return errors.Join(err, os.RemoveAll(filepath.Join(s.dir, "links", sum)))
}

func (s *Store) each(do func(path, sum string, info fs.FileInfo) error) error {
	return filepath.WalkDir(filepath.Join(s.dir, "files"), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // pruned meanwhile
		}
		if err != nil || d.IsDir() || !sumPattern.MatchString(d.Name()) {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return nil // pruned meanwhile
		}
		return do(path, d.Name(), info)
	})
}

// Prune removes files that were kept before the age, and all caches.
func (s *Store) Prune(ctx context.Context, age time.Duration) (removed int, bytes int64, err error) {
	before := time.Now().Add(-age)
	err = s.each(func(path, sum string, info fs.FileInfo) error {
		if err := ctx.Err(); err != nil || info.ModTime().After(before) {
			return err
		}
		removed++
		bytes += info.Size()
		return s.remove(path, sum)
	})
	if err == nil {
		err = os.RemoveAll(filepath.Join(s.dir, "cache"))
	}
	entries, _ := os.ReadDir(s.dir)
	for _, e := range entries {
		if e.IsDir() && !slices.Contains([]string{"files", "links", "cache", "tmp"}, e.Name()) {
			removeAll(filepath.Join(s.dir, e.Name())) // tools' own caches
		}
	}
	if err != nil {
		return removed, bytes, fmt.Errorf("prune store: %w", err)
	}
	return removed, bytes, nil
}
