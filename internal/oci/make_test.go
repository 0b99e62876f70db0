package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"github.com/truewheel/truewheel/internal/store"
)

// member of a layer that a test makes; the zero kind is a regular file.
type member struct {
	name, text, link string
	kind             byte
	mode             int64
	uid, gid         int
	pax              map[string]string
}

func makeTar(t testing.TB, members ...member) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Typeflag: m.kind, Mode: m.mode, Linkname: m.link, Uid: m.uid, Gid: m.gid, PAXRecords: m.pax, ModTime: time.Unix(0, 0)}
		if h.Mode == 0 {
			h.Mode = 0o644
			if m.kind == tar.TypeDir {
				h.Mode = 0o755
			}
		}
		if m.kind == tar.TypeXGlobalHeader {
			h = &tar.Header{Typeflag: m.kind, PAXRecords: m.pax}
		}
		if m.kind == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(m.text))
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(m.text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstded(t testing.TB, data []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(data, nil)
}

// image is what a test publishes, one part at a time, so that it can lie.
type image struct {
	blobs    map[string][]byte // by digest
	manifest v1.Manifest
	config   v1.ConfigFile
	kind     types.MediaType
}

func describe(data []byte, kind types.MediaType) v1.Descriptor {
	h, n, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		panic(err) // of memory
	}
	return v1.Descriptor{MediaType: kind, Size: n, Digest: h}
}

// newImage makes an image of uncompressed layers.
func newImage(t testing.TB, layers ...[]byte) *image {
	t.Helper()
	i := &image{blobs: map[string][]byte{}, kind: types.OCIManifestSchema1}
	i.config = v1.ConfigFile{Architecture: "amd64", OS: "linux", RootFS: v1.RootFS{Type: "layers"}}
	i.config.Config.Env = []string{"PATH=/opt/tool/bin:/usr/bin", "AUDITWHEEL_PLAT=manylinux_2_28_x86_64", "bad name=x"}
	for _, l := range layers {
		i.add(l, describe(l, types.OCIUncompressedLayer), l)
	}
	return i
}

// add appends a layer: its blob, how it is described, and what it unpacks to.
func (i *image) add(blob []byte, d v1.Descriptor, contents []byte) {
	i.blobs[describe(blob, "").Digest.Hex] = blob
	i.manifest.Layers = append(i.manifest.Layers, d)
	i.config.RootFS.DiffIDs = append(i.config.RootFS.DiffIDs, describe(contents, "").Digest)
}

// raw is the manifest, with the configuration among the blobs.
func (i *image) raw(t testing.TB) []byte {
	t.Helper()
	config, err := json.Marshal(i.config)
	if err != nil {
		t.Fatal(err)
	}
	if i.manifest.Config.Size == 0 {
		i.manifest.Config = describe(config, types.OCIConfigJSON)
	}
	i.blobs[describe(config, "").Digest.Hex] = config
	i.manifest.SchemaVersion, i.manifest.MediaType = 2, i.kind
	data, err := json.Marshal(i.manifest)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// writeLayout writes an OCI layout with these images, each under a tag.
func writeLayout(t testing.TB, dir string, tagged map[string]*image) {
	t.Helper()
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex}
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name string, data []byte) {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tag := range slices.Sorted(maps.Keys(tagged)) {
		i := tagged[tag]
		raw := i.raw(t)
		d := describe(raw, i.kind)
		d.Annotations = map[string]string{"org.opencontainers.image.ref.name": tag}
		index.Manifests = append(index.Manifests, d)
		write(filepath.Join(blobs, d.Digest.Hex), raw)
		for sum, data := range i.blobs {
			write(filepath.Join(blobs, sum), data)
		}
	}
	data, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	write(filepath.Join(dir, "index.json"), data)
	write(filepath.Join(dir, "oci-layout"), []byte(`{"imageLayoutVersion":"1.0.0"}`))
}

// layoutOf is a reference to a layout with one image.
func layoutOf(t testing.TB, i *image) Reference {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "demo")
	writeLayout(t, dir, map[string]*image{"one": i})
	r, err := ParseReference("oci:" + dir + ":one")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newFetcher(t testing.TB, environ ...string) *Fetcher {
	t.Helper()
	st, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return &Fetcher{Store: st, Environ: append([]string{"HOME=" + t.TempDir()}, environ...)}
}

// serve starts a registry and gives its host.
func serve(t testing.TB) string {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(discard)))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func serveFunc(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}
