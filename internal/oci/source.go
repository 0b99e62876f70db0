package oci

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/truewheel/truewheel/internal/store"
)

// open says where to look for an image, best first.
func (f *Fetcher) open(ctx context.Context, r Reference) ([]source, error) {
	switch r.Transport {
	case Layout:
		return []source{layout{r.Path}}, nil
	case Archive:
		a, err := openArchive(ctx, f.Store, r)
		return []source{a}, err
	}
	if f.Offline {
		return nil, fmt.Errorf("fetch: %w", offline(r.String()))
	}
	refs, err := qualify(r, f.Environ)
	if err != nil {
		return nil, err
	}
	var out []source
	for _, q := range refs {
		repo, err := name.NewRepository(q.Host+"/"+q.Name, name.StrictValidation)
		if err != nil {
			return nil, err
		}
		out = append(out, server{repo})
	}
	return out, nil
}

// server is a repository of a registry. Credentials are docker's.
type server struct{ repo name.Repository }

func (s server) options(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithUserAgent("truewheel")}
}

func (s server) manifest(ctx context.Context, id string) ([]byte, types.MediaType, error) {
	var ref name.Reference = s.repo.Tag(id)
	if IsDigest(id) {
		ref = s.repo.Digest(id)
	}
	d, err := remote.Get(ref, s.options(ctx)...)
	if err != nil {
		return nil, "", err
	}
	return d.Manifest, d.MediaType, nil
}

func (s server) blob(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	if !d.MediaType.IsDistributable() {
		return nil, fmt.Errorf("%s is of type %s, which a registry does not hand out", d.Digest, d.MediaType)
	}
	l, err := remote.Layer(s.repo.Digest(d.Digest.String()), s.options(ctx)...)
	if err != nil {
		return nil, err
	}
	return l.Compressed()
}

// layout is a directory in the OCI image layout.
type layout struct{ dir string }

// open opens a file of the layout: no link leads out of it, and only files count.
func (l layout) open(name string) (*os.File, error) {
	root, err := os.OpenRoot(l.dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", name)
	}
	return root.Open(name)
}

func (l layout) read(name string) ([]byte, error) {
	f, err := l.open(name)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	return data, errors.Join(err, f.Close())
}

func (l layout) manifest(_ context.Context, id string) ([]byte, types.MediaType, error) {
	if IsDigest(id) {
		data, err := l.read("blobs/sha256/" + hexOf(id))
		return data, "", err
	}
	data, err := l.read("index.json")
	if err != nil {
		return nil, "", err
	}
	_, list, err := parseManifest(data, "")
	if err != nil || list == nil {
		return nil, "", errors.Join(errors.New("index.json is no index"), err)
	}
	var tags []string
	var found []v1.Descriptor
	for _, d := range list.Manifests {
		tag := d.Annotations["org.opencontainers.image.ref.name"]
		if id == "" || tag == id || strings.HasSuffix(tag, ":"+id) {
			found = append(found, d)
		}
		tags = append(tags, tag)
	}
	switch {
	case len(found) == 0:
		return nil, "", fmt.Errorf("the layout has no tag %q (%s)", id, strings.Join(tags, ", "))
	case len(found) > 1:
		list.Manifests = found
		data, err := json.Marshal(list)
		return data, types.OCIImageIndex, err
	}
	if err := checkDescriptor(found[0], maxManifest); err != nil {
		return nil, "", err
	}
	if data, err = l.read("blobs/sha256/" + found[0].Digest.Hex); err != nil {
		return nil, "", err
	}
	if sum := digestOf(data); sum != found[0].Digest.String() || int64(len(data)) != found[0].Size {
		return nil, "", fmt.Errorf("its manifest has the digest %s and %d bytes, and index.json says %s and %d", sum, len(data), found[0].Digest, found[0].Size)
	}
	return data, found[0].MediaType, nil
}

func (l layout) blob(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	return l.open("blobs/sha256/" + d.Digest.Hex)
}

// archive is a file as docker save writes it, in the store already. It has no
// manifest of its own: it gets one that follows from it alone, with
// configuration and layers as they stand there.
type archive struct {
	store *store.Store
	data  []byte
}

func (a archive) manifest(context.Context, string) ([]byte, types.MediaType, error) {
	return a.data, types.OCIManifestSchema1, nil
}

func (a archive) blob(_ context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	at, ok := a.store.Path(d.Digest.Hex)
	if !ok {
		return nil, os.ErrNotExist
	}
	return os.Open(at)
}

