package debian

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxData bounds what all packages together unpack to; maxEntries counts files.
const (
	maxData    = 16 << 30
	maxEntries = 1 << 20
)

// Time is the modification time of every file of a root: before that of any
// source, since build tools refuse what is newer than their clock.
var Time = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// A Deb is a package to unpack: what it must say of itself, and its file,
// whose sha256 the caller has checked.
type Deb struct {
	Name, Version, Path string
}

// node is a file of the root as its manifest has it.
type node struct {
	kind     byte // d, f, l
	mode     uint32
	uid, gid int
	size     int64
	sum      string
	target   string
}

// tree is a root in the making: on disk, and in nodes by clean path without
// leading slash. No directory on the way to a node is a symbolic link, on
// disk neither, so that nothing is ever written through one.
type tree struct {
	root  *os.Root
	nodes map[string]*node
	size  int64
}

// Unpack makes a root directory of debs in dir, which must be empty, and
// returns its manifest. Both depend on the debs alone, not on their order, the
// machine, the time or the user: set-uid and set-gid bits are dropped,
// devices, pipes and names that leave the root are errors, owners stand in
// the manifest only.
func Unpack(ctx context.Context, debs []Deb, dir string) (manifest []byte, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	t := &tree{root: root, nodes: map[string]*node{"": {kind: 'd', mode: 0o755}}}
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
	if err := t.finish(); err != nil {
		return nil, fmt.Errorf("finish root: %w", err)
	}
	return t.manifest(), nil
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
		if err := t.mkdir(name, &node{kind: 'd', mode: mode}); err != nil {
			return err
		}
	}
	for _, name := range merged {
		if err := t.symlink(name, &node{kind: 'l', mode: 0o777, target: "usr/" + name}); err != nil {
			return err
		}
	}
	return nil
}

// resolve follows symbolic links in all but the last part of a clean path, as
// seen from inside the root, where ".." of the top is the top.
func (t *tree) resolve(name string) (string, error) {
	left := strings.Split(name, "/")
	at := ""
	for hops := 0; len(left) > 0; {
		part := left[0]
		left = left[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if at = path.Dir(at); at == "." {
				at = ""
			}
			continue
		}
		next := path.Join(at, part)
		n := t.nodes[next]
		if n == nil || n.kind != 'l' || len(left) == 0 {
			at = next
			continue
		}
		if hops++; hops > 40 {
			return "", fmt.Errorf("%s: too many symbolic links on the way", name)
		}
		if strings.HasPrefix(n.target, "/") {
			at = ""
		}
		left = append(strings.Split(n.target, "/"), left...)
	}
	return at, nil
}

// real follows links in the last part too. It is nil when nothing is there.
func (t *tree) real(name string) (string, *node) {
	for range 40 {
		at, err := t.resolve(strings.Trim(name, "/"))
		if err != nil {
			return "", nil
		}
		n := t.nodes[at]
		if n == nil || n.kind != 'l' {
			return at, n
		}
		if name = n.target; !strings.HasPrefix(name, "/") {
			name = path.Join(path.Dir("/"+at), name)
		}
	}
	return "", nil
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
		name, err := safe(h.Name)
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
		if len(t.nodes) > maxEntries {
			return nil, fmt.Errorf("the root has more than %d files", maxEntries)
		}
	}
}

// safe is a member's name without leading "./".
func safe(name string) (string, error) {
	clean := strings.TrimPrefix(path.Clean("/"+name), "/")
	if strings.HasPrefix(name, "/") || slices.Contains(strings.Split(name, "/"), "..") || strings.ContainsAny(name, "\x00\n") {
		return "", fmt.Errorf("member %q leaves the root", name)
	}
	return clean, nil
}

func (t *tree) entry(name string, h *tar.Header, r io.Reader) error {
	at, err := t.resolve(name)
	if err != nil {
		return err
	}
	have := t.nodes[at]
	n := &node{mode: uint32(h.Mode) & 0o777, uid: h.Uid, gid: h.Gid}
	if err := t.parents(at); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if have != nil {
			// As dpkg does: a directory stays, and so does a link to one.
			if _, real := t.real(at); real != nil && real.kind == 'd' {
				return nil
			}
			return fmt.Errorf("member %q is a directory here and a file in another package", name)
		}
		n.kind, n.mode = 'd', uint32(h.Mode)&0o1777
		return t.mkdir(at, n)
	case tar.TypeReg:
		n.kind = 'f'
	case tar.TypeSymlink:
		n.kind, n.mode, n.target = 'l', 0o777, h.Linkname
		if h.Linkname == "" || strings.ContainsAny(h.Linkname, "\x00\n") {
			return fmt.Errorf("member %q links to %q", name, h.Linkname)
		}
		if have != nil && have.kind == 'd' {
			return nil // as dpkg does
		}
	case tar.TypeLink:
		target, err := safe(h.Linkname)
		if err == nil {
			target, err = t.resolve(target)
		}
		if err != nil {
			return err
		}
		to := t.nodes[target]
		if to == nil || to.kind != 'f' {
			return fmt.Errorf("member %q is a hard link to %q, which is no file", name, h.Linkname)
		}
		if target == at {
			return nil
		}
		if err := t.clear(at); err != nil {
			return err
		}
		t.nodes[at] = to
		return t.root.Link(target, at)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return fmt.Errorf("member %q is a device or a pipe", name)
	default:
		return fmt.Errorf("member %q has the type %q, which no package needs", name, h.Typeflag)
	}
	if have != nil && have.kind == 'd' {
		return fmt.Errorf("member %q is a file here and a directory in another package", name)
	}
	if err := t.clear(at); err != nil {
		return err
	}
	if n.kind == 'l' {
		return t.symlink(at, n)
	}
	return t.file(at, n, r)
}

