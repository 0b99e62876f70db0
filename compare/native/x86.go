package native

import "encoding/binary"

// An instruction as far as matching needs it: where it ends, and which of
// its bytes say an address relative to itself.
type instruction struct {
	length int
	field  int    // offset of the relative field, 0 when there is none
	width  int    // of it: 1 or 4 bytes
	branch bool   // the field is a branch's, not a memory operand's
	load   int    // bytes that the memory operand reads or writes; 0 when only its address is taken, or unknown
	vector bool   // VEX or EVEX encoded: AVX and later
	opcode uint16 // map and opcode byte
	imm    int64  // the immediate, 0 when there is none
}

// What follows an opcode of the Intel manual's tables (volume 2, appendix A):
// a ModRM byte, an immediate.
const (
	hasModRM = 1 << iota
	imm8
	imm16
	immZ   // 2 or 4 bytes by operand size
	immV   // 2, 4 or 8 bytes by operand size
	moffs  // an address
	rel8   // branches
	rel32  //
	grp3   // immediate only where ModRM's reg is 0 or 1
	bad    // not in 64-bit mode
	prefix // never looked up
)

var oneByte, twoByte = oneByteMap(), twoByteMap()

func oneByteMap() (m [256]uint16) {
	for row := 0; row < 0x40; row += 8 {
		for i := range 4 {
			m[row+i] = hasModRM
		}
		m[row+4], m[row+5] = imm8, immZ
		m[row+6], m[row+7] = bad, bad
	}
	set := func(what uint16, from, to int) {
		for i := from; i <= to; i++ {
			m[i] = what
		}
	}
	set(bad, 0x60, 0x62)
	m[0x63] = hasModRM
	m[0x68], m[0x69], m[0x6a], m[0x6b] = immZ, hasModRM|immZ, imm8, hasModRM|imm8
	set(rel8, 0x70, 0x7f)
	m[0x80], m[0x81], m[0x82], m[0x83] = hasModRM|imm8, hasModRM|immZ, bad, hasModRM|imm8
	set(hasModRM, 0x84, 0x8f)
	m[0x9a] = bad
	set(moffs, 0xa0, 0xa3)
	m[0xa8], m[0xa9] = imm8, immZ
	set(imm8, 0xb0, 0xb7)
	set(immV, 0xb8, 0xbf)
	m[0xc0], m[0xc1] = hasModRM|imm8, hasModRM|imm8
	m[0xc2] = imm16
	m[0xc6], m[0xc7] = hasModRM|imm8, hasModRM|immZ
	m[0xc8] = imm16 | imm8
	m[0xca], m[0xcd] = imm16, imm8
	m[0xce] = bad
	set(hasModRM, 0xd0, 0xd3)
	set(bad, 0xd4, 0xd6)
	set(hasModRM, 0xd8, 0xdf)
	set(rel8, 0xe0, 0xe3)
	set(imm8, 0xe4, 0xe7)
	m[0xe8], m[0xe9], m[0xea], m[0xeb] = rel32, rel32, bad, rel8
	m[0xf6], m[0xf7] = hasModRM|grp3|imm8, hasModRM|grp3|immZ
	m[0xfe], m[0xff] = hasModRM, hasModRM
	return m
}

func twoByteMap() (m [256]uint16) {
	for i := range m {
		m[i] = hasModRM
	}
	for _, i := range []int{0x05, 0x06, 0x07, 0x08, 0x09, 0x0b, 0x0e, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x37, 0x77, 0xa0, 0xa1, 0xa2, 0xa8, 0xa9, 0xaa} {
		m[i] = 0
	}
	for i := 0x80; i <= 0x8f; i++ {
		m[i] = rel32
	}
	for i := 0xc8; i <= 0xcf; i++ {
		m[i] = 0
	}
	for _, i := range []int{0x0f, 0x70, 0x71, 0x72, 0x73, 0xa4, 0xac, 0xba, 0xc2, 0xc4, 0xc5, 0xc6} {
		m[i] |= imm8
	}
	for _, i := range []int{0x04, 0x0a, 0x0c, 0x24, 0x25, 0x26, 0x27, 0x36, 0x39, 0x3b, 0x3c, 0x3d, 0x3e, 0x3f} {
		m[i] = bad
	}
	return m
}

