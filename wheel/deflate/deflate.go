// Package deflate knows how deflate streams are made, bit for bit: it names
// the encoder and settings that turn contents into exactly a given stream,
// and makes that stream again.
//
// The encoders are upstream's C sources compiled to WebAssembly (wasm/build.sh)
// and run by wazero: no program is started, and a hostile input meets a
// sandbox. Families:
//
//   - zlib: zlib 1.3.2, whose streams are those of every zlib since 1.2.5 for
//     whole-file input;
//   - zlib-ng: zlib-ng 2.3.3, whose streams are those of 2.2 too;
//   - zlib-ng-classic: the same built without its new strategies (upstream's
//     WITH_NEW_STRATEGIES=OFF), as some distributions ship it in zlib's place;
//   - zlib-ng-crc32c, zlib-ng-crc32c-classic: zlib-ng 2.1.6, alike, with the
//     hash that it uses on x86-64 with SSE 4.2;
//   - cloudflare: Cloudflare's fork with its portable hash;
//   - cloudflare-crc32c: the same with the hash that it uses on x86-64 with
//     SSE 4.2 and on arm64.
//
// Small contents have one stream under many names; the first one is told.
//
// A name is FAMILY:LEVEL:MEMLEVEL:STRATEGY with zlib's numbers: "zlib:6:8:0". Level 0
// (stored blocks) is not among them: its stream depends on how the writer cut its input.
package deflate

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

//go:embed wasm/*.wasm
var modules embed.FS

// families have a module each, of the same name; the likely ones first.
var families = []string{
	"zlib", "zlib-ng-classic", "zlib-ng-crc32c-classic", "zlib-ng", "zlib-ng-crc32c", "cloudflare", "cloudflare-crc32c",
}

const bufferSize = 1 << 16 // of the modules' two buffers

// Encoder is a family with its settings.
type Encoder struct {
	Family                    string
	Level, MemLevel, Strategy int
}

// String is the encoder's name.
func (e Encoder) String() string {
	return fmt.Sprintf("%s:%d:%d:%d", e.Family, e.Level, e.MemLevel, e.Strategy)
}

// ParseEncoder parses a name.
func ParseEncoder(s string) (Encoder, error) {
	parts := strings.Split(s, ":")
	if len(parts) == 4 && slices.Contains(families, parts[0]) {
		level, err1 := strconv.Atoi(parts[1])
		mem, err2 := strconv.Atoi(parts[2])
		strategy, err3 := strconv.Atoi(parts[3])
		e := Encoder{parts[0], level, mem, strategy}
		if err1 == nil && err2 == nil && err3 == nil && level >= 1 && level <= 9 && mem >= 1 && mem <= 9 && strategy >= 0 && strategy <= 4 && e.String() == s {
			return e, nil
		}
	}
	return Encoder{}, fmt.Errorf("%q is no deflate encoder that is known", s)
}

// Encoders are all settings that are tried, the likely ones first.
func Encoders() []Encoder {
	var out []Encoder
	levels := []int{6, 9, 1, 5, 4, 7, 8, 3, 2}
	for _, level := range levels {
		for _, family := range families {
			out = append(out, Encoder{family, level, 8, 0})
		}
	}
	for _, level := range levels {
		out = append(out, Encoder{"zlib", level, 9, 0})
	}
	out = append(out, Encoder{"zlib-ng", 6, 9, 0}, Encoder{"zlib-ng", 9, 9, 0})
	for _, strategy := range []int{1, 2, 3, 4} {
		for _, level := range []int{6, 9, 1} {
			out = append(out, Encoder{"zlib", level, 8, strategy})
		}
	}
	for mem := range 7 {
		out = append(out, Encoder{"zlib", 6, mem + 1, 0}, Encoder{"zlib", 9, mem + 1, 0})
	}
	return out
}

// Set runs encoders. It is safe for concurrent use; streams are made one after the other.
type Set struct {
	mu      sync.Mutex // guards what follows, and the modules' memory
	runtime wazero.Runtime
	modules map[string]*module
	last    Encoder // found last: the next member was most likely made alike
	buf     [bufferSize]byte
}

// New makes a Set. Modules are compiled when they are first needed.
func New(ctx context.Context) (*Set, error) {
	config := wazero.NewRuntimeConfig().WithMemoryLimitPages(128).WithCloseOnContextDone(true)
	return &Set{runtime: wazero.NewRuntimeWithConfig(ctx, config), modules: map[string]*module{}}, nil
}

// Close frees what the Set holds.
func (s *Set) Close(ctx context.Context) error { return s.runtime.Close(ctx) }

// module is an instance of one family.
type module struct {
	instance        api.Module
	init, feed, run api.Function
	input, output   uint32 // addresses of its buffers, bufferSize bytes each
}

