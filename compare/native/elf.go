package native

import (
	"bytes"
	"compress/zlib"
	"debug/dwarf"
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ianlancetaylor/demangle"
	"github.com/klauspost/compress/zstd"
)

func parseELF(b []byte, lim Limits) (*Image, error) {
	f, err := elf.NewFile(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("read ELF: %w", err)
	}
	if len(f.Sections) > maxSections {
		return nil, fmt.Errorf("read ELF: %d sections", len(f.Sections))
	}
	im := &Image{Format: "ELF", Machine: strings.TrimPrefix(f.Machine.String(), "EM_"), pointers: map[uint64]pointer{}}
	switch f.Machine {
	case elf.EM_X86_64:
		im.Machine = "x86-64"
	case elf.EM_AARCH64:
		im.Machine = "arm64"
	}
	im.Facts = []Fact{{"type", f.Type.String()}, {"machine", f.Machine.String()}, {"class", f.Class.String()}, {"data", f.Data.String()}, {"ABI", f.OSABI.String()}}
	for _, p := range f.Progs {
		if p.Type == elf.PT_GNU_STACK {
			im.Facts = append(im.Facts, Fact{"stack", p.Flags.String()})
		}
	}
	e := &elfReader{Image: im, f: f, b: b, lim: lim}
	for _, s := range f.Sections {
		if s.Type != elf.SHT_NULL {
			im.Sections = append(im.Sections, e.section(s))
		}
	}
	e.symbols()
	e.dynamic()
	e.relocations()
	e.notes()
	e.unwind()
	e.debug()
	return im, nil
}

type elfReader struct {
	*Image
	f        *elf.File
	b        []byte
	lim      Limits
	imported []elf.Symbol
}

func (e *elfReader) section(s *elf.Section) Section {
	out := Section{Name: s.Name, Addr: s.Addr, Size: s.Size, Offset: s.Offset, Flags: uint64(s.Flags), Kind: elfKind(s)}
	if s.Type == elf.SHT_NOBITS {
		return out
	}
	if s.Offset <= uint64(len(e.b)) && s.FileSize <= uint64(len(e.b))-s.Offset {
		out.Bytes = e.b[s.Offset : s.Offset+s.FileSize]
	}
	if s.Flags&elf.SHF_COMPRESSED != 0 || strings.HasPrefix(s.Name, ".zdebug_") {
		if plain, err := e.inflate(s, out.Bytes); err == nil {
			out.Bytes = plain
		}
	}
	return out
}

// inflate decompresses a debug section (ELF gABI, "Section Compression").
func (e *elfReader) inflate(s *elf.Section, b []byte) ([]byte, error) {
	var r io.Reader
	switch {
	case s.Flags&elf.SHF_COMPRESSED == 0: // .zdebug_*: "ZLIB", size
		if len(b) < 12 {
			return nil, io.ErrUnexpectedEOF
		}
		z, err := zlib.NewReader(bytes.NewReader(b[12:]))
		if err != nil {
			return nil, err
		}
		r = z
	case len(b) < 24 || e.f.Class != elf.ELFCLASS64:
		return nil, io.ErrUnexpectedEOF
	case e.f.ByteOrder.Uint32(b) == uint32(elf.COMPRESS_ZLIB):
		z, err := zlib.NewReader(bytes.NewReader(b[24:]))
		if err != nil {
			return nil, err
		}
		r = z
	case e.f.ByteOrder.Uint32(b) == uint32(elf.COMPRESS_ZSTD):
		z, err := zstd.NewReader(bytes.NewReader(b[24:]), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(e.lim.MaxDebug)))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		r = z
	default:
		return nil, fmt.Errorf("unknown compression")
	}
	plain, err := io.ReadAll(io.LimitReader(r, e.lim.MaxDebug+1))
	if err == nil && int64(len(plain)) > e.lim.MaxDebug {
		err = fmt.Errorf("more than %d bytes", e.lim.MaxDebug)
	}
	return plain, err
}

