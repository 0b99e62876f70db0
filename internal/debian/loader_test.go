package debian

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

func TestCompareLibraries(t *testing.T) {
	// In the order of ldconfig -p, which is the reverse of the loader's.
	want := []string{"libz.so.1", "libz.so", "libstdc++.so.6", "libgcc_s.so.1", "libdb-5.3.so", "libcrypto.so.10", "libcrypto.so.3", "libc.so.6", "libBrokenLocale.so.1", "ld-linux-x86-64.so.2"}
	got := slices.Clone(want)
	slices.Sort(got)
	slices.SortStableFunc(got, func(a, b string) int { return compareLibraries(b, a) })
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestEncodeCache(t *testing.T) {
	cache := encodeCache([]library{{"libc.so.6", "/lib/libc.so.6", 0x303}, {"libz.so.1", "/usr/lib/libz.so.1", 0x303}})
	if !strings.HasPrefix(cache, "glibc-ld.so.cache1.1\x02\x00\x00\x00") || len(cache) != 48+2*24+len("libz.so.1\x00/usr/lib/libz.so.1\x00libc.so.6\x00/lib/libc.so.6\x00") {
		t.Fatalf("%q", cache)
	}
	text := func(at uint32) string {
		s, _, _ := strings.Cut(cache[at:], "\x00")
		return s
	}
	word := func(at int) uint32 { return binary.LittleEndian.Uint32([]byte(cache[at:])) }
	if word(48) != 0x303 || text(word(52)) != "libz.so.1" || text(word(56)) != "/usr/lib/libz.so.1" || text(word(76)) != "libc.so.6" {
		t.Errorf("%q", cache)
	}
}
