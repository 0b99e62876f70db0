package oci

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/truewheel/truewheel/internal/rootfs"
)

// unpackLayers applies layers to a new root and gives its manifest.
func unpackLayers(t testing.TB, layers ...[]byte) (dir, manifest string, err error) {
	t.Helper()
	dir = t.TempDir()
	tree, err := rootfs.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	for _, l := range layers {
		sum := sha256.Sum256(l)
		if err := unpackLayer(t.Context(), tree, bytes.NewReader(l), int64(len(l)), types.OCIUncompressedLayer, hex.EncodeToString(sum[:])); err != nil {
			return dir, "", err
		}
	}
	if err := tree.Finish(); err != nil {
		return dir, "", err
	}
	return dir, string(tree.Manifest()), nil
}

// reference applies layers with GNU tar, whiteouts by hand first, and
// describes the tree as a manifest does. It needs root.
func reference(t *testing.T, layers ...[]byte) (string, error) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		r := tar.NewReader(bytes.NewReader(l))
		for {
			h, err := r.Next()
			if err != nil {
				break
			}
			at, base := filepath.Split(filepath.Join(dir, h.Name))
			victim, ok := strings.CutPrefix(base, ".wh.")
			switch {
			case base == ".wh..wh..opq":
				entries, err := os.ReadDir(at)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range entries {
					if err := os.RemoveAll(filepath.Join(at, e.Name())); err != nil {
						t.Fatal(err)
					}
				}
			case ok:
				if err := os.RemoveAll(filepath.Join(at, victim)); err != nil {
					t.Fatal(err)
				}
			case h.Typeflag != tar.TypeDir && filepath.Join(dir, h.Name) != dir:
				// tar keeps a directory that is not empty; the specification does not.
				if info, err := os.Lstat(filepath.Join(dir, h.Name)); err == nil && info.IsDir() {
					if err := os.RemoveAll(filepath.Join(dir, h.Name)); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		cmd := exec.CommandContext(t.Context(), "tar", "--extract", "--file=-", "--directory="+dir, "--same-owner", "--same-permissions",
			"--numeric-owner", "--exclude=.wh.*", "--wildcards", "--no-anchored", "--delay-directory-restore", "--warning=no-timestamp")
		cmd.Stdin = bytes.NewReader(l)
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w: %s", err, out)
		}
	}
	return described(t, dir), nil
}

// described reads a tree as its manifest would be, with owners.
func described(t *testing.T, dir string) string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		at := strings.TrimPrefix(name, dir)
		if at == "" {
			at = "/"
		}
		uid, gid := ownerOf(info)
		mode := uint32(info.Mode().Perm())
		kind, sum, target := 'f', "-", ""
		switch {
		case d.IsDir():
			kind = 'd'
			if info.Mode()&fs.ModeSticky != 0 {
				mode |= 0o1000
			}
		case d.Type() == fs.ModeSymlink:
			kind = 'l'
			to, err := os.Readlink(name)
			if err != nil {
				return err
			}
			target = " " + strconv.Quote(to)
		default:
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			s := sha256.Sum256(data)
			sum = hex.EncodeToString(s[:])
		}
		lines = append(lines, fmt.Sprintf("%c %04o %d %d %s %s%s", kind, mode, uid, gid, sum, strconv.Quote(at), target))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sorted(lines)
}

