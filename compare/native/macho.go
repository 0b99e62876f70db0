package native

import (
	"bytes"
	"debug/macho"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/ianlancetaylor/demangle"
)

// Load commands that debug/macho does not read (mach-o/loader.h).
const (
	lcUUID           = 0x1b
	lcCodeSignature  = 0x1d
	lcFunctionStarts = 0x26
	lcVersionMin     = 0x24
	lcSourceVersion  = 0x2a
	lcBuildVersion   = 0x32
	lcIDDylib        = 0xd
)

func parseFat(b []byte, lim Limits) ([]*Image, error) {
	f, err := macho.NewFatFile(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("read fat Mach-O: %w", err)
	}
	var out []*Image
	for _, a := range f.Arches {
		if uint64(a.Offset)+uint64(a.Size) > uint64(len(b)) {
			return nil, fmt.Errorf("read fat Mach-O: %s ends outside of the file", a.Cpu)
		}
		im, err := parseMachO(b[a.Offset:a.Offset+a.Size], lim)
		if err != nil {
			return nil, err
		}
		out = append(out, im)
	}
	return out, nil
}

func parseMachO(b []byte, _ Limits) (*Image, error) {
	f, err := macho.NewFile(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("read Mach-O: %w", err)
	}
	if len(f.Sections) > maxSections {
		return nil, fmt.Errorf("read Mach-O: %d sections", len(f.Sections))
	}
	im := &Image{Format: "Mach-O", Machine: strings.TrimPrefix(f.Cpu.String(), "Cpu"), pointers: map[uint64]pointer{}}
	switch f.Cpu {
	case macho.CpuAmd64:
		im.Machine = "x86-64"
	case macho.CpuArm64:
		im.Machine = "arm64"
	}
	im.Facts = []Fact{{"type", f.Type.String()}, {"flags", fmt.Sprintf("%#x", f.Flags)}}
	for _, s := range f.Sections {
		im.Sections = append(im.Sections, machoSection(s, b))
	}
	m := &machoReader{im, f, b}
	m.commands()
	m.symbols()
	if d, err := dwarfOf(func(name string) []byte { return m.bytesOf(name) }, "__debug_"); err == nil && m.bytesOf("__debug_info") != nil {
		readUnits(im, d, m.bytesOf("__debug_info"), f.ByteOrder)
	}
	return im, nil
}

type machoReader struct {
	*Image
	f *macho.File
	b []byte
}

func (m *machoReader) bytesOf(name string) []byte {
	for _, s := range m.Sections {
		if _, n, _ := strings.Cut(s.Name, ","); n == name {
			return s.Bytes
		}
	}
	return nil
}

func machoSection(s *macho.Section, b []byte) Section {
	out := Section{Name: s.Seg + "," + s.Name, Addr: s.Addr, Size: s.Size, Offset: uint64(s.Offset), Flags: uint64(s.Flags), Kind: Data}
	const zerofill, instructions = 1, 0x80000400
	switch {
	case s.Flags&0xff == zerofill || s.Flags&0xff == 0xc || s.Flags&0xff == 0x12:
		out.Kind = Zero
	case s.Seg == "__DWARF":
		out.Kind = Debug
	case strings.Contains(s.Name, "stub"), s.Name == "__unwind_info", s.Name == "__eh_frame", s.Name == "__gcc_except_tab", s.Name == "__got", s.Name == "__la_symbol_ptr", s.Name == "__nl_symbol_ptr":
		out.Kind = Tables
	case s.Flags&instructions != 0:
		out.Kind = Code
	case s.Seg == "__TEXT":
		out.Kind = ReadOnly
	}
	if out.Kind != Zero && uint64(s.Offset) <= uint64(len(b)) && s.Size <= uint64(len(b))-uint64(s.Offset) {
		out.Bytes = b[s.Offset : uint64(s.Offset)+s.Size]
	}
	return out
}

func version(v uint32) string { return fmt.Sprintf("%d.%d.%d", v>>16, v>>8&0xff, v&0xff) }

