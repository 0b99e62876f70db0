package debian

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/truewheel/truewheel/internal/rootfs"
)

// library is a name that programs ask the loader for, and the file it finds.
type library struct {
	name, path string
	flags      int32
}

// kinds are the flags that a library has in the cache (ldconfig.h of glibc):
// 3 is an ELF library of glibc, the rest the machine.
var kinds = map[elf.Machine]int32{
	elf.EM_X86_64: 0x0303, elf.EM_AARCH64: 0x0a03, elf.EM_386: 0x0003, elf.EM_PPC64: 0x0503, elf.EM_S390: 0x0403, elf.EM_RISCV: 0x1003,
}

var libraryName = regexp.MustCompile(`^(lib|ld-).*\.so(\.|$)`)

// loaderCache is /etc/ld.so.cache, in the format "glibc-ld.so.cache1.1", of
// the directories that ld.so.conf names and the default ones; "" when there is
// no library.
func (t *tree) loaderCache() (string, error) {
	children := map[string][]string{}
	for _, at := range t.Paths() {
		children[path.Dir(at)] = append(children[path.Dir(at)], at)
	}
	found := map[string]library{}
	for _, dir := range t.loaderDirs(children) {
		at, n := t.Real(dir)
		if n == nil || n.Kind != rootfs.Dir {
			continue
		}
		slices.Sort(children[at])
		for _, name := range children[at] {
			l, ok, err := t.library(dir, name)
			if err != nil {
				return "", err
			}
			if _, have := found[l.name]; ok && !have { // the first directory wins
				found[l.name] = l
			}
		}
	}
	if len(found) == 0 {
		return "", nil
	}
	return encodeCache(slices.Collect(maps.Values(found))), nil
}

// loaderDirs are the directories of the loader, in its order.
func (t *tree) loaderDirs(children map[string][]string) []string {
	var dirs []string
	var read func(text string, depth int)
	read = func(text string, depth int) {
		for line := range strings.Lines(text) {
			line, _, _ = strings.Cut(line, "#")
			line = strings.TrimSpace(line)
			pattern, include := strings.CutPrefix(line, "include ")
			switch {
			case include && depth < 4:
				at, _ := t.Real(path.Dir(strings.TrimSpace(pattern)))
				names := slices.Clone(children[at])
				slices.Sort(names)
				for _, name := range names {
					if ok, err := path.Match(path.Base(strings.TrimSpace(pattern)), path.Base(name)); ok && err == nil {
						read(t.Text(name), depth+1)
					}
				}
			case strings.HasPrefix(line, "/"):
				dirs = append(dirs, path.Clean(line))
			}
		}
	}
	read(t.Text("etc/ld.so.conf"), 0)
	return append(dirs, "/lib", "/usr/lib")
}

// library reads a file that may be one: it counts when it is called as it
// calls itself, or is the link that the linker looks for.
func (t *tree) library(dir, name string) (library, bool, error) {
	base := path.Base(name)
	if !libraryName.MatchString(base) {
		return library{}, false, nil
	}
	at, n := t.Real(name)
	if n == nil || n.Kind != rootfs.File {
		return library{}, false, nil
	}
	f, err := t.Open(at)
	if err != nil {
		return library{}, false, err
	}
	defer f.Close()
	e, err := elf.NewFile(f)
	if err != nil {
		return library{}, false, nil // a linker script, "libc.so"
	}
	flags, known := kinds[e.Machine]
	soname, err := e.DynString(elf.DT_SONAME)
	if err != nil || !known || len(soname) != 1 || e.Type != elf.ET_DYN {
		return library{}, false, nil
	}
	isLink := strings.HasSuffix(base, ".so") && t.Get(name).Kind == rootfs.Link
	return library{base, path.Join(dir, base), flags}, soname[0] == base || isLink, nil
}

// encodeCache writes the cache: a header, an entry for each library, and
// the strings they point at. The loader searches it by halves.
func encodeCache(libraries []library) string {
	slices.SortFunc(libraries, func(a, b library) int { return compareLibraries(b.name, a.name) })
	const header, entry = 48, 24
	var entries, texts bytes.Buffer
	put := func(s string) uint32 {
		at := header + entry*len(libraries) + texts.Len()
		texts.WriteString(s)
		texts.WriteByte(0)
		return uint32(at)
	}
	write := func(w *bytes.Buffer, values ...any) {
		for _, v := range values {
			_ = binary.Write(w, binary.LittleEndian, v) // into memory
		}
	}
	for _, l := range libraries {
		write(&entries, l.flags, put(l.name), put(l.path), uint32(0), uint64(0))
	}
	var out bytes.Buffer
	out.WriteString("glibc-ld.so.cache1.1")
	const littleEndian = 2
	write(&out, uint32(len(libraries)), uint32(texts.Len()), [4]byte{littleEndian}, uint32(0), [3]uint32{})
	return out.String() + entries.String() + texts.String()
}

// compareLibraries orders names as the loader does: numbers by value.
func compareLibraries(a, b string) int {
	digit := func(s string) bool { return s != "" && s[0] >= '0' && s[0] <= '9' }
	for a != "" && b != "" {
		switch {
		case digit(a) && digit(b):
			var x, y int
			x, a = leadingNumber(a)
			y, b = leadingNumber(b)
			if x != y {
				return cmp.Compare(x, y)
			}
		case digit(a):
			return 1
		case digit(b):
			return -1
		case a[0] != b[0]:
			return cmp.Compare(a[0], b[0])
		default:
			a, b = a[1:], b[1:]
		}
	}
	return cmp.Compare(len(a), len(b))
}

func leadingNumber(s string) (n int, rest string) {
	for s != "" && s[0] >= '0' && s[0] <= '9' && n < 1<<40 {
		n, s = 10*n+int(s[0]-'0'), s[1:]
	}
	return n, s
}
