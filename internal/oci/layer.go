package oci

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"

	"github.com/truewheel/truewheel/internal/rootfs"
)

// A layer may unpack to freeData, or to maxRatio times its size.
const (
	freeData = 256 << 20
	maxRatio = 500
)

var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// compression is what a layer of a type is compressed with: "", gzip or zstd.
func compression(t types.MediaType) (string, error) {
	switch t {
	case types.OCILayer, types.DockerLayer, types.OCIRestrictedLayer, types.DockerForeignLayer:
		return "gzip", nil
	case types.OCILayerZStd, "application/vnd.docker.image.rootfs.diff.tar.zstd", "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd":
		return "zstd", nil
	case types.OCIUncompressedLayer, types.DockerUncompressedLayer, types.OCIUncompressedRestrictedLayer:
		return "", nil
	}
	return "", fmt.Errorf("%q is no type of a layer", t)
}

// decompress says what a layer holds: its compression has to be that of its type.
func decompress(r io.Reader, t types.MediaType) (io.Reader, error) {
	how, err := compression(t)
	if err != nil {
		return nil, err
	}
	br := bufio.NewReaderSize(r, 1<<20)
	magic, err := br.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	is := ""
	switch {
	case bytes.HasPrefix(magic, gzipMagic):
		is = "gzip"
	case bytes.HasPrefix(magic, zstdMagic):
		is = "zstd"
	}
	switch {
	case is != how:
		return nil, fmt.Errorf("its type is %s, but its compression is %q", t, is)
	case is == "gzip":
		return gzip.NewReader(br)
	case is == "zstd":
		z, err := zstd.NewReader(br, zstd.WithDecoderMaxWindow(128<<20), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return br, nil
}

// Unpack makes a root directory of an image in dir, which must be empty, and
// returns its manifest. Both depend on the image alone. What it does as every
// root: see package rootfs. Besides:
//
//   - A name that leaves the root, by ".." or a whiteout of one, is an error;
//     so are sparse files, links and contents beyond the limits, and names
//     that only whiteouts may have. Leading slashes are dropped.
//   - Links on the way to a file are followed as in the root, whose top has no
//     way out; a directory takes the place of a link that has its name.
//   - Whiteouts remove what lower layers have, not what their own has.
//   - Devices, pipes and what else is special is left out below /dev, of
//     which every cage has its own, and is an error elsewhere.
//   - Extended attributes are ignored.
//
// /etc/passwd and /etc/group get the user of builds.
func (i *Image) Unpack(ctx context.Context, dir, passwd, group string) (manifest []byte, err error) {
	t, err := rootfs.New(dir)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	for n, l := range i.manifest.Layers {
		at, ok := i.store.Path(l.Digest.Hex)
		if !ok {
			return nil, fmt.Errorf("unpack %s: layer %d is not in the store", i.Name, n+1)
		}
		f, err := os.Open(at)
		if err != nil {
			return nil, err
		}
		err = unpackLayer(ctx, t, f, l.Size, l.MediaType, i.config.RootFS.DiffIDs[n].Hex)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("unpack %s: layer %d: %w", i.Name, n+1, err)
		}
	}
	for _, add := range [][2]string{{"etc/passwd", passwd}, {"etc/group", group}} {
		name, line := add[0], add[1]
		text := t.Text(name)
		if text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		if err := t.Make(name, text+line); err != nil {
			return nil, fmt.Errorf("unpack %s: user of builds: %w", i.Name, err)
		}
	}
	if err := t.Finish(); err != nil {
		return nil, fmt.Errorf("unpack %s: %w", i.Name, err)
	}
	return t.Manifest(), nil
}

// unpackLayer applies a layer of size bytes, whose contents have to have the
// sha256 sum.
func unpackLayer(ctx context.Context, t *rootfs.Tree, r io.Reader, size int64, kind types.MediaType, sum string) error {
	z, err := decompress(r, kind)
	if err != nil {
		return err
	}
	limit := max(freeData, min(size, rootfs.MaxData/maxRatio)*maxRatio)
	h := sha256.New()
	body := &bounded{r: io.TeeReader(z, h), left: limit, limit: limit}
	a := &applier{tree: t, fresh: map[string]bool{}, gone: map[string]bool{}, left: limit, limit: limit}
	if err := a.apply(ctx, body); err != nil {
		return err
	}
	// What follows the end of a tar counts for its digest.
	if _, err := io.Copy(io.Discard, body); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != sum {
		return fmt.Errorf("its contents have the sha256 %s, and the configuration says %s", got, sum)
	}
	return nil
}

// bounded fails where more than limit bytes come.
type bounded struct {
	r           io.Reader
	left, limit int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, fmt.Errorf("it unpacks to more than %d bytes", b.limit)
	}
	return n, err
}

// Names of whiteouts (OCI image specification, "Whiteouts").
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
	meta     = ".wh..wh." // of the file system that whiteouts come from
)

// applier applies one layer to a root.
type applier struct {
	tree        *rootfs.Tree
	fresh       map[string]bool // what this layer has brought
	gone        map[string]bool // what it has removed of lower ones
	left, limit int64           // contents of its files, which sparse ones can have without bytes
}

func (a *applier) apply(ctx context.Context, r io.Reader) error {
	t := tar.NewReader(r)
	for range 2 * rootfs.MaxEntries {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read it: %w", err)
		}
		if err := a.entry(h, t); err != nil {
			return err
		}
	}
	return fmt.Errorf("it has more than %d members", 2*rootfs.MaxEntries)
}

