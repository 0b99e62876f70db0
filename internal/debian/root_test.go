package debian

import (
	"archive/tar"
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/truewheel/truewheel/internal/rootfs"
)

// unpack makes a root of debs in a new directory.
func unpack(t *testing.T, debs ...Deb) (dir, manifest string, err error) {
	t.Helper()
	dir = t.TempDir()
	m, err := Unpack(t.Context(), debs, dir)
	return dir, string(m), err
}

func TestUnpack(t *testing.T) {
	base := put(t, "base", makeDeb("base", "Multi-Arch: same\n", "",
		member{name: "./", kind: tar.TypeDir, mode: 0o755}, member{name: "./bin/", kind: tar.TypeDir, mode: 0o755},
		member{name: "./bin/tool", text: "#!", mode: 0o4755}, member{name: "./usr/bin/twin", kind: tar.TypeLink, link: "./bin/tool"},
		member{name: "./usr/bin/dash", text: "sh", mode: 0o755},
		member{name: "./usr/share/base-passwd/passwd.master", text: "root:*:0:0:root:/root:/bin/bash\n"},
		member{name: "./usr/share/base-passwd/group.master", text: "root:*:0:\n"},
		member{name: "./etc/secret", text: "x", mode: 0o600}, member{name: "./closed/", kind: tar.TypeDir, mode: 0o500}, member{name: "./closed/in", text: "y"},
	))
	gcc := put(t, "gcc", makeDeb("gcc", "", "set -e\nupdate-alternatives --quiet \\\n  --install /usr/bin/cc cc /usr/bin/gcc 20 \\\n  --slave /usr/share/man/man1/cc.1.gz cc.1.gz /usr/share/man/man1/gcc.1.gz\n"+
		"update-alternatives --install /usr/bin/x x $path 1\nupdate-alternatives --install /usr/bin/gone gone /usr/bin/nothing 1\n",
		member{name: "./usr/bin/gcc", text: "gcc", mode: 0o755}, member{name: "./usr/share/man/man1/gcc.1.gz", text: "man"},
		member{name: "./lib/x86/libgcc.so", kind: tar.TypeSymlink, link: "libgcc.so.1"}))
	clang := put(t, "clang", makeDeb("clang", "", "update-alternatives --install /usr/bin/cc cc /usr/bin/clang 10\n", member{name: "./usr/bin/clang", text: "clang", mode: 0o755}))
	dir, manifest, err := unpack(t, base, gcc, clang)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`f 0755 7 8 ` + sumOf([]byte("#!")) + ` "/usr/bin/tool"`, // the set-uid bit is gone
		`f 0755 7 8 ` + sumOf([]byte("#!")) + ` "/usr/bin/twin"`,
		`l 0777 0 0 - "/bin" "usr/bin"`,
		`l 0777 0 0 - "/usr/bin/sh" "dash"`,
		`l 0777 0 0 - "/etc/alternatives/cc" "/usr/bin/gcc"`,
		`l 0777 0 0 - "/usr/bin/cc" "/etc/alternatives/cc"`,
		`l 0777 0 0 - "/usr/share/man/man1/cc.1.gz" "/etc/alternatives/cc.1.gz"`,
		`l 0777 7 8 - "/usr/lib/x86/libgcc.so" "libgcc.so.1"`,
		`f 0600 7 8 ` + sumOf([]byte("x")) + ` "/etc/secret"`,
		`d 0500 7 8 - "/closed"`,
		`d 1777 0 0 - "/tmp"`,
	} {
		if !strings.Contains(manifest, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	for _, not := range []string{"/etc/alternatives/x", "/etc/alternatives/gone"} {
		if strings.Contains(manifest, not) {
			t.Errorf("%s is there", not)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "etc/passwd"))
	if err != nil || !strings.HasPrefix(string(text), "root:*:0:0") || !strings.HasSuffix(string(text), BuildUser) {
		t.Errorf("passwd: %q %v", text, err)
	}
	text, err = os.ReadFile(filepath.Join(dir, "var/lib/dpkg/info/base:amd64.list"))
	if err != nil || !strings.HasPrefix(string(text), "/.\n/bin\n/bin/tool\n") {
		t.Errorf("list: %q %v", text, err)
	}
	info, err := os.Stat(filepath.Join(dir, "usr/bin/tool"))
	if err != nil || info.Mode() != 0o755 || !info.ModTime().Equal(rootfs.Time) {
		t.Errorf("%v %v", info, err)
	}

	// The same whatever the order, and to be verified.
	again, other, err := unpack(t, clang, gcc, base)
	if err != nil || other != manifest {
		t.Errorf("another order gave another root: %v\n%s", err, other)
	}
	wrong, err := rootfs.Verify(t.Context(), again, []byte(manifest))
	if err != nil || len(wrong) > 0 {
		t.Errorf("%q %v", wrong, err)
	}
	for name, spoil := range map[string]func(string) error{
		"/usr/bin/gcc has sha256":           func(d string) error { return os.WriteFile(filepath.Join(d, "usr/bin/gcc"), []byte("GCC"), 0o755) },
		"/usr/bin/clang has mode":           func(d string) error { return os.Chmod(filepath.Join(d, "usr/bin/clang"), 0o700) },
		"/usr/bin/dash is missing":          func(d string) error { return os.Remove(filepath.Join(d, "usr/bin/dash")) },
		"/new is not in the manifest":       func(d string) error { return os.WriteFile(filepath.Join(d, "new"), nil, 0o644) },
		"/usr/lib/x86/libgcc.so links to":   func(d string) error { return relink(filepath.Join(d, "usr/lib/x86/libgcc.so")) },
		"/usr/bin/twin is of type":          func(d string) error { return retype(filepath.Join(d, "usr/bin/twin")) },
		"/usr/share/base-passwd has mode 0": func(d string) error { return os.Chmod(filepath.Join(d, "usr/share/base-passwd"), 0o700) },
	} {
		if err := spoil(again); err != nil {
			t.Fatal(err)
		}
		wrong, err := rootfs.Verify(t.Context(), again, []byte(manifest))
		if err != nil || !slices.ContainsFunc(wrong, func(s string) bool { return strings.HasPrefix(s, name) }) {
			t.Errorf("%s: %q %v", name, wrong, err)
		}
	}
}

func relink(name string) error {
	if err := os.Remove(name); err != nil {
		return err
	}
	return os.Symlink("other", name)
}

func retype(name string) error {
	if err := os.Remove(name); err != nil {
		return err
	}
	return os.Symlink("tool", name)
}

// A package that wants out, or lies, gives an error that names its file, and
// nothing is written outside of the directory.
func TestHostileDebs(t *testing.T) {
	outside := t.TempDir()
	plain := member{name: "./usr/bin/x", text: "x"}
	good := makeDeb("bad", "", "", plain)
	raw := func(names []string, bodies ...[]byte) []byte { return ar(names, bodies...) }
	control := makeTar([]member{{name: "./control", text: "Package: bad\nVersion: 1.0\n"}})
	for name, c := range map[string]struct {
		deb  []byte
		want string
	}{
		"dots":               {makeDeb("bad", "", "", member{name: "./../../escaped", text: "x"}), "leaves the root"},
		"dots in the middle": {makeDeb("bad", "", "", member{name: "./usr/../../escaped", text: "x"}), "leaves the root"},
		"absolute":           {makeDeb("bad", "", "", member{name: outside + "/escaped", text: "x"}), "leaves the root"},
		"line break":         {makeDeb("bad", "", "", member{name: "./a\nb", text: "x"}), "leaves the root"},
		"block device":       {makeDeb("bad", "", "", member{name: "./dev/sda", kind: tar.TypeBlock}), "a device or a pipe"},
		"char device":        {makeDeb("bad", "", "", member{name: "./dev/mem", kind: tar.TypeChar}), "a device or a pipe"},
		"pipe":               {makeDeb("bad", "", "", member{name: "./run/pipe", kind: tar.TypeFifo}), "a device or a pipe"},
		"hard link outside":  {makeDeb("bad", "", "", member{name: "./x", kind: tar.TypeLink, link: "../etc/passwd"}), "leaves the root"},
		"hard link to none":  {makeDeb("bad", "", "", member{name: "./x", kind: tar.TypeLink, link: "./etc/nothing"}), "which is no file"},
		"hard link to dir":   {makeDeb("bad", "", "", member{name: "./x", kind: tar.TypeLink, link: "./usr"}), "which is no file"},
		"loop":               {makeDeb("bad", "", "", member{name: "./a", kind: tar.TypeSymlink, link: "b"}, member{name: "./b", kind: tar.TypeSymlink, link: "a"}, member{name: "./a/x", text: "x"}), "too many symbolic links"},
		"in a file":          {makeDeb("bad", "", "", plain, member{name: "./usr/bin/x/y", text: "y"}), "is not a directory"},
		"file for dir":       {makeDeb("bad", "", "", member{name: "./usr", text: "y"}), "a directory in another package"},
		"dir for file":       {makeDeb("bad", "", "", plain, member{name: "./usr/bin/x", kind: tar.TypeDir}), "a file in another package"},
		"empty link":         {makeDeb("bad", "", "", member{name: "./l", kind: tar.TypeSymlink}), "links to"},
		"other name":         {makeDeb("good", "", "", plain), "its control file says good 1.0, not bad 1.0"},
		"other version":      {makeDebVersion("bad", "2.0"), "says bad 2.0"},
		"empty":              {nil, "no ar archive"},
		"no deb":             {[]byte("PK\x03\x04 and more"), "no ar archive"},
		"cut short":          {good[:len(good)-40], "unexpected EOF"},
		"cut in the middle":  {good[:120], ""},
		"format":             {raw([]string{"debian-binary"}, []byte("3.0\n")), "its format"},
		"order":              {raw([]string{"debian-binary", "data.tar.gz"}, []byte("2.0\n"), makeTar(nil)), "is not where one is expected"},
		"first":              {raw([]string{"data.tar.gz"}, makeTar(nil)), "not debian-binary"},
		"no data":            {raw([]string{"debian-binary", "control.tar.gz"}, []byte("2.0\n"), control), "no data.tar"},
		"compression":        {raw([]string{"debian-binary", "control.tar.lz4"}, []byte("2.0\n"), control), "compression is not known"},
		"no control":         {raw([]string{"debian-binary", "control.tar.gz", "data.tar.gz"}, []byte("2.0\n"), makeTar(nil), makeTar(nil)), "control file"},
		"no tar":             {raw([]string{"debian-binary", "control.tar.gz", "data.tar"}, []byte("2.0\n"), control, bytes.Repeat([]byte("x"), 1024)), "read data.tar"},
	} {
		t.Run(name, func(t *testing.T) {
			d := put(t, "bad", c.deb)
			_, manifest, err := unpack(t, d)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "unpack bad 1.0: ") {
				t.Errorf("%v, not %q\n%s", err, c.want, manifest)
			}
		})
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Errorf("escaped: %v %v", left, err)
	}
}