func (m *machoReader) commands() {
	order := m.f.ByteOrder
	header := uint64(28)
	if m.f.Magic == macho.Magic64 {
		header = 32
	}
	at := header
	for _, load := range m.f.Loads {
		raw := load.Raw()
		size := uint64(len(raw))
		if size < 8 {
			return
		}
		command := order.Uint32(raw) &^ 0x80000000
		word := func(i int) uint32 {
			if 4*i+4 > len(raw) {
				return 0
			}
			return order.Uint32(raw[4*i:])
		}
		text := func(i int) string {
			off := word(i)
			if uint64(off) >= size {
				return ""
			}
			s, _, _ := bytes.Cut(raw[off:], []byte{0})
			return string(s)
		}
		data := func() []byte { // of a linkedit command
			from, n := uint64(word(2)), uint64(word(3))
			if from > uint64(len(m.b)) || n > uint64(len(m.b))-from {
				return nil
			}
			return m.b[from : from+n]
		}
		switch command {
		case lcUUID:
			m.BuildID = hex.EncodeToString(raw[8:min(24, len(raw))])
			m.Sections = append(m.Sections, Section{Name: "LC_UUID", Kind: Note, Size: size, Offset: at, Bytes: raw})
		case lcCodeSignature:
			m.Sections = append(m.Sections, Section{Name: "LC_CODE_SIGNATURE", Kind: Signature, Size: uint64(word(3)), Offset: uint64(word(2)), Bytes: data()})
		case lcFunctionStarts:
			m.starts(data())
		case lcBuildVersion:
			m.Facts = append(m.Facts, Fact{"platform", fmt.Sprint(word(2))}, Fact{"minimum OS", version(word(3))}, Fact{"SDK", version(word(4))})
			for i := 0; i < int(word(5)) && 6+2*i+1 < len(raw)/4; i++ {
				tool := map[uint32]string{1: "clang", 2: "swift", 3: "ld", 4: "lld"}[word(6+2*i)]
				if tool == "ld" || tool == "lld" {
					m.Linker = tool + " " + version(word(7+2*i))
				} else {
					m.Compilers = append(m.Compilers, tool+" "+version(word(7+2*i)))
				}
			}
		case lcVersionMin, lcVersionMin + 1:
			m.Facts = append(m.Facts, Fact{"minimum OS", version(word(2))}, Fact{"SDK", version(word(3))})
		case lcSourceVersion:
			m.Facts = append(m.Facts, Fact{"source version", hex.EncodeToString(raw[8:])})
		case lcIDDylib:
			m.Name = text(2)
		}
		switch l := load.(type) {
		case *macho.Dylib:
			if command != lcIDDylib {
				m.Needed = append(m.Needed, l.Name)
			}
		case *macho.Rpath:
			m.RunPath = append(m.RunPath, l.Path)
		}
		at += size
	}
	linkedit := m.f.Segment("__LINKEDIT")
	if linkedit != nil && linkedit.Offset <= uint64(len(m.b)) {
		end := min(uint64(len(m.b)), linkedit.Offset+linkedit.Filesz)
		for _, s := range m.Sections {
			if s.Kind == Signature && s.Offset > linkedit.Offset {
				end = min(end, s.Offset)
			}
		}
		m.Sections = append(m.Sections, Section{Name: "__LINKEDIT", Kind: Tables, Offset: linkedit.Offset, Size: end - linkedit.Offset, Bytes: m.b[linkedit.Offset:end]})
	}
}

// starts reads LC_FUNCTION_STARTS: differences in ULEB128.
func (m *machoReader) starts(b []byte) {
	text := m.f.Segment("__TEXT")
	if text == nil {
		return
	}
	addr := text.Addr
	for len(b) > 0 && len(m.Functions) < maxFunctions {
		delta, n := binary.Uvarint(b)
		if n <= 0 || delta == 0 {
			return
		}
		b = b[n:]
		addr += delta
		m.Functions = append(m.Functions, Function{Addr: addr})
	}
}

func (m *machoReader) symbols() {
	if m.f.Symtab == nil {
		return
	}
	names, err := m.f.ImportedSymbols()
	if err == nil {
		m.Imports = names
	}
	for i, s := range m.f.Symtab.Syms {
		if i == maxSymbols {
			return
		}
		const stab, inSection, external = 0xe0, 0xe, 1
		if s.Type&stab != 0 || s.Type&inSection != inSection || s.Sect == 0 || int(s.Sect) > len(m.f.Sections) {
			continue
		}
		name := strings.TrimPrefix(s.Name, "_")
		if m.Sections[s.Sect-1].Kind == Code {
			m.Functions = append(m.Functions, Function{Name: demangle.Filter(name), Addr: s.Value})
		}
		if s.Type&external != 0 {
			m.Exports = append(m.Exports, name)
		} else {
			m.Symtab = true
		}
	}
}
