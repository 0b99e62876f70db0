// Package wheel reads and checks wheels (PEP 427), and says what a zip holds
// beside names and contents: the envelope.
//
// [Open] is strict: an installer's view of a file that it accepts can't
// differ from ours. It refuses
//
//   - bytes before, between or after the entries, overlapping entries,
//     archive and entry comments, several disks;
//   - a local header that disagrees with the central directory in name,
//     flags, method, time, versions, CRC or sizes; with flag bit 3 the data
//     descriptor has to agree instead;
//   - zip64 in any place but a consistent extra field of a local header;
//   - encryption, methods other than stored and deflate, flags other than
//     bits 1 to 3 and 11, the Unicode path extra field (0x7075), which some
//     installers follow and others don't;
//   - a version to read it beyond 6.3, an extra field with an id twice;
//   - names that are empty, absolute, leave the archive, hold a backslash, a
//     colon, control characters, line separators or bytes that are not UTF-8,
//     are not ASCII without flag bit 11, or have a part of dots and spaces;
//   - two names that are one on some file system (by case, Unicode normal
//     form, invisible characters, or dots and spaces at the end of a part),
//     and a member that lies in another member;
//   - symbolic links, devices and any other special mode;
//   - archives beyond [Limits], names of more than 1,024 bytes or 128 parts,
//     headers of more than 32 MiB.
//
// Contents are streamed and checked against size and CRC as they are read.
// What is odd and can be read in one way only is no error:
// [Archive.Suspicions] and [Archive.CheckRecord] tell it.
package wheel

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// Limits bound what is read. The zero value has safe bounds.
type Limits struct {
	MaxSize    int64 // total size of the contents; 0: 4 GiB
	MaxRatio   int64 // contents to stream, of each member over 1 MiB; 0: 1,032, which deflate can't exceed
	MaxEntries int   // 0: 65,535
}

func (l Limits) fill() Limits {
	if l.MaxSize == 0 {
		l.MaxSize = 4 << 30
	}
	if l.MaxRatio == 0 {
		l.MaxRatio = 1032
	}
	if l.MaxEntries == 0 {
		l.MaxEntries = 65535
	}
	return l
}

// Archive is a wheel that was opened. It is for one goroutine at a time.
type Archive struct {
	Filename string
	Size     int64
	Entries  []Entry // in the order of the central directory

	r     io.ReaderAt
	index map[string]int // of Entries by name
	sums  [][32]byte
}

// Entry is a member or a directory of the archive, as stored.
type Entry struct {
	Name           string // directories end in a slash
	Size           int64
	CompressedSize int64
	CRC32          uint32
	Method         uint16 // 0 stored, 8 deflate
	Date, Time     uint16 // MS-DOS
	CreatorVersion uint16 // high byte: the system, 0 Windows, 3 Unix
	ReaderVersion  uint16
	Flags          uint16
	InternalAttrs  uint16
	ExternalAttrs  uint32
	Extra          []byte // of the central directory
	LocalExtra     []byte
	Descriptor     int // length of the data descriptor: 0, 12, 16, 20 or 24

	local int64 // offset of the local header
	data  int64 // offset of the stream
	zero  bool  // the local header leaves CRC and sizes to the data descriptor
}

// IsDir reports whether e is a directory.
func (e Entry) IsDir() bool { return strings.HasSuffix(e.Name, "/") }

// Mode is the Unix mode as stored, file type included.
func (e Entry) Mode() uint32 { return e.ExternalAttrs >> 16 }

// System is who says to have made the entry: 0 Windows, 3 Unix.
func (e Entry) System() uint8 { return uint8(e.CreatorVersion >> 8) }

// Modified is the MS-DOS time, which has no zone, read as UTC.
func (e Entry) Modified() time.Time {
	return time.Date(int(e.Date>>9)+1980, time.Month(e.Date>>5&0xf), int(e.Date&0x1f),
		int(e.Time>>11), int(e.Time>>5&0x3f), int(e.Time&0x1f)*2, 0, time.UTC)
}

// A FormatError says what in an archive is refused.
type FormatError struct {
	Entry  string // "" for the archive as a whole
	Reason string
}

func (e *FormatError) Error() string {
	if e.Entry == "" {
		return e.Reason
	}
	return fmt.Sprintf("entry %q %s", e.Entry, e.Reason)
}

