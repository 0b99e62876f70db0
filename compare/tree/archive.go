package tree

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

func openZip(name string, f file, lim Limits) (*Tree, error) {
	z, err := zip.NewReader(f, f.size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return nil, fmt.Errorf("read zip: %w", err)
	}
	z.RegisterDecompressor(zip.Deflate, func(r io.Reader) io.ReadCloser { return flate.NewReader(r) })
	t := &Tree{Kind: "zip"}
	if strings.HasSuffix(name, ".whl") {
		t.Kind = "wheel"
	}
	if len(z.File) > lim.MaxMembers {
		return nil, fmt.Errorf("read zip: %d entries, more than %d", len(z.File), lim.MaxMembers)
	}
	if z.Comment != "" {
		t.Fields = append(t.Fields, Field{"comment", z.Comment})
	}
	var total uint64
	for _, e := range z.File {
		total += e.UncompressedSize64
		if total > uint64(lim.MaxSize) {
			return nil, fmt.Errorf("read zip: contents of more than %d bytes", lim.MaxSize)
		}
		m := Member{Name: e.Name, Size: int64(e.UncompressedSize64), CRC32: e.CRC32, Stored: e.Method == zip.Store,
			Mode: zipMode(&e.FileHeader), Time: dosTime(e.ModifiedDate, e.ModifiedTime), open: e.Open, raw: e.OpenRaw}
		m.Fields = []Field{
			{"system", strconv.Itoa(int(e.CreatorVersion >> 8))},
			{"creator version", strconv.Itoa(int(e.CreatorVersion & 0xff))},
			{"reader version", strconv.Itoa(int(e.ReaderVersion))},
			{"flags", fmt.Sprintf("%#x", e.Flags)},
			{"method", strconv.Itoa(int(e.Method))},
			{"external attributes", fmt.Sprintf("%#x", e.ExternalAttrs&0xffff|e.ExternalAttrs>>16&0o170000<<16)},
			{"extra field", hex.EncodeToString(e.Extra)},
			{"comment", e.Comment},
		}
		t.Members = append(t.Members, m)
	}
	if len(z.File) > 0 {
		first := int64(1 << 62)
		for _, e := range z.File {
			if off, err := e.DataOffset(); err == nil {
				first = min(first, off-30-int64(len(e.Name)))
			}
		}
		if first > 4096 && first < 1<<62 {
			t.Fields = append(t.Fields, Field{"bytes before the entries", strconv.FormatInt(first, 10)})
		}
	}
	t.unique()
	return t, nil
}

// zipMode is the Unix mode as stored; 0 where a system without modes made the entry.
func zipMode(h *zip.FileHeader) fs.FileMode {
	mode := h.ExternalAttrs >> 16
	out := fs.FileMode(mode & 0o777)
	if mode&0o4000 != 0 {
		out |= fs.ModeSetuid
	}
	if mode&0o170000 == 0o120000 {
		out |= fs.ModeSymlink
	}
	return out
}

func dosTime(date, clock uint16) time.Time {
	return time.Date(int(date>>9)+1980, time.Month(date>>5&0xf), int(date&0x1f), int(clock>>11), int(clock>>5&0x3f), int(clock&0x1f)*2, 0, time.UTC)
}

