package env

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/truewheel/truewheel/internal/debian"
	"github.com/truewheel/truewheel/internal/oci"
	"github.com/truewheel/truewheel/internal/rootfs"
	"github.com/truewheel/truewheel/internal/uv"
	"github.com/truewheel/truewheel/recipe/lock"
)

// OCI makes an environment of an image: a tag is a digest from then on. The
// interpreter is that of a Python tag ("cp311"; "" is the newest). The root is
// unpacked.
func (s *Supply) OCI(ctx context.Context, ref oci.Reference, tag string) (lock.Environment, error) {
	e := lock.Environment{Kind: lock.OCI, Architecture: oci.Machine()}
	image, err := s.Images.Resolve(ctx, ref, e.Architecture)
	if err != nil {
		return e, err
	}
	e.Image, e.Digest = image.Name, image.Digest
	if e.Root, err = s.imageRoot(ctx, image); err != nil {
		return e, err
	}
	root, err := s.openRoot(e.Root)
	if err != nil {
		return e, err
	}
	defer root.Close()
	pythons, err := oci.Pythons(root)
	if err != nil {
		return e, err
	}
	p, err := oci.Choose(pythons, tag)
	e.Python = p.Path
	return e, err
}

// PinnedImage is where to find the image that cibuildwheel used at a moment for the
// first of some platform tags that it had one for.
func PinnedImage(platforms []string, at time.Time) (oci.Reference, error) {
	for _, tag := range platforms {
		policy, machine, ok := oci.ParsePolicy(tag)
		if !ok {
			continue
		}
		if pin, ok := oci.Pinned(policy, machine, at); ok {
			return pin.Reference(), nil
		}
	}
	return oci.Reference{}, fmt.Errorf("no image is known for %v: name one with --image", platforms)
}

// Image brings the image of an oci environment into the store: by its digest,
// from where s.From says, else from a registry.
func (s *Supply) Image(ctx context.Context, e lock.Environment) (*oci.Image, error) {
	ref := oci.Reference{Transport: oci.Registry, Name: e.Image}
	if s.From != nil {
		ref = *s.From
	}
	ref.Digest = e.Digest
	return s.Images.Resolve(ctx, ref, e.Architecture)
}

func (s *Supply) imageRoot(ctx context.Context, image *oci.Image) (string, error) {
	return s.makeRoot(rootfs.Version+" image "+image.Digest, func(dir string) ([]byte, error) {
		return image.Unpack(ctx, dir, debian.BuildUser, "build:x:65533:\n")
	})
}

// openRoot reads the manifest of an unpacked root.
func (s *Supply) openRoot(digest string) (*rootfs.Tree, error) {
	dir := s.rootDir(digest)
	manifest, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "manifest"))
	if err != nil {
		return nil, err
	}
	return rootfs.Open(dir, manifest)
}

// ociPython is the interpreter of an oci environment, whose root is unpacked:
// what the files of the root say, and the variables of the image.
func (s *Supply) ociPython(ctx context.Context, e lock.Environment) (Python, error) {
	image, err := s.Image(ctx, e)
	if err != nil {
		return Python{}, err
	}
	root, err := s.openRoot(e.Root)
	if err != nil {
		return Python{}, err
	}
	defer root.Close()
	pythons, err := oci.Pythons(root)
	if err != nil {
		return Python{}, err
	}
	p, err := oci.Choose(pythons, e.Python)
	if err != nil {
		return Python{}, err
	}
	if p.Threaded {
		return Python{}, fmt.Errorf("%s is a free-threaded Python: builds with one are not supported yet", p.Path)
	}
	kind, version, err := oci.Libc(root)
	if err != nil {
		return Python{}, err
	}
	machine, ok := oci.Machines[e.Architecture]
	if !ok {
		return Python{}, errors.New("no wheels are known for " + e.Architecture)
	}
	platform := uv.Platform(machine, version)
	if kind == "musl" {
		platform = machine + "-unknown-linux-musl"
	}
	return Python{
		Path: p.Real, Base: path.Dir(path.Dir(p.Real)), Version: p.Version, Minor: p.Minor, Platform: platform, Vars: image.Env(),
	}, nil
}
