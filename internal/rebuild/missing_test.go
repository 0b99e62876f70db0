package rebuild

import (
	"slices"
	"testing"
)

func TestWants(t *testing.T) {
	for _, test := range []struct{ log, what, path string }{
		{"yaml/_yaml.h:2:10: fatal error: yaml.h: No such file or directory", "yaml.h", "usr/include/yaml.h"},
		{"x.c:1:10: fatal error: libxml/tree.h: No such file or directory", "libxml/tree.h", "usr/include/**/libxml/tree.h"},
		{"/usr/bin/ld: cannot find -lz: No such file or directory", "z", "usr/lib/x86_64-linux-gnu/libz.so"},
		{"../meson.build:3:0: ERROR: Dependency \"openblas\" not found, tried pkgconfig and cmake", "openblas", "usr/lib/x86_64-linux-gnu/pkgconfig/openblas.pc"},
		{"Run-time dependency zlib found: NO\nDependency zlib found: NO (tried pkgconfig)", "zlib", "usr/lib/x86_64-linux-gnu/pkgconfig/zlib.pc"},
		{"No package 'libffi' found", "libffi", "usr/lib/x86_64-linux-gnu/pkgconfig/libffi.pc"},
		{"/bin/sh: 1: xslt-config: not found", "xslt-config", "usr/bin/xslt-config"},
		{"FileNotFoundError: [Errno 2] No such file or directory: 'cmake'", "cmake", "usr/bin/cmake"},
		{"ERROR: Unknown compiler(s): [['gfortran'], ['flang']]", "gfortran", "usr/bin/gfortran"},
		{"error: can't find Rust compiler", "rustc", "usr/bin/rustc"},
		{"CMake unavailable, falling back to pure Python Extension", "cmake", "usr/bin/cmake"},
		{"The headers or library files could not be found for jpeg,", "jpeg", "usr/lib/x86_64-linux-gnu/libjpeg.so"},
		{"all is well: nothing is missing", "", ""},
		{"fatal error: ../../etc/x.h: No such file", "", ""},
	} {
		got := wants(test.log, "x86_64-linux-gnu")
		if test.what == "" {
			if len(got) != 0 {
				t.Errorf("%q: %+v", test.log, got)
			}
			continue
		}
		if len(got) != 1 || got[0].What != test.what || !slices.Contains(got[0].Paths, test.path) {
			t.Errorf("%q: %+v", test.log, got)
		}
	}
}
