package oci

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/truewheel/truewheel/internal/rootfs"
)

var discard = log.New(io.Discard, "", 0)

// push puts an image into a registry that the test serves, as it is.
func (i *image) push(t testing.TB, host, repo, tag string) string {
	t.Helper()
	raw := i.raw(t)
	for _, data := range i.blobs {
		upload(t, http.MethodPost, fmt.Sprintf("http://%s/v2/%s/blobs/uploads/?digest=%s", host, repo, digestOf(data)), "application/octet-stream", data)
	}
	upload(t, http.MethodPut, fmt.Sprintf("http://%s/v2/%s/manifests/%s", host, repo, tag), string(i.kind), raw)
	return digestOf(raw)
}

func upload(t testing.TB, method, url, kind string, data []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", kind)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("%s %s: %s", method, url, resp.Status)
	}
}

func mustParse(t testing.TB, s string) Reference {
	t.Helper()
	r, err := ParseReference(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// rootOf unpacks an image and gives its manifest.
func rootOf(t testing.TB, i *Image) string {
	t.Helper()
	m, err := i.Unpack(t.Context(), t.TempDir(), "build:x:1:1::/:/bin/sh\n", "build:x:1:\n")
	if err != nil {
		t.Fatal(err)
	}
	return string(m)
}

// The same image from a registry, a layout and an archive has the same root;
// from a registry a tag leads to a digest, which needs no registry any more.
func TestResolve(t *testing.T) {
	base, top := makeTar(t, dir("etc"), file("etc/passwd", "root:x:0:0::/:/bin/sh"), file("old", "x")), makeTar(t, file(".wh.old", ""), file("new", "y"))
	make := func(architecture string) *image {
		i := newImage(t)
		i.config.Architecture = architecture
		z := gzipped(t, base)
		i.add(z, describe(z, types.OCILayer), base)
		z = zstded(t, top)
		i.add(z, describe(z, types.OCILayerZStd), top)
		return i
	}
	host := serve(t)
	arm, amd := make("arm64"), make("amd64")
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	for _, i := range []*image{arm, amd} {
		i.push(t, host, "org/demo", i.config.Architecture)
		d := describe(i.raw(t), i.kind)
		d.Platform = &v1.Platform{OS: "linux", Architecture: i.config.Architecture}
		index.Manifests = append(index.Manifests, d)
	}
	list, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	upload(t, http.MethodPut, "http://"+host+"/v2/org/demo/manifests/v1", string(types.OCIImageIndex), list)

	f := newFetcher(t)
	i, err := f.Resolve(t.Context(), mustParse(t, "docker://"+host+"/org/demo:v1"), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	if want := digestOf(amd.raw(t)); i.Digest != want || i.Name != "org/demo" || len(i.Blobs()) != 4 {
		t.Errorf("%s, not %s; %s %v", i.Digest, want, i.Name, i.Blobs())
	}
	if e := i.Env(); e["PATH"] != "/opt/tool/bin:/usr/bin" || len(e) != 2 {
		t.Errorf("%v", e)
	}
	root := rootOf(t, i)
	for _, want := range []string{`"/new"`, `"/etc/passwd"`, `"/etc/group"`} {
		if !strings.Contains(root, want) {
			t.Errorf("no %s in\n%s", want, root)
		}
	}
	if strings.Contains(root, `"/old"`) {
		t.Error(root)
	}

	// By its digest, offline, from the store.
	f.Offline = true
	again, err := f.Resolve(t.Context(), mustParse(t, "org/demo@"+i.Digest), "amd64")
	if err != nil || rootOf(t, again) != root {
		t.Errorf("offline: %v", err)
	}
	if _, err := f.Resolve(t.Context(), mustParse(t, host+"/org/demo:v1"), "amd64"); err == nil || !strings.Contains(err.Error(), "offline") {
		t.Errorf("a tag offline: %v", err)
	}
	if _, err := f.Resolve(t.Context(), mustParse(t, "org/demo@"+i.Digest), "arm64"); err == nil || !strings.Contains(err.Error(), "is of linux/amd64, not linux/arm64") {
		t.Errorf("another architecture: %v", err)
	}

	// A short name, looked up where registries.conf says.
	conf := filepath.Join(t.TempDir(), "registries.conf")
	for text, want := range map[string]string{
		"": "registries.conf has no unqualified-search-registries",
		"unqualified-search-registries = [\"127.0.0.1:1\", \"" + host + "\"]\n": "",
		"[aliases]\n\"demo\" = \"" + host + "/org/demo\"\n":                     "",
		"[aliases]\n\"demo\" = \"nohost\"\n":                                    "which names no registry",
		"unqualified":                                                           "registries.conf",
	} {
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		short := "org/demo:v1"
		if strings.Contains(text, "aliases") {
			short = "demo:v1"
		}
		i, err := newFetcher(t, "CONTAINERS_REGISTRIES_CONF="+conf).Resolve(t.Context(), mustParse(t, short), "arm64")
		switch {
		case want == "" && (err != nil || i.Digest != digestOf(arm.raw(t))):
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, not %q", text, err, want)
		}
	}

	// A layout with two tags.
	layouts := filepath.Join(t.TempDir(), "Demo_x")
	writeLayout(t, layouts, map[string]*image{"one": amd, "two": arm})
	i, err = newFetcher(t).Resolve(t.Context(), mustParse(t, "oci:"+layouts+":one"), "amd64")
	if err != nil || i.Digest != digestOf(amd.raw(t)) || i.Name != "demo-x" || rootOf(t, i) != root {
		t.Errorf("layout: %v", err)
	}
	if _, err = newFetcher(t).Resolve(t.Context(), mustParse(t, "oci:"+layouts+"@"+digestOf(arm.raw(t))), "arm64"); err != nil {
		t.Error(err)
	}
	if _, err = newFetcher(t).Resolve(t.Context(), mustParse(t, "oci:"+layouts+":three"), "amd64"); err == nil || !strings.Contains(err.Error(), `no tag "three" (one, two)`) {
		t.Error(err)
	}

	// An archive: its manifest is made of it, the same each time.
	config, err := json.Marshal(amd.config)
	if err != nil {
		t.Fatal(err)
	}
	members := []member{
		file("abc/layer.tar", string(base)), link("def/layer.tar", "../abc/layer.tar"), file("top.tar", string(gzipped(t, top))), file("c.json", string(config)),
		file("manifest.json", `[{"Config":"c.json","RepoTags":["org/demo:v1"],"Layers":["def/layer.tar","top.tar"]}]`),
	}
	saved := filepath.Join(t.TempDir(), "demo.tar")
	digest := ""
	for _, data := range [][]byte{makeTar(t, members...), gzipped(t, makeTar(t, members...))} {
		if err := os.WriteFile(saved, data, 0o644); err != nil {
			t.Fatal(err)
		}
		i, err = newFetcher(t).Resolve(t.Context(), mustParse(t, "docker-archive:"+saved+":org/demo:v1"), "amd64")
		if err != nil {
			t.Fatal(err)
		}
		if rootOf(t, i) != root || digest != "" && i.Digest != digest {
			t.Errorf("archive: %s %s", i.Digest, digest)
		}
		digest = i.Digest
	}
	if _, err = newFetcher(t).Resolve(t.Context(), mustParse(t, "docker-archive:"+saved+":other:v1"), "amd64"); err == nil || !strings.Contains(err.Error(), "(org/demo:v1)") {
		t.Error(err)
	}
}

// An image that lies gives an error that says how, and no root.
func TestHostileImages(t *testing.T) {
	layer := makeTar(t, file("x", "x"))
	d := describe(layer, types.OCIUncompressedLayer)
	other := describe([]byte("other"), types.OCIUncompressedLayer)
	for name, c := range map[string]struct {
		make func() *image
		want string
	}{
		"digest of a layer": {func() *image {
			i := newImage(t)
			i.add(layer, d, layer)
			i.blobs[d.Digest.Hex] = []byte(strings.Repeat("y", len(layer)))
			return i
		}, "sha256 is"},
		"size of a layer": {func() *image { i := newImage(t); l := d; l.Size++; i.add(layer, l, layer); return i }, "bytes less than the manifest says"},
		"larger layer":    {func() *image { i := newImage(t); l := d; l.Size--; i.add(layer, l, layer); return i }, "more bytes than the manifest says"},
		"no such layer":   {func() *image { i := newImage(t); i.add(layer, other, layer); return i }, "layer 1"},
		"huge layer":      {func() *image { i := newImage(t); l := d; l.Size = 1 << 50; i.add(layer, l, layer); return i }, "at most"},
		"no size":         {func() *image { i := newImage(t); l := d; l.Size = 0; i.add(layer, l, layer); return i }, "has the size 0"},
		"algorithm":       {func() *image { i := newImage(t); l := d; l.Digest.Algorithm = "sha1"; i.add(layer, l, layer); return i }, "sha1"},
		"type of a layer": {func() *image { i := newImage(t); l := d; l.MediaType = "text/html"; i.add(layer, l, layer); return i }, "is no type of a layer"},
		"diff id":         {func() *image { i := newImage(t); i.add(layer, d, []byte("other")); return i }, "and the configuration says"},
		"fewer layers": {func() *image {
			i := newImage(t, layer)
			i.config.RootFS.DiffIDs = append(i.config.RootFS.DiffIDs, d.Digest)
			return i
		}, "its configuration has 2 layers, and its manifest 1"},
		"no layers":    {func() *image { return newImage(t) }, "it has 0 layers"},
		"many layers":  {func() *image { return newImage(t, make([][]byte, maxLayers+1)...) }, "layers; up to"},
		"root type":    {func() *image { i := newImage(t, layer); i.config.RootFS.Type = "tree"; return i }, "a root of type \"tree\""},
		"architecture": {func() *image { i := newImage(t, layer); i.config.Architecture = "arm64"; return i }, "is of linux/arm64, not linux/amd64"},
		"system":       {func() *image { i := newImage(t, layer); i.config.OS = "windows"; return i }, "is of windows/amd64"},
		"configuration's digest": {func() *image {
			i := newImage(t, layer)
			i.raw(t)
			i.blobs[i.manifest.Config.Digest.Hex] = bytes.Repeat([]byte("{"), int(i.manifest.Config.Size))
			i.config.Author = "another"
			return i
		}, "its configuration"},
		"configuration's type": {func() *image {
			i := newImage(t, layer)
			i.raw(t)
			i.manifest.Config.MediaType = "application/x"
			return i
		}, "it is no image"},
		"foreign layer": {func() *image {
			i := newImage(t)
			l := describe(layer, types.OCIUncompressedRestrictedLayer)
			l.URLs = []string{"http://127.0.0.1:1/layer"}
			i.add(layer, l, layer)
			delete(i.blobs, l.Digest.Hex)
			return i
		}, "layer 1"},
		"type of the manifest": {func() *image { i := newImage(t, layer); i.kind = types.OCIImageIndex; return i }, "not what it holds"},
		"schema 1":             {func() *image { i := newImage(t, layer); i.kind = types.DockerManifestSchema1; return i }, "not what it holds, or not known"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFetcher(t)
			ref := layoutOf(t, c.make())
			i, err := f.Resolve(t.Context(), ref, "amd64")
			if err == nil {
				_, err = i.Unpack(t.Context(), t.TempDir(), "", "")
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, not %q", err, c.want)
			}
			if left, err := os.ReadDir(filepath.Join(f.Store.Dir(), "tmp")); err != nil || len(left) > 0 {
				t.Errorf("left: %v %v", left, err)
			}
		})
	}
}

// A registry that answers with something else than was asked for.
func TestLyingRegistry(t *testing.T) {
	host := serve(t)
	good := newImage(t, makeTar(t, file("x", "x")))
	digest := good.push(t, host, "demo", "v1")
	bad := newImage(t, makeTar(t, file("x", "y")))
	raw := bad.raw(t)
	proxy := serveFunc(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
		_, _ = w.Write(raw)
	})
	if _, err := newFetcher(t).Resolve(t.Context(), mustParse(t, proxy+"/demo@"+digest), "amd64"); err == nil {
		t.Error("another manifest for a digest")
	}
	if _, err := newFetcher(t).Resolve(t.Context(), mustParse(t, host+"/demo:none"), "amd64"); err == nil || !strings.Contains(err.Error(), "MANIFEST_UNKNOWN") {
		t.Errorf("a tag that is not there: %v", err)
	}
	both := []byte(`{"schemaVersion":2,"manifests":[],"layers":[],"config":{}}`)
	if _, _, err := parseManifest(both, ""); err == nil || !strings.Contains(err.Error(), "at once") {
		t.Error(err)
	}
}

func TestParseReference(t *testing.T) {
	for s, want := range map[string]Reference{
		"docker://example.com/a/b:v1":   {Transport: Registry, Host: "example.com", Name: "a/b", Tag: "v1"},
		"example.com/a":                 {Transport: Registry, Host: "example.com", Name: "a", Tag: "latest"},
		"127.0.0.1:5000/a/b":            {Transport: Registry, Host: "127.0.0.1:5000", Name: "a/b", Tag: "latest"},
		"[::1]:5000/a":                  {Transport: Registry, Host: "[::1]:5000", Name: "a", Tag: "latest"},
		"localhost/a":                   {Transport: Registry, Host: "localhost", Name: "a", Tag: "latest"},
		"pypa/manylinux_2_28_x86_64":    {Transport: Registry, Name: "pypa/manylinux_2_28_x86_64", Tag: "latest"},
		"a@sha256:" + repeat("0", 64):   {Transport: Registry, Name: "a", Digest: "sha256:" + repeat("0", 64)},
		"a:t@sha256:" + repeat("0", 64): {Transport: Registry, Name: "a", Tag: "t", Digest: "sha256:" + repeat("0", 64)},
		"oci:/x/Dir":                    {Transport: Layout, Path: "/x/Dir", Name: "dir"},
		"oci:dir:tag":                   {Transport: Layout, Path: "dir", Tag: "tag", Name: "dir"},
		`oci:C:\dir`:                    {Transport: Layout, Path: `C:\dir`, Name: filepathName(`C:\dir`)},
		"docker-archive:f.tar":          {Transport: Archive, Path: "f.tar", Name: "f"},
		"docker-archive:f.tar:a/b:v1":   {Transport: Archive, Path: "f.tar", Tag: "a/b:v1", Name: "f"},
	} {
		got, err := ParseReference(s)
		if err != nil || got != want {
			t.Errorf("%s: %+v %v", s, got, err)
		}
	}
	for _, s := range []string{
		"", "docker://", "A/b", "example.com/", "example.com/a:", "example.com/a:b c", "a@sha256:12", "oci:", "docker-archive:", "docker-archive:f.tar:",
		"http://example.com/a", "a b", "-a", "ex_ample.com/a", "docker-archive:f@sha256:" + repeat("0", 64), "a/../b", repeat("a", 300),
	} {
		if r, err := ParseReference(s); err == nil {
			t.Errorf("%q: %+v", s, r)
		}
	}
}

func repeat(s string, n int) string { return strings.Repeat(s, n) }

// filepathName is the name of a layout whose path is of another system.
func filepathName(path string) string {
	return strings.Trim(unnamed.ReplaceAllString(strings.ToLower(filepath.Base(path)), "-"), "-")
}

func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"docker://example.com/a/b:v1", "oci:dir:tag", "docker-archive:f.tar:a:v1", "a:t@sha256:" + repeat("0", 64)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseReference(s)
		if err != nil {
			return
		}
		if !IsName(r.Name) {
			t.Errorf("%q has the name %q", s, r.Name)
		}
		if r.Transport == Registry && r.Host != "" {
			// What we accept, the library does too, and means the same host by it.
			repo, err := name.NewRepository(r.Host+"/"+r.Name, name.StrictValidation)
			if err == nil && (repo.RegistryStr() != r.Host || repo.RepositoryStr() != r.Name) {
				t.Errorf("%q: %s %s", s, repo.RegistryStr(), repo.RepositoryStr())
			}
		}
		if again, err := ParseReference(r.String()); r.Transport == Registry && (err != nil || again != r) {
			t.Errorf("%q: %+v %+v %v", s, r, again, err)
		}
	})
}

