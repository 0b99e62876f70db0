package sdist

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/truewheel/truewheel/wheel"
	"github.com/ulikunitz/xz"
)

// entries is one archive as a stream.
type entries interface {
	next() (header, io.Reader, error) // io.EOF at the end
	format() string                   // after the end
}

type header struct {
	name    string
	kind    byte // f, d, l (symbolic link), h (hard link)
	link    string
	mode    uint32 // setuid, setgid and sticky bits too
	size    int64
	modTime time.Time
	uid     int
	gid     int
	uname   string
	gname   string
}

func open(ctx context.Context, filename string, r io.ReaderAt, size int64, lim Limits) (entries, bool, error) {
	stream := bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 64<<10)
	var body io.Reader
	var err error
	var kind string
	switch lower := strings.ToLower(filename); {
	case strings.HasSuffix(lower, ".zip"):
		z, err := openZip(filename, r, size, lim)
		return z, true, err
	case strings.HasSuffix(lower, ".tar.gz"), strings.HasSuffix(lower, ".tgz"):
		kind = "tar.gz"
		body, err = gzip.NewReader(stream)
	case strings.HasSuffix(lower, ".tar.bz2"):
		kind = "tar.bz2"
		body = bzip2.NewReader(stream)
	case strings.HasSuffix(lower, ".tar.xz"):
		kind = "tar.xz"
		if err = checkDictionary(stream); err == nil {
			body, err = xz.NewReader(stream)
		}
	default:
		return nil, false, errors.New("not the name of a source distribution (.tar.gz, .tgz, .tar.bz2, .tar.xz, .zip)")
	}
	if err != nil {
		return nil, false, err
	}
	// Headers count too, else an archive of headers alone would be a bomb.
	body = &bounded{ctx: ctx, r: body, left: lim.contents(size) + min(int64(lim.MaxEntries), 1+size)*2048 + 1<<20}
	return &tarEntries{kind: kind, body: body, r: tar.NewReader(body)}, false, nil
}

// maxDictionary bounds the memory that an xz stream may ask for; xz -9 asks for 64 MiB.
const maxDictionary = 64 << 20

// checkDictionary reads the dictionary size in the first block header of an
// xz stream: the decoder would allocate whatever it says, up to 4 GiB.
func checkDictionary(r *bufio.Reader) error {
	head, err := r.Peek(12 + 8)
	if err != nil {
		return fmt.Errorf("xz header: %w", err)
	}
	block := head[12:]
	if block[0] == 0 {
		return errors.New("xz stream without contents")
	}
	length := (int(block[0]) + 1) * 4
	head, err = r.Peek(12 + length)
	if err != nil {
		return fmt.Errorf("xz block header: %w", err)
	}
	block = head[12:]
	fields := bytes.NewReader(block[2:])
	if block[1]&3 != 0 {
		return errors.New("xz stream with more than the LZMA2 filter")
	}
	for bit := byte(0x40); bit != 0; bit <<= 1 { // compressed and uncompressed size
		if block[1]&bit != 0 {
			if _, err := binary.ReadUvarint(fields); err != nil {
				return fmt.Errorf("xz block header: %w", err)
			}
		}
	}
	var filter [3]byte // LZMA2, length of its properties, dictionary size
	if _, err := io.ReadFull(fields, filter[:]); err != nil || filter[0] != 0x21 || filter[1] != 1 {
		return errors.New("xz stream with a filter other than LZMA2")
	}
	bits := filter[2] & 0x3f
	if bits > 40 || (2|int64(bits&1))<<(bits/2+11) > maxDictionary {
		return fmt.Errorf("xz stream with a dictionary of more than %d bytes", maxDictionary)
	}
	return nil
}

// bounded reads at most left bytes, and as long as ctx lasts.
type bounded struct {
	ctx  context.Context
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errors.New("the archive inflates beyond the limits")
	}
	return n, err
}

type tarEntries struct {
	kind    string
	body    io.Reader
	r       *tar.Reader
	dialect tar.Format
}

func (t *tarEntries) format() string {
	switch {
	case t.dialect&tar.FormatPAX != 0:
		return t.kind + ": pax"
	case t.dialect&tar.FormatGNU != 0:
		return t.kind + ": gnu"
	}
	return t.kind + ": ustar"
}

func (t *tarEntries) next() (header, io.Reader, error) {
	for {
		h, err := t.r.Next()
		if err == io.EOF {
			return header{}, nil, t.end()
		}
		if err != nil {
			return header{}, nil, err
		}
		t.dialect |= h.Format
		out := header{
			name: h.Name, link: h.Linkname, mode: uint32(h.Mode & 0o7777), size: h.Size, modTime: h.ModTime,
			uid: h.Uid, gid: h.Gid, uname: h.Uname, gname: h.Gname,
		}
		switch h.Typeflag {
		case tar.TypeXGlobalHeader:
			continue
		case tar.TypeReg, tar.TypeCont:
			out.kind = 'f'
			if strings.HasSuffix(h.Name, "/") {
				out.kind = 'd' // old archives mark directories so
			}
		case tar.TypeDir:
			out.kind = 'd'
		case tar.TypeSymlink:
			out.kind = 'l'
		case tar.TypeLink:
			out.kind = 'h'
		case tar.TypeGNUSparse:
			return out, nil, fmt.Errorf("entry %q is a sparse file", h.Name)
		default:
			return out, nil, fmt.Errorf("entry %q is a special file (type %q)", h.Name, h.Typeflag)
		}
		if out.kind != 'f' && h.Size != 0 {
			return out, nil, fmt.Errorf("entry %q is no file and has contents", h.Name)
		}
		return out, t.r, nil
	}
}

// end reads what follows the end of the archive: zeros, by which the
// compressor's checksum is verified too. Some tools would read entries there.
func (t *tarEntries) end() error {
	buf := make([]byte, 32<<10)
	for {
		n, err := t.body.Read(buf)
		if len(bytes.Trim(buf[:n], "\x00")) != 0 {
			return errors.New("bytes after the end of the archive")
		}
		if err != nil {
			return err
		}
	}
}

// zipEntries is a zip, read as strictly as a wheel.
type zipEntries struct {
	a    *wheel.Archive
	i    int
	open io.Closer
}

func openZip(filename string, r io.ReaderAt, size int64, lim Limits) (*zipEntries, error) {
	a, err := wheel.Open(filename, r, size, wheel.Limits{MaxSize: lim.MaxSize, MaxEntries: lim.MaxEntries})
	if err != nil {
		return nil, errors.Unwrap(err) // without the file's name, which the caller adds
	}
	return &zipEntries{a: a}, nil
}

func (z *zipEntries) format() string { return "zip" }

func (z *zipEntries) next() (header, io.Reader, error) {
	if z.open != nil {
		if err := z.open.Close(); err != nil {
			return header{}, nil, err
		}
		z.open = nil
	}
	if z.i == len(z.a.Entries) {
		return header{}, nil, io.EOF
	}
	e := z.a.Entries[z.i]
	h := header{name: e.Name, kind: 'f', mode: e.Mode() & 0o7777, size: e.Size, modTime: e.Modified()}
	if e.IsDir() {
		h.kind = 'd'
		z.i++
		return h, nil, nil
	}
	r, err := z.a.Contents(z.i)
	if err != nil {
		return h, nil, fmt.Errorf("entry %q: %w", e.Name, err)
	}
	z.i++
	z.open = r
	return h, r, nil
}
