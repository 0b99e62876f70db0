package sdist

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

const (
	maxName  = 1024
	maxDepth = 100
	maxSteps = 1_000_000 // in following symbolic links
)

// scan checks entries one after the other and hands them to the writer.
type scan struct {
	t      *Tree
	lim    Limits
	left   int64 // what the contents to come may have
	seen   int   // entries, repeated ones and those passed over too
	w      *writer
	at     map[string]int    // name -> index in t.Entries
	folded map[string]string // what a careless file system makes of a name -> name
	dirs   map[string]bool   // names that have something in them
	steps  int               // along symbolic links
}

func newScan(lim Limits, left int64, w *writer) *scan {
	return &scan{
		t: &Tree{small: map[string][]byte{}}, lim: lim, left: left, w: w,
		at: map[string]int{}, folded: map[string]string{}, dirs: map[string]bool{},
	}
}

func (s *scan) suspect(format string, args ...any) {
	const enough = 20
	if len(s.t.Suspicions) < enough {
		s.t.Suspicions = append(s.t.Suspicions, fmt.Sprintf(format, args...))
	}
}

// splitName checks a name and splits it at the top directory.
func splitName(name string) (top, rest string, err error) {
	bad := func(why string) (string, string, error) { return "", "", fmt.Errorf("entry %.200q %s", name, why) }
	switch {
	case len(name) > maxName || strings.Count(name, "/") > maxDepth:
		return bad("has a name that is too long or too deep")
	case !utf8.ValidString(name):
		return bad("has a name that is not UTF-8")
	case strings.ContainsFunc(name, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return bad("has control characters in its name")
	case strings.Contains(name, `\`):
		return bad("has a backslash in its name")
	case path.IsAbs(name):
		return bad("has an absolute name")
	case len(name) > 1 && name[1] == ':':
		return bad("has a drive letter")
	case slices.Contains(strings.Split(name, "/"), ".."):
		return bad("leaves the archive")
	}
	name = path.Clean(name)
	if name == "." {
		return "", "", nil
	}
	top, rest, _ = strings.Cut(name, "/")
	return top, rest, nil
}

// leftover names what packing programs leave beside the top directory.
func leftover(top string) bool {
	switch top {
	case "PaxHeader", "PaxHeaders", "PaxHeaders.0", "@PaxHeader", "@LongLink", "__MACOSX", "pax_global_header", ".DS_Store":
		return true
	}
	return strings.HasPrefix(top, "PaxHeaders.") || strings.HasPrefix(top, "._")
}

func (s *scan) add(h header, body io.Reader) error {
	if s.seen++; s.seen > s.lim.MaxEntries {
		return fmt.Errorf("more than %d entries", s.lim.MaxEntries)
	}
	top, name, err := splitName(h.name)
	if err != nil {
		return err
	}
	if top == "" {
		if h.kind != 'd' {
			return fmt.Errorf("entry %q is no directory", h.name)
		}
		return nil // "./"
	}
	if leftover(top) {
		s.suspect("entry %q lies beside the top directory and is passed over", h.name)
		return nil
	}
	if s.t.Top == "" {
		if name == "" && h.kind != 'd' {
			return fmt.Errorf("entry %q lies outside of a top directory", h.name)
		}
		s.t.Top = top
	}
	if top != s.t.Top {
		return fmt.Errorf("entry %q lies beside the top directory %q: a source distribution has one", h.name, s.t.Top)
	}
	if name == "" && h.kind != 'd' {
		return fmt.Errorf("entry %q lies outside of a top directory", h.name)
	}
	if y := h.modTime.Year(); y < 1900 || y > 2200 {
		return fmt.Errorf("entry %q has a time out of range: %s", h.name, h.modTime.UTC().Format(time.RFC3339))
	}
	if h.mode&0o6000 != 0 && h.kind != 'd' {
		s.suspect("entry %q is setuid or setgid (mode %#o); these bits are dropped", name, h.mode)
	}
	e := Entry{
		Name: name, Dir: h.kind == 'd', Mode: h.mode & 0o777, ModTime: h.modTime,
		UID: h.uid, GID: h.gid, Uname: h.uname, Gname: h.gname,
	}
	if err := s.checkPlace(e); err != nil {
		return err
	}
	switch h.kind {
	case 'l':
		e.Symlink = h.link
	case 'h':
		err = s.hardLink(&e, h)
	case 'f':
		err = s.file(&e, h, body)
	}
	if err != nil {
		return err
	}
	return s.place(e)
}

func (s *scan) hardLink(e *Entry, h header) error {
	top, target, err := splitName(h.link)
	if err != nil {
		return err
	}
	i, ok := s.at[target]
	if !ok || top != s.t.Top || s.t.Entries[i].Dir || s.t.Entries[i].Symlink != "" {
		return fmt.Errorf("entry %q is a link to %q, which is no file before it", h.name, h.link)
	}
	from := s.t.Entries[i]
	if s.left -= from.Size; s.left < 0 {
		return s.tooLarge()
	}
	e.Size, e.SHA256 = from.Size, from.SHA256
	if data, ok := s.t.small[target]; ok && s.t.keep(e.Name) {
		s.t.small[e.Name] = data
	}
	if s.w == nil || target == e.Name {
		return nil
	}
	return s.w.copy(s.t.Top, from.Name, *e)
}

func (s *scan) tooLarge() error {
	return fmt.Errorf("contents beyond the limits of %d bytes and of %d times the archive's size", s.lim.MaxSize, s.lim.MaxRatio)
}

// file streams one file's contents to its hash, the writer and memory.
func (s *scan) file(e *Entry, h header, body io.Reader) error {
	if h.size > s.left {
		return s.tooLarge()
	}
	sum := sha256.New()
	sinks := []io.Writer{sum}
	var small bytes.Buffer
	kept := s.t.keep(e.Name)
	if kept && h.size <= maxSmall {
		sinks = append(sinks, &small)
	}
	var n int64
	fill := func(sinks ...io.Writer) (err error) {
		n, err = io.Copy(io.MultiWriter(sinks...), io.LimitReader(body, h.size+1))
		if err == nil && n != h.size {
			err = fmt.Errorf("holds %d bytes and says %d", n, h.size)
		}
		return err
	}
	var err error
	if s.w == nil {
		err = fill(sinks...)
	} else {
		err = s.w.file(s.t.Top, *e, func(out io.Writer) error { return fill(append(sinks, out)...) })
	}
	if err != nil {
		return fmt.Errorf("entry %q: %w", h.name, err)
	}
	s.left -= n
	e.Size = n
	sum.Sum(e.SHA256[:0])
	if kept {
		s.t.small[e.Name] = small.Bytes() // nil when too large, and of an empty file
		if n == 0 {
			s.t.small[e.Name] = []byte{}
		}
	}
	return nil
}

// fold is what a name may become on a file system that knows no case,
// composes characters, or drops dots and spaces at the end.
func fold(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) {
		name = cases.Fold().String(norm.NFKC.String(name))
	} else {
		name = strings.ToLower(name)
	}
	if !strings.Contains(name+"/", "./") && !strings.Contains(name+"/", " /") {
		return name
	}
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = strings.TrimRight(part, ". ")
	}
	return strings.Join(parts, "/")
}

// checkPlace refuses an entry, before its contents are read, that would lie
// in a file or link, or where a directory is needed.
func (s *scan) checkPlace(e Entry) error {
	if !e.Dir && s.dirs[e.Name] {
		return fmt.Errorf("entry %q is no directory, and others lie in it", e.Name)
	}
	for dir := path.Dir(e.Name); dir != "." && e.Name != "" && !s.dirs[dir]; dir = path.Dir(dir) {
		if i, ok := s.at[dir]; ok && !s.t.Entries[i].Dir {
			return fmt.Errorf("entry %q lies in %q, which is not a directory", e.Name, dir)
		}
		key := fold(dir)
		if other, ok := s.folded[key]; ok && other != dir {
			if i, ok := s.at[other]; ok && !s.t.Entries[i].Dir {
				return fmt.Errorf("entry %q lies in %q, and %q is not a directory", e.Name, dir, other)
			}
		} else {
			s.folded[key] = dir
		}
		s.dirs[dir] = true
	}
	return nil
}

func (e Entry) same(other Entry) bool {
	return e.Dir == other.Dir && e.Symlink == other.Symlink && e.SHA256 == other.SHA256
}

// place records an entry that does not contradict those before it.
func (s *scan) place(e Entry) error {
	if i, ok := s.at[e.Name]; ok {
		if !s.t.Entries[i].same(e) {
			return fmt.Errorf("entry %q stands twice, with different contents", e.Name)
		}
		if !e.Dir {
			s.suspect("entry %q stands twice", e.Name)
		}
		s.t.Entries[i] = e // the last one's mode and time, as tar does
		return nil
	}
	key := fold(e.Name)
	if other, ok := s.folded[key]; ok && other != e.Name {
		i, listed := s.at[other]
		if listed && !s.t.Entries[i].same(e) || !listed && !e.Dir {
			return fmt.Errorf("entries %q and %q differ only by case or Unicode form", other, e.Name)
		}
		s.suspect("entries %q and %q differ only by case or Unicode form", other, e.Name)
	}
	s.folded[key] = e.Name
	s.at[e.Name] = len(s.t.Entries)
	s.t.Entries = append(s.t.Entries, e)
	return nil
}

// finish checks what needs all entries: where symbolic links lead to.
func (s *scan) finish() error {
	for _, e := range s.t.Entries {
		if e.Symlink == "" {
			continue
		}
		if path.IsAbs(e.Symlink) || len(e.Symlink) > maxName || strings.ContainsAny(e.Symlink, "\\:\x00") {
			return fmt.Errorf("entry %q links to %.200q", e.Name, e.Symlink)
		}
		if err := s.follow(e); err != nil {
			return err
		}
	}
	return nil
}

// follow resolves a symbolic link as a kernel does, through other links.
func (s *scan) follow(e Entry) error {
	const maxHops = 40
	var at []string
	if dir := path.Dir(e.Name); dir != "." {
		at = strings.Split(dir, "/")
	}
	todo := strings.Split(e.Symlink, "/")
	for hops := 0; len(todo) > 0; {
		if s.steps++; s.steps > maxSteps {
			return errors.New("too many and too long symbolic links")
		}
		part := todo[0]
		todo = todo[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if len(at) == 0 {
				return fmt.Errorf("entry %q links to %q, out of the top directory", e.Name, e.Symlink)
			}
			at = at[:len(at)-1]
			continue
		}
		at = append(at, part)
		i, ok := s.at[strings.Join(at, "/")]
		if !ok || s.t.Entries[i].Symlink == "" {
			continue
		}
		if hops++; hops > maxHops {
			return fmt.Errorf("entry %q links to %q, by way of too many links", e.Name, e.Symlink)
		}
		at = at[:len(at)-1]
		todo = append(strings.Split(s.t.Entries[i].Symlink, "/"), todo...)
	}
	return nil
}
