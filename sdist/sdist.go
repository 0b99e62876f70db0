// Package sdist reads source distributions (PEP 517, 625, 643): one top
// directory in a .tar.gz, .tgz, .tar.bz2, .tar.xz or .zip.
//
// The reader is strict. It refuses names that leave the archive, absolute
// names, backslashes, drive letters and control characters, devices and
// other special files, symbolic links that leave the top directory, a file
// that is another entry's directory, two files of one name with different
// contents (also by case and Unicode normal form), more than one top
// directory, and archives beyond [Limits]. [Open] reads the archive once,
// streaming; [Unpack] writes it below a directory and nowhere else.
package sdist

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ulikunitz/xz"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
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

// Entry is a file, directory or symbolic link of the archive.
type Entry struct {
	Name    string // below the top directory, slash separated; "" is the top directory itself
	Dir     bool
	Symlink string // target, "" for others
	Mode    uint32 // permission bits as stored; 0 when the archive (a zip) has none
	Size    int64
	ModTime time.Time // sub-seconds kept; of a zip: the local time read as UTC
	SHA256  [32]byte  // of a file's contents
}

// Tree is an archive that was read.
type Tree struct {
	Top     string // name of the top directory
	Entries []Entry
	Zip     bool
	small   map[string][]byte
}

// maxSmall bounds the files that Open keeps in memory, each and together.
const (
	maxSmall      = 256 << 10
	maxSmallTotal = 8 << 20
)

// keep says which files are needed for reading the build system.
func keep(name string) bool {
	switch name {
	case "pyproject.toml", "setup.py", "setup.cfg", "PKG-INFO", "MANIFEST.in":
		return true
	}
	return false
}

// ReadFile gives a small file that describes the project (pyproject.toml,
// setup.py, setup.cfg, PKG-INFO, MANIFEST.in) from memory.
func (t *Tree) ReadFile(name string) ([]byte, error) {
	data, ok := t.small[name]
	if !ok {
		return nil, fmt.Errorf("read %s of the source: %w", name, fs.ErrNotExist)
	}
	return data, nil
}

// Open reads a source distribution of size bytes; filename tells the format.
func Open(ctx context.Context, filename string, r io.ReaderAt, size int64, lim Limits) (*Tree, error) {
	t, err := read(ctx, filename, r, size, lim, nil)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filename, err)
	}
	return t, nil
}

// UnpackOptions say how an archive becomes files.
type UnpackOptions struct {
	// Mode gives a file the permission bits it is written with, from those
	// stored (0644 where the archive has none). Nil: as stored.
	Mode func(stored uint32, dir bool) uint32
	// Time gives the modification time, from the stored one. Nil: as stored.
	Time func(stored time.Time) time.Time
}

// Unpack writes the archive below dir, which must exist, as dir/Top.
func Unpack(ctx context.Context, filename string, r io.ReaderAt, size int64, dir string, lim Limits, opt UnpackOptions) (*Tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", filename, err)
	}
	defer root.Close()
	if opt.Mode == nil {
		opt.Mode = func(stored uint32, _ bool) uint32 { return stored }
	}
	if opt.Time == nil {
		opt.Time = func(stored time.Time) time.Time { return stored }
	}
	w := &writer{root: root, opt: opt}
	t, err := read(ctx, filename, r, size, lim, w)
	if err == nil {
		err = w.finish(t)
	}
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", filename, err)
	}
	return t, nil
}

// entries is one archive as a stream.
type entries interface {
	next() (header, io.Reader, error) // io.EOF at the end
}

type header struct {
	name    string
	kind    byte // f, d, l (symlink), h (hard link)
	link    string
	mode    uint32
	size    int64
	modTime time.Time
}

func read(ctx context.Context, filename string, r io.ReaderAt, size int64, lim Limits, w *writer) (*Tree, error) {
	lim = lim.fill()
	src, isZip, err := open(filename, r, size)
	if err != nil {
		return nil, err
	}
	t := &Tree{Zip: isZip, small: map[string][]byte{}}
	s := &scan{t: t, lim: lim, archive: size, w: w, at: map[string]int{}, folded: map[string]string{}}
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
	if t.Top == "" {
		return nil, errors.New("the archive is empty")
	}
	return t, s.checkLinks()
}

