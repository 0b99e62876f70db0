package git

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
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// maxNested bounds submodules within submodules.
const maxNested = 5

// Options of Pack.
type Options struct {
	Top string // directory that everything lies in
	Git bool   // with a .git directory: of the commit and the tag that names it
}

// packer writes a tree as a tar.
type packer struct {
	ctx  context.Context
	tar  *tar.Writer
	c    Commit
	opts Options
}

// Pack writes a commit as a source distribution (.tar.gz): files as the
// objects have them, times the commit's, submodules at the commits that the
// tree names, and for LFS pointers the files that they mean, by sha256.
func (r *Repository) Pack(ctx context.Context, c Commit, opts Options, w io.Writer) error {
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	p := &packer{ctx: ctx, tar: tar.NewWriter(z), c: c, opts: opts}
	if err := r.tree(p, c.ID, opts.Top, 0); err != nil {
		return fmt.Errorf("read commit %s: %w", c.ID[:12], err)
	}
	if opts.Git {
		if err := r.dotGit(p); err != nil {
			return fmt.Errorf("read commit %s: %w", c.ID[:12], err)
		}
	}
	return errors.Join(p.tar.Close(), z.Close())
}

// tree writes the files of a commit below at.
func (r *Repository) tree(p *packer, commit, at string, depth int) error {
	list, err := r.f.run(p.ctx, r.dir, "ls-tree", "-r", "-z", "-l", "--full-tree", commit)
	if err != nil {
		return err
	}
	modules, err := r.modules(p.ctx, commit)
	if err != nil {
		return err
	}
	blobs, err := r.blobs(p.ctx)
	if err != nil {
		return err
	}
	defer blobs.close()
	n := 0
	for line := range strings.SplitSeq(string(list), "\x00") {
		if line == "" {
			continue
		}
		head, name, ok := strings.Cut(line, "\t")
		f := strings.Fields(head) // mode, type, id, size
		if !ok || len(f) != 4 {
			return fmt.Errorf("git ls-tree says %q", line)
		}
		n++
		if err := r.entry(p, blobs, f[0], f[2], name, path.Join(at, name), modules, depth); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if n == 0 && depth == 0 {
		return errors.New("it has no files")
	}
	return nil
}

func (r *Repository) entry(p *packer, blobs *blobs, mode, id, name, at string, modules map[string]string, depth int) error {
	h := &tar.Header{Name: at, Mode: 0o644, ModTime: p.c.Time, Format: tar.FormatPAX, Typeflag: tar.TypeReg}
	if mode == "160000" {
		return r.submodule(p, name, id, at, modules, depth)
	}
	data, err := blobs.read(id)
	if err != nil {
		return err
	}
	switch mode {
	case "120000":
		h.Typeflag, h.Mode, h.Linkname = tar.TypeSymlink, 0o777, string(data)
		return p.tar.WriteHeader(h)
	case "100755":
		h.Mode = 0o755
	case "100644":
	default:
		return fmt.Errorf("its mode is %s", mode)
	}
	if oid, ok := lfsPointer(data); ok {
		if data, err = r.lfs(oid); err != nil {
			return err
		}
	}
	h.Size = int64(len(data))
	if err := p.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err = p.tar.Write(data)
	return err
}

// blobs is a git that gives contents by id, one after the other.
type blobs struct {
	cmd  *exec.Cmd
	to   io.WriteCloser
	from *bufio.Reader
	max  int64
}

func (r *Repository) blobs(ctx context.Context) (*blobs, error) {
	b := &blobs{cmd: r.f.command(ctx, r.dir, "cat-file", "--batch"), max: r.f.MaxSize}
	if b.max == 0 {
		b.max = 4 << 30
	}
	var err error
	if b.to, err = b.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	from, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	b.from = bufio.NewReaderSize(from, 1<<16)
	return b, b.cmd.Start()
}

func (b *blobs) read(id string) ([]byte, error) {
	if _, err := io.WriteString(b.to, id+"\n"); err != nil {
		return nil, err
	}
	head, err := b.from.ReadString('\n')
	if err != nil {
		return nil, err
	}
	f := strings.Fields(head) // id, type, size
	if len(f) != 3 || f[1] != "blob" {
		return nil, fmt.Errorf("git has no blob: %q", strings.TrimSpace(head))
	}
	size, err := strconv.ParseInt(f[2], 10, 64)
	if err != nil || size < 0 || size > b.max {
		return nil, fmt.Errorf("it has %s bytes; at most %d are read", f[2], b.max)
	}
	if b.max -= size; b.max <= 0 {
		return nil, errors.New("the repository's files are larger than the limit")
	}
	data := make([]byte, size+1) // and a line break
	_, err = io.ReadFull(b.from, data)
	return data[:size], err
}

func (b *blobs) close() {
	b.to.Close()
	_ = b.cmd.Process.Kill() // it may wait for somebody to read what is of no use
	_ = b.cmd.Wait()
}

// modules are the URLs of submodules by path (gitmodules(5)).
func (r *Repository) modules(ctx context.Context, commit string) (map[string]string, error) {
	if _, err := r.git(ctx, "cat-file", "-e", commit+":.gitmodules"); err != nil {
		return nil, nil
	}
	out, err := r.f.run(ctx, r.dir, "config", "--blob", commit+":.gitmodules", "--list", "-z")
	if err != nil {
		return nil, err
	}
	paths, urls := map[string]string{}, map[string]string{}
	for item := range strings.SplitSeq(string(out), "\x00") {
		key, value, _ := strings.Cut(item, "\n")
		if name, ok := strings.CutSuffix(key, ".path"); ok {
			paths[name] = value
		}
		if name, ok := strings.CutSuffix(key, ".url"); ok {
			urls[name] = value
		}
	}
	byPath := map[string]string{}
	for name, at := range paths {
		byPath[at] = urls[name]
	}
	return byPath, nil
}

// submodule writes the tree of another repository at the commit that this one names.
func (r *Repository) submodule(p *packer, name, id, at string, modules map[string]string, depth int) error {
	raw, ok := modules[name]
	if !ok {
		return errors.New("it is a submodule, and .gitmodules has no URL for it")
	}
	if depth >= maxNested {
		return errors.New("submodules are nested too deep")
	}
	where, err := relative(r.url, raw)
	if err != nil {
		return err
	}
	if strings.HasPrefix(r.url, "https") && !strings.HasPrefix(where, "https") {
		return fmt.Errorf("it is a submodule from %s: a repository of the net can't name one of this machine", where)
	}
	sub, _, err := r.f.Fetch(p.ctx, Source{URL: where, Rev: id})
	if err != nil {
		return err
	}
	return sub.tree(p, id, at, depth+1)
}

// relative is a submodule's URL, which may be relative to that of its parent.
func relative(parent, raw string) (string, error) {
	if strings.HasPrefix(raw, "./") || strings.HasPrefix(raw, "../") {
		if strings.HasPrefix(parent, "/") {
			raw = path.Join(parent, raw)
		} else {
			u, err := url.Parse(strings.TrimRight(parent, "/"))
			if err != nil {
				return "", err
			}
			u.Path = path.Join(u.Path, raw)
			raw = u.String()
		}
	}
	return raw, checkURL(raw)
}

const pointer = "version https://git-lfs.github.com/spec/v1\n"

// lfsPointer is the sha256 that a pointer file of Git LFS names.
func lfsPointer(data []byte) (oid string, ok bool) {
	if len(data) > 1024 || !bytes.HasPrefix(data, []byte(pointer)) {
		return "", false
	}
	for line := range strings.Lines(string(data)) {
		if oid, ok := strings.CutPrefix(strings.TrimSpace(line), "oid sha256:"); ok {
			b, err := hex.DecodeString(oid)
			return oid, err == nil && len(b) == sha256.Size
		}
	}
	return "", false
}

// lfs is the file that a pointer means: of the store, or of a repository on
// this machine. Servers are not asked.
func (r *Repository) lfs(oid string) ([]byte, error) {
	names := []string{}
	if at, ok := r.f.Store.Path(oid); ok {
		names = append(names, at)
	}
	if dir := strings.TrimPrefix(r.url, "file://"); strings.HasPrefix(dir, "/") {
		for _, sub := range []string{".git", "."} {
			names = append(names, filepath.Join(dir, sub, "lfs", "objects", oid[:2], oid[2:4], oid))
		}
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != oid {
			return nil, fmt.Errorf("the file in LFS is not %s", oid)
		}
		return data, nil
	}
	return nil, fmt.Errorf("it lies in LFS, and %s is not here: LFS servers are not asked; a clone with `git lfs fetch` given as git+/PATH has it", oid)
}

// dotGit writes a .git directory with the commit, detached, its tag, and an
// index, so that tools that ask git for a version or for files find them.
func (r *Repository) dotGit(p *packer) error {
	tmp, done, err := r.f.Store.TempDir("git")
	if err != nil {
		return err
	}
	defer done()
	steps := [][]string{
		{"init", "--quiet", "--template=", "."},
		{"fetch", "--quiet", "--no-write-fetch-head", "--update-shallow", "file://" + r.dir, "+refs/tags/*:refs/tags/*"},
		{"fetch", "--quiet", "--no-write-fetch-head", "--update-shallow", "file://" + r.dir, p.c.ID},
		{"update-ref", "--no-deref", "HEAD", p.c.ID},
		{"read-tree", "HEAD"},
	}
	if err := r.allowCommit(p.ctx, p.c.ID); err != nil {
		return err
	}
	for _, args := range steps {
		if _, err := r.f.run(p.ctx, tmp, args...); err != nil {
			return err
		}
	}
	return filepath.WalkDir(filepath.Join(tmp, ".git"), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(tmp, name)
		if err != nil {
			return err
		}
		h := &tar.Header{Name: path.Join(p.opts.Top, filepath.ToSlash(rel)), ModTime: p.c.Time, Format: tar.FormatPAX}
		if d.IsDir() {
			h.Typeflag, h.Mode, h.Name = tar.TypeDir, 0o755, h.Name+"/"
			return p.tar.WriteHeader(h)
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		h.Typeflag, h.Mode, h.Size = tar.TypeReg, 0o644, int64(len(data))
		if err := p.tar.WriteHeader(h); err != nil {
			return err
		}
		_, err = p.tar.Write(data)
		return err
	})
}

// allowCommit lets our own bare repository give a commit that no ref names.
func (r *Repository) allowCommit(ctx context.Context, id string) error {
	_, err := r.git(ctx, "update-ref", "refs/truewheel/"+id, id)
	if err == nil {
		_, err = r.git(ctx, "config", "uploadpack.allowAnySHA1InWant", strconv.FormatBool(true))
	}
	return err
}
