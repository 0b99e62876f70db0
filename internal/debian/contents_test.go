package debian

import (
	"bytes"
	"strings"
	"testing"
)

const contentsText = `bin/sh                                                  shells/dash
usr/bin/cmake                                           devel/cmake
usr/include/crc32c/crc32c.h                             libdevel/libcrc32c-dev
usr/include/third/party/crc32c/crc32c.h                 libdevel/libother-dev
usr/include/libxml2/libxml/tree.h                       libdevel/libxml2-dev
usr/include/yaml.h                                      libdevel/libyaml-dev,devel/yaml-tools
usr/lib/x86_64-linux-gnu/libz.so                        libdevel/zlib1g-dev
usr/share/bad/yaml.h                                    misc/bad
usr/bin/odd name                                        misc/odd
usr/bin/evil                                            misc/../evil, misc/
`

func TestFindProviders(t *testing.T) {
	wants := []Want{
		{"yaml.h", []string{"usr/include/yaml.h", "usr/include/**/yaml.h"}},
		{"crc32c/crc32c.h", []string{"usr/include/crc32c/crc32c.h", "usr/include/**/crc32c/crc32c.h"}},
		{"libxml/tree.h", []string{"usr/include/libxml/tree.h", "usr/include/**/libxml/tree.h"}},
		{"other/tree.h", []string{"usr/include/**/other/tree.h"}},
		{"z", []string{"usr/lib/x86_64-linux-gnu/libz.so"}},
		{"cmake", []string{"usr/bin/cmake"}},
		{"evil", []string{"usr/bin/evil"}},
	}
	found, err := findProviders(strings.NewReader(contentsText), wants)
	if err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]string{
		"yaml.h": "libyaml-dev", "crc32c/crc32c.h": "libcrc32c-dev", "libxml/tree.h": "libxml2-dev", "other/tree.h": "", "z": "zlib1g-dev", "cmake": "cmake", "evil": "",
	} {
		if got := found[what].pkg; got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
}

// Whatever a mirror serves, what comes out is a package's name.
func FuzzFindProviders(f *testing.F) {
	f.Add([]byte(contentsText))
	f.Add([]byte("usr/include/yaml.h \t ../x,libdevel/-y,\x00\n"))
	wants := []Want{{"yaml.h", []string{"usr/include/yaml.h", "usr/include/**/yaml.h"}}}
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := findProviders(bytes.NewReader(data), wants)
		if err != nil {
			return
		}
		for what, p := range found {
			if what != "yaml.h" || !packageName.MatchString(p.pkg) {
				t.Errorf("%q: %+v", what, p)
			}
		}
	})
}
