// Package oci brings container images here and unpacks them into root
// directories, without a container engine.
//
// An image is a manifest by digest, a configuration and layers. Every one of
// them is kept in the store only when it has the digest and the size that
// names it. An image counts when its manifest is of a kind that is known, its
// configuration is of the architecture that was asked for and names as many
// layers as the manifest has, and each layer unpacks to what the
// configuration says by sha256.
//
// [Unpack] applies layers in their order, as the OCI image specification has
// it: see there what is refused. User, working directory, entry point,
// volumes and labels of an image are ignored; its variables are not
// ([Image.Env]).
package oci

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sync/errgroup"

	"github.com/truewheel/truewheel/internal/index"
	"github.com/truewheel/truewheel/internal/store"
)

// Limits of what an image may be.
const (
	maxManifest = 4 << 20
	maxConfig   = 8 << 20
	maxLayers   = 256
	maxBlob     = 16 << 30
	maxDepth    = 4 // indexes of indexes
)

// Machines are the names that wheels' tags have for the architectures of images.
var Machines = map[string]string{
	"amd64": "x86_64", "arm64": "aarch64", "386": "i686", "arm": "armv7l", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64",
}

// Machine is the architecture of this machine, as images name it.
func Machine() string { return runtime.GOARCH }

// Fetcher brings images into the store. It is safe for concurrent use.
type Fetcher struct {
	Store   *store.Store
	Offline bool
	Environ []string // says where registries.conf lies
}

// Image is one of one architecture, all of whose parts are in the store.
type Image struct {
	Name         string // without the registry's host
	Digest       string // of the manifest, "sha256:…"
	Architecture string
	manifest     *v1.Manifest
	config       *v1.ConfigFile
	store        *store.Store
}

// Blobs are the sha256 of everything the image is made of, manifest first.
func (i *Image) Blobs() []string {
	out := []string{hexOf(i.Digest), i.manifest.Config.Digest.Hex}
	for _, l := range i.manifest.Layers {
		out = append(out, l.Digest.Hex)
	}
	return out
}

// Env are the variables that the image's configuration sets, by name.
func (i *Image) Env() map[string]string {
	out := map[string]string{}
	for _, kv := range i.config.Config.Env {
		if k, v, ok := strings.Cut(kv, "="); ok && variable.MatchString(k) && !strings.ContainsRune(v, 0) {
			out[k] = v
		}
	}
	return out
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func hexOf(digest string) string { return strings.TrimPrefix(digest, "sha256:") }

// source is where an image lies.
type source interface {
	// manifest is that of a tag, of a digest "sha256:…", or ("") the only one.
	manifest(ctx context.Context, id string) (data []byte, kind types.MediaType, err error)
	blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error)
}

// Resolve brings the image that ref names, for an architecture, into the
// store: a tag is asked for once, and the image has a digest from then on.
func (f *Fetcher) Resolve(ctx context.Context, ref Reference, architecture string) (*Image, error) {
	if ref.Digest != "" {
		if i, err := f.kept(ref.Name, ref.Digest, architecture); i != nil || err != nil {
			return i, err
		}
	}
	sources, err := f.open(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", ref, err)
	}
	var errs []error
	for _, s := range sources {
		var i *Image
		if i, err = f.resolve(ctx, s, ref, architecture); err == nil {
			return i, nil
		}
		if errs = append(errs, err); ctx.Err() != nil {
			break
		}
	}
	return nil, fmt.Errorf("image %s: %w", ref, errors.Join(errs...))
}

func (f *Fetcher) resolve(ctx context.Context, s source, ref Reference, architecture string) (*Image, error) {
	id := ref.Tag
	if ref.Digest != "" {
		id = ref.Digest
	}
	data, kind, err := s.manifest(ctx, id)
	if err != nil {
		return nil, err
	}
	want := ref.Digest
	for range maxDepth {
		if sum := digestOf(data); want != "" && sum != want {
			return nil, fmt.Errorf("its manifest has the digest %s, not %s", sum, want)
		}
		m, list, err := parseManifest(data, kind)
		if err != nil {
			return nil, err
		}
		if m != nil {
			return f.image(ctx, s, ref.Name, data, architecture)
		}
		d, err := choose(list, architecture)
		if err != nil {
			return nil, err
		}
		if data, kind, err = s.manifest(ctx, d.Digest.String()); err != nil {
			return nil, err
		}
		if int64(len(data)) != d.Size {
			return nil, fmt.Errorf("manifest %s has %d bytes, and the index says %d", d.Digest, len(data), d.Size)
		}
		if want = d.Digest.String(); kind == "" {
			kind = d.MediaType
		} else if d.MediaType != "" && kind != d.MediaType {
			return nil, fmt.Errorf("manifest %s is of type %s, and the index says %s", d.Digest, kind, d.MediaType)
		}
	}
	return nil, errors.New("an index in an index in an index")
}

