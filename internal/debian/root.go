package debian

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/truewheel/truewheel/internal/rootfs"
)

// A Deb is a package to unpack: what it must say of itself, and its file,
// whose sha256 the caller has checked.
type Deb struct {
	Name, Version, Path string
}

// tree is a root in the making, of packages.
type tree struct{ *rootfs.Tree }

// Unpack makes a root directory of debs in dir, which must be empty, and
// returns its manifest. Both depend on the debs alone, not on their order, the
// machine, the time or the user: set-uid and set-gid bits are dropped,
// devices, pipes and names that leave the root are errors, owners stand in
// the manifest only.
func Unpack(ctx context.Context, debs []Deb, dir string) (manifest []byte, err error) {
	made, err := rootfs.New(dir)
	if err != nil {
		return nil, err
	}
	defer made.Close()
	t := &tree{made}
	if err := t.skeleton(); err != nil {
		return nil, err
	}
	debs = slices.SortedFunc(slices.Values(debs), func(a, b Deb) int { return strings.Compare(a.Name, b.Name) })
	installed := make([]installed, 0, len(debs))
	for d, contents := range readAhead(ctx, debs) {
		if contents.err == nil {
			contents.err = contents.check(d)
		}
		var files []string
		if contents.err == nil {
			files, contents.err = t.add(ctx, contents.data)
		}
		if contents.err != nil {
			return nil, fmt.Errorf("unpack %s %s: %w", d.Name, d.Version, contents.err)
		}
		installed = append(installed, struct {
			control
			files []string
		}{contents.control, files})
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := t.configure(installed); err != nil {
		return nil, fmt.Errorf("configure root: %w", err)
	}
	if err := t.Finish(); err != nil {
		return nil, fmt.Errorf("finish root: %w", err)
	}
	return t.Manifest(), nil
}

// installed is what dpkg remembers of a package.
type installed = struct {
	control
	files []string
}

// contents are a .deb's, or why they can't be read.
type contents struct {
	control
	data []byte
	err  error
}

func (c contents) check(d Deb) error {
	if c.fields["Package"] != d.Name || c.fields["Version"] != d.Version {
		return fmt.Errorf("its control file says %s %s, not %s %s", c.fields["Package"], c.fields["Version"], d.Name, d.Version)
	}
	return nil
}

// readAhead reads some debs at once and yields them in order.
func readAhead(ctx context.Context, debs []Deb) func(yield func(Deb, contents) bool) {
	return func(yield func(Deb, contents) bool) {
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		queue := make(chan chan contents, runtime.NumCPU())
		go func() {
			defer close(queue)
			for _, d := range debs {
				answer := make(chan contents, 1)
				select {
				case queue <- answer:
				case <-ctx.Done():
					return
				}
				go func() {
					var c contents
					var f *os.File
					if f, c.err = os.Open(d.Path); c.err == nil {
						c.control, c.data, c.err = readDeb(ctx, f)
						f.Close()
					}
					answer <- c
				}()
			}
		}()
		i := 0
		for answer := range queue {
			if !yield(debs[i], <-answer) {
				return
			}
			i++
		}
	}
}

// merged are the top-level directories that Debian merged into /usr.
var merged = []string{"bin", "lib", "lib32", "lib64", "libx32", "sbin"}

// skeleton is what every root has before any package: a merged /usr, and
// places that the maintainer scripts of base-files and others would make.
func (t *tree) skeleton() error {
	for _, name := range []string{
		"usr", "usr/bin", "usr/lib", "usr/lib32", "usr/lib64", "usr/libx32", "usr/sbin", "usr/local", "usr/local/bin", "usr/local/etc",
		"usr/local/games", "usr/local/include", "usr/local/lib", "usr/local/sbin", "usr/local/share", "usr/local/src",
		"etc", "etc/alternatives", "dev", "proc", "sys", "run", "build", "truewheel", "var", "var/lib", "var/lib/dpkg", "var/lib/dpkg/info",
		"root", "tmp", "var/tmp",
	} {
		mode := uint32(0o755)
		if name == "tmp" || name == "var/tmp" {
			mode = 0o1777
		}
		if err := t.Mkdir(name, &rootfs.Node{Kind: rootfs.Dir, Mode: mode}); err != nil {
			return err
		}
	}
	for _, name := range merged {
		if err := t.Symlink(name, &rootfs.Node{Kind: rootfs.Link, Mode: 0o777, Target: "usr/" + name}); err != nil {
			return err
		}
	}
	return nil
}

// add unpacks a data.tar and says which paths it names.
func (t *tree) add(ctx context.Context, data []byte) ([]string, error) {
	var files []string
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read data.tar: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		name, err := rootfs.Name(h.Name)
		if err != nil {
			return nil, err
		}
		if name == "" {
			files = append(files, "/.")
			continue
		}
		files = append(files, "/"+name)
		if err := t.entry(name, h, r); err != nil {
			return nil, err
		}
	}
}

func (t *tree) entry(name string, h *tar.Header, r io.Reader) error {
	at, err := t.Resolve(name)
	if err != nil {
		return err
	}
	have := t.Get(at)
	n := &rootfs.Node{Mode: uint32(h.Mode) & 0o777, UID: h.Uid, GID: h.Gid}
	if err := t.Parents(at); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if have != nil {
			// As dpkg does: a directory stays, and so does a link to one.
			if _, real := t.Real(at); real != nil && real.Kind == rootfs.Dir {
				return nil
			}
			return fmt.Errorf("member %q is a directory here and a file in another package", name)
		}
		n.Kind, n.Mode = rootfs.Dir, uint32(h.Mode)&0o1777
		return t.Mkdir(at, n)
	case tar.TypeReg:
		n.Kind = rootfs.File
	case tar.TypeSymlink:
		n.Kind, n.Mode, n.Target = rootfs.Link, 0o777, h.Linkname
		if h.Linkname == "" || strings.ContainsAny(h.Linkname, "\x00\n") {
			return fmt.Errorf("member %q links to %q", name, h.Linkname)
		}
		if have != nil && have.Kind == rootfs.Dir {
			return nil // as dpkg does
		}
	case tar.TypeLink:
		target, err := rootfs.Name(h.Linkname)
		if err == nil {
			target, err = t.Resolve(target)
		}
		if err != nil {
			return err
		}
		to := t.Get(target)
		if to == nil || to.Kind != rootfs.File {
			return fmt.Errorf("member %q is a hard link to %q, which is no file", name, h.Linkname)
		}
		if target == at {
			return nil
		}
		if err := t.Clear(at); err != nil {
			return err
		}
		return t.Hardlink(target, at)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return fmt.Errorf("member %q is a device or a pipe", name)
	default:
		return fmt.Errorf("member %q has the type %q, which no package needs", name, h.Typeflag)
	}
	if have != nil && have.Kind == rootfs.Dir {
		return fmt.Errorf("member %q is a file here and a directory in another package", name)
	}
	if err := t.Clear(at); err != nil {
		return err
	}
	if n.Kind == rootfs.Link {
		return t.Symlink(at, n)
	}
	return t.Write(at, n, r)
}