func (a *applier) entry(h *tar.Header, r io.Reader) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		for k := range h.PAXRecords {
			if k != "comment" {
				return fmt.Errorf("a global header sets %s for all members", k)
			}
		}
		return nil
	}
	name, err := rootfs.Name(strings.TrimLeft(h.Name, "/"))
	if err != nil {
		return err
	}
	dir, base := path.Split(name)
	if strings.HasPrefix(dir, whiteout) || strings.Contains(dir, "/"+whiteout) {
		return fmt.Errorf("member %q lies in a whiteout", h.Name)
	}
	if strings.HasPrefix(base, whiteout) {
		return a.whiteout(h, dir, base)
	}
	if h.Uid < 0 || h.Gid < 0 || h.Size < 0 {
		return fmt.Errorf("member %q has the owner %d:%d and size %d", h.Name, h.Uid, h.Gid, h.Size)
	}
	t := a.tree
	at, err := t.Resolve(name)
	if err != nil {
		return err
	}
	n := &rootfs.Node{Mode: uint32(h.Mode) & 0o777, UID: h.Uid, GID: h.Gid}
	have := t.Get(at)
	switch h.Typeflag {
	case tar.TypeDir:
		n.Kind, n.Mode = rootfs.Dir, uint32(h.Mode)&0o1777
		if have != nil && have.Kind == rootfs.Dir {
			a.fresh[at] = true
			return t.Mkdir(at, n)
		}
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		n.Kind = rootfs.File
		if a.left -= h.Size; a.left < 0 {
			return fmt.Errorf("it unpacks to more than %d bytes: member %q has %d", a.limit, h.Name, h.Size)
		}
	case tar.TypeSymlink:
		n.Kind, n.Mode, n.Target = rootfs.Link, 0o777, h.Linkname
		if h.Linkname == "" || strings.ContainsAny(h.Linkname, "\x00\n") {
			return fmt.Errorf("member %q links to %q", h.Name, h.Linkname)
		}
	case tar.TypeLink:
		return a.hardlink(h, at)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		if strings.HasPrefix(name, "dev/") {
			return nil
		}
		return fmt.Errorf("member %q is a device or a pipe", h.Name)
	default:
		return fmt.Errorf("member %q has the type %q, which no image needs", h.Name, h.Typeflag)
	}
	if at == "" {
		return fmt.Errorf("member %q is the root, and no directory", h.Name)
	}
	if err := errors.Join(t.Clear(at), t.Parents(at)); err != nil {
		return err
	}
	a.fresh[at] = true
	switch n.Kind {
	case rootfs.Dir:
		return t.Mkdir(at, n)
	case rootfs.Link:
		return t.Symlink(at, n)
	}
	return t.Write(at, n, r)
}

func (a *applier) hardlink(h *tar.Header, at string) error {
	name, err := rootfs.Name(strings.TrimLeft(h.Linkname, "/"))
	if err != nil {
		return fmt.Errorf("member %q is a hard link: %w", h.Name, err)
	}
	target, err := a.tree.Resolve(name)
	if err != nil {
		return err
	}
	to := a.tree.Get(target)
	if to == nil || to.Kind == rootfs.Dir || at == "" || strings.HasPrefix(target, at+"/") {
		return fmt.Errorf("member %q is a hard link to %q, which is no file", h.Name, h.Linkname)
	}
	a.fresh[at] = true
	if target == at {
		return nil
	}
	if err := errors.Join(a.tree.Clear(at), a.tree.Parents(at)); err != nil {
		return err
	}
	return a.tree.Hardlink(target, at)
}

// whiteout removes what lower layers have.
func (a *applier) whiteout(h *tar.Header, dir, base string) error {
	if h.Typeflag == tar.TypeDir {
		return fmt.Errorf("member %q has the name of a whiteout, and is a directory", h.Name)
	}
	if base == opaque {
		at, n := a.tree.Real(dir)
		if n == nil || n.Kind != rootfs.Dir || a.gone[at+"/"] {
			return nil
		}
		a.gone[at+"/"] = true
		return a.below(at)
	}
	if strings.HasPrefix(base, meta) {
		return nil
	}
	victim := strings.TrimPrefix(base, whiteout)
	if victim == "" || victim == "." || victim == ".." {
		return fmt.Errorf("member %q is a whiteout of %q, which leaves its directory", h.Name, victim)
	}
	at, err := a.tree.Resolve(dir + victim)
	if err != nil {
		return err
	}
	if a.gone[at] {
		return nil
	}
	a.gone[at] = true
	_, err = a.remove(at)
	return err
}

// remove takes away what lower layers have at a path and below it, and says
// whether anything of this layer's is left.
func (a *applier) remove(at string) (left bool, err error) {
	n := a.tree.Get(at)
	if n == nil {
		return false, nil
	}
	left = a.fresh[at]
	if n.Kind == rootfs.Dir {
		children, err := a.tree.Children(at)
		if err != nil {
			return false, err
		}
		for _, name := range children {
			kept, err := a.remove(name)
			if err != nil {
				return false, err
			}
			left = left || kept
		}
	}
	if left {
		return true, nil
	}
	return false, a.tree.Clear(at)
}

// below does so for all that a directory has.
func (a *applier) below(at string) error {
	children, err := a.tree.Children(at)
	if err != nil {
		return err
	}
	for _, name := range children {
		if _, err := a.remove(name); err != nil {
			return err
		}
	}
	return nil
}
