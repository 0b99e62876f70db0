// Package rootfs writes root directories that are the same wherever, whenever
// and by whomever they were made.
//
// Everything in a [Tree] is on disk and in its manifest: type, mode, owner as
// recorded, contents. No name leaves the root, nothing is written through a
// symbolic link, set-uid and set-gid bits are dropped, there are no devices,
// pipes or sockets, and all files have the time [Time]. Owners stand in the
// manifest only: the files are those of who unpacked them.
package rootfs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxData bounds what is written into one root; MaxEntries counts files.
const (
	MaxData    = 16 << 30
	MaxEntries = 1 << 20
)

// Time is the modification time of every file of a root: before that of any
// source, since build tools refuse what is newer than their clock.
var Time = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// Kinds of files.
const (
	Dir  = 'd'
	File = 'f'
	Link = 'l' // symbolic
)

// Node is a file of the root as its manifest has it.
type Node struct {
	Kind     byte // Dir, File, Link
	Mode     uint32
	UID, GID int
	Size     int64
	Sum      string // sha256, lower-case hex, of a file
	Target   string // of a symbolic link
}

// Tree is a root in the making: on disk, and in nodes by clean path without
// leading slash, "" the root itself. No directory on the way to a node is a
// symbolic link, on disk neither, so that nothing is ever written through one.
type Tree struct {
	root  *os.Root
	nodes map[string]*Node
	size  int64
}

// New begins a root in dir, which must be empty.
func New(dir string) (*Tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &Tree{root: root, nodes: map[string]*Node{"": {Kind: Dir, Mode: 0o755}}}, nil
}

// Close lets go of the directory.
func (t *Tree) Close() error { return t.root.Close() }

// Get is what lies at a path that Resolve or Real gave, or nil.
func (t *Tree) Get(at string) *Node { return t.nodes[at] }

// Paths are all paths, sorted.
func (t *Tree) Paths() []string { return slices.Sorted(maps.Keys(t.nodes)) }

// Open opens a file of the root for reading.
func (t *Tree) Open(at string) (*os.File, error) { return t.root.Open(at) }

// Resolve follows symbolic links in all but the last part of a clean path, as
// seen from inside the root, where ".." of the top is the top.
func (t *Tree) Resolve(name string) (string, error) {
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
		if n == nil || n.Kind != Link || len(left) == 0 {
			at = next
			continue
		}
		if hops++; hops > 40 {
			return "", fmt.Errorf("%s: too many symbolic links on the way", name)
		}
		if strings.HasPrefix(n.Target, "/") {
			at = ""
		}
		left = append(strings.Split(n.Target, "/"), left...)
	}
	return at, nil
}

// Real follows links in the last part too. It is nil when nothing is there.
func (t *Tree) Real(name string) (string, *Node) {
	for range 40 {
		at, err := t.Resolve(strings.Trim(name, "/"))
		if err != nil {
			return "", nil
		}
		n := t.nodes[at]
		if n == nil || n.Kind != Link {
			return at, n
		}
		if name = n.Target; !strings.HasPrefix(name, "/") {
			name = path.Join(path.Dir("/"+at), name)
		}
	}
	return "", nil
}

// Name is a member's name without leading "./".
func Name(name string) (string, error) {
	clean := strings.TrimPrefix(path.Clean("/"+name), "/")
	if strings.HasPrefix(name, "/") || slices.Contains(strings.Split(name, "/"), "..") || strings.ContainsAny(name, "\x00\n") {
		return "", fmt.Errorf("member %q leaves the root", name)
	}
	return clean, nil
}

// set notes what lies at a path.
func (t *Tree) set(at string, n *Node) error {
	t.nodes[at] = n
	if len(t.nodes) > MaxEntries {
		return fmt.Errorf("the root has more than %d files", MaxEntries)
	}
	return nil
}

// Children are the paths right below a directory, sorted.
func (t *Tree) Children(at string) ([]string, error) {
	f, err := t.root.Open(path.Join(".", at))
	if err != nil {
		return nil, err
	}
	names, err := f.Readdirnames(-1)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	for i, name := range names {
		names[i] = path.Join(at, name)
	}
	slices.Sort(names)
	return names, nil
}

