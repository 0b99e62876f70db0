package native

import (
	"bytes"
	"debug/pe"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/ianlancetaylor/demangle"
)

// Directories of the optional header (PE format, "Optional Header Data Directories").
const (
	dirExport    = 0
	dirImport    = 1
	dirException = 3
	dirSecurity  = 4
	dirReloc     = 5
	dirDebug     = 6
)

func parsePE(b []byte, _ Limits) (*Image, error) {
	f, err := pe.NewFile(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("read PE: %w", err)
	}
	if len(f.Sections) > maxSections {
		return nil, fmt.Errorf("read PE: %d sections", len(f.Sections))
	}
	im := &Image{Format: "PE", Machine: fmt.Sprintf("%#x", f.Machine), pointers: map[uint64]pointer{}}
	switch f.Machine {
	case pe.IMAGE_FILE_MACHINE_AMD64:
		im.Machine = "x86-64"
	case pe.IMAGE_FILE_MACHINE_ARM64:
		im.Machine = "arm64"
	}
	p := &peReader{Image: im, f: f, b: b}
	if h, ok := f.OptionalHeader.(*pe.OptionalHeader64); ok {
		p.base = h.ImageBase
		p.dirs = h.DataDirectory[:min(len(h.DataDirectory), int(h.NumberOfRvaAndSizes))]
		im.Linker = fmt.Sprintf("%d.%d", h.MajorLinkerVersion, h.MinorLinkerVersion)
		im.Facts = []Fact{{"subsystem version", fmt.Sprintf("%d.%d", h.MajorSubsystemVersion, h.MinorSubsystemVersion)}, {"DLL characteristics", fmt.Sprintf("%#x", h.DllCharacteristics)}, {"image base", fmt.Sprintf("%#x", h.ImageBase)}}
	}
	im.Linked = hex.EncodeToString(binary.BigEndian.AppendUint32(nil, f.TimeDateStamp))
	if t := time.Unix(int64(f.TimeDateStamp), 0).UTC(); t.Year() > 1995 && t.Year() < 2038 {
		im.Linked = t.Format(time.RFC3339)
	}
	im.Facts = append(im.Facts, Fact{"characteristics", fmt.Sprintf("%#x", f.Characteristics)})
	for _, s := range f.Sections {
		im.Sections = append(im.Sections, p.section(s))
	}
	p.rich()
	p.imports()
	p.exports()
	p.exceptions()
	p.relocations()
	p.debug()
	p.symbols()
	if at := p.dir(dirSecurity); at.Size > 0 && uint64(at.VirtualAddress)+uint64(at.Size) <= uint64(len(b)) {
		// The one directory whose address is an offset in the file.
		im.Sections = append(im.Sections, Section{Name: "certificates", Kind: Signature, Offset: uint64(at.VirtualAddress), Size: uint64(at.Size), Bytes: b[at.VirtualAddress : at.VirtualAddress+at.Size]})
	}
	bytesOf := func(name string) []byte {
		for _, s := range im.Sections {
			if s.Name == name {
				return s.Bytes
			}
		}
		return nil
	}
	if d, err := dwarfOf(bytesOf, ".debug_"); err == nil && bytesOf(".debug_info") != nil {
		readUnits(im, d, bytesOf(".debug_info"), binary.LittleEndian)
	}
	return im, nil
}

type peReader struct {
	*Image
	f    *pe.File
	b    []byte
	base uint64
	dirs []pe.DataDirectory
}

func (p *peReader) dir(i int) pe.DataDirectory {
	if i >= len(p.dirs) {
		return pe.DataDirectory{}
	}
	return p.dirs[i]
}

func (p *peReader) section(s *pe.Section) Section {
	out := Section{Name: s.Name, Addr: p.base + uint64(s.VirtualAddress), Size: uint64(max(s.VirtualSize, 1)), Offset: uint64(s.Offset), Flags: uint64(s.Characteristics)}
	switch {
	case s.Size == 0:
		out.Kind = Zero
	case strings.HasPrefix(s.Name, ".debug_"):
		out.Kind = Debug
	case s.Name == ".reloc", s.Name == ".pdata", s.Name == ".idata", s.Name == ".edata", s.Name == ".xdata", s.Name == ".didat":
		out.Kind = Tables
	case s.Characteristics&pe.IMAGE_SCN_CNT_CODE != 0:
		out.Kind = Code
	case s.Characteristics&pe.IMAGE_SCN_MEM_WRITE != 0:
		out.Kind = Data
	default:
		out.Kind = ReadOnly
	}
	if uint64(s.Offset)+uint64(s.Size) <= uint64(len(p.b)) {
		out.Bytes = p.b[s.Offset : s.Offset+s.Size]
	}
	return out
}

// rva are the bytes at an address relative to the image.
func (p *peReader) rva(a uint32) []byte { return p.at(p.base + uint64(a)) }

func (p *peReader) string(a uint32) string {
	b := p.rva(a)
	s, _, _ := bytes.Cut(b[:min(len(b), 4096)], []byte{0})
	return string(s)
}

// rich reads the header in which Microsoft's linker counts the tools that made
// the objects: product and build, hidden by an exclusive or.
func (p *peReader) rich() {
	head := p.b[:min(len(p.b), 0x400)]
	end := bytes.Index(head, []byte("Rich"))
	if end < 0 || end+8 > len(head) {
		return
	}
	key := binary.LittleEndian.Uint32(head[end+4:])
	for at := end - 8; at >= 0x80; at -= 8 {
		product, count := binary.LittleEndian.Uint32(head[at:])^key, binary.LittleEndian.Uint32(head[at+4:])^key
		if product == 0x536e6144 { // DanS, the start
			return
		}
		if product>>16 != 0 && count < 1<<20 {
			p.Compilers = append(p.Compilers, fmt.Sprintf("MSVC tool %d build %d", product>>16, product&0xffff))
		}
	}
}