func makeDebVersion(name, version string) []byte {
	return ar([]string{"debian-binary", "control.tar.gz", "data.tar.gz"}, []byte("2.0\n"),
		makeTar([]member{{name: "./control", text: "Package: " + name + "\nVersion: " + version + "\n"}}), makeTar(nil))
}

// Links that point out of the root lead, as in the root, to its own top.
func TestLinksStayInside(t *testing.T) {
	outside := t.TempDir()
	d := put(t, "links", makeDeb("links", "", "",
		member{name: "./abs", kind: tar.TypeSymlink, link: outside}, member{name: "./abs/through", text: "x"},
		member{name: "./up", kind: tar.TypeSymlink, link: "../../../../../../tmp"}, member{name: "./up/through", text: "y"}))
	dir, manifest, err := unpack(t, d)
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
		t.Fatalf("escaped: %v %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(dir, outside, "through")); err != nil {
		t.Error(err)
	}
	if !strings.Contains(manifest, `"/tmp/through"`) {
		t.Error(manifest)
	}
}

func TestUnpackCancelled(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := Unpack(ctx, []Deb{put(t, "a", makeDeb("a", "", ""))}, t.TempDir()); err == nil {
		t.Error("went on")
	}
}

func FuzzReadDeb(f *testing.F) {
	f.Add(makeDeb("a1", "", "", member{name: "./x", text: "y"}, member{name: "./l", kind: tar.TypeSymlink, link: "x"}))
	f.Add(ar([]string{"debian-binary", "control.tar"}, []byte("2.0\n"), makeTar(nil)))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, files, err := readDeb(t.Context(), bytes.NewReader(data))
		if err != nil || len(files) > 1<<20 {
			return
		}
		dir := t.TempDir()
		at := filepath.Join(dir, "x.deb")
		if err := os.WriteFile(at, data, 0o644); err != nil {
			t.Fatal(err)
		}
		root := filepath.Join(dir, "root")
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		m, err := Unpack(t.Context(), []Deb{{c.fields["Package"], c.fields["Version"], at}}, root)
		if err != nil {
			return
		}
		if wrong, err := rootfs.Verify(t.Context(), root, m); err != nil || len(wrong) > 0 {
			t.Errorf("%q %v", wrong, err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
			t.Errorf("beside the root: %v %v", left, err)
		}
	})
}