func elfKind(s *elf.Section) Kind {
	name := s.Name
	switch {
	case s.Type == elf.SHT_NOBITS:
		return Zero
	case strings.HasPrefix(name, ".debug_"), strings.HasPrefix(name, ".zdebug_"), strings.HasPrefix(name, ".gnu.debug"), name == ".gdb_index":
		return Debug
	case s.Type == elf.SHT_NOTE:
		return Note
	case name == ".comment":
		return Comment
	case name == ".symtab", name == ".strtab", name == ".shstrtab", name == ".symtab_shndx":
		return Symbols
	case s.Type == elf.SHT_DYNSYM, s.Type == elf.SHT_DYNAMIC, s.Type == elf.SHT_HASH, s.Type == elf.SHT_GNU_HASH, s.Type == elf.SHT_GNU_VERSYM,
		s.Type == elf.SHT_GNU_VERNEED, s.Type == elf.SHT_GNU_VERDEF, s.Type == elf.SHT_RELA, s.Type == elf.SHT_REL, s.Type == elf.SHT_STRTAB, s.Type == 19,
		strings.HasPrefix(name, ".plt"), strings.HasPrefix(name, ".got"), strings.HasPrefix(name, ".eh_frame"), name == ".gcc_except_table",
		strings.HasPrefix(name, ".rela."), name == ".init_array", name == ".fini_array":
		return Tables
	case s.Flags&elf.SHF_EXECINSTR != 0:
		return Code
	case s.Flags&elf.SHF_ALLOC != 0 && s.Flags&elf.SHF_WRITE != 0:
		return Data
	case s.Flags&elf.SHF_ALLOC != 0:
		return ReadOnly
	}
	return Other
}

func (e *elfReader) symbols() {
	add := func(symbols []elf.Symbol) {
		for i, s := range symbols {
			if i == maxSymbols {
				return
			}
			if elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Section != elf.SHN_UNDEF && s.Value != 0 {
				e.Functions = append(e.Functions, Function{Name: demangle.Filter(s.Name), Addr: s.Value, Size: s.Size})
			}
		}
	}
	if symbols, err := e.f.Symbols(); err == nil {
		e.Symtab = true
		add(symbols)
	}
	dynamic, err := e.f.DynamicSymbols()
	if err != nil {
		return
	}
	e.imported = dynamic
	add(dynamic)
	for _, s := range dynamic {
		name := s.Name
		if s.Section == elf.SHN_UNDEF {
			if s.Version != "" {
				name += "@" + s.Version
			}
			e.Imports = append(e.Imports, name)
		} else if elf.ST_BIND(s.Info) != elf.STB_LOCAL {
			e.Exports = append(e.Exports, name)
		}
	}
}

func (e *elfReader) dynamic() {
	text := func(tag elf.DynTag) []string {
		s, err := e.f.DynString(tag)
		if err != nil {
			return nil
		}
		return s
	}
	e.Needed = text(elf.DT_NEEDED)
	e.RunPath = append(text(elf.DT_RPATH), text(elf.DT_RUNPATH)...)
	e.Name = strings.Join(text(elf.DT_SONAME), " ")
	for _, t := range []elf.DynTag{elf.DT_FLAGS, elf.DT_FLAGS_1} {
		if v, err := e.f.DynValue(t); err == nil && len(v) > 0 {
			e.Facts = append(e.Facts, Fact{t.String(), fmt.Sprintf("%#x", v)})
		}
	}
}

// relocations reads which slots the loader fills (System V gABI; x86-64 and
// AArch64 psABI; DT_RELR).
func (e *elfReader) relocations() {
	if e.f.Class != elf.ELFCLASS64 || e.f.ByteOrder != binary.LittleEndian || e.Machine != "x86-64" && e.Machine != "arm64" {
		return
	}
	le := binary.LittleEndian
	for i := range e.Sections {
		s := &e.Sections[i]
		switch {
		case s.Kind == Tables && s.Name == ".relr.dyn":
			e.relr(s.Bytes)
		case s.Kind == Tables && strings.HasPrefix(s.Name, ".rela"):
			for b := s.Bytes; len(b) >= 24 && len(e.pointers) < maxSymbols; b = b[24:] {
				slot, info, addend := le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[16:])
				p := pointer{addend: addend}
				if n := info >> 32; n > 0 && n <= uint64(len(e.imported)) {
					symbol := e.imported[n-1]
					if symbol.Section == elf.SHN_UNDEF || symbol.Value == 0 {
						p.symbol = symbol.Name
					} else {
						p.addend += symbol.Value
					}
				}
				e.pointers[slot] = p
			}
		}
	}
}