func refuse(entry, format string, args ...any) error {
	return &FormatError{entry, fmt.Sprintf(format, args...)}
}

const (
	endSize     = 22
	centralSize = 46
	localSize   = 30

	flagDescriptor = 1 << 3
	flagUTF8       = 1 << 11
	knownFlags     = 1<<1 | 1<<2 | flagDescriptor | flagUTF8

	typeMask = 0o170000
	typeReg  = 0o100000
	typeDir  = 0o040000

	maxReader  = 63       // zip 6.3; Python's zipfile refuses more
	maxName    = 1024     // bytes: what a path on macOS can have
	maxDepth   = 128      // parts of a name
	maxHeaders = 32 << 20 // bytes of the central directory, and of all local headers: they are kept

	extraZip64       = 0x0001
	extraUnicodePath = 0x7075
)

// Open reads the structure of a wheel of size bytes, and no contents.
// Refusals are of type *FormatError, wrapped with the file's name.
func Open(filename string, r io.ReaderAt, size int64, lim Limits) (*Archive, error) {
	a := &Archive{Filename: filename, Size: size, r: r}
	if err := a.read(lim.fill()); err != nil {
		return nil, fmt.Errorf("read %s: %w", filename, err)
	}
	return a, nil
}

func (a *Archive) read(lim Limits) error {
	directory, n, end, err := a.directory(lim)
	if err != nil {
		return err
	}
	a.Entries = make([]Entry, 0, n)
	var total int64
	for range n {
		e, rest, err := parseCentral(directory)
		if err != nil {
			return err
		}
		directory = rest
		if total += e.Size; total > lim.MaxSize {
			return refuse("", "contents of more than %d bytes", lim.MaxSize)
		}
		if e.Size > 1<<20 && e.Size/max(1, e.CompressedSize) > lim.MaxRatio {
			return refuse(e.Name, "is compressed more than %d times: a bomb", lim.MaxRatio)
		}
		a.Entries = append(a.Entries, e)
	}
	if len(directory) != 0 {
		return refuse("", "%d bytes after the last entry of the central directory", len(directory))
	}
	if err := a.locals(end); err != nil {
		return err
	}
	a.index = make(map[string]int, n)
	for i, e := range a.Entries {
		a.index[e.Name] = i
	}
	return checkNames(a.Entries)
}

// directory finds the central directory: its bytes, entries and offset.
func (a *Archive) directory(lim Limits) ([]byte, int, int64, error) {
	if a.Size < endSize {
		return nil, 0, 0, refuse("", "not a zip archive: %d bytes", a.Size)
	}
	var b [endSize]byte
	if err := a.readAt(b[:], a.Size-endSize); err != nil {
		return nil, 0, 0, err
	}
	le := binary.LittleEndian
	if le.Uint32(b[:]) != 0x06054b50 || le.Uint16(b[20:]) != 0 {
		return nil, 0, 0, refuse("", "not a zip archive, or one with a comment or bytes at its end")
	}
	if le.Uint16(b[4:]) != 0 || le.Uint16(b[6:]) != 0 || le.Uint16(b[8:]) != le.Uint16(b[10:]) {
		return nil, 0, 0, refuse("", "an archive of several disks")
	}
	n, size, offset := int(le.Uint16(b[10:])), int64(le.Uint32(b[12:])), int64(le.Uint32(b[16:]))
	if n == 0xffff || size == 0xffffffff || offset == 0xffffffff {
		return nil, 0, 0, refuse("", "a zip64 directory")
	}
	if a.Size >= endSize+20 {
		var locator [4]byte
		if err := a.readAt(locator[:], a.Size-endSize-20); err != nil {
			return nil, 0, 0, err
		}
		if le.Uint32(locator[:]) == 0x07064b50 {
			return nil, 0, 0, refuse("", "a zip64 directory")
		}
	}
	if offset+size != a.Size-endSize {
		return nil, 0, 0, refuse("", "bytes before the entries, or between the central directory and its end record")
	}
	if n > lim.MaxEntries {
		return nil, 0, 0, refuse("", "more than %d entries", lim.MaxEntries)
	}
	if size < int64(n)*centralSize {
		return nil, 0, 0, refuse("", "a central directory too short for %d entries", n)
	}
	if size > maxHeaders {
		return nil, 0, 0, refuse("", "a central directory of more than %d bytes", maxHeaders)
	}
	directory := make([]byte, size)
	if err := a.readAt(directory, offset); err != nil {
		return nil, 0, 0, err
	}
	return directory, n, offset, nil
}

