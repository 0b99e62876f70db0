// Package native reads compiled code (ELF, Mach-O, PE) and says in what two
// files of it differ: sections, symbols, libraries, notes, what compiler and
// flags made them, and functions.
//
// Functions are compared by what they do, not by where they lie: an
// instruction that names an address is equal to one that names the same
// function, import, string or variable at another address (x86-64 and arm64,
// volume 2 of Intel's manual and DDI 0487 of Arm's). Functions are found by
// symbols, by unwind tables (.eh_frame, .pdata, LC_FUNCTION_STARTS) and named
// by symbols, or by the tables of methods that Python reads.
//
// Files are hostile. [Parse] returns an error for what it can't read and
// never reads outside of the bytes it was given; decompressed debug sections
// are bounded by [Limits].
package native

import (
	"bytes"
	"debug/buildinfo"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"unicode/utf8"
)

// Kind is what a section is for.
type Kind string

const (
	Code      Kind = "code"
	ReadOnly  Kind = "read-only data"
	Data      Kind = "data"
	Zero      Kind = "zero"  // takes no space in the file
	Debug     Kind = "debug" // DWARF and the like
	Symbols   Kind = "symbols"
	Tables    Kind = "tables" // for the loader and unwinder: hash, relocations, got, plt, eh_frame
	Note      Kind = "note"
	Comment   Kind = "comment"
	Signature Kind = "signature"
	Other     Kind = "other"
)

// Section is a part of an image.
type Section struct {
	Name   string
	Kind   Kind
	Addr   uint64
	Size   uint64 // in memory
	Offset uint64 // in the file
	Flags  uint64
	Bytes  []byte // as loaded; decompressed; nil for Zero
}

// Function is a run of code.
type Function struct {
	Name string // demangled; "" when nothing names it
	Addr uint64
	Size uint64
}

// Fact is one thing that a header says.
type Fact struct{ Name, Value string }

// Image is one file of compiled code.
type Image struct {
	Format    string // ELF, Mach-O, PE
	Machine   string // x86-64, arm64, or as the format names it
	Sections  []Section
	Functions []Function // by address, no two overlap
	Imports   []string   // sorted; with ELF's version: memcpy@GLIBC_2.14
	Exports   []string   // sorted
	Needed    []string   // libraries, in order
	RunPath   []string
	Name      string // SONAME, install name
	BuildID   string // build-id, UUID, GUID of the PDB; hex
	Linked    string // when: PE's time stamp, RFC 3339 or hex
	Compilers []string
	Linker    string
	Producers []string // DW_AT_producer, sorted: compiler and flags of each unit
	Dirs      []string // DW_AT_comp_dir and names of sources, sorted
	Annobin   []string // what annobin's notes tell: who compiled ("running gcc 8.5.0 20210514") and hardening
	Facts     []Fact   // what else headers say
	Symtab    bool     // has symbols that the loader does not need

	goVersion string
	pointers  map[uint64]pointer // slots that the loader fills
	slots     []uint64           // of pointers, sorted
}

// A pointer is what the loader writes into a slot.
type pointer struct {
	symbol string // "" for an address in the image
	addend uint64
}

// Limits of what is read.
type Limits struct {
	// MaxDebug bounds each decompressed debug section; 0: 64 MiB.
	MaxDebug int64
}

const (
	maxImages    = 16
	maxSections  = 1 << 14
	maxSymbols   = 1 << 20
	maxFunctions = 1 << 19
	maxUnits     = 1 << 14
)

// ErrNotNative says that the bytes are of no format that this package reads.
var ErrNotNative = errors.New("no ELF, Mach-O or PE file")

// Is tells by its first bytes whether a file may be native code.
func Is(head []byte) bool {
	if len(head) < 4 {
		return false
	}
	switch binary.BigEndian.Uint32(head) {
	case 0x7f454c46, 0xfeedface, 0xfeedfacf, 0xcefaedfe, 0xcffaedfe:
		return true
	case 0xcafebabe: // a Java class has a version of 45 and up where this has a count
		return len(head) >= 8 && binary.BigEndian.Uint32(head[4:]) < 40
	}
	return head[0] == 'M' && head[1] == 'Z' && len(head) >= 0x40
}

