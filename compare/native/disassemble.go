package native

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/arch/arm64/arm64asm"
	"golang.org/x/arch/x86/x86asm"
)

// maxListing bounds the instructions of one listing.
const maxListing = 20_000

// Disassemble lists a function: offset in it and instruction, addresses told
// by what lies there, so that two listings differ where the functions do. An
// instruction that the disassembler does not know (AVX) is listed as bytes.
func (im *Image) Disassemble(f Function) string {
	var out strings.Builder
	code := im.code(f)
	n := 0
	for at := 0; at < len(code); n++ {
		if n == maxListing {
			fmt.Fprintf(&out, "… %d more bytes\n", len(code)-at)
			break
		}
		length, text := im.instruction(code[at:], f, uint64(at))
		out.WriteString(text)
		out.WriteByte('\n')
		at += length
	}
	return out.String()
}

func (im *Image) instruction(b []byte, f Function, at uint64) (int, string) {
	pc := f.Addr + at
	switch im.Machine {
	case "arm64":
		if len(b) < 4 {
			return len(b), fmt.Sprintf(".bytes % x", b)
		}
		in, err := arm64asm.Decode(b)
		if err != nil {
			return 4, fmt.Sprintf(".inst %#08x", binary.LittleEndian.Uint32(b))
		}
		return 4, arm64asm.GNUSyntax(in)
	case "x86-64":
		own := decodeX86(b)
		in, err := x86asm.Decode(b, 64)
		if err != nil || in.Len != own.length || own.vector {
			text := fmt.Sprintf(".bytes % x", b[:own.length])
			if own.field > 0 && own.length <= len(b) {
				// The field is an address: say which, and leave its bytes out.
				if target := own.target(b, pc); target-f.Addr >= f.Size {
					name := im.describe(target)
					text = fmt.Sprintf(".bytes % x # %s", append(append([]byte{}, b[:own.field]...), b[own.field+own.width:own.length]...), name)
				}
			}
			return own.length, text
		}
		text := x86asm.GNUSyntax(in, pc, nil)
		if own.field > 0 {
			if target := own.target(b, pc); target-f.Addr >= f.Size {
				op, _, _ := strings.Cut(text, " ")
				if !own.branch {
					text = strings.Replace(text, fmt.Sprintf("%#x(%%rip)", int32(binary.LittleEndian.Uint32(b[own.field:]))), "(%rip)", 1)
					text = stripDisplacement(text)
					text += " # " + im.describe(target)
				} else {
					text = op + " " + im.describe(target)
				}
			} else if own.branch {
				op, _, _ := strings.Cut(text, " ")
				text = fmt.Sprintf("%s .%+d", op, int64(target-pc))
			}
		}
		return own.length, text
	}
	return min(4, len(b)), fmt.Sprintf(".bytes % x", b[:min(4, len(b))])
}

// stripDisplacement takes the number before (%rip) away.
func stripDisplacement(s string) string {
	i := strings.Index(s, "(%rip)")
	if i < 0 {
		return s
	}
	j := i
	for j > 0 && (s[j-1] == '-' || s[j-1] == 'x' || s[j-1] >= '0' && s[j-1] <= '9' || s[j-1] >= 'a' && s[j-1] <= 'f') {
		j--
	}
	return s[:j] + s[i:]
}

// describe says what lies at an address without saying where it is.
func (im *Image) describe(addr uint64) string {
	if i := im.function(addr); i >= 0 {
		f := im.Functions[i]
		name := f.Name
		if name == "" {
			name = "code"
		}
		if addr != f.Addr {
			return fmt.Sprintf("%s+%#x", name, addr-f.Addr)
		}
		return name
	}
	if s := im.imported(addr); s != "" {
		return s
	}
	if s, ok := im.text(addr); ok {
		return quote(s)
	}
	if s := im.section(addr); s != nil {
		if s.Kind == ReadOnly {
			if b := im.at(addr); len(b) >= 8 {
				return fmt.Sprintf("%s % x", s.Name, b[:8])
			}
		}
		return s.Name
	}
	return "?"
}
