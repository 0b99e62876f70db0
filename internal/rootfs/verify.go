package rootfs

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Open reads what [Tree.Manifest] says of a root directory in dir that is
// finished: nothing is read of the directory, and nothing may be written to it.
func Open(dir string, manifest []byte) (*Tree, error) {
	nodes, err := parseManifest(manifest)
	if err != nil {
		return nil, err
	}
	t, err := New(dir)
	if err != nil {
		return nil, err
	}
	for at, n := range nodes {
		at = strings.TrimPrefix(at, "/")
		if n.Kind == File {
			info, err := t.root.Lstat(at)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("read root: %w", err), t.Close())
			}
			n.Size = info.Size()
		}
		t.nodes[at] = &n
	}
	return t, nil
}

// Verify reads a root directory and says in which files it is not what its
// Manifest has. Owners are not compared: they are those of who unpacked it.
func Verify(ctx context.Context, dir string, manifest []byte) ([]string, error) {
	want, err := parseManifest(manifest)
	if err != nil {
		return nil, err
	}
	var wrong []string
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		at := "/" + filepath.ToSlash(rel)
		if rel == "." {
			at = "/"
		}
		n, ok := want[at]
		if !ok {
			wrong = append(wrong, at+" is not in the manifest")
			return nil
		}
		delete(want, at)
		why, err := n.differs(name, d)
		if why != "" {
			wrong = append(wrong, at+" "+why)
		}
		return err
	})
	for at := range want {
		wrong = append(wrong, at+" is missing")
	}
	return wrong, err
}

func (n Node) differs(name string, d fs.DirEntry) (string, error) {
	info, err := d.Info()
	if err != nil {
		return "", err
	}
	kind := map[fs.FileMode]byte{0: File, fs.ModeDir: Dir, fs.ModeSymlink: Link}[info.Mode().Type()]
	if kind != n.Kind {
		return fmt.Sprintf("is of type %s", info.Mode().Type()), nil
	}
	switch kind {
	case Link:
		target, err := os.Readlink(name)
		if err == nil && target != n.Target {
			return fmt.Sprintf("links to %q", target), nil
		}
		return "", err
	case Dir:
		if uint32(info.Mode().Perm()) != n.Mode&0o777|0o700 {
			return fmt.Sprintf("has mode %04o", info.Mode().Perm()), nil
		}
		return "", nil
	}
	if uint32(info.Mode().Perm()) != n.Mode|0o400 {
		return fmt.Sprintf("has mode %04o", info.Mode().Perm()), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	_, err = io.Copy(h, f)
	if err := errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != n.Sum {
		return "has sha256 " + sum, nil
	}
	return "", nil
}

func parseManifest(manifest []byte) (map[string]Node, error) {
	text, ok := bytes.CutPrefix(manifest, []byte(manifestHead))
	if !ok {
		return nil, errors.New("read manifest: it does not begin with " + strings.TrimSpace(manifestHead))
	}
	out := map[string]Node{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		var n Node
		f := strings.SplitN(line, " ", 6)
		if len(f) != 6 || len(f[0]) != 1 {
			return nil, fmt.Errorf("read manifest: line %q", line)
		}
		n.Kind, n.Sum = f[0][0], f[4]
		mode, err := strconv.ParseUint(f[1], 8, 32)
		quoted, errQuote := strconv.QuotedPrefix(f[5])
		if err != nil || errQuote != nil {
			return nil, fmt.Errorf("read manifest: line %q", line)
		}
		n.Mode = uint32(mode)
		name, err := strconv.Unquote(quoted)
		if rest := strings.TrimSpace(f[5][len(quoted):]); err == nil && rest != "" {
			n.Target, err = strconv.Unquote(rest)
		}
		if err != nil {
			return nil, fmt.Errorf("read manifest: line %q", line)
		}
		out[name] = n
	}
	return out, nil
}
