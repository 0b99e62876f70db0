package native

import (
	"archive/zip"
	"bufio"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/arch/x86/x86asm"

	"github.com/truewheel/truewheel/compare/cause"
)

// Instructions end where objdump says.
func TestInstructions(t *testing.T) {
	f, err := os.Open("testdata/x86.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		p := strings.Fields(s.Text())
		if p[0] == "#" {
			continue
		}
		b, err := hex.DecodeString(p[0])
		if err != nil {
			t.Fatal(err)
		}
		// What follows must not matter.
		in := decodeX86(append(slices.Clone(b), 0x90, 0x05, 0, 0, 0, 0))
		if in.length != len(b) || (p[1] == "rip") != (in.field > 0 && !in.branch) {
			t.Errorf("%s: %+v", s.Text(), in)
		}
		n++
	}
	if n < 1000 {
		t.Errorf("only %d instructions", n)
	}
}

// The disassembler that prints agrees, where it knows the instruction.
func FuzzInstructions(f *testing.F) {
	f.Add([]byte{0x48, 0x8d, 0x05, 1, 2, 3, 4})
	f.Add([]byte{0xc5, 0xf8, 0x77})
	f.Add([]byte{0xf3, 0x0f, 0x1e, 0xfa})
	f.Fuzz(func(t *testing.T, b []byte) {
		in := decodeX86(b)
		if in.length < 1 || in.length > max(1, len(b)) || in.field < 0 || in.field > 0 && in.field+in.width > in.length {
			t.Fatalf("% x: %+v", b, in)
		}
		if in.field > 0 {
			in.target(b, 1<<63)
		}
		if other, err := x86asm.Decode(b, 64); err == nil && in.length > 1 && !in.vector && other.PCRelOff > 0 && in.field > 0 && other.Len == in.length && other.PCRelOff != in.field {
			t.Fatalf("% x: field at %d, x86asm says %d (%s)", b, in.field, other.PCRelOff, other)
		}
	})
}

// planted are the compiled files of a pair of wheels.
func planted(t testing.TB, id string) (a, b []byte) {
	read := func(side string) []byte {
		z, err := zip.OpenReader(filepath.Join("..", "testdata", "planted", id+"."+side+".whl"))
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		for _, f := range z.File {
			if strings.HasSuffix(f.Name, ".so") || strings.HasSuffix(f.Name, ".pyd") || strings.HasSuffix(f.Name, ".dylib") {
				r, err := f.Open()
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				data, err := io.ReadAll(r)
				if err != nil {
					t.Fatal(err)
				}
				return data
			}
		}
		t.Fatalf("%s has no compiled file", id)
		return nil
	}
	return read("a"), read("b")
}

