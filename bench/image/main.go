// Image makes a container image of an unpacked root directory, and serves it,
// for bench/oci.sh.
//
//	image make ROOT DIRECTORY   # DIRECTORY/layout, DIRECTORY/archive.tar
//	image serve LAYOUT FILE     # a registry with the image demo/native:v1; its host is written to FILE
//
// The image has two layers: the root, and its Python moved to where manylinux
// images have theirs, with whiteouts of the old one.
package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/truewheel/truewheel/internal/rootfs"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("image make ROOT DIRECTORY | image serve LAYOUT FILE")
	}
	do := map[string]func(string, string) error{"make": build, "serve": serve}[os.Args[1]]
	if do == nil {
		log.Fatalf("image %s: not known", os.Args[1])
	}
	if err := do(os.Args[2], os.Args[3]); err != nil {
		log.Fatal(err)
	}
}

// build writes an image of a root that truewheel has unpacked.
func build(root, to string) error {
	manifest, err := os.ReadFile(filepath.Join(filepath.Dir(root), "manifest"))
	if err != nil {
		return err
	}
	t, err := rootfs.Open(root, manifest)
	if err != nil {
		return err
	}
	defer t.Close()
	var all, moved bytes.Buffer
	if err := writeRoot(t, &all); err != nil {
		return err
	}
	if err := writePython(t, &moved); err != nil {
		return err
	}
	image, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		Architecture: runtime.GOARCH, OS: "linux", RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{Env: []string{"PATH=/opt/tools/bin:/usr/local/bin:/usr/bin:/bin", "DEMO=from the image"}, User: "nobody", WorkingDir: "/nowhere"},
	})
	if err != nil {
		return err
	}
	for _, data := range [][]byte{all.Bytes(), moved.Bytes()} {
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
		if err != nil {
			return err
		}
		if image, err = mutate.AppendLayers(image, layer); err != nil {
			return err
		}
	}
	at, err := layout.Write(filepath.Join(to, "layout"), empty.Index)
	if err != nil {
		return err
	}
	if err := at.AppendImage(image); err != nil {
		return err
	}
	tag, err := name.NewTag("demo/native:v1")
	if err != nil {
		return err
	}
	return tarball.WriteToFile(filepath.Join(to, "archive.tar"), tag, image)
}

// add writes a file of the root under another name.
func add(w *tar.Writer, t *rootfs.Tree, at, as string) error {
	n := t.Get(at)
	h := &tar.Header{Name: as, Mode: int64(n.Mode), Uid: n.UID, Gid: n.GID, Format: tar.FormatPAX}
	switch n.Kind {
	case rootfs.Dir:
		h.Typeflag, h.Name = tar.TypeDir, as+"/"
	case rootfs.Link:
		h.Typeflag, h.Linkname = tar.TypeSymlink, n.Target
	default:
		h.Typeflag, h.Size = tar.TypeReg, n.Size
	}
	if err := w.WriteHeader(h); err != nil || n.Kind != rootfs.File {
		return err
	}
	f, err := t.Open(at)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

func writeRoot(t *rootfs.Tree, to io.Writer) error {
	w := tar.NewWriter(to)
	for _, at := range t.Paths() {
		if at == "" {
			continue
		}
		if err := add(w, t, at, at); err != nil {
			return err
		}
	}
	return w.Close()
}

func writePython(t *rootfs.Tree, to io.Writer) error {
	real, n := t.Real("usr/bin/python3")
	if n == nil {
		return fmt.Errorf("the root has no python3")
	}
	base := path.Base(real) // python3.11
	tag := "cp" + strings.ReplaceAll(strings.TrimPrefix(base, "python"), ".", "")
	home := "opt/_internal/c" + base
	w := tar.NewWriter(to)
	link := func(name, target string) error {
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target, Mode: 0o777})
	}
	if err := add(w, t, real, home+"/bin/"+base); err != nil {
		return err
	}
	for _, dir := range []string{"lib", "include"} {
		for _, at := range t.Paths() {
			if rest, ok := strings.CutPrefix(at, "usr/"+dir+"/"+base+"/"); ok {
				if err := add(w, t, at, path.Join(home, dir, base, rest)); err != nil {
					return err
				}
			}
		}
	}
	if err := link(home+"/bin/python", base); err != nil {
		return err
	}
	if err := link("opt/python/"+tag+"-"+tag, "/"+home); err != nil {
		return err
	}
	for _, gone := range []string{"usr/bin/.wh.python3", "usr/bin/.wh." + base, "usr/lib/.wh." + base} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: gone, Mode: 0o644}); err != nil {
			return err
		}
	}
	return w.Close()
}

// serve runs a registry until it is killed.
func serve(from, file string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	index, err := layout.ImageIndexFromPath(from)
	if err != nil {
		return err
	}
	list, err := index.IndexManifest()
	if err != nil {
		return err
	}
	image, err := index.Image(list.Manifests[0].Digest)
	if err != nil {
		return err
	}
	done := make(chan error)
	go func() { done <- http.Serve(l, registry.New(registry.Logger(log.New(io.Discard, "", 0)))) }()
	tag, err := name.NewTag(l.Addr().String() + "/demo/native:v1")
	if err != nil {
		return err
	}
	if err := remote.Write(tag, image); err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", []byte(l.Addr().String()), fs.FileMode(0o644)); err != nil {
		return err
	}
	if err := os.Rename(file+".new", file); err != nil {
		return err
	}
	return <-done
}
