package native

import (
	"encoding/binary"
	"hash/maphash"
)

// A reference is an address that an instruction names.
type reference struct {
	target uint64
	load   uint8 // bytes read or written there, 0 when unknown
	branch bool
}

// A body is a function's code without the addresses in it.
type body struct {
	hash       uint64
	references []reference
}

var seed = maphash.MakeSeed()

// scanner reads the functions of one image.
type scanner struct {
	im      *Image
	scratch []byte
}

// body reads a function.
func (s *scanner) body(f Function) body {
	code := s.im.code(f)
	s.scratch = append(s.scratch[:0], code...)
	var b body
	switch s.im.Machine {
	case "x86-64":
		b.references = s.x86(code, f)
	case "arm64":
		b.references = s.arm64(code, f)
	}
	b.hash = maphash.Bytes(seed, s.scratch)
	return b
}

func (im *Image) code(f Function) []byte {
	b := im.at(f.Addr)
	return b[:min(uint64(len(b)), f.Size)]
}

// x86 blanks relative fields in the scratch copy and lists what they name.
func (s *scanner) x86(code []byte, f Function) (refs []reference) {
	for i := 0; i < len(code); {
		in := decodeX86(code[i:])
		if in.field > 0 {
			target := in.target(code[i:], f.Addr+uint64(i))
			if !in.branch || target-f.Addr >= f.Size {
				clear(s.scratch[i+in.field : i+in.field+in.width])
				refs = append(refs, reference{target, uint8(in.load), in.branch})
			}
		}
		i += in.length
	}
	return refs
}

// arm64 does the same; an address is a page (ADRP) and an offset in it, told
// by a later instruction that uses the same register.
func (s *scanner) arm64(code []byte, f Function) (refs []reference) {
	var page [32]uint64
	for i := 0; i+4 <= len(code); i += 4 {
		w := binary.LittleEndian.Uint32(code[i:])
		pc := f.Addr + uint64(i)
		blank := func(mask uint32) { binary.LittleEndian.PutUint32(s.scratch[i:], w&^mask) }
		branch := func(bits, shift int) {
			imm := int64(w>>shift&(1<<bits-1)) << (64 - bits) >> (64 - bits)
			target := pc + uint64(imm*4)
			if target-f.Addr >= f.Size {
				blank((1<<bits - 1) << shift)
				refs = append(refs, reference{target, 0, true})
			}
		}
		rd, rn := w&31, w>>5&31
		switch {
		case w&0x7c000000 == 0x14000000: // B, BL
			branch(26, 0)
			if w>>31 == 1 {
				page = [32]uint64{}
			}
			continue
		case w&0xff000010 == 0x54000000, w&0x7e000000 == 0x34000000: // B.cond, CBZ, CBNZ
			branch(19, 5)
			continue
		case w&0x7e000000 == 0x36000000: // TBZ, TBNZ
			branch(14, 5)
			continue
		case w&0x1f000000 == 0x10000000: // ADR, ADRP
			imm := int64(uint64(w>>5&0x7ffff)<<2|uint64(w>>29&3)) << 43 >> 43
			blank(0x60ffffe0)
			if w>>31 == 0 {
				refs = append(refs, reference{pc + uint64(imm), 0, false})
				page[rd] = 0
			} else {
				page[rd] = pc&^0xfff + uint64(imm<<12)
			}
			continue
		case w&0x3b000000 == 0x18000000: // LDR of a literal
			imm := int64(w>>5&0x7ffff) << 45 >> 45
			blank(0x00ffffe0)
			refs = append(refs, reference{pc + uint64(imm*4), 4, false})
			continue
		case w&0xffc00000 == 0x91000000 && page[rn] != 0: // ADD
			refs = append(refs, reference{page[rn] + uint64(w>>10&0xfff), 0, false})
			blank(0x003ffc00)
		case w&0x3b000000 == 0x39000000 && page[rn] != 0: // LDR, STR
			size := w >> 30
			if w>>26&1 == 1 && w>>23&1 == 1 {
				size = 4
			}
			refs = append(refs, reference{page[rn] + uint64(w>>10&0xfff)<<size, uint8(1 << size), false})
			blank(0x003ffc00)
			if w>>22&1 == 0 {
				continue // a store leaves its register alone
			}
		}
		if rd != 31 {
			page[rd] = 0
		}
	}
	return refs
}