func open(filename string, r io.ReaderAt, size int64) (entries, bool, error) {
	stream := io.NewSectionReader(r, 0, size)
	var body io.Reader
	var err error
	switch lower := strings.ToLower(filename); {
	case strings.HasSuffix(lower, ".zip"):
		z, err := zip.NewReader(r, size)
		if err != nil {
			return nil, true, err
		}
		return &zipEntries{files: z.File}, true, nil
	case strings.HasSuffix(lower, ".tar.gz"), strings.HasSuffix(lower, ".tgz"):
		body, err = gzip.NewReader(stream)
	case strings.HasSuffix(lower, ".tar.bz2"):
		body = bzip2.NewReader(stream)
	case strings.HasSuffix(lower, ".tar.xz"):
		body, err = xz.NewReader(stream)
	default:
		return nil, false, errors.New("not the name of a source distribution (.tar.gz, .tgz, .tar.bz2, .tar.xz, .zip)")
	}
	if err != nil {
		return nil, false, err
	}
	return &tarEntries{r: tar.NewReader(body)}, false, nil
}

type tarEntries struct{ r *tar.Reader }

func (t *tarEntries) next() (header, io.Reader, error) {
	for {
		h, err := t.r.Next()
		if err != nil {
			return header{}, nil, err
		}
		out := header{name: h.Name, link: h.Linkname, mode: uint32(h.Mode & 0o7777), size: h.Size, modTime: h.ModTime}
		switch h.Typeflag {
		case tar.TypeXGlobalHeader:
			continue
		case tar.TypeReg, tar.TypeGNUSparse, '7':
			out.kind = 'f'
			if strings.HasSuffix(h.Name, "/") {
				out.kind = 'd' // old archives mark directories so
			}
		case tar.TypeDir:
			out.kind = 'd'
		case tar.TypeSymlink:
			out.kind = 'l'
		case tar.TypeLink:
			out.kind = 'h'
		default:
			return header{}, nil, fmt.Errorf("entry %q is a special file (type %q)", h.Name, h.Typeflag)
		}
		return out, t.r, nil
	}
}

type zipEntries struct {
	files []*zip.File
	open  io.Closer
}

func (z *zipEntries) next() (header, io.Reader, error) {
	if z.open != nil {
		z.open.Close()
		z.open = nil
	}
	if len(z.files) == 0 {
		return header{}, nil, io.EOF
	}
	f := z.files[0]
	z.files = z.files[1:]
	h := header{name: f.Name, kind: 'f', mode: f.ExternalAttrs >> 16 & 0o7777, size: int64(f.UncompressedSize64), modTime: msdos(f.ModifiedDate, f.ModifiedTime)}
	if f.Flags&1 != 0 {
		return h, nil, fmt.Errorf("entry %q is encrypted", f.Name)
	}
	switch {
	case strings.HasSuffix(f.Name, "/"):
		h.kind = 'd'
		return h, nil, nil
	case f.ExternalAttrs>>28 == 0xA:
		return h, nil, fmt.Errorf("entry %q is a symbolic link in a zip", f.Name)
	}
	r, err := f.Open()
	if err != nil {
		return h, nil, fmt.Errorf("entry %q: %w", f.Name, err)
	}
	z.open = r
	return h, r, nil
}

func msdos(d, t uint16) time.Time {
	return time.Date(int(d>>9)+1980, time.Month(d>>5&0xf), int(d&0x1f), int(t>>11), int(t>>5&0x3f), int(t&0x1f)*2, 0, time.UTC)
}

// scan checks entries one after the other and hands them to the writer.
type scan struct {
	t       *Tree
	lim     Limits
	archive int64
	w       *writer
	total   int64
	kept    int
	at      map[string]int    // name -> index in t.Entries
	folded  map[string]string // what a careless file system makes of a name -> name
}