// clear makes way for what replaces a file or link.
func (t *tree) clear(at string) error {
	if t.nodes[at] == nil {
		return nil
	}
	delete(t.nodes, at)
	return t.root.Remove(at)
}

// parents makes directories that no package names.
func (t *tree) parents(at string) error {
	dir := path.Dir(at)
	if dir == "." {
		return nil
	}
	if n := t.nodes[dir]; n != nil {
		if n.kind != 'd' {
			return fmt.Errorf("%s is not a directory, but %s should be in it", dir, at)
		}
		return nil
	}
	if err := t.parents(dir); err != nil {
		return err
	}
	return t.mkdir(dir, &node{kind: 'd', mode: 0o755})
}

func (t *tree) mkdir(at string, n *node) error {
	t.nodes[at] = n
	return t.root.Mkdir(at, 0o755) // its own mode comes last
}

func (t *tree) symlink(at string, n *node) error {
	t.nodes[at] = n
	return t.root.Symlink(n.target, at)
}

func (t *tree) file(at string, n *node, r io.Reader) error {
	f, err := t.root.OpenFile(at, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	h := sha256.New()
	n.size, err = io.Copy(io.MultiWriter(f, h), r)
	// Owners may read everything they unpacked; who else may is in the mode.
	if err = errors.Join(err, f.Chmod(fs.FileMode(n.mode|0o400)), f.Close()); err != nil {
		return err
	}
	n.sum = hex.EncodeToString(h.Sum(nil))
	t.nodes[at] = n
	if t.size += n.size; t.size > maxData {
		return fmt.Errorf("the root has more than %d bytes", int64(maxData))
	}
	return t.root.Chtimes(at, Time, Time)
}

// write makes a file that no package has.
func (t *tree) write(name, text string) error {
	at, err := t.resolve(name)
	if err != nil {
		return err
	}
	if err := errors.Join(t.clear(at), t.parents(at)); err != nil {
		return err
	}
	return t.file(at, &node{kind: 'f', mode: 0o644}, strings.NewReader(text))
}

// text is a file's contents, "" when it is not there.
func (t *tree) text(name string) string {
	at, n := t.real(name)
	if n == nil || n.kind != 'f' || n.size > 1<<20 {
		return ""
	}
	data, err := t.root.ReadFile(at)
	if err != nil {
		return ""
	}
	return string(data)
}

// finish gives directories the modes they shall have.
func (t *tree) finish() error {
	for _, at := range slices.Sorted(maps.Keys(t.nodes)) {
		n := t.nodes[at]
		if n.kind != 'd' {
			continue
		}
		mode := fs.FileMode(n.mode&0o777) | 0o700
		if n.mode&0o1000 != 0 {
			mode |= fs.ModeSticky
		}
		if at == "" {
			at = "."
		}
		if err := errors.Join(t.root.Chmod(at, mode), t.root.Chtimes(at, Time, Time)); err != nil {
			return err
		}
	}
	return nil
}

// Version of what Unpack makes of packages: another one gives other roots.
const Version = "truewheel.root/1"

const manifestHead = Version + "\n"

// manifest has a line for each file, sorted by path: type (d, f, l), mode in
// octal, owner and group by number, sha256 (-, but of files), path, quoted
// as Go does, and what a link points at.
func (t *tree) manifest() []byte {
	var b bytes.Buffer
	b.WriteString(manifestHead)
	for _, at := range slices.Sorted(maps.Keys(t.nodes)) {
		n := t.nodes[at]
		sum := "-"
		if n.kind == 'f' {
			sum = n.sum
		}
		fmt.Fprintf(&b, "%c %04o %d %d %s %s", n.kind, n.mode, n.uid, n.gid, sum, strconv.Quote("/"+at))
		if n.kind == 'l' {
			b.WriteString(" " + strconv.Quote(n.target))
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// Digest is the sha256 of a manifest, lower-case hex.
func Digest(manifest []byte) string {
	sum := sha256.Sum256(manifest)
	return hex.EncodeToString(sum[:])
}