// parseManifest reads a manifest or an index.
func parseManifest(data []byte, kind types.MediaType) (*v1.Manifest, *v1.IndexManifest, error) {
	if len(data) > maxManifest {
		return nil, nil, fmt.Errorf("its manifest has more than %d bytes", maxManifest)
	}
	var head struct {
		SchemaVersion int             `json:"schemaVersion"`
		MediaType     types.MediaType `json:"mediaType"`
		Manifests     json.RawMessage `json:"manifests"`
		Layers        json.RawMessage `json:"layers"`
		Config        json.RawMessage `json:"config"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, nil, fmt.Errorf("read its manifest: %w", err)
	}
	isIndex := head.Manifests != nil
	switch {
	case head.SchemaVersion != 2:
		return nil, nil, fmt.Errorf("its manifest has the schema version %d; 2 is known", head.SchemaVersion)
	case head.MediaType != "" && kind != "" && head.MediaType != kind:
		return nil, nil, fmt.Errorf("its manifest says that it is %s, and comes as %s", head.MediaType, kind)
	case isIndex && (head.Layers != nil || head.Config != nil):
		return nil, nil, errors.New("its manifest is an index and an image at once")
	}
	if kind == "" {
		kind = head.MediaType
	}
	switch {
	case isIndex && (kind == "" || kind.IsIndex()):
		list, err := v1.ParseIndexManifest(bytes.NewReader(data))
		if err != nil {
			err = fmt.Errorf("read its index: %w", err)
		}
		return nil, list, err
	case !isIndex && (kind == "" || kind == types.OCIManifestSchema1 || kind == types.DockerManifestSchema2):
		m, err := v1.ParseManifest(bytes.NewReader(data))
		if err != nil {
			return nil, nil, fmt.Errorf("read its manifest: %w", err)
		}
		return m, nil, checkManifest(m)
	}
	return nil, nil, fmt.Errorf("its manifest is of type %q, which is not what it holds, or not known", kind)
}

func checkManifest(m *v1.Manifest) error {
	if t := m.Config.MediaType; t != types.OCIConfigJSON && t != types.DockerConfigJSON {
		return fmt.Errorf("its configuration is of type %q: it is no image", t)
	}
	if len(m.Layers) == 0 || len(m.Layers) > maxLayers {
		return fmt.Errorf("it has %d layers; up to %d are accepted", len(m.Layers), maxLayers)
	}
	if err := checkDescriptor(m.Config, maxConfig); err != nil {
		return fmt.Errorf("its configuration: %w", err)
	}
	for n, l := range m.Layers {
		_, err := compression(l.MediaType)
		if err = errors.Join(checkDescriptor(l, maxBlob), err); err != nil {
			return fmt.Errorf("layer %d: %w", n+1, err)
		}
	}
	return nil
}

func checkDescriptor(d v1.Descriptor, limit int64) error {
	switch {
	case d.Digest.Algorithm != "sha256":
		return fmt.Errorf("digest %s is no sha256", d.Digest)
	case d.Size <= 0 || d.Size > limit:
		return fmt.Errorf("%s has the size %d; at most %d is accepted", d.Digest, d.Size, limit)
	}
	return nil
}

// choose takes the image of an architecture out of an index.
func choose(list *v1.IndexManifest, architecture string) (v1.Descriptor, error) {
	var have []string
	var found []v1.Descriptor
	for _, d := range list.Manifests {
		switch p := d.Platform; {
		case p == nil && len(list.Manifests) == 1, p != nil && p.OS == "linux" && p.Architecture == architecture:
			found = append(found, d)
		case p != nil && p.OS != "unknown":
			have = append(have, p.OS+"/"+p.Architecture)
		}
	}
	if len(found) == 0 {
		return v1.Descriptor{}, fmt.Errorf("its index has nothing for linux/%s (%s)", architecture, strings.Join(slices.Compact(slices.Sorted(slices.Values(have))), ", "))
	}
	return found[0], checkDescriptor(found[0], maxManifest)
}

// image brings all parts of a manifest into the store and checks that they
// go together.
func (f *Fetcher) image(ctx context.Context, s source, name string, data []byte, architecture string) (*Image, error) {
	m, _, err := parseManifest(data, "")
	if err != nil {
		return nil, err
	}
	i := &Image{Name: name, Digest: digestOf(data), Architecture: architecture, manifest: m, store: f.Store}
	if err := f.put(ctx, s, m.Config); err != nil {
		return nil, fmt.Errorf("its configuration: %w", err)
	}
	if err := i.readConfig(); err != nil {
		return nil, err
	}
	g, all := errgroup.WithContext(ctx)
	g.SetLimit(3)
	for n, l := range m.Layers {
		g.Go(func() error {
			if err := f.put(all, s, l); err != nil {
				return fmt.Errorf("layer %d: %w", n+1, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	// Last, so that who finds it finds the rest.
	_, _, err = f.Store.Put(ctx, hexOf(i.Digest), bytes.NewReader(data))
	return i, err
}

// put brings a part into the store.
func (f *Fetcher) put(ctx context.Context, s source, d v1.Descriptor) error {
	at, ok := f.Store.Path(d.Digest.Hex)
	if !ok {
		r, err := s.blob(ctx, d)
		if err != nil {
			return err
		}
		at, _, err = f.Store.Put(ctx, d.Digest.Hex, &exact{r: r, left: d.Size})
		if err = errors.Join(err, r.Close()); err != nil {
			return fmt.Errorf("fetch %s: %w", d.Digest, err)
		}
	}
	info, err := os.Stat(at)
	if err == nil && info.Size() != d.Size {
		err = fmt.Errorf("%s has %d bytes, and the manifest says %d", d.Digest, info.Size(), d.Size)
	}
	return err
}

// exact fails when r gives another number of bytes than was promised.
type exact struct {
	r    io.Reader
	left int64
}

func (e *exact) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if e.left -= int64(n); e.left < 0 {
		return 0, errors.New("there are more bytes than the manifest says")
	}
	if errors.Is(err, io.EOF) && e.left > 0 {
		return n, fmt.Errorf("there are %d bytes less than the manifest says", e.left)
	}
	return n, err
}

// kept is the image with that digest if the store has all of it; nil if not.
func (f *Fetcher) kept(name, digest, architecture string) (*Image, error) {
	data, err := f.read(hexOf(digest), maxManifest)
	if err != nil {
		return nil, nil // it has to be fetched
	}
	if sum := digestOf(data); sum != digest {
		return nil, fmt.Errorf("image %s: the store has %s for it: it is damaged (truewheel cache verify)", digest, sum)
	}
	m, list, err := parseManifest(data, "")
	if err != nil || list != nil {
		return nil, err
	}
	i := &Image{Name: name, Digest: digest, Architecture: architecture, manifest: m, store: f.Store}
	for _, sum := range i.Blobs() {
		if _, ok := f.Store.Path(sum); !ok {
			return nil, nil
		}
	}
	if err := i.readConfig(); err != nil {
		return nil, fmt.Errorf("image %s: %w", digest, err)
	}
	return i, nil
}

func (f *Fetcher) read(sum string, limit int64) ([]byte, error) {
	return readStored(f.Store, sum, limit)
}

func readStored(st *store.Store, sum string, limit int64) ([]byte, error) {
	at, ok := st.Path(sum)
	if !ok {
		return nil, os.ErrNotExist
	}
	file, err := os.Open(at)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if int64(len(data)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", sum, limit)
	}
	return data, errors.Join(err, file.Close())
}

// readConfig reads the configuration and holds it against the manifest.
func (i *Image) readConfig() error {
	data, err := readStored(i.store, i.manifest.Config.Digest.Hex, maxConfig)
	if err != nil {
		return fmt.Errorf("its configuration: %w", err)
	}
	if i.config, err = v1.ParseConfigFile(bytes.NewReader(data)); err != nil {
		return fmt.Errorf("read its configuration: %w", err)
	}
	c := i.config
	switch {
	case c.OS != "linux" || c.Architecture != i.Architecture:
		return fmt.Errorf("its configuration is of %s/%s, not linux/%s", c.OS, c.Architecture, i.Architecture)
	case c.RootFS.Type != "layers":
		return fmt.Errorf("its configuration has a root of type %q, not layers", c.RootFS.Type)
	case len(c.RootFS.DiffIDs) != len(i.manifest.Layers):
		return fmt.Errorf("its configuration has %d layers, and its manifest %d", len(c.RootFS.DiffIDs), len(i.manifest.Layers))
	}
	for _, d := range c.RootFS.DiffIDs {
		if d.Algorithm != "sha256" {
			return fmt.Errorf("its configuration has the layer %s, which is no sha256", d)
		}
	}
	return nil
}

func digestOf(data []byte) string {
	h, _, err := v1.SHA256(bytes.NewReader(data))
	if err != nil {
		panic(err) // of memory
	}
	return h.String()
}

// offline says that something is not here and can't be fetched.
func offline(what string) error { return &index.OfflineError{What: what} }