func (a *Archive) readAt(b []byte, off int64) error {
	n, err := a.r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func parseCentral(b []byte) (Entry, []byte, error) {
	le := binary.LittleEndian
	if len(b) < centralSize || le.Uint32(b) != 0x02014b50 {
		return Entry{}, nil, refuse("", "no entry where the central directory should have one")
	}
	e := Entry{
		CreatorVersion: le.Uint16(b[4:]), ReaderVersion: le.Uint16(b[6:]), Flags: le.Uint16(b[8:]), Method: le.Uint16(b[10:]),
		Time: le.Uint16(b[12:]), Date: le.Uint16(b[14:]), CRC32: le.Uint32(b[16:]),
		CompressedSize: int64(le.Uint32(b[20:])), Size: int64(le.Uint32(b[24:])),
		InternalAttrs: le.Uint16(b[36:]), ExternalAttrs: le.Uint32(b[38:]), local: int64(le.Uint32(b[42:])),
	}
	nameLen, extraLen, commentLen := int(le.Uint16(b[28:])), int(le.Uint16(b[30:])), int(le.Uint16(b[32:]))
	disk := le.Uint16(b[34:])
	b = b[centralSize:]
	if len(b) < nameLen+extraLen+commentLen {
		return e, nil, refuse("", "an entry that is longer than the central directory")
	}
	e.Name = string(b[:nameLen])
	e.Extra = slices.Clone(b[nameLen : nameLen+extraLen])
	if commentLen != 0 {
		return e, nil, refuse(e.Name, "has a comment")
	}
	if disk != 0 {
		return e, nil, refuse(e.Name, "lies on another disk")
	}
	return e, b[nameLen+extraLen:], checkEntry(e)
}

// checkEntry refuses what is wrong with e by itself.
func checkEntry(e Entry) error {
	switch {
	case e.Flags&1 != 0:
		return refuse(e.Name, "is encrypted")
	case e.Flags&^knownFlags != 0:
		return refuse(e.Name, "has flags %#x", e.Flags)
	case e.Method != 0 && e.Method != 8:
		return refuse(e.Name, "has compression method %d", e.Method)
	case e.CompressedSize == 0xffffffff || e.Size == 0xffffffff || e.local == 0xffffffff:
		return refuse(e.Name, "needs zip64")
	case e.ReaderVersion > maxReader:
		return refuse(e.Name, "needs version %d of zip, beyond %d", e.ReaderVersion, maxReader)
	case e.Method == 0 && e.Size != e.CompressedSize:
		return refuse(e.Name, "is stored with two sizes, %d and %d", e.Size, e.CompressedSize)
	}
	if err := checkName(e); err != nil {
		return err
	}
	ids, err := extraIDs(e.Extra)
	if err != nil {
		return refuse(e.Name, "has a malformed extra field")
	}
	if slices.Contains(ids, extraUnicodePath) {
		return refuse(e.Name, "has a Unicode path extra field: a second name")
	}
	if slices.Contains(ids, extraZip64) {
		return refuse(e.Name, "has a zip64 extra field that it does not need")
	}
	return checkMode(e)
}

func checkMode(e Entry) error {
	kind := e.Mode() & typeMask
	if e.IsDir() {
		if kind != 0 && kind != typeDir || e.Size != 0 || e.CompressedSize > 2 {
			return refuse(e.Name, "is a directory with a mode or size of something else")
		}
		return nil
	}
	if kind != 0 && kind != typeReg {
		return refuse(e.Name, "is a symbolic link or special file (mode %#o)", e.Mode())
	}
	if e.ExternalAttrs&0x10 != 0 {
		return refuse(e.Name, "is marked as a directory and named as a file")
	}
	return nil
}

func checkName(e Entry) error {
	name := strings.TrimSuffix(e.Name, "/")
	switch {
	case name == "":
		return refuse(e.Name, "has no name")
	case len(name) > maxName || strings.Count(name, "/") >= maxDepth:
		return refuse("", "an entry whose name has more than %d bytes or %d parts", maxName, maxDepth)
	case !utf8.ValidString(name):
		return refuse(e.Name, "has a name that is not UTF-8")
	case e.Flags&flagUTF8 == 0 && strings.ContainsFunc(name, func(r rune) bool { return r > 0x7e }):
		return refuse(e.Name, "has a name that is not ASCII without saying that it is UTF-8")
	case strings.ContainsFunc(name, func(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp) }):
		return refuse(e.Name, "has control characters or line separators in its name")
	case strings.Contains(name, `\`):
		return refuse(e.Name, "has a backslash in its name")
	case name[0] == '/':
		return refuse(e.Name, "has an absolute name")
	case strings.Contains(name, ":"):
		return refuse(e.Name, "has a colon in its name: a drive or stream on Windows")
	}
	for part := range strings.SplitSeq(name, "/") {
		switch {
		case part == "..":
			return refuse(e.Name, "leaves the archive")
		case strings.Trim(part, ". ") == "":
			// "" and "." are no step; Windows takes ".. " for ".." and "..." for ".".
			return refuse(e.Name, "has an empty part in its name, or one of dots and spaces")
		}
	}
	return nil
}

// fold is what a name may become on a file system: of those that know no
// case, compose characters, ignore invisible ones (HFS+), or drop dots and
// spaces at the end of a part (Windows).
func fold(name string) string {
	name = strings.TrimSuffix(name, "/")
	if !ascii(name) {
		name = strings.Map(func(r rune) rune {
			if unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
				return -1
			}
			return r
		}, norm.NFKC.String(name))
		name = norm.NFKC.String(cases.Fold().String(name))
	} else {
		name = strings.ToLower(name)
	}
	if !strings.Contains(name, "./") && !strings.Contains(name, " /") && strings.TrimRight(name, ". ") == name {
		return name
	}
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = strings.TrimRight(part, ". ")
	}
	return strings.Join(parts, "/")
}

// checkNames refuses names that contradict each other.
func checkNames(entries []Entry) error {
	seen := make(map[string]string, len(entries))
	for _, e := range entries {
		key := fold(e.Name)
		if other, ok := seen[key]; ok {
			if other == e.Name {
				return refuse(e.Name, "stands twice")
			}
			return refuse(e.Name, "is %q on some file systems", other)
		}
		seen[key] = e.Name
	}
	for _, e := range entries {
		key := fold(e.Name)
		for dir := range parents(key) {
			if other, ok := seen[dir[:len(dir)-1]]; ok && !strings.HasSuffix(other, "/") {
				return refuse(e.Name, "lies in %q, which is a file", other)
			}
		}
	}
	return nil
}

// extraIDs lists the ids of an extra field. An id that stands twice is an
// error: readers disagree about which one counts.
func extraIDs(b []byte) ([]uint16, error) {
	var ids []uint16
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, io.ErrUnexpectedEOF
		}
		id, n := binary.LittleEndian.Uint16(b), int(binary.LittleEndian.Uint16(b[2:]))
		if len(b) < 4+n {
			return nil, io.ErrUnexpectedEOF
		}
		if slices.Contains(ids, id) {
			return nil, fmt.Errorf("field %#04x stands twice", id)
		}
		ids = append(ids, id)
		b = b[4+n:]
	}
	return ids, nil
}

// locals checks the local headers: one after the other from the first byte
// to the central directory, each agreeing with its entry there.
func (a *Archive) locals(end int64) error {
	order := make([]int, len(a.Entries))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return cmp.Compare(a.Entries[i].local, a.Entries[j].local) })
	var at, headers int64
	for k, i := range order {
		e := &a.Entries[i]
		if headers > maxHeaders {
			return refuse("", "local headers of more than %d bytes", maxHeaders)
		}
		if e.local != at {
			return refuse(e.Name, "begins at byte %d, where %d is due: bytes between entries, or entries that overlap", e.local, at)
		}
		next := end
		if k+1 < len(order) {
			next = a.Entries[order[k+1]].local
		}
		if err := a.local(e, next); err != nil {
			return err
		}
		headers += e.data - e.local
		at = e.data + e.CompressedSize + int64(e.Descriptor)
	}
	if at != end {
		return refuse("", "bytes between the entries and the central directory")
	}
	return nil
}

func (a *Archive) local(e *Entry, next int64) error {
	var h [localSize]byte
	if err := a.readAt(h[:], e.local); err != nil {
		return refuse(e.Name, "has no local header: %v", err)
	}
	le := binary.LittleEndian
	if le.Uint32(h[:]) != 0x04034b50 {
		return refuse(e.Name, "has no local header")
	}
	nameLen, extraLen := int(le.Uint16(h[26:])), int(le.Uint16(h[28:]))
	rest := make([]byte, nameLen+extraLen)
	if err := a.readAt(rest, e.local+localSize); err != nil {
		return refuse(e.Name, "has a local header that is cut off: %v", err)
	}
	e.data = e.local + localSize + int64(len(rest))
	e.LocalExtra = rest[nameLen:]
	disagree := func(what string) error {
		return refuse(e.Name, "has another %s in its local header than in the central directory", what)
	}
	switch {
	case string(rest[:nameLen]) != e.Name:
		return disagree("name")
	case le.Uint16(h[4:]) != e.ReaderVersion:
		return disagree("version")
	case le.Uint16(h[6:]) != e.Flags:
		return disagree("flags")
	case le.Uint16(h[8:]) != e.Method:
		return disagree("method")
	case le.Uint16(h[10:]) != e.Time || le.Uint16(h[12:]) != e.Date:
		return disagree("time")
	}
	gap := next - e.data - e.CompressedSize
	if gap < 0 {
		return refuse(e.Name, "overlaps what follows it")
	}
	return a.localSizes(e, h[14:26], gap, disagree)
}

// localSizes checks CRC and sizes of a local header, its zip64 field and data descriptor.
func (a *Archive) localSizes(e *Entry, h []byte, gap int64, disagree func(string) error) error {
	le := binary.LittleEndian
	crc, compressed, size := le.Uint32(h), int64(le.Uint32(h[4:])), int64(le.Uint32(h[8:]))
	ids, err := extraIDs(e.LocalExtra)
	if err != nil {
		return refuse(e.Name, "has a malformed extra field in its local header")
	}
	if slices.Contains(ids, extraUnicodePath) {
		return refuse(e.Name, "has a Unicode path extra field: a second name")
	}
	descriptor := e.Flags&flagDescriptor != 0
	if zip64 := extraField(e.LocalExtra, extraZip64); zip64 != nil {
		// Python writes this one when it does not know sizes beforehand.
		if len(zip64) != 16 || compressed != 0xffffffff || size != 0xffffffff {
			return refuse(e.Name, "has a zip64 extra field that its sizes do not call for")
		}
		size, compressed = int64(le.Uint64(zip64)), int64(le.Uint64(zip64[8:]))
	}
	known := crc == e.CRC32 && compressed == e.CompressedSize && size == e.Size
	unknown := descriptor && crc == 0 && compressed == 0 && size == 0
	if !known && !unknown {
		return disagree("CRC or size")
	}
	e.zero = !known
	if !descriptor {
		if gap != 0 {
			return refuse(e.Name, "is followed by %d bytes that belong to nothing", gap)
		}
		return nil
	}
	return a.descriptor(e, gap, disagree)
}

// extraField is the data of the field id, nil when there is none. b is well formed.
func extraField(b []byte, id uint16) []byte {
	for len(b) >= 4 {
		n := int(binary.LittleEndian.Uint16(b[2:]))
		if binary.LittleEndian.Uint16(b) == id {
			return b[4 : 4+n]
		}
		b = b[4+n:]
	}
	return nil
}

// descriptor checks what follows the stream of an entry with flag bit 3:
// CRC and sizes of 4 or 8 bytes, with or without a signature.
func (a *Archive) descriptor(e *Entry, gap int64, disagree func(string) error) error {
	if gap != 12 && gap != 16 && gap != 20 && gap != 24 {
		return refuse(e.Name, "is followed by %d bytes, which are no data descriptor", gap)
	}
	b := make([]byte, gap)
	if err := a.readAt(b, e.data+e.CompressedSize); err != nil {
		return refuse(e.Name, "has a data descriptor that is cut off: %v", err)
	}
	if !bytes.Equal(b, dataDescriptor(*e, int(gap))) {
		return disagree("CRC or size (data descriptor)")
	}
	e.Descriptor = int(gap)
	return nil
}

// dataDescriptor is the descriptor of e in n bytes.
func dataDescriptor(e Entry, n int) []byte {
	le := binary.LittleEndian
	var b []byte
	if n == 16 || n == 24 {
		b = le.AppendUint32(b, 0x08074b50)
	}
	b = le.AppendUint32(b, e.CRC32)
	if n >= 20 {
		return le.AppendUint64(le.AppendUint64(b, uint64(e.CompressedSize)), uint64(e.Size))
	}
	return le.AppendUint32(le.AppendUint32(b, uint32(e.CompressedSize)), uint32(e.Size))
}

// Stream is the stream of entry i as stored.
func (a *Archive) Stream(i int) *io.SectionReader {
	e := a.Entries[i]
	return io.NewSectionReader(a.r, e.data, e.CompressedSize)
}

// Contents reads entry i. The reader ends with an error when the contents
// are not what the entry says, in size, CRC or length of the stream.
func (a *Archive) Contents(i int) (io.ReadCloser, error) {
	e := a.Entries[i]
	c := &contents{entry: e, stream: bufio.NewReaderSize(a.Stream(i), 32<<10)}
	if e.Method == 8 {
		c.inflate = flate.NewReader(c.stream)
		c.r = c.inflate
	} else {
		c.r = c.stream
	}
	return c, nil
}

type contents struct {
	entry   Entry
	stream  *bufio.Reader
	inflate io.ReadCloser
	r       io.Reader
	n       int64
	crc     uint32
	err     error
}

func (c *contents) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.crc = crc32.Update(c.crc, crc32.IEEETable, p[:n])
	switch {
	case c.n > c.entry.Size:
		err = refuse(c.entry.Name, "holds more than the %d bytes it says", c.entry.Size)
	case err == io.EOF && c.n != c.entry.Size:
		err = refuse(c.entry.Name, "holds %d bytes and says %d", c.n, c.entry.Size)
	case err == io.EOF && c.crc != c.entry.CRC32:
		err = refuse(c.entry.Name, "has another CRC than it says")
	case err == io.EOF:
		if _, more := c.stream.ReadByte(); more == nil {
			err = refuse(c.entry.Name, "has bytes after the end of its stream")
		}
	case errors.As(err, new(flate.CorruptInputError)), errors.Is(err, io.ErrUnexpectedEOF):
		err = refuse(c.entry.Name, "can't be inflated: %v", err)
	}
	c.err = err
	return n, err
}

func (c *contents) Close() error {
	if c.inflate != nil {
		return c.inflate.Close()
	}
	return nil
}

// Sums are the sha256 of each entry's contents, in the order of Entries. The
// first call reads the whole archive.
func (a *Archive) Sums(ctx context.Context) ([][32]byte, error) {
	if a.sums != nil {
		return a.sums, nil
	}
	sums := make([][32]byte, len(a.Entries))
	buf := make([]byte, 64<<10)
	for i := range a.Entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r, err := a.Contents(i)
		if err != nil {
			return nil, err
		}
		h := sha256.New()
		_, err = io.CopyBuffer(h, r, buf)
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("read %s: %w", a.Filename, err)
		}
		h.Sum(sums[i][:0])
	}
	a.sums = sums
	return sums, nil
}

// Find is the index of the entry of that name, or -1.
func (a *Archive) Find(name string) int {
	if i, ok := a.index[name]; ok {
		return i
	}
	return -1
}

// ReadFile reads a member of at most limit bytes.
func (a *Archive) ReadFile(name string, limit int64) ([]byte, error) {
	i := a.Find(name)
	if i < 0 {
		return nil, fmt.Errorf("read %s: no %s", a.Filename, name)
	}
	if a.Entries[i].Size > limit {
		return nil, fmt.Errorf("read %s: %s has %d bytes, more than %d", a.Filename, name, a.Entries[i].Size, limit)
	}
	r, err := a.Contents(i)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", a.Filename, err)
	}
	return data, nil
}

// DistInfo is the .dist-info directory's name, without a slash. A wheel has
// one (PEP 427); the error is a *FormatError when there is none, or two.
// That it is not named like the file is among the Suspicions.
func (a *Archive) DistInfo() (string, error) {
	found := ""
	for _, e := range a.Entries {
		dir, _, ok := strings.Cut(e.Name, "/")
		if !ok || !strings.HasSuffix(dir, ".dist-info") || dir == found {
			continue
		}
		if found != "" {
			return "", fmt.Errorf("read %s: %w", a.Filename, refuse("", "two .dist-info directories, %s and %s", found, dir))
		}
		found = dir
	}
	if found == "" {
		return "", fmt.Errorf("read %s: %w", a.Filename, refuse("", "no .dist-info directory: not a wheel"))
	}
	return found, nil
}

// Bytes are the file's.
func (a *Archive) Bytes() io.ReaderAt { return a.r }