// decodeX86 reads one instruction of 64-bit code. What is none has length 1
// and no field, so that two equal runs of bytes always read alike.
func decodeX86(b []byte) (in instruction) {
	nothing := instruction{length: 1}
	i, operand16, address32, rexW := 0, false, false, false
	repeat := byte(0)
	for ; i < len(b) && i < 14; i++ {
		switch b[i] {
		case 0x66:
			operand16 = true
			continue
		case 0x67:
			address32 = true
			continue
		case 0xf2, 0xf3:
			repeat = b[i]
			continue
		case 0xf0, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65:
			continue
		}
		break
	}
	if i < len(b) && b[i]&0xf0 == 0x40 {
		rexW = b[i]&8 != 0
		i++
	}
	if i >= len(b) {
		return nothing
	}
	op, what := b[i], uint16(0)
	i++
	space := byte(1) // which opcode map, counted as VEX does; 0 the one-byte map
	switch {
	case op == 0x0f && i < len(b):
		op = b[i]
		i++
		what = twoByte[op]
		if (op == 0x38 || op == 0x3a) && i < len(b) {
			space, what = 2, hasModRM
			if op == 0x3a {
				space, what = 3, hasModRM|imm8
			}
			op = b[i]
			i++
		}
	case op == 0xc5 && i+1 < len(b):
		in.vector = true
		repeat, operand16 = implied(b[i])
		in.load = 16 << (b[i] >> 2 & 1)
		op, what = b[i+1], vexOperands(1, b[i+1])
		i += 2
	case op == 0xc4 && i+2 < len(b):
		in.vector = true
		space, rexW = b[i]&0x1f, b[i+1]&0x80 != 0
		repeat, operand16 = implied(b[i+1])
		in.load = 16 << (b[i+1] >> 2 & 1)
		op, what = b[i+2], vexOperands(space, b[i+2])
		i += 3
	case op == 0x62 && i+3 < len(b):
		in.vector = true
		space, rexW = b[i]&7, b[i+1]&0x80 != 0
		repeat, operand16 = implied(b[i+1])
		in.load = 16 << (b[i+2] >> 5 & 3)
		if b[i+2]&0x10 != 0 { // one number for all places
			in.load = 4
		}
		op, what = b[i+3], vexOperands(space, b[i+3])
		i += 4
	default:
		space, what = 0, oneByte[op]
	}
	if what&bad != 0 {
		return nothing
	}
	in.opcode = uint16(space)<<8 | uint16(op)
	if what&hasModRM != 0 {
		if i >= len(b) {
			return nothing
		}
		mod, reg, rm := b[i]>>6, b[i]>>3&7, b[i]&7
		i++
		if what&grp3 != 0 && reg > 1 {
			what &^= imm8 | immZ
		}
		if mod != 3 && rm == 4 {
			if i >= len(b) {
				return nothing
			}
			if mod == 0 && b[i]&7 == 5 {
				i += 4
			}
			i++
		}
		switch {
		case mod == 1:
			i++
		case mod == 2:
			i += 4
		case mod == 0 && rm == 5:
			in.field, in.width = i, 4
			in.loads(space, op, repeat, operand16, rexW)
			i += 4
		}
	}
	at := i
	if what&imm8 != 0 {
		i++
	}
	if what&imm16 != 0 {
		i += 2
	}
	if what&immZ != 0 {
		i += pick(operand16 && !rexW, 2, 4)
	}
	if what&immV != 0 {
		i += pick(rexW, 8, pick(operand16, 2, 4))
	}
	if i <= len(b) {
		in.imm = signed(b[at:i])
	}
	if what&moffs != 0 {
		i += pick(address32, 4, 8)
	}
	if what&rel8 != 0 {
		in.field, in.width, in.branch = i, 1, true
		i++
	}
	if what&rel32 != 0 {
		in.field, in.width, in.branch = i, 4, true
		i += 4
	}
	if i > len(b) || i > 15 {
		return nothing
	}
	in.length = i
	return in
}

// loads says how many bytes a memory operand has.
func (in *instruction) loads(space, op, repeat byte, operand16, rexW bool) {
	scalar := func(n int) int {
		switch repeat {
		case 0xf2:
			return 8
		case 0xf3:
			return 4
		}
		return n
	}
	switch {
	case in.vector && space == 1 && (op == 0x90 || op == 0x91): // kmov
		in.load = 1
	case in.vector:
		in.load = scalar(in.load)
		if space != 1 {
			in.load = 4 // broadcasts and the like read less than a vector
		}
	case space == 0 && op == 0x8d: // lea
		in.load = 0
	case space == 0 && op >= 0xd8 && op <= 0xdf: // x87
		in.load = 4
	case space == 0 && op&1 == 0 && op < 0xc0 && op != 0x8c && op != 0x8e:
		in.load = 1
	case space == 0:
		in.load = pick(rexW, 8, pick(operand16, 2, 4))
	case space == 1 && (op >= 0x40 && op < 0x50 || op >= 0xb0 && op < 0xc0): // cmov, movzx, ...
		in.load = 1
	case space == 1 && op >= 0x10 && op < 0x80:
		in.load = scalar(16)
	default:
		in.load = 1
	}
}

// implied reads the prefix that VEX and EVEX hold in two bits.
func implied(b byte) (repeat byte, operand16 bool) {
	switch b & 3 {
	case 1:
		return 0, true
	case 2:
		return 0xf3, false
	case 3:
		return 0xf2, false
	}
	return 0, false
}

func vexOperands(space, op byte) uint16 {
	switch space {
	case 1:
		switch op {
		case 0x77:
			return 0
		case 0x70, 0x71, 0x72, 0x73, 0xc2, 0xc4, 0xc5, 0xc6:
			return hasModRM | imm8
		}
		return hasModRM
	case 2, 5, 6:
		return hasModRM
	case 3:
		return hasModRM | imm8
	}
	return bad
}

func pick[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}

// target is the address that the relative field of the instruction at addr names.
func (in instruction) target(b []byte, addr uint64) uint64 {
	end := addr + uint64(in.length)
	if in.width == 1 {
		return end + uint64(int64(int8(b[in.field])))
	}
	return end + uint64(int64(int32(binary.LittleEndian.Uint32(b[in.field:]))))
}

// signed reads a little-endian number of up to 8 bytes.
func signed(b []byte) int64 {
	var v uint64
	for i, c := range b {
		v |= uint64(c) << (8 * i)
	}
	shift := 64 - 8*len(b)
	return int64(v<<shift) >> shift
}
