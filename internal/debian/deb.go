package debian

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Limits of what a .deb may hold. Decompressed data is held in memory while
// that of the package before is written; gcc's largest part has 70 MB.
const (
	maxControl = 16 << 20
	maxInRAM   = 1 << 30
)

// control is the control part of a .deb (deb(5)).
type control struct {
	stanza   string // the file "control" as it is
	fields   map[string]string
	postinst string
}

// readDeb reads a .deb (deb(5)) up to its data: what control says, and the
// whole decompressed tar of data.
func readDeb(ctx context.Context, r io.Reader) (control, []byte, error) {
	var c control
	br := bufio.NewReaderSize(r, 1<<20)
	magic := make([]byte, 8)
	if _, err := io.ReadFull(br, magic); err != nil || string(magic) != "!<arch>\n" {
		return c, nil, errors.New("it is not a .deb: no ar archive")
	}
	for step := 0; ; {
		name, size, err := arHeader(br)
		if errors.Is(err, io.EOF) {
			return c, nil, fmt.Errorf("it is cut short, or has no data.tar: %w", io.ErrUnexpectedEOF)
		}
		if err != nil {
			return c, nil, err
		}
		body := &io.LimitedReader{R: br, N: size}
		switch {
		case step == 0 && name == "debian-binary":
			text, err := io.ReadAll(io.LimitReader(body, 64))
			if err != nil || !strings.HasPrefix(string(text), "2.") {
				return c, nil, fmt.Errorf("its format is %q, not 2.0", text)
			}
			step = 1
		case step == 0:
			return c, nil, fmt.Errorf("its first member is %q, not debian-binary", name)
		case strings.HasPrefix(name, "_"): // to be skipped, says deb(5)
		case step == 1 && strings.HasPrefix(name, "control.tar"):
			if c, err = readControl(body, name); err != nil {
				return c, nil, err
			}
			step = 2
		case step == 2 && strings.HasPrefix(name, "data.tar"):
			z, err := decompress(body, name)
			if err != nil {
				return c, nil, err
			}
			var data bytes.Buffer
			_, err = io.Copy(&data, io.LimitReader(&cancelled{ctx, z}, maxInRAM+1))
			switch {
			case err != nil:
				return c, nil, fmt.Errorf("read %s: %w", name, err)
			case data.Len() > maxInRAM:
				return c, nil, fmt.Errorf("%s has more than %d bytes", name, maxInRAM)
			}
			// xz stops at its end; a truncated ar member is told by what is left.
			if _, err := io.Copy(io.Discard, body); err != nil {
				return c, nil, err
			}
			if body.N > 0 {
				return c, nil, fmt.Errorf("%s is cut short: %w", name, io.ErrUnexpectedEOF)
			}
			return c, data.Bytes(), nil
		default:
			return c, nil, fmt.Errorf("member %q is not where one is expected", name)
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			return c, nil, err
		}
		if size%2 == 1 {
			if _, err := br.Discard(1); err != nil {
				return c, nil, io.ErrUnexpectedEOF
			}
		}
	}
}

type cancelled struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

func arHeader(r io.Reader) (name string, size int64, err error) {
	var h [60]byte
	if n, err := io.ReadFull(r, h[:]); err != nil {
		if n == 0 {
			return "", 0, io.EOF
		}
		return "", 0, io.ErrUnexpectedEOF
	}
	if h[58] != '`' || h[59] != '\n' {
		return "", 0, errors.New("an ar header is damaged")
	}
	name = strings.TrimRight(strings.TrimRight(string(h[:16]), " "), "/")
	size, err = strconv.ParseInt(strings.TrimRight(string(h[48:58]), " "), 10, 64)
	if err != nil || size < 0 {
		return "", 0, fmt.Errorf("member %q: its size is %q", name, h[48:58])
	}
	return name, size, nil
}

func decompress(r io.Reader, name string) (io.Reader, error) {
	switch path.Ext(name) {
	case ".tar":
		return r, nil
	case ".gz":
		return gzip.NewReader(r)
	case ".xz":
		return xz.ReaderConfig{DictCap: 128 << 20}.NewReader(r)
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderMaxWindow(128<<20), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return nil, fmt.Errorf("%s: its compression is not known", name)
}

func readControl(r io.Reader, name string) (control, error) {
	var c control
	z, err := decompress(r, name)
	if err != nil {
		return c, err
	}
	t := tar.NewReader(io.LimitReader(z, maxControl))
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return c, fmt.Errorf("read %s: %w", name, err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		var to *string
		switch path.Clean("/" + h.Name) {
		case "/control":
			to = &c.stanza
		case "/postinst":
			to = &c.postinst
		default:
			continue
		}
		text, err := io.ReadAll(t)
		if err != nil {
			return c, fmt.Errorf("read %s: %w", name, err)
		}
		*to = string(text)
	}
	if c.fields, err = oneStanza([]byte(c.stanza)); err != nil {
		return c, fmt.Errorf("its control file: %w", err)
	}
	return c, nil
}