// Parse reads all images of a file: one, or those of a fat Mach-O.
func Parse(b []byte, lim Limits) (images []*Image, err error) {
	// The readers of the standard library are not made for hostile files.
	defer func() {
		if p := recover(); p != nil {
			images, err = nil, fmt.Errorf("read native code: %v", p)
		}
	}()
	if lim.MaxDebug == 0 {
		lim.MaxDebug = 64 << 20
	}
	if !Is(b) {
		return nil, ErrNotNative
	}
	switch {
	case bytes.HasPrefix(b, []byte("\x7fELF")):
		images, err = one(parseELF(b, lim))
	case b[0] == 'M':
		images, err = one(parsePE(b, lim))
	case binary.BigEndian.Uint32(b) == 0xcafebabe:
		images, err = parseFat(b, lim)
	default:
		images, err = one(parseMachO(b, lim))
	}
	// Sections that lie over each other would be read again and again.
	total := int64(0)
	for _, im := range images {
		for _, s := range im.Sections {
			total += int64(len(s.Bytes))
		}
	}
	if total > 4*int64(len(b))+8*lim.MaxDebug || len(images) > maxImages {
		return nil, fmt.Errorf("read native code: sections of %d bytes in %d", total, len(b))
	}
	for _, im := range images {
		if slices.ContainsFunc(im.Sections, func(s Section) bool {
			return strings.HasSuffix(s.Name, "go.buildinfo") || strings.HasSuffix(s.Name, "__go_buildinfo")
		}) {
			if info, err := buildinfo.Read(bytes.NewReader(b)); err == nil {
				im.goVersion = info.GoVersion
			}
		}
		im.finish()
	}
	return images, err
}

func one(im *Image, err error) ([]*Image, error) {
	if err != nil {
		return nil, err
	}
	return []*Image{im}, nil
}

// finish sorts what was read and names what has no name.
func (im *Image) finish() {
	for _, s := range []*[]string{&im.Imports, &im.Exports, &im.Producers, &im.Dirs} {
		slices.Sort(*s)
		*s = slices.Compact(*s)
	}
	im.slots = make([]uint64, 0, len(im.pointers))
	for a := range im.pointers {
		im.slots = append(im.slots, a)
	}
	slices.Sort(im.slots)
	im.arrange()
	im.nameMethods()
}

// section is the section with the address, or nil.
func (im *Image) section(addr uint64) *Section {
	for i := range im.Sections {
		if s := &im.Sections[i]; addr-s.Addr < s.Size && s.Addr != 0 {
			return s
		}
	}
	return nil
}

// at are the bytes from an address to the end of its section.
func (im *Image) at(addr uint64) []byte {
	s := im.section(addr)
	if s == nil || addr-s.Addr >= uint64(len(s.Bytes)) {
		return nil
	}
	return s.Bytes[addr-s.Addr:]
}

// text is the printable string at an address.
func (im *Image) text(addr uint64) (string, bool) {
	s := im.section(addr)
	if s == nil || s.Kind != ReadOnly && s.Kind != Data {
		return "", false
	}
	return cString(im.at(addr))
}

// cString reads a printable NUL-terminated string of two characters or more.
func cString(b []byte) (string, bool) {
	end := bytes.IndexByte(b[:min(len(b), 4096)], 0)
	if end < 2 {
		return "", false
	}
	for _, c := range b[:end] {
		if c < 0x20 && c != '\n' && c != '\t' && c != '\r' || c == 0x7f {
			return "", false
		}
	}
	return string(b[:end]), utf8.Valid(b[:end])
}

// function is the index of the function with the address, or -1.
func (im *Image) function(addr uint64) int {
	i := sort.Search(len(im.Functions), func(i int) bool { return im.Functions[i].Addr > addr }) - 1
	if i >= 0 && addr-im.Functions[i].Addr < im.Functions[i].Size {
		return i
	}
	return -1
}