func (p *peReader) imports() {
	le := binary.LittleEndian
	for b := p.rva(p.dir(dirImport).VirtualAddress); p.dir(dirImport).Size > 0 && len(b) >= 20 && len(p.Needed) < 4096; b = b[20:] {
		lookup, name, slots := le.Uint32(b), le.Uint32(b[12:]), le.Uint32(b[16:])
		if name == 0 {
			return
		}
		library := p.string(name)
		p.Needed = append(p.Needed, library)
		if lookup == 0 {
			lookup = slots
		}
		for i, t := uint64(0), p.rva(lookup); len(t) >= 8 && len(p.pointers) < maxSymbols; i, t = i+1, t[8:] {
			v := le.Uint64(t)
			if v == 0 {
				break
			}
			symbol := fmt.Sprintf("%s#%d", library, v&0xffff)
			if v>>63 == 0 {
				symbol = p.string(uint32(v) + 2)
			}
			p.Imports = append(p.Imports, symbol)
			p.pointers[p.base+uint64(slots)+8*i] = pointer{symbol: symbol}
		}
	}
}

func (p *peReader) exports() {
	d := p.rva(p.dir(dirExport).VirtualAddress)
	if p.dir(dirExport).Size == 0 || len(d) < 40 {
		return
	}
	le := binary.LittleEndian
	p.Name = p.string(le.Uint32(d[12:]))
	functions, names, ordinals := p.rva(le.Uint32(d[28:])), p.rva(le.Uint32(d[32:])), p.rva(le.Uint32(d[36:]))
	for i := range min(int(le.Uint32(d[24:])), len(names)/4, len(ordinals)/2, maxSymbols) {
		name := p.string(le.Uint32(names[4*i:]))
		p.Exports = append(p.Exports, name)
		if o := int(le.Uint16(ordinals[2*i:])); 4*o+4 <= len(functions) {
			addr := p.base + uint64(le.Uint32(functions[4*o:]))
			if s := p.Image.section(addr); s != nil && s.Kind == Code {
				p.Functions = append(p.Functions, Function{Name: demangle.Filter(name), Addr: addr})
			}
		}
	}
}

// exceptions finds functions in .pdata.
func (p *peReader) exceptions() {
	d := p.dir(dirException)
	b := p.rva(d.VirtualAddress)
	if p.Machine != "x86-64" || d.Size == 0 {
		return
	}
	le := binary.LittleEndian
	for b = b[:min(len(b), int(d.Size))]; len(b) >= 12 && len(p.Functions) < maxFunctions; b = b[12:] {
		if from, to := le.Uint32(b), le.Uint32(b[4:]); to > from {
			p.Functions = append(p.Functions, Function{Addr: p.base + uint64(from), Size: uint64(to - from)})
		}
	}
}

// relocations reads which slots hold addresses (.reloc).
func (p *peReader) relocations() {
	d := p.dir(dirReloc)
	b := p.rva(d.VirtualAddress)
	le := binary.LittleEndian
	for b = b[:min(len(b), int(d.Size))]; len(b) >= 8; {
		page, size := le.Uint32(b), le.Uint32(b[4:])
		if size < 8 || uint64(size) > uint64(len(b)) {
			return
		}
		for e := b[8:size]; len(e) >= 2 && len(p.pointers) < maxSymbols; e = e[2:] {
			v := le.Uint16(e)
			if v>>12 != 10 { // IMAGE_REL_BASED_DIR64
				continue
			}
			slot := p.base + uint64(page) + uint64(v&0xfff)
			if at := p.at(slot); len(at) >= 8 {
				p.pointers[slot] = pointer{addend: le.Uint64(at)}
			}
		}
		b = b[size:]
	}
}

// debug reads which PDB belongs to the image (CodeView, RSDS).
func (p *peReader) debug() {
	d := p.dir(dirDebug)
	le := binary.LittleEndian
	for b := p.rva(d.VirtualAddress); d.Size >= 28 && len(b) >= 28; b, d.Size = b[28:], d.Size-28 {
		kind, size, at := le.Uint32(b[12:]), le.Uint32(b[16:]), le.Uint32(b[24:])
		if uint64(at)+uint64(size) > uint64(len(p.b)) {
			continue
		}
		data := p.b[at : at+size]
		if kind == 2 && len(data) > 24 && string(data[:4]) == "RSDS" {
			p.BuildID = hex.EncodeToString(data[4:24])
			path, _, _ := bytes.Cut(data[24:], []byte{0})
			p.Dirs = append(p.Dirs, string(path))
		}
		if kind == 16 { // REPRO: the time stamp is a hash
			p.Facts = append(p.Facts, Fact{"reproducible", "true"})
			p.Linked = "hash " + strings.TrimPrefix(p.Linked, "hash ")
		}
	}
}

func (p *peReader) symbols() {
	for i, s := range p.f.Symbols {
		if i == maxSymbols {
			return
		}
		p.Symtab = true
		if n := int(s.SectionNumber); s.Type == 0x20 && n >= 1 && n <= len(p.f.Sections) && p.Sections[n-1].Kind == Code {
			p.Functions = append(p.Functions, Function{Name: demangle.Filter(s.Name), Addr: p.Sections[n-1].Addr + uint64(s.Value)})
		}
	}
}