// module instantiates a family once; an instance that failed has been dropped.
func (s *Set) module(ctx context.Context, family string) (*module, error) {
	if m := s.modules[family]; m != nil {
		return m, nil
	}
	code, err := modules.ReadFile("wasm/" + family + ".wasm")
	if err != nil {
		return nil, err
	}
	instance, err := s.runtime.InstantiateWithConfig(ctx, code, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		return nil, err
	}
	m := &module{
		instance: instance,
		init:     instance.ExportedFunction("init"), feed: instance.ExportedFunction("feed"), run: instance.ExportedFunction("run"),
	}
	for name, to := range map[string]*uint32{"input": &m.input, "output": &m.output} {
		r, err := instance.ExportedFunction(name).Call(ctx)
		if err != nil {
			return nil, err
		}
		*to = uint32(r[0])
	}
	s.modules[family] = m
	return m, nil
}

// encode runs one stream. sink gets it in pieces and may end it with an error.
func (s *Set) encode(ctx context.Context, e Encoder, src io.Reader, sink func([]byte) error) error {
	m, err := s.module(ctx, e.Family)
	if err != nil {
		return fmt.Errorf("deflate encoder %s: %w", e.Family, err)
	}
	r, err := m.init.Call(ctx, uint64(e.Level), uint64(e.MemLevel), uint64(e.Strategy))
	if err != nil {
		return s.drop(ctx, e, err)
	}
	if code := int32(r[0]); code != 0 {
		return fmt.Errorf("deflate encoder %s: set-up gives error %d", e, code)
	}
	for end := false; !end; {
		n, err := readFull(src, s.buf[:])
		if err != nil {
			return err
		}
		end = n < len(s.buf)
		if !m.instance.Memory().Write(m.input, s.buf[:n]) {
			return fmt.Errorf("deflate encoder %s: its input is outside of its memory", e)
		}
		if _, err := m.feed.Call(ctx, uint64(n)); err != nil {
			return s.drop(ctx, e, err)
		}
		if err := s.drain(ctx, e, m, 0, sink); err != nil {
			return err
		}
	}
	// The end is told alone, as zlib's users do: zlib-ng's streams depend on it.
	return s.drain(ctx, e, m, 1, sink)
}

// drain takes out what the encoder has, until it wants more. finish is 1 at
// the end of the input, 0 before.
func (s *Set) drain(ctx context.Context, e Encoder, m *module, finish uint64, sink func([]byte) error) error {
	for {
		r, err := m.run.Call(ctx, finish)
		if err != nil {
			return s.drop(ctx, e, err)
		}
		n := int32(r[0])
		if n < 0 {
			return fmt.Errorf("deflate encoder %s: error %d", e, n)
		}
		piece, ok := m.instance.Memory().Read(m.output, uint32(n))
		if !ok {
			return fmt.Errorf("deflate encoder %s: its output is outside of its memory", e)
		}
		if err := sink(piece); err != nil {
			return err
		}
		if n < bufferSize {
			return nil
		}
	}
}

// drop forgets an instance that was stopped amid a call (ctx ended, it
// trapped), so that the next stream gets a new one.
func (s *Set) drop(ctx context.Context, e Encoder, cause error) error {
	if m := s.modules[e.Family]; m != nil {
		delete(s.modules, e.Family)
		_ = m.instance.Close(context.WithoutCancel(ctx))
	}
	if err := ctx.Err(); err != nil {
		cause = err
	}
	return fmt.Errorf("deflate encoder %s: %w", e, cause)
}

// Encode writes the stream that the named encoder makes of src.
func (s *Set) Encode(ctx context.Context, name string, dst io.Writer, src io.Reader) error {
	e, err := ParseEncoder(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.encode(ctx, e, src, func(b []byte) error {
		_, err := dst.Write(b)
		return err
	})
}

// errOther ends an encoder whose stream turned out to be another one.
var errOther = errors.New("another stream")

// Find names the first encoder that makes exactly stream of plain; ok is
// false when none does. An encoder is left at the first byte that differs.
func (s *Set) Find(ctx context.Context, plain func() (io.ReadCloser, error), stream func() io.Reader) (name string, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	order := Encoders()
	if i := slices.Index(order, s.last); i > 0 {
		order = append([]Encoder{s.last}, slices.Delete(order, i, i+1)...)
	}
	for _, e := range order {
		ok, err := s.makes(ctx, e, plain, stream())
		if err != nil {
			return "", false, err
		}
		if ok {
			s.last = e
			return e.String(), true, nil
		}
	}
	return "", false, nil
}

func (s *Set) makes(ctx context.Context, e Encoder, plain func() (io.ReadCloser, error), want io.Reader) (bool, error) {
	src, err := plain()
	if err != nil {
		return false, err
	}
	defer src.Close()
	buf := make([]byte, bufferSize)
	err = s.encode(ctx, e, src, func(b []byte) error {
		n, err := readFull(want, buf[:len(b)])
		if err == nil && !bytes.Equal(buf[:n], b) {
			return errOther
		}
		return err
	})
	if errors.Is(err, errOther) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	n, err := readFull(want, buf[:1])
	return n == 0, err
}

// readFull is io.ReadFull for which the end is no error.
func readFull(r io.Reader, b []byte) (int, error) {
	n, err := io.ReadFull(r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}