func openTar(ctx context.Context, kind string, f file, lim Limits) (*Tree, error) {
	t := &Tree{Kind: kind}
	at := &position{r: f.section()}
	r := tar.NewReader(at)
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			if len(t.Members) == 0 {
				return nil, fmt.Errorf("read tar: %w", err)
			}
			t.Odd = append(t.Odd, fmt.Sprintf("after %q: %v", t.Members[len(t.Members)-1].Name, err))
			break
		}
		if total += h.Size; total > lim.MaxSize || len(t.Members) == lim.MaxMembers {
			return nil, fmt.Errorf("read tar: more than %d bytes or %d members", lim.MaxSize, lim.MaxMembers)
		}
		m := Member{Name: strings.TrimPrefix(h.Name, "./"), Size: h.Size, Mode: h.FileInfo().Mode(), Time: h.ModTime.UTC().Truncate(time.Second), Link: h.Linkname}
		m.Fields = []Field{
			{"type", string(h.Typeflag)}, {"owner", fmt.Sprintf("%d %s", h.Uid, h.Uname)}, {"group", fmt.Sprintf("%d %s", h.Gid, h.Gname)},
			{"format", h.Format.String()}, {"times", fraction(h.ModTime)},
		}
		switch h.Typeflag {
		case tar.TypeReg:
			body := io.NewSectionReader(f, at.n, h.Size)
			if isSparse(h) {
				t.Odd = append(t.Odd, fmt.Sprintf("%q is sparse: compared as stored", m.Name))
			}
			m.Link = ""
			m.open = func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(body, 0, body.Size())), nil }
		case tar.TypeDir:
			m.Name = strings.TrimSuffix(m.Name, "/") + "/"
		default:
			m.Size = int64(len(m.Link))
		}
		if m.Name != "/" && m.Name != "./" {
			t.Members = append(t.Members, m)
		}
	}
	t.unique()
	return t, nil
}

func isSparse(h *tar.Header) bool {
	for k := range h.PAXRecords {
		if strings.HasPrefix(k, "GNU.sparse") {
			return true
		}
	}
	return false
}

func fraction(t time.Time) string {
	if t.Nanosecond() != 0 {
		return "with fractions of seconds"
	}
	return "whole seconds"
}

// position counts what tar reads, and can skip.
type position struct {
	r *io.SectionReader
	n int64
}

func (p *position) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.n += int64(n)
	return n, err
}

func (p *position) Seek(offset int64, whence int) (int64, error) {
	n, err := p.r.Seek(offset, whence)
	if err == nil {
		p.n = n
	}
	return n, err
}

// openAr reads an ar archive (System V and BSD names).
func openAr(f file, lim Limits) (*Tree, error) {
	t := &Tree{Kind: "ar"}
	var long []byte
	for at := int64(8); at+60 <= f.size; {
		var h [60]byte
		if _, err := f.ReadAt(h[:], at); err != nil {
			return nil, fmt.Errorf("read ar: %w", err)
		}
		text := func(from, to int) string { return strings.TrimSpace(string(h[from:to])) }
		size, err := strconv.ParseInt(text(48, 58), 10, 64)
		if err != nil || size < 0 || string(h[58:]) != "`\n" || size > f.size-at-60 {
			return nil, fmt.Errorf("read ar: the header at %d is damaged", at)
		}
		if len(t.Members) == lim.MaxMembers {
			return nil, fmt.Errorf("read ar: more than %d members", lim.MaxMembers)
		}
		from, name := at+60, text(0, 16)
		at = from + size + size&1
		switch {
		case name == "/" || name == "/SYM64/" || strings.HasPrefix(name, "__.SYMDEF"):
			name = "(symbols)"
		case name == "//":
			long = make([]byte, min(size, 16<<20))
			if _, err := f.ReadAt(long, from); err != nil {
				return nil, fmt.Errorf("read ar: %w", err)
			}
			continue
		case strings.HasPrefix(name, "#1/"):
			n, err := strconv.ParseInt(name[3:], 10, 32)
			if err != nil || n < 0 || n > size || n > 4096 {
				return nil, fmt.Errorf("read ar: the name at %d is damaged", from)
			}
			b := make([]byte, n)
			if _, err := f.ReadAt(b, from); err != nil {
				return nil, fmt.Errorf("read ar: %w", err)
			}
			name, from, size = string(bytes.TrimRight(b, "\x00")), from+n, size-n
		case strings.HasPrefix(name, "/"):
			if n, err := strconv.Atoi(name[1:]); err == nil && n >= 0 && n < len(long) {
				b, _, _ := bytes.Cut(long[n:], []byte("\n"))
				name = string(b)
			}
			name = strings.TrimSuffix(name, "/")
		default:
			name = strings.TrimSuffix(name, "/")
		}
		body := io.NewSectionReader(f, from, size)
		m := Member{Name: name, Size: size, open: func() (io.ReadCloser, error) { return io.NopCloser(io.NewSectionReader(body, 0, body.Size())), nil }}
		if s, err := strconv.ParseInt(text(16, 28), 10, 64); err == nil {
			m.Time = time.Unix(s, 0).UTC()
		}
		if mode, err := strconv.ParseUint(text(40, 48), 8, 32); err == nil {
			m.Mode = fs.FileMode(mode & 0o777)
		}
		m.Fields = []Field{{"owner", text(28, 34)}, {"group", text(34, 40)}}
		t.Members = append(t.Members, m)
	}
	t.unique()
	return t, nil
}