func parsed(t testing.TB, b []byte) *Image {
	images, err := Parse(b, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return images[0]
}

// What the formats say of a build, in each of them.
func TestParse(t *testing.T) {
	for _, test := range []struct{ id, format, machine, compiler, function, imported string }{
		{"none-native", "ELF", "x86-64", "GCC: (Debian 12.2.0-14+deb12u1) 12.2.0", "demo_hash", "PyModule_Create2"},
		{"none-macho", "Mach-O", "arm64", "", "", "_strcmp"},
		{"none-pe", "PE", "x86-64", "", "", ""},
	} {
		b, _ := planted(t, test.id)
		im := parsed(t, b)
		if im.Format != test.format || im.Machine != test.machine {
			t.Errorf("%s: %s %s", test.id, im.Format, im.Machine)
		}
		if test.compiler != "" && !slices.Contains(im.Compilers, test.compiler) {
			t.Errorf("%s: compilers %q", test.id, im.Compilers)
		}
		if test.function != "" && !slices.ContainsFunc(im.Functions, func(f Function) bool { return f.Name == test.function }) {
			t.Errorf("%s: functions %v", test.id, im.Functions)
		}
		if test.imported != "" && !slices.ContainsFunc(im.Imports, func(s string) bool { return strings.HasPrefix(s, test.imported) }) {
			t.Errorf("%s: imports %q", test.id, im.Imports)
		}
		if len(im.Functions) < 3 || len(im.Sections) < 3 {
			t.Errorf("%s: %d functions in %d sections", test.id, len(im.Functions), len(im.Sections))
		}
		// Functions cover code once, in order.
		for i := 1; i < len(im.Functions); i++ {
			if p := im.Functions[i-1]; p.Addr+p.Size > im.Functions[i].Addr {
				t.Errorf("%s: %v overlaps %v", test.id, p, im.Functions[i])
			}
		}
	}
}

// Of many functions one is named, whose constant changed; addresses that moved are no change.
func TestChangedFunction(t *testing.T) {
	for _, id := range []string{"none-native", "none-pe", "none-macho"} {
		a, b := planted(t, id)
		r := Compare(parsed(t, a), parsed(t, b))
		if r.Functions == nil || r.Functions.Count("changed") != 1 || len(r.Functions.Changes) != 1 {
			t.Errorf("%s: %+v", id, r.Functions)
			continue
		}
		c := r.Functions.Changes[0]
		x, y := parsed(t, a).Disassemble(c.A), parsed(t, b).Disassemble(c.B)
		if x == y || x == "" {
			t.Errorf("%s: %s disassembles alike:\n%s", id, c.Name, x)
		}
	}
}

// Comparing with itself finds nothing, and one flipped bit of code is found.
func TestFlip(t *testing.T) {
	a, _ := planted(t, "none-native")
	im := parsed(t, a)
	if r := Compare(im, parsed(t, a)); len(r.Findings) != 0 {
		t.Errorf("%+v", r.Findings)
	}
	for _, f := range im.Functions {
		s := im.section(f.Addr)
		b := slices.Clone(a)
		b[s.Offset+f.Addr-s.Addr+f.Size/2] ^= 0x10
		r := Compare(im, parsed(t, b))
		if len(r.Findings) == 0 || !slices.ContainsFunc(r.Findings, func(f2 cause.Finding) bool { return f2.Cause == "" || f2.Cause == "compiler-flags" }) {
			t.Errorf("a bit of %s: %+v", f.Name, r.Findings)
		}
	}
}

func TestNotNative(t *testing.T) {
	for _, s := range []string{"", "MZ", "\x7fELF", "\x7fELF\x02\x01\x01", "\xca\xfe\xba\xbe\x00\x00\x00\x34", "text"} {
		if im, err := Parse([]byte(s), Limits{}); err == nil {
			t.Errorf("%q: %+v", s, im)
		}
	}
	if _, err := Parse([]byte("text"), Limits{}); !errors.Is(err, ErrNotNative) {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, id := range []string{"none-native", "none-macho", "none-pe", "macho-fat", "build-path-dwarf", "build-path-dwarf-compressed"} {
		a, _ := planted(f, id)
		f.Add(a)
	}
	f.Add([]byte("\x7fELF"))
	f.Fuzz(func(t *testing.T, b []byte) {
		images, err := Parse(b, Limits{MaxDebug: 1 << 20})
		if err != nil {
			return
		}
		for _, im := range images {
			Compare(images[0], im)
			for i, fn := range im.Functions {
				if i == 4 {
					break
				}
				im.Disassemble(fn)
			}
		}
	})
}

// A Go program tells which Go made it: this test is one.
func TestTools(t *testing.T) {
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if im := parsed(t, b); !slices.Contains(im.Tools(), Fact{"Go", runtime.Version()}) {
		t.Errorf("%v", im.Tools())
	}
	a, c := planted(t, "cython-version")
	if x, y := parsed(t, a).Tools(), parsed(t, c).Tools(); !slices.Contains(x, Fact{"Cython", "3.0.12"}) || !slices.Contains(y, Fact{"Cython", "3.1.3"}) {
		t.Errorf("%v %v", x, y)
	}
}