// cleanName checks a name and splits it at the top directory.
func cleanName(name string) (top, rest string, err error) {
	bad := func(why string) (string, string, error) { return "", "", fmt.Errorf("entry %q %s", name, why) }
	if !utf8.ValidString(name) {
		return bad("has a name that is not UTF-8")
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return bad("has control characters in its name")
	}
	if strings.Contains(name, `\`) {
		return bad("has a backslash in its name")
	}
	if path.IsAbs(name) {
		return bad("has an absolute name")
	}
	if len(name) > 1 && name[1] == ':' {
		return bad("has a drive letter")
	}
	if slices.Contains(strings.Split(name, "/"), "..") {
		return bad("leaves the archive")
	}
	name = path.Clean(name)
	if name == "." {
		return "", "", nil
	}
	top, rest, _ = strings.Cut(name, "/")
	return top, rest, nil
}

func (s *scan) add(h header, body io.Reader) error {
	top, name, err := cleanName(h.name)
	if err != nil {
		return err
	}
	if top == "" {
		return nil // "./"
	}
	if s.t.Top == "" {
		s.t.Top = top
	}
	if top != s.t.Top {
		return fmt.Errorf("entry %q lies beside the top directory %q: a source distribution has one", h.name, s.t.Top)
	}
	if name == "" && h.kind != 'd' {
		return fmt.Errorf("entry %q lies outside of a top directory", h.name)
	}
	if len(s.t.Entries) >= s.lim.MaxEntries {
		return fmt.Errorf("more than %d entries", s.lim.MaxEntries)
	}
	e := Entry{Name: name, Dir: h.kind == 'd', Mode: h.mode & 0o777, ModTime: h.modTime}
	switch h.kind {
	case 'l':
		e.Symlink = h.link
		if err := s.checkTarget(e); err != nil {
			return err
		}
	case 'h':
		return s.hardLink(h, e)
	case 'f':
		if err := s.file(&e, h, body); err != nil {
			return err
		}
		return s.place(e, false)
	}
	return s.place(e, true)
}

// checkTarget refuses a link out of the top directory.
func (s *scan) checkTarget(e Entry) error {
	if path.IsAbs(e.Symlink) || strings.ContainsAny(e.Symlink, "\\\x00") || e.Symlink == "" {
		return fmt.Errorf("entry %q links to %q", e.Name, e.Symlink)
	}
	depth := strings.Count(e.Name, "/")
	for part := range strings.SplitSeq(e.Symlink, "/") {
		switch part {
		case "..":
			depth--
		case ".", "":
		default:
			depth++
		}
		if depth < 0 {
			return fmt.Errorf("entry %q links to %q, out of the archive", e.Name, e.Symlink)
		}
	}
	return nil
}

func (s *scan) hardLink(h header, e Entry) error {
	_, target, err := cleanName(h.link)
	if err != nil {
		return err
	}
	i, ok := s.at[target]
	if !ok || s.t.Entries[i].Dir || s.t.Entries[i].Symlink != "" {
		return fmt.Errorf("entry %q is a link to %q, which is no file before it", h.name, h.link)
	}
	from := s.t.Entries[i]
	e.Size, e.SHA256 = from.Size, from.SHA256
	if s.total += e.Size; s.total > s.lim.MaxSize {
		return fmt.Errorf("more than %d bytes", s.lim.MaxSize)
	}
	if s.w != nil {
		if err := s.w.copy(s.t.Top, from.Name, e); err != nil {
			return err
		}
	}
	return s.place(e, false)
}

// file streams one file's contents to its hash, the writer and memory.
func (s *scan) file(e *Entry, h header, body io.Reader) error {
	sum := sha256.New()
	var sinks = []io.Writer{sum}
	var small *bytes.Buffer
	if keep(e.Name) && h.size <= maxSmall && s.kept+int(h.size) <= maxSmallTotal {
		small = &bytes.Buffer{}
		sinks = append(sinks, small)
	}
	var out *os.File
	if s.w != nil {
		var err error
		if out, err = s.w.create(s.t.Top, e.Name); err != nil {
			return err
		}
		sinks = append(sinks, out)
	}
	n, err := io.Copy(io.MultiWriter(sinks...), io.LimitReader(body, s.lim.MaxSize-s.total+1))
	if out != nil {
		err = errors.Join(err, out.Close())
	}
	if err != nil {
		return fmt.Errorf("entry %q: %w", h.name, err)
	}
	s.total += n
	if s.total > s.lim.MaxSize {
		return fmt.Errorf("more than %d bytes", s.lim.MaxSize)
	}
	if s.total > 64<<20 && s.total/max(1, s.archive) > s.lim.MaxRatio {
		return fmt.Errorf("contents more than %d times the archive's size", s.lim.MaxRatio)
	}
	e.Size = n
	e.SHA256 = digest(sum)
	if small != nil {
		s.t.small[e.Name] = small.Bytes()
		s.kept += small.Len()
	}
	return nil
}

func digest(h hash.Hash) (d [32]byte) {
	copy(d[:], h.Sum(nil))
	return d
}

// place records an entry that does not contradict those before it.
func (s *scan) place(e Entry, mayRepeat bool) error {
	if i, ok := s.at[e.Name]; ok {
		old := s.t.Entries[i]
		if old.Dir != e.Dir || old.Symlink != e.Symlink || old.SHA256 != e.SHA256 {
			return fmt.Errorf("entry %q stands twice, with different contents", e.Name)
		}
		s.t.Entries[i] = e // the last one's mode and time, as tar does
		return nil
	}
	key := cases.Fold().String(norm.NFKC.String(e.Name))
	if other, ok := s.folded[key]; ok && other != e.Name {
		i := s.at[other]
		if old := s.t.Entries[i]; !old.Dir || !e.Dir {
			return fmt.Errorf("entries %q and %q differ only by case or Unicode form", other, e.Name)
		}
	}
	for dir := path.Dir(e.Name); dir != "."; dir = path.Dir(dir) {
		if i, ok := s.at[dir]; ok && !s.t.Entries[i].Dir {
			return fmt.Errorf("entry %q lies in %q, which is not a directory", e.Name, dir)
		}
	}
	s.folded[key] = e.Name
	s.at[e.Name] = len(s.t.Entries)
	s.t.Entries = append(s.t.Entries, e)
	return nil
}

// checkLinks refuses entries below a name that turned out to be a file or link.
func (s *scan) checkLinks() error {
	for _, e := range s.t.Entries {
		for dir := path.Dir(e.Name); dir != "." && e.Name != ""; dir = path.Dir(dir) {
			if i, ok := s.at[dir]; ok && !s.t.Entries[i].Dir {
				return fmt.Errorf("entry %q lies in %q, which is not a directory", e.Name, dir)
			}
		}
	}
	return nil
}

// writer unpacks below root; nothing can lead out of it.
type writer struct {
	root *os.Root
	opt  UnpackOptions
	made map[string]bool
}

func (w *writer) mkdir(dir string) error {
	if w.made[dir] {
		return nil
	}
	if w.made == nil {
		w.made = map[string]bool{}
	}
	if err := w.root.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	w.made[dir] = true
	return nil
}

func (w *writer) create(top, name string) (*os.File, error) {
	full := path.Join(top, name)
	if err := w.mkdir(path.Dir(full)); err != nil {
		return nil, err
	}
	return w.root.OpenFile(full, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
}

func (w *writer) copy(top, from string, e Entry) error {
	r, err := w.root.Open(path.Join(top, from))
	if err != nil {
		return err
	}
	defer r.Close()
	out, err := w.create(top, e.Name)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, r)
	return errors.Join(err, out.Close())
}

// finish makes directories and links, then sets modes and times, deepest first.
func (w *writer) finish(t *Tree) error {
	for _, e := range t.Entries {
		full := path.Join(t.Top, e.Name)
		switch {
		case e.Dir:
			if err := w.mkdir(full); err != nil {
				return err
			}
		case e.Symlink != "":
			if err := w.mkdir(path.Dir(full)); err != nil {
				return err
			}
			if err := w.root.Symlink(e.Symlink, full); err != nil {
				return err
			}
		}
	}
	order := slices.Clone(t.Entries)
	slices.SortStableFunc(order, func(a, b Entry) int { return strings.Compare(b.Name, a.Name) })
	for _, e := range order {
		if e.Symlink != "" {
			continue
		}
		stored := e.Mode
		if stored == 0 {
			stored = 0o644
			if e.Dir {
				stored = 0o755
			}
		}
		mode := fs.FileMode(w.opt.Mode(stored, e.Dir)) & 0o777
		if e.Dir {
			mode |= 0o700
		}
		full := path.Join(t.Top, e.Name)
		if err := w.root.Chmod(full, mode); err != nil {
			return err
		}
		when := w.opt.Time(e.ModTime)
		if err := w.root.Chtimes(full, when, when); err != nil {
			return err
		}
	}
	return nil
}