// A root laid out as manylinux does.
func TestPythons(t *testing.T) {
	header := func(v string) string { return "/* */\n#define PY_VERSION      \t\"" + v + "\"\n" }
	exe := func(name string) member { return member{name: name, text: "elf", mode: 0o755} }
	at, manifest, err := unpackLayers(t, makeTar(t,
		exe("opt/_internal/cpython-3.11.9/bin/python3.11"), link("opt/_internal/cpython-3.11.9/bin/python", "python3.11"),
		file("opt/_internal/cpython-3.11.9/include/python3.11/patchlevel.h", header("3.11.9")), link("opt/python/cp311-cp311", "/opt/_internal/cpython-3.11.9"),
		exe("opt/_internal/cpython-3.13.1-nogil/bin/python3.13t"), link("opt/_internal/cpython-3.13.1-nogil/bin/python", "python3.13t"),
		file("opt/_internal/cpython-3.13.1-nogil/include/python3.13t/patchlevel.h", header("3.13.1")), link("opt/python/cp313-cp313t", "/opt/_internal/cpython-3.13.1-nogil"),
		link("opt/python/pp310-pypy310_pp73", "/opt/_internal/pypy"), link("opt/python/cp39-cp39", "/opt/_internal/gone"),
		exe("usr/bin/python3.6"), exe("usr/local/bin/python3.12"), file("usr/local/include/python3.12/patchlevel.h", header("3.12.0rc1")), link("usr/local/bin/python3.11", "/opt/python/cp311-cp311/bin/python"),
		file("lib64/libc-2.28.so", "GNU C Library (GNU libc) stable release version 2.28.\n"), link("lib64/libc.so.6", "libc-2.28.so"),
		file("opt/rh/gcc-toolset-14/root/x", ""), dir("usr/lib/gcc/x86_64-redhat-linux/8"),
	))
	if err != nil {
		t.Fatal(err)
	}
	tree, err := rootfs.Open(at, []byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	defer tree.Close()
	pythons, err := Pythons(tree)
	if err != nil || len(pythons) != 3 {
		t.Fatalf("%+v %v", pythons, err)
	}
	for tag, want := range map[string]string{"cp311": "3.11.9", "cp313t": "3.13.1", "": "3.12.0rc1", "/opt/python/cp311-cp311/bin/python": "3.11.9"} {
		if p, err := Choose(pythons, tag); err != nil || p.Version != want {
			t.Errorf("%s: %+v %v", tag, p, err)
		}
	}
	if p := pythons[0]; p.Path != "/opt/python/cp311-cp311/bin/python" || p.Real != "/opt/_internal/cpython-3.11.9/bin/python3.11" {
		t.Errorf("%+v", p)
	}
	if _, err := Choose(pythons, "cp39"); err == nil || !strings.Contains(err.Error(), "cp311, cp313t, cp312") {
		t.Error(err)
	}
	if kind, version, err := Libc(tree); kind != "glibc" || version != "2.28" || err != nil {
		t.Errorf("%s %s %v", kind, version, err)
	}
	if c := Compiler(tree); c != "gcc 14" {
		t.Error(c)
	}
	at, manifest, err = unpackLayers(t, makeTar(t, file("lib/ld-musl-x86_64.so.1", "\x7fELF\x001.2.5\x00more")))
	if err != nil {
		t.Fatal(err)
	}
	musl, err := rootfs.Open(at, []byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	defer musl.Close()
	if kind, version, err := Libc(musl); kind != "musl" || version != "1.2" || err != nil {
		t.Errorf("%s %s %v", kind, version, err)
	}
}