func (e *elfReader) relr(b []byte) {
	le := binary.LittleEndian
	var at uint64
	add := func(slot uint64) {
		if v := e.at(slot); len(v) >= 8 && len(e.pointers) < maxSymbols {
			e.pointers[slot] = pointer{addend: le.Uint64(v)}
		}
	}
	for ; len(b) >= 8; b = b[8:] {
		w := le.Uint64(b)
		if w&1 == 0 {
			add(w)
			at = w + 8
			continue
		}
		for i := range uint64(63) {
			if w>>(i+1)&1 == 1 {
				add(at + 8*i)
			}
		}
		at += 63 * 8
	}
}

func (e *elfReader) notes() {
	for _, s := range e.Sections {
		switch s.Kind {
		case Comment:
			for text := range strings.SplitSeq(string(s.Bytes), "\x00") {
				if strings.HasPrefix(text, "Linker: ") || strings.HasPrefix(text, "mold ") {
					e.Linker = strings.TrimPrefix(text, "Linker: ")
				} else if text != "" && !slices.Contains(e.Compilers, text) {
					e.Compilers = append(e.Compilers, text)
				}
			}
		case Note:
			e.note(s)
		}
	}
}

func (e *elfReader) note(s Section) {
	order := e.f.ByteOrder
	align := func(n uint32) uint64 { return (uint64(n) + 3) &^ 3 }
	for b := s.Bytes; len(b) >= 12; {
		namesz, descsz, kind := order.Uint32(b), order.Uint32(b[4:]), order.Uint32(b[8:])
		need := 12 + align(namesz) + align(descsz)
		if need > uint64(len(b)) {
			return
		}
		name := string(bytes.TrimRight(b[12:12+uint64(namesz)], "\x00"))
		desc := b[12+align(namesz):][:descsz]
		switch {
		case name == "GNU" && kind == 3:
			e.BuildID = hex.EncodeToString(desc)
		case name == "GNU" && kind == 4:
			e.Linker = string(bytes.TrimRight(desc, "\x00"))
		case kind == annobinOpen && strings.HasPrefix(name, "GA"):
			if text := annobin(name[2:]); text != "" && !slices.Contains(e.Annobin, text) {
				e.Annobin = append(e.Annobin, text)
			}
		}
		b = b[need:]
	}
}

// annobinOpen is the type of notes about all the code of a range
// (Fedora's Watermark specification, NT_GNU_BUILD_ATTRIBUTE_OPEN).
const annobinOpen = 0x100

// annobin reads a note's name after "GA": what kind of value it has ($ text,
// * number, + true, ! false), what it is about (a name, or a number below
// that of a space) and the value.
func annobin(s string) string {
	if len(s) < 2 {
		return ""
	}
	const tool = 5
	if s[1] == tool && s[0] == '$' && isPrintable(s[2:]) {
		return s[2:] // "running gcc 8.5.0 20210514"
	}
	if s[1] < ' ' || s[0] != '+' && s[0] != '!' || !isPrintable(s[1:]) {
		return ""
	}
	if s[0] == '!' {
		return "no " + s[1:]
	}
	return s[1:] // "stack_clash"
}