// Clear removes what lies at a path, a directory with all that is in it.
func (t *Tree) Clear(at string) error {
	n := t.nodes[at]
	if n == nil || at == "" {
		return nil
	}
	if n.Kind == Dir {
		below, err := t.Children(at)
		if err != nil {
			return err
		}
		for _, name := range below {
			if err := t.Clear(name); err != nil {
				return err
			}
		}
	}
	delete(t.nodes, at)
	return t.root.Remove(at)
}

// Parents makes the directories above a path that nothing else made.
func (t *Tree) Parents(at string) error {
	dir := path.Dir(at)
	if dir == "." {
		return nil
	}
	if n := t.nodes[dir]; n != nil {
		if n.Kind != Dir {
			return fmt.Errorf("%s is not a directory, but %s should be in it", dir, at)
		}
		return nil
	}
	if err := t.Parents(dir); err != nil {
		return err
	}
	return t.Mkdir(dir, &Node{Kind: Dir, Mode: 0o755})
}

// Mkdir makes a directory, whose mode it gets from Finish; one that is there
// is n from now on.
func (t *Tree) Mkdir(at string, n *Node) error {
	have := t.nodes[at]
	if err := t.set(at, n); err != nil || have != nil {
		return err
	}
	return t.root.Mkdir(at, 0o755)
}

// Symlink makes a symbolic link, where nothing is.
func (t *Tree) Symlink(at string, n *Node) error {
	if err := t.set(at, n); err != nil {
		return err
	}
	return t.root.Symlink(n.Target, at)
}

// Hardlink gives a file, or symbolic link, one more path, where nothing is.
func (t *Tree) Hardlink(target, at string) error {
	if err := t.set(at, t.nodes[target]); err != nil {
		return err
	}
	return t.root.Link(target, at)
}

// Write makes a file of what r gives, where nothing is.
func (t *Tree) Write(at string, n *Node, r io.Reader) error {
	f, err := t.root.OpenFile(at, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	h := sha256.New()
	n.Size, err = io.Copy(io.MultiWriter(f, h), io.LimitReader(r, MaxData+1-t.size))
	// Owners may read everything they unpacked; who else may is in the mode.
	if err = errors.Join(err, f.Chmod(fs.FileMode(n.Mode|0o400)), f.Close()); err != nil {
		return err
	}
	n.Sum = hex.EncodeToString(h.Sum(nil))
	if t.size += n.Size; t.size > MaxData {
		return fmt.Errorf("the root has more than %d bytes", int64(MaxData))
	}
	return errors.Join(t.set(at, n), t.root.Chtimes(at, Time, Time))
}

// Make makes a small file of its own, in place of what is there.
func (t *Tree) Make(name, text string) error {
	at, err := t.Resolve(name)
	if err != nil {
		return err
	}
	if err := errors.Join(t.Clear(at), t.Parents(at)); err != nil {
		return err
	}
	return t.Write(at, &Node{Kind: File, Mode: 0o644}, strings.NewReader(text))
}

// Text is a file's contents, "" when it is not there.
func (t *Tree) Text(name string) string {
	at, n := t.Real(name)
	if n == nil || n.Kind != File || n.Size > 1<<20 {
		return ""
	}
	data, err := t.root.ReadFile(at)
	if err != nil {
		return ""
	}
	return string(data)
}

// Finish gives directories the modes they shall have.
func (t *Tree) Finish() error {
	for _, at := range slices.Sorted(maps.Keys(t.nodes)) {
		n := t.nodes[at]
		if n.Kind != Dir {
			continue
		}
		mode := fs.FileMode(n.Mode&0o777) | 0o700
		if n.Mode&0o1000 != 0 {
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

// Version of what is made of packages and layers: another one gives other roots.
const Version = "truewheel.root/1"

const manifestHead = Version + "\n"

// Manifest has a line for each file, sorted by path: type (d, f, l), mode in
// octal, owner and group by number, sha256 (-, but of files), path, quoted
// as Go does, and what a link points at.
func (t *Tree) Manifest() []byte {
	var b bytes.Buffer
	b.WriteString(manifestHead)
	for _, at := range slices.Sorted(maps.Keys(t.nodes)) {
		n := t.nodes[at]
		sum := "-"
		if n.Kind == File {
			sum = n.Sum
		}
		fmt.Fprintf(&b, "%c %04o %d %d %s %s", n.Kind, n.Mode, n.UID, n.GID, sum, strconv.Quote("/"+at))
		if n.Kind == Link {
			b.WriteString(" " + strconv.Quote(n.Target))
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