// arrange sorts functions by address, takes one of those that overlap, and
// makes functions of the code between them, so that no byte of code is left out.
func (im *Image) arrange() {
	slices.SortStableFunc(im.Functions, func(a, b Function) int {
		if a.Addr != b.Addr {
			return pick(a.Addr < b.Addr, -1, 1)
		}
		// A name is better than none.
		return pick(a.Name != "", 0, 1) - pick(b.Name != "", 0, 1)
	})
	im.Functions = slices.CompactFunc(im.Functions, func(a, b Function) bool { return a.Addr == b.Addr })
	sections := slices.Clone(im.Sections)
	slices.SortFunc(sections, func(a, b Section) int { return pick(a.Addr < b.Addr, -1, 1) })
	var out []Function
	i := 0
	for _, s := range sections {
		if s.Kind != Code || len(s.Bytes) == 0 {
			continue
		}
		at, end := s.Addr, s.Addr+uint64(len(s.Bytes))
		gap := func(to uint64) {
			code := s.Bytes[at-s.Addr : to-s.Addr]
			if skip := padding(code, im.Machine); skip < len(code) {
				out = append(out, Function{Addr: at + uint64(skip), Size: uint64(len(code) - skip)})
			}
		}
		for i < len(im.Functions) && im.Functions[i].Addr < at {
			i++
		}
		for ; i < len(im.Functions) && im.Functions[i].Addr < end; i++ {
			f := im.Functions[i]
			if f.Addr < at {
				continue // within the one before
			}
			next := end
			if j := i + 1; j < len(im.Functions) {
				next = min(end, im.Functions[j].Addr)
			}
			if f.Size == 0 || f.Size > next-f.Addr {
				f.Size = next - f.Addr
			}
			gap(f.Addr)
			out = append(out, f)
			at = f.Addr + f.Size
		}
		gap(end)
	}
	if len(out) > maxFunctions {
		out = out[:maxFunctions]
	}
	im.Functions = out
}

// padding is the length of the filling between functions at the start of code.
func padding(code []byte, machine string) int {
	i := 0
	for i < len(code) {
		if machine == "arm64" {
			if len(code)-i < 4 {
				return len(code)
			}
			if w := binary.LittleEndian.Uint32(code[i:]); w != 0 && w != 0xd503201f {
				return i
			}
			i += 4
			continue
		}
		n := nop(code[i:])
		if n == 0 {
			return i
		}
		i += n
	}
	return i
}

// nop is the length of an x86 filling instruction at the start of b.
func nop(b []byte) int {
	i := 0
	for i < len(b) && i < 12 && (b[i] == 0x66 || b[i] == 0x2e) {
		i++
	}
	if i >= len(b) {
		return 0
	}
	switch {
	case b[i] == 0x90, b[i] == 0xcc, b[i] == 0:
		return i + 1
	case b[i] == 0x0f && i+1 < len(b) && b[i+1] == 0x1f:
		if n := decodeX86(b).length; n > 1 {
			return n
		}
	}
	return 0
}

// nameMethods names functions by tables of a name and a function, which is
// what PyMethodDef, PyGetSetDef and ufunc loops are.
func (im *Image) nameMethods() {
	nameless := false
	for _, f := range im.Functions {
		nameless = nameless || f.Name == ""
	}
	if !nameless || len(im.slots) == 0 {
		return
	}
	for _, slot := range im.slots {
		p := im.pointers[slot]
		next, ok := im.pointers[slot+8]
		if p.symbol != "" || !ok || next.symbol != "" {
			continue
		}
		i := im.function(next.addend)
		if i < 0 || im.Functions[i].Addr != next.addend || im.Functions[i].Name != "" {
			continue
		}
		if name, ok := im.text(p.addend); ok && isIdentifier(name) {
			im.Functions[i].Name = "method " + name
		}
	}
}

func isIdentifier(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c != '_' && c != '.' && (c|0x20 < 'a' || c|0x20 > 'z') && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return len(s) <= 80
}