// saved is an image of an archive's manifest.json.
type saved struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func openArchive(ctx context.Context, st *store.Store, r Reference) (source, error) {
	var images []saved
	links := map[string]string{} // docker stores equal layers once
	err := eachMember(ctx, r.Path, func(h *tar.Header, at string, body io.Reader) error {
		switch {
		case h.Typeflag == tar.TypeSymlink || h.Typeflag == tar.TypeLink:
			if len(links) > maxLayers*maxLayers {
				return errors.New("it has too many links")
			}
			links[at] = path.Join(path.Dir(at), h.Linkname)
			if h.Typeflag == tar.TypeLink {
				links[at] = path.Clean(h.Linkname)
			}
		case at == "manifest.json" && h.Typeflag == tar.TypeReg:
			data, err := io.ReadAll(io.LimitReader(body, maxManifest))
			if err != nil {
				return err
			}
			if err := json.Unmarshal(data, &images); err != nil {
				return fmt.Errorf("read manifest.json: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	one, err := pick(images, r.Tag)
	if err != nil {
		return nil, err
	}
	real := func(name string) string {
		name = path.Clean(name)
		for range 8 {
			to, ok := links[name]
			if !ok {
				break
			}
			name = to
		}
		return name
	}
	parts := map[string]*v1.Descriptor{}
	for _, name := range append([]string{one.Config}, one.Layers...) {
		parts[real(name)] = nil
	}
	err = eachMember(ctx, r.Path, func(h *tar.Header, at string, body io.Reader) error {
		if have, wanted := parts[at]; !wanted || have != nil || h.Typeflag != tar.TypeReg {
			return nil
		}
		d, err := keep(ctx, st, body)
		parts[at] = d
		return err
	})
	if err != nil {
		return nil, err
	}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Layers: []v1.Descriptor{}}
	for n, name := range append([]string{one.Config}, one.Layers...) {
		d := parts[real(name)]
		if d == nil {
			return nil, fmt.Errorf("manifest.json names %q, which is not there", name)
		}
		if n == 0 {
			m.Config = *d
			m.Config.MediaType = types.OCIConfigJSON
			continue
		}
		m.Layers = append(m.Layers, *d)
	}
	data, err := json.Marshal(m)
	return archive{st, data}, err
}

func pick(images []saved, tag string) (saved, error) {
	var tags []string
	var found []saved
	for _, i := range images {
		hit := tag == ""
		for _, t := range i.RepoTags {
			hit = hit || t == tag || strings.HasSuffix(t, "/"+tag)
		}
		if hit {
			found = append(found, i)
		}
		tags = append(tags, i.RepoTags...)
	}
	switch {
	case len(images) == 0:
		return saved{}, errors.New("it has no manifest.json: it is no archive of docker save")
	case len(found) != 1:
		return saved{}, fmt.Errorf("it has %d images; name one: docker-archive:FILE:TAG (%s)", len(images), strings.Join(tags, ", "))
	}
	return found[0], nil
}

// keep puts what r gives into the store and describes it, as a layer.
func keep(ctx context.Context, st *store.Store, r io.Reader) (*v1.Descriptor, error) {
	br := bufio.NewReader(r)
	magic, err := br.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	d := &v1.Descriptor{MediaType: types.OCIUncompressedLayer}
	switch {
	case bytes.HasPrefix(magic, gzipMagic):
		d.MediaType = types.OCILayer
	case bytes.HasPrefix(magic, zstdMagic):
		d.MediaType = types.OCILayerZStd
	}
	at, sum, err := st.Put(ctx, "", io.LimitReader(br, maxBlob))
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(at)
	if err != nil {
		return nil, err
	}
	d.Size, d.Digest = info.Size(), v1.Hash{Algorithm: "sha256", Hex: sum}
	return d, nil
}

// eachMember goes through a tar, compressed with gzip or not.
func eachMember(ctx context.Context, file string, do func(h *tar.Header, at string, body io.Reader) error) error {
	f, err := os.Open(filepath.Clean(file))
	if err != nil {
		return err
	}
	defer f.Close()
	var r io.Reader = f
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return errors.Join(fmt.Errorf("%s is no file", file), err)
	}
	br := bufio.NewReaderSize(f, 1<<20)
	r = br
	if magic, err := br.Peek(2); err == nil && bytes.Equal(magic, gzipMagic) {
		if r, err = gzip.NewReader(br); err != nil {
			return err
		}
	}
	t := tar.NewReader(io.LimitReader(r, 4*maxBlob))
	for range 1 << 20 {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", filepath.Base(file), err)
		}
		if err := do(h, path.Clean(h.Name), t); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s has more than %d members", filepath.Base(file), 1<<20)
}