func isPrintable(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// unwind finds functions by .eh_frame (Linux Standard Base, "Exception Frames").
func (e *elfReader) unwind() {
	for _, s := range e.Sections {
		if s.Name == ".eh_frame" {
			e.Functions = append(e.Functions, frames(s.Bytes, s.Addr, e.f.ByteOrder)...)
		}
	}
}

// frames lists the code that unwind information is about.
func frames(b []byte, addr uint64, order binary.ByteOrder) (out []Function) {
	encodings := map[uint64]byte{} // of pointers, by offset of the CIE
	for at := uint64(0); at+8 <= uint64(len(b)) && len(out) < maxFunctions; {
		length := uint64(order.Uint32(b[at:]))
		body := at + 4
		if length == 0 {
			at = body
			continue
		}
		if length == 0xffffffff || body+length > uint64(len(b)) || length < 4 {
			return out
		}
		end := body + length
		id := uint64(order.Uint32(b[body:]))
		if id == 0 {
			encodings[at] = pointerEncoding(b[body+4 : end])
		} else if enc, ok := encodings[body-id]; ok && body+4+16 <= end {
			f := b[body+4:]
			var start, size uint64
			switch enc & 0x0f {
			case 0x0b, 0x03: // 4 bytes
				start, size = uint64(int64(int32(order.Uint32(f)))), uint64(order.Uint32(f[4:]))
			case 0x0c, 0x04, 0x00:
				start, size = order.Uint64(f), order.Uint64(f[8:])
			}
			if enc&0x70 == 0x10 {
				start += addr + body + 4
			}
			if size > 0 && size < 1<<31 {
				out = append(out, Function{Addr: start, Size: size})
			}
		}
		at = end
	}
	return out
}

// pointerEncoding is what a CIE (after its id) says of its FDEs' pointers.
func pointerEncoding(b []byte) byte {
	if len(b) < 2 {
		return 0
	}
	augmentation, rest, ok := bytes.Cut(b[1:], []byte{0})
	if !ok || len(augmentation) == 0 || augmentation[0] != 'z' {
		return 0
	}
	leb := func() {
		for len(rest) > 0 {
			c := rest[0]
			rest = rest[1:]
			if c < 0x80 {
				return
			}
		}
	}
	leb() // code alignment
	leb() // data alignment
	leb() // return register
	leb() // length of what follows
	for _, c := range augmentation[1:] {
		if len(rest) == 0 {
			return 0
		}
		switch c {
		case 'R':
			return rest[0]
		case 'L':
			rest = rest[1:]
		case 'P':
			n := map[byte]int{0x0b: 4, 0x03: 4, 0x0c: 8, 0x04: 8, 0x00: 8}[rest[0]&0x0f]
			if len(rest) < 1+n {
				return 0
			}
			rest = rest[1+n:]
		}
	}
	return 0
}

// debug reads what each DWARF unit says of its making.
func (e *elfReader) debug() {
	d, err := e.dwarf()
	if err != nil {
		return
	}
	readUnits(e.Image, d, e.bytesOf(".debug_info"), e.f.ByteOrder)
}

func (e *elfReader) bytesOf(name string) []byte {
	for _, s := range e.Sections {
		if s.Name == name {
			return s.Bytes
		}
	}
	return nil
}

func (e *elfReader) dwarf() (*dwarf.Data, error) {
	if e.bytesOf(".debug_info") == nil {
		return nil, io.EOF
	}
	return dwarfOf(e.bytesOf, ".debug_")
}

// dwarfOf opens DWARF out of sections.
func dwarfOf(bytesOf func(string) []byte, prefix string) (*dwarf.Data, error) {
	section := func(name string) []byte { return bytesOf(prefix + name) }
	d, err := dwarf.New(section("abbrev"), nil, nil, section("info"), nil, nil, section("ranges"), section("str"))
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"addr", "line_str", "str_offsets", "rnglists"} {
		if b := section(name); b != nil {
			if err := d.AddSection(".debug_"+name, b); err != nil {
				return nil, err
			}
		}
	}
	return d, nil
}

// readUnits reads the first entry of each unit: producer, directory, name.
func readUnits(im *Image, d *dwarf.Data, info []byte, order binary.ByteOrder) {
	r := d.Reader()
	for at, units := uint64(0), 0; at+12 <= uint64(len(info)) && units < maxUnits; units++ {
		length, head := uint64(order.Uint32(info[at:])), at+4
		if length == 0xffffffff {
			return
		}
		size := uint64(11) // of the header of versions 2 to 4
		if version := order.Uint16(info[head:]); version >= 5 {
			size = 12
			if kind := info[head+2]; kind == 2 || kind == 6 {
				size = 24
			} else if kind == 4 || kind == 5 {
				size = 20
			}
		}
		r.Seek(dwarf.Offset(at + size))
		if entry, err := r.Next(); err == nil && entry != nil {
			text := func(a dwarf.Attr) string { s, _ := entry.Val(a).(string); return s }
			if s := text(dwarf.AttrProducer); s != "" {
				im.Producers = append(im.Producers, s)
			}
			if s := text(dwarf.AttrCompDir); s != "" {
				im.Dirs = append(im.Dirs, s)
			}
			if s := text(dwarf.AttrName); s != "" {
				im.Dirs = append(im.Dirs, s)
			}
		}
		if length > uint64(len(info)) {
			return
		}
		at = head + length
	}
}