// openCompressed reads a compressed tar, or the one file that was compressed.
func openCompressed(ctx context.Context, name, kind string, f file, lim Limits, left int64, outer bool) (*Tree, error) {
	var fields []Field
	var r io.Reader
	var err error
	switch src := f.section(); kind {
	case "gz":
		var z *gzip.Reader
		if z, err = gzip.NewReader(src); err == nil {
			r = z
			fields = gzipFields(z, f.head(10))
		}
	case "xz":
		r, err = xz.ReaderConfig{DictCap: 1 << 26}.NewReader(src)
	case "zst":
		var z *zstd.Decoder
		if z, err = zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20)); err == nil {
			defer z.Close()
			r = z
		}
	case "bz2":
		r = bzip2.NewReader(src)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", kind, err)
	}
	plain, done, err := spool(ctx, r, lim.TempDir, left, outer)
	if err != nil {
		return nil, fmt.Errorf("decompress %s: %w", kind, err)
	}
	if k := plain.head(512); len(k) > 262 && string(k[257:262]) == "ustar" {
		t, err := openTar(ctx, "tar."+kind, plain, lim)
		if err != nil {
			return nil, errors.Join(err, done())
		}
		t.Fields, t.close = fields, append(t.close, done)
		return t, nil
	}
	base := path.Base(name)
	base = strings.TrimSuffix(base, path.Ext(base))
	m := Member{Name: base, Size: plain.size, open: func() (io.ReadCloser, error) { return io.NopCloser(plain.section()), nil }}
	return &Tree{Kind: kind, Members: []Member{m}, Fields: fields, close: []func() error{done}}, nil
}

// gzipFields are what a gzip header says (RFC 1952).
func gzipFields(z *gzip.Reader, head []byte) []Field {
	out := []Field{{"gzip time", "none"}, {"gzip name", z.Name}, {"gzip comment", z.Comment}}
	if !z.ModTime.IsZero() {
		out[0].Value = z.ModTime.UTC().Format(time.RFC3339)
	}
	if len(head) == 10 {
		out = append(out, Field{"gzip level", strconv.Itoa(int(head[8]))}, Field{"gzip system", strconv.Itoa(int(head[9]))})
	}
	return out
}

const inMemory = 32 << 20

// spool decompresses to memory, or to a nameless file when it is much.
func spool(ctx context.Context, r io.Reader, dir string, left int64, outer bool) (file, func() error, error) {
	nothing := func() error { return nil }
	var buf bytes.Buffer
	most := left
	if outer {
		most = min(left, inMemory)
	}
	if _, err := io.CopyN(&buf, r, most+1); errors.Is(err, io.EOF) {
		return file{bytes.NewReader(buf.Bytes()), int64(buf.Len())}, nothing, nil
	} else if err != nil {
		return file{}, nil, err
	}
	if !outer || most == left {
		return file{}, nil, fmt.Errorf("more than %d bytes", most)
	}
	tmp, err := os.CreateTemp(dir, "truewheel-diff-*")
	if err != nil {
		return file{}, nil, err
	}
	done := func() error { return errors.Join(tmp.Close(), ignoreMissing(os.Remove(tmp.Name()))) }
	_ = os.Remove(tmp.Name()) // so that nothing is left however we end, where open files can be removed
	size, err := io.Copy(tmp, io.MultiReader(&buf, &cancelled{ctx, io.LimitReader(r, left-most)}))
	if err == nil && size > left {
		err = fmt.Errorf("more than %d bytes", left)
	}
	if err != nil {
		return file{}, nil, errors.Join(err, done())
	}
	return file{tmp, size}, done, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

type cancelled struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelled) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}
