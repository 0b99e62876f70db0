package rebuild

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"os"

	"github.com/truewheel/truewheel/wheel"
)

// maxGzipHeader bounds the header of a gzip file that is replayed.
const maxGzipHeader = 10 + 1024

// gzipHeader is the header of a gzip file (RFC 1952, one member) with nothing
// in it but time, level, system and the name of the file, none of which any
// reader of sdists acts on; ok is false for others.
func gzipHeader(r io.Reader) (header []byte, ok bool, err error) {
	in := bufio.NewReader(r)
	header = make([]byte, 10)
	if _, err := io.ReadFull(in, header); err != nil {
		return nil, false, err
	}
	const name = 8
	if header[0] != 0x1f || header[1] != 0x8b || header[2] != 8 || header[3]&^name != 0 {
		return nil, false, nil
	}
	for named := header[3]&name != 0; named; {
		c, err := in.ReadByte()
		if err != nil || len(header) == maxGzipHeader {
			return nil, false, err
		}
		header = append(header, c)
		named = c != 0
	}
	return header, true, nil
}

// regzip compresses the tar of the rebuilt sdist as the published one was:
// with its header, by a known encoder. ok says that this gives the published
// sha256; encoder names what compressed it.
func regzip(ctx context.Context, published, sum, rebuilt string, enc wheel.Encoders) (encoder string, ok bool, err error) {
	f, err := os.Open(published)
	if err != nil {
		return "", false, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", false, err
	}
	header, ok, err := gzipHeader(f)
	if err != nil || !ok || info.Size() < int64(len(header))+8 {
		return "", false, err
	}
	plain := func() (io.ReadCloser, error) { return openGzip(rebuilt) }
	stream := func() io.Reader {
		return io.NewSectionReader(f, int64(len(header)), info.Size()-int64(len(header))-8)
	}
	if encoder, ok, err = enc.Find(ctx, plain, stream); err != nil || !ok {
		return "", false, err
	}
	// What counts is the whole file, made again of the rebuilt tar.
	src, err := plain()
	if err != nil {
		return "", false, err
	}
	defer src.Close()
	crc, whole, n := crc32.NewIEEE(), sha256.New(), &counter{}
	whole.Write(header)
	if err := enc.Encode(ctx, encoder, whole, io.TeeReader(src, io.MultiWriter(crc, n))); err != nil {
		return "", false, err
	}
	tail := binary.LittleEndian.AppendUint32(nil, crc.Sum32())
	whole.Write(binary.LittleEndian.AppendUint32(tail, uint32(n.n)))
	return encoder, hex.EncodeToString(whole.Sum(nil)) == sum, nil
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// gzipFile closes its file too.
type gzipFile struct {
	*gzip.Reader
	f *os.File
}

func (g gzipFile) Close() error { return errors.Join(g.Reader.Close(), g.f.Close()) }

func openGzip(name string) (io.ReadCloser, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return gzipFile{z, f}, nil
}