func sorted(lines []string) string {
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func dir(name string) member { return member{name: name, kind: tar.TypeDir} }
func file(name, text string) member {
	return member{name: name, text: text}
}
func link(name, to string) member { return member{name: name, link: to, kind: tar.TypeSymlink} }
func hard(name, to string) member { return member{name: name, link: to, kind: tar.TypeLink} }

// Layers that are hostile or odd: each is refused, with a reason, or gives
// what GNU tar gives that applies one layer after the other ("", where only
// its reading is ours), or what want names, where tar would go another way.
func TestLayers(t *testing.T) {
	long := strings.Repeat("long/", 60) + "name"
	has := func(lines ...string) string { return "has\n" + strings.Join(lines, "\n") }
	for name, c := range map[string]struct {
		layers [][]member
		want   string
	}{
		"plain":                   {[][]member{{dir("./"), dir("a/"), file("a/x", "x"), {name: "a/run", text: "#!", mode: 0o755, uid: 7, gid: 8}}}, ""},
		"root with a mode":        {[][]member{{{name: "./", kind: tar.TypeDir, mode: 0o711, uid: 3}, file("x", "")}}, ""},
		"without parents":         {[][]member{{file("a/b/c", "x")}}, ""},
		"absolute names":          {[][]member{{file("/etc/passwd", "x"), hard("/etc/group", "/etc/passwd")}}, ""},
		"long names":              {[][]member{{file(long, "x"), link(strings.Repeat("l", 150), long)}}, ""},
		"odd names":               {[][]member{{file("a b\t'\"\\é", "x"), file("-rf", "y"), file("...", "z")}}, ""},
		"owners":                  {[][]member{{{name: "x", text: "x", uid: 2000000, gid: 4000000}, {name: "d/", kind: tar.TypeDir, uid: 5, gid: 6}, {name: "l", link: "x", kind: tar.TypeSymlink, uid: 9, gid: 9}}}, ""},
		"sticky":                  {[][]member{{{name: "tmp/", kind: tar.TypeDir, mode: 0o1777}}}, ""},
		"unreadable":              {[][]member{{{name: "shadow", text: "x", mode: 0o600}, {name: "no", text: "x", mode: 0o400}, {name: "d/", kind: tar.TypeDir, mode: 0o700}, file("d/x", "y")}}, ""},
		"whiteout":                {[][]member{{file("a/x", "x"), file("a/y", "y")}, {file("a/.wh.x", "")}}, ""},
		"whiteout of a directory": {[][]member{{file("a/b/x", "x"), file("c", "y")}, {file(".wh.a", "")}}, ""},
		"whiteout of a link":      {[][]member{{file("a/x", "x"), link("l", "a")}, {file(".wh.l", "")}}, ""},
		"whiteout of nothing":     {[][]member{{file("x", "x")}, {file(".wh.y", ""), file("gone/.wh.y", "")}}, has(`"/x"`)},
		"whiteout, then again":    {[][]member{{file("x", "old")}, {file(".wh.x", "")}, {file("x", "new")}}, ""},
		"whiteout before its own": {[][]member{{file("d/old", "x")}, {file(".wh.d", ""), dir("d"), file("d/new", "y")}}, ""},
		"whiteout after its own":  {[][]member{{file("d/old", "x")}, {dir("d"), file("d/new", "y"), file(".wh.d", "")}}, ""},
		"opaque":                  {[][]member{{file("d/old", "x"), file("d/e/old", "x")}, {dir("d"), file("d/.wh..wh..opq", ""), file("d/new", "y")}}, ""},
		"opaque at the end":       {[][]member{{file("d/old", "x"), file("d/e/old", "x")}, {dir("d"), file("d/e/new", "y"), file("d/.wh..wh..opq", "")}}, ""},
		"opaque root":             {[][]member{{file("d/old", "x"), file("x", "x")}, {file(".wh..wh..opq", ""), file("new", "y")}}, ""},
		"opaque through a link":   {[][]member{{file("d/old", "x"), link("l", "d")}, {file("l/.wh..wh..opq", "")}}, has(`d 0755 0 0 - "/d"`, `l 0777 0 0 - "/l" "d"`)},
		"aufs":                    {[][]member{{file("x", "x"), dir(".wh..wh.plnk/"), file(".wh..wh.aufs", "")}}, "a whiteout, and is a directory"},
		"aufs file":               {[][]member{{file("x", "x"), file(".wh..wh.aufs", "")}}, ""},
		"hard link":               {[][]member{{file("a", "x"), hard("b", "a")}}, ""},
		"hard link below":         {[][]member{{file("a/x", "x")}, {hard("b", "a/x")}, {file("a/x", "other")}}, ""},
		"hard link to a link":     {[][]member{{file("a", "x"), link("l", "a"), hard("b", "l")}}, ""},
		"hard link to itself":     {[][]member{{file("a", "x")}, {hard("a", "a")}}, has(`"/a"`)},
		"hard link over a dir":    {[][]member{{file("d/x", "x"), file("a", "y")}, {hard("d", "a")}}, ""},
		"file over file":          {[][]member{{{name: "x", text: "old", mode: 0o755, uid: 4}}, {file("x", "new")}}, ""},
		"twice in a layer":        {[][]member{{file("x", "old"), file("x", "new")}}, ""},
		"file over a link":        {[][]member{{file("a", "x"), link("l", "a")}, {file("l", "new")}}, ""},
		"file over a directory":   {[][]member{{file("d/e/x", "x")}, {file("d", "new")}}, ""},
		"directory over a file":   {[][]member{{file("d", "x")}, {dir("d"), file("d/x", "y")}}, ""},
		"directory over a link":   {[][]member{{file("a/x", "x"), link("l", "a")}, {dir("l"), file("l/y", "y")}}, ""},
		"link over a directory":   {[][]member{{file("d/x", "x")}, {link("d", "e")}}, ""},
		"directory again":         {[][]member{{{name: "d/", kind: tar.TypeDir, mode: 0o700, uid: 3}, file("d/x", "x")}, {{name: "d/", kind: tar.TypeDir, mode: 0o755, uid: 9}}}, ""},
		"through a link":          {[][]member{{dir("usr/lib"), link("lib", "usr/lib")}, {file("lib/x", "x")}}, ""},
		"comment":                 {[][]member{{{kind: tar.TypeXGlobalHeader, pax: map[string]string{"comment": "abc"}}, file("x", "x")}}, ""},
		"attributes":              {[][]member{{{name: "x", text: "x", pax: map[string]string{"SCHILY.xattr.user.a": "b"}}}}, ""},

		// Where tar has the host's top, or goes by its time, or leaves modes that a root must not have.
		"set-uid":             {[][]member{{{name: "su", text: "x", mode: 0o4755}, {name: "d/", kind: tar.TypeDir, mode: 0o2755}}}, has(`f 0755`, `d 0755 0 0 - "/d"`)},
		"absolute link":       {[][]member{{dir("opt/real"), link("opt/l", "/opt/real")}, {file("opt/l/x", "x")}}, has(`"/opt/real/x"`)},
		"link out":            {[][]member{{link("l", "../../../../../../tmp/out")}, {file("l/x", "x")}}, has(`"/tmp/out/x"`)},
		"absolute link out":   {[][]member{{link("l", "/nowhere/at/all")}, {file("l/x", "x")}}, has(`"/nowhere/at/all/x"`)},
		"devices below dev":   {[][]member{{{name: "dev/null", kind: tar.TypeChar}, {name: "dev/initctl", kind: tar.TypeFifo}, file("x", "x")}}, has(`"/x"`)},
		"whiteout by a link":  {[][]member{{link("l", "../../.."), file("x", "x")}, {file("l/.wh.x", "")}}, has(`l 0777`)},
		"hard link by a link": {[][]member{{link("l", "/"), file("x", "x")}, {hard("y", "l/x")}}, has(`"/y"`)},

		"dots":                   {[][]member{{file("../x", "x")}}, "leaves the root"},
		"dots in the middle":     {[][]member{{file("a/../../x", "x")}}, "leaves the root"},
		"absolute dots":          {[][]member{{file("/../x", "x")}}, "leaves the root"},
		"line break":             {[][]member{{file("a\nb", "x")}}, "leaves the root"},
		"whiteout of dots":       {[][]member{{file("a/x", "x")}, {file("a/.wh...", "")}}, "a whiteout of \"..\""},
		"whiteout of a dot":      {[][]member{{file("a/x", "x")}, {file("a/.wh..", "")}}, "a whiteout of \".\""},
		"whiteout of no name":    {[][]member{{file("a/x", "x")}, {file("a/.wh.", "")}}, "a whiteout of \"\""},
		"whiteout outside":       {[][]member{{file("../.wh.etc", "")}}, "leaves the root"},
		"in a whiteout":          {[][]member{{file("a/.wh.b/c", "x")}}, "lies in a whiteout"},
		"whiteout directory":     {[][]member{{dir(".wh.a/")}}, "a whiteout, and is a directory"},
		"block device":           {[][]member{{{name: "sda", kind: tar.TypeBlock}}}, "a device or a pipe"},
		"overlay's whiteout":     {[][]member{{file("x", "x")}, {{name: "x", kind: tar.TypeChar}}}, "a device or a pipe"},
		"pipe":                   {[][]member{{{name: "run/pipe", kind: tar.TypeFifo}}}, "a device or a pipe"},
		"devices by a link":      {[][]member{{link("dev", "etc")}, {{name: "etc/x", kind: tar.TypeChar}}}, "a device or a pipe"},
		"hard link out":          {[][]member{{hard("x", "../../etc/passwd")}}, "leaves the root"},
		"hard link to none":      {[][]member{{hard("x", "etc/passwd")}}, "which is no file"},
		"hard link to dir":       {[][]member{{dir("d"), hard("x", "d")}}, "which is no file"},
		"hard link over its own": {[][]member{{file("d/x", "x")}, {hard("d", "d/x")}}, "which is no file"},
		"hard link removed":      {[][]member{{file("a", "x")}, {file(".wh.a", ""), hard("b", "a")}}, "which is no file"},
		"loop":                   {[][]member{{link("a", "b"), link("b", "a")}, {file("a/x", "x")}}, "too many symbolic links"},
		"in a file":              {[][]member{{file("a", "x")}, {file("a/b", "y")}}, "is not a directory"},
		"no root":                {[][]member{{link("./", "etc")}}, "is the root, and no directory"},
		"hard link for the root": {[][]member{{file("x", "x"), hard("./", "x")}}, "which is no file"},
		"empty link":             {[][]member{{link("l", "")}}, "links to"},
		"global header":          {[][]member{{{kind: tar.TypeXGlobalHeader, pax: map[string]string{"path": "../x"}}, file("x", "x")}}, "a global header sets path"},
		"negative owner":         {[][]member{{{name: "x", text: "x", uid: -1}}}, "the owner -1:0"},
	} {
		t.Run(name, func(t *testing.T) {
			var layers [][]byte
			for _, members := range c.layers {
				layers = append(layers, makeTar(t, members...))
			}
			at, manifest, err := unpackLayers(t, layers...)
			lines, expected := strings.CutPrefix(c.want, "has\n")
			if c.want != "" && !expected {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%v, not %q\n%s", err, c.want, manifest)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if wrong, err := rootfs.Verify(t.Context(), at, []byte(manifest)); err != nil || len(wrong) > 0 {
				t.Errorf("%q %v", wrong, err)
			}
			if expected {
				for line := range strings.Lines(lines) {
					if !strings.Contains(manifest, strings.TrimSpace(line)) {
						t.Errorf("no %q in\n%s", line, manifest)
					}
				}
				return
			}
			if runtime.GOOS != "linux" || os.Getuid() != 0 {
				t.Skip("the reference is GNU tar as root")
			}
			if out, err := exec.CommandContext(t.Context(), "tar", "--version").Output(); err != nil || !bytes.Contains(out, []byte("GNU tar")) {
				t.Skip("no GNU tar")
			}
			want, err := reference(t, layers...)
			if err != nil {
				t.Fatal(err)
			}
			_, body, _ := strings.Cut(manifest, "\n")
			if got := sorted(strings.Split(strings.TrimSpace(body), "\n")); got != want {
				t.Errorf("unpacked\n%s\nand tar has\n%s", got, want)
			}
		})
	}
}

// What can only be written by hand: bombs, damage, and lies about contents.
func TestDamagedLayers(t *testing.T) {
	good := makeTar(t, file("x", "x"))
	sumOf := func(data []byte) string {
		sum := sha256.Sum256(data)
		return hex.EncodeToString(sum[:])
	}
	other := makeTar(t, file("x", "0"))
	bomb := gzipped(t, make([]byte, freeData+1<<20))
	big := makeTar(t, member{name: "zeros", text: strings.Repeat("\x00", 1<<20)})
	copy(big[124:136], "77777777777\x00") // its header says 8 GiB
	checksum(big)
	for name, c := range map[string]struct {
		data []byte
		kind types.MediaType
		sum  string
		want string
	}{
		"another sum":        {good, types.OCIUncompressedLayer, sumOf(other), "and the configuration says"},
		"cut short":          {good[:512], types.OCIUncompressedLayer, sumOf(good[:512]), "unexpected EOF"},
		"no tar":             {bytes.Repeat([]byte("x"), 1024), types.OCIUncompressedLayer, "", "invalid tar header"},
		"gzip as tar":        {gzipped(t, good), types.OCIUncompressedLayer, sumOf(good), "its compression is \"gzip\""},
		"tar as gzip":        {good, types.OCILayer, sumOf(good), "its compression is \"\""},
		"zstd as gzip":       {zstded(t, good), types.OCILayer, sumOf(good), "its compression is \"zstd\""},
		"no layer":           {good, "application/json", sumOf(good), "is no type of a layer"},
		"gzip cut":           {gzipped(t, good)[:40], types.OCILayer, sumOf(good), "unexpected EOF"},
		"gzip with a tail":   {append(gzipped(t, good), "a tail that is none"...), types.OCILayer, sumOf(good), "gzip: invalid header"},
		"bomb after the end": {bomb, types.OCILayer, "", "unpacks to more than"},
		"a size that is not": {big, types.OCIUncompressedLayer, "", "unpacks to more than"},
	} {
		t.Run(name, func(t *testing.T) {
			tree, err := rootfs.New(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer tree.Close()
			err = unpackLayer(t.Context(), tree, bytes.NewReader(c.data), int64(len(c.data)), c.kind, c.sum)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, not %q", err, c.want)
			}
		})
	}
	for kind, data := range map[types.MediaType][]byte{types.OCILayer: gzipped(t, good), types.OCILayerZStd: zstded(t, good), types.DockerLayer: gzipped(t, good)} {
		tree, err := rootfs.New(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if err := unpackLayer(t.Context(), tree, bytes.NewReader(data), int64(len(data)), kind, sumOf(good)); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		tree.Close()
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	tree, err := rootfs.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	if err := unpackLayer(ctx, tree, bytes.NewReader(good), int64(len(good)), types.OCIUncompressedLayer, sumOf(good)); err == nil {
		t.Error("went on")
	}
}

// checksum mends that of a tar's first header.
func checksum(data []byte) {
	copy(data[148:156], "        ")
	sum := 0
	for _, b := range data[:512] {
		sum += int(b)
	}
	copy(data[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

func FuzzUnpackLayer(f *testing.F) {
	f.Add(makeTar(f, file("a/x", "x"), link("l", "a"), hard("y", "l/x")), makeTar(f, file("l/.wh.x", ""), file("a/.wh..wh..opq", ""), dir("l")))
	f.Add(makeTar(f, file("a", "x")), makeTar(f, file("../x", "y")))
	f.Fuzz(func(t *testing.T, one, two []byte) {
		dir := t.TempDir()
		root := filepath.Join(dir, "root")
		if err := os.Mkdir(root, 0o755); err != nil {
			t.Fatal(err)
		}
		tree, err := rootfs.New(root)
		if err != nil {
			t.Fatal(err)
		}
		defer tree.Close()
		for _, l := range [][]byte{one, two} {
			sum := sha256.Sum256(l)
			if err = unpackLayer(t.Context(), tree, bytes.NewReader(l), 1, types.OCIUncompressedLayer, hex.EncodeToString(sum[:])); err != nil {
				break // what is there then is thrown away
			}
		}
		if err == nil {
			if err := tree.Finish(); err != nil {
				t.Fatal(err)
			}
			if wrong, err := rootfs.Verify(t.Context(), root, tree.Manifest()); err != nil || len(wrong) > 0 {
				t.Errorf("%q %v", wrong, err)
			}
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
			t.Errorf("beside the root: %v %v", left, err)
		}
	})
}
