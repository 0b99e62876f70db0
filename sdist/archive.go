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
		if err = checkDictionaries(bufio.NewReader(io.NewSectionReader(r, 0, size))); err == nil {
			body, err = xz.ReaderConfig{SingleStream: true}.NewReader(stream)
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

// checkDictionaries walks the blocks of an xz stream without inflating them:
// the decoder would allocate what each header says, up to 4 GiB.
func checkDictionaries(r *bufio.Reader) error {
	var head [12]byte // magic, flags (the second is the kind of check), CRC
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("xz header: %w", err)
	}
	check, ok := map[byte]int{0: 0, 1: 4, 4: 8, 10: 32}[head[7]]
	if !ok {
		return fmt.Errorf("xz stream with check %d", head[7])
	}
	for {
		length, err := r.ReadByte()
		if err != nil {
			return fmt.Errorf("xz block header: %w", err)
		}
		if length == 0 {
			return nil // the index follows
		}
		block := make([]byte, int(length)*4+3)
		if _, err := io.ReadFull(r, block); err != nil {
			return fmt.Errorf("xz block header: %w", err)
		}
		if err := checkDictionary(block); err != nil {
			return err
		}
		n, err := skipChunks(r)
		if err == nil {
			_, err = r.Discard(-n&3 + check)
		}
		if err != nil {
			return fmt.Errorf("xz block: %w", err)
		}
	}
}

// checkDictionary reads a block header, from its second byte on.
func checkDictionary(block []byte) error {
	fields := bytes.NewReader(block[1:])
	for bit := byte(0x40); bit >= 0x40; bit <<= 1 { // compressed and uncompressed size
		if block[0]&bit != 0 {
			if _, err := binary.ReadUvarint(fields); err != nil {
				return fmt.Errorf("xz block header: %w", err)
			}
		}
	}
	var filter [3]byte // LZMA2, length of its properties, dictionary size
	if _, err := io.ReadFull(fields, filter[:]); err != nil || block[0]&3 != 0 || filter[0] != 0x21 || filter[1] != 1 {
		return errors.New("xz block with a filter other than LZMA2")
	}
	bits := filter[2]
	if bits > 40 || (2|int64(bits&1))<<(bits/2+11) > maxDictionary {
		return fmt.Errorf("xz block with a dictionary of more than %d bytes", maxDictionary)
	}
	return nil
}

// skipChunks reads over the LZMA2 chunks of a block and gives their length, modulo 4.
func skipChunks(r *bufio.Reader) (n int, err error) {
	for {
		control, err := r.ReadByte()
		if err != nil || control == 0 {
			return (n + 1) & 3, err
		}
		head := make([]byte, 2) // size less one: of plain chunks
		switch {
		case control >= 0xc0:
			head = make([]byte, 5) // inflated, deflated, properties
		case control >= 0x80:
			head = make([]byte, 4)
		case control > 2:
			return 0, fmt.Errorf("LZMA2 chunk of kind %#x", control)
		}
		if _, err := io.ReadFull(r, head); err != nil {
			return 0, err
		}
		size := int(binary.BigEndian.Uint16(head)) + 1
		if control >= 0x80 {
			size = int(binary.BigEndian.Uint16(head[2:])) + 1
		}
		if _, err := r.Discard(size); err != nil {
			return 0, err
		}
		n = (n + 1 + len(head) + size) & 3
	}
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
