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
//   - cloudflare: Cloudflare's fork with its portable hash;
//   - cloudflare-crc32c: the same with the hash that it uses on x86-64 with
//     SSE 4.2 and on arm64.
//
// A name is FAMILY:LEVEL:MEMLEVEL:STRATEGY with zlib's numbers: "zlib:6:8:0". Level 0
// (stored blocks) is not among them: its stream depends on how the writer cut its input.
package deflate

import (
	"bytes"
	"context"
	_ "embed"
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

//go:embed wasm/zlib.wasm
var zlibWASM []byte

//go:embed wasm/cloudflare.wasm
var cloudflareWASM []byte

//go:embed wasm/cloudflare-crc32c.wasm
var cloudflareCRCWASM []byte

var families = map[string][]byte{
	"zlib":              zlibWASM,
	"cloudflare":        cloudflareWASM,
	"cloudflare-crc32c": cloudflareCRCWASM,
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
	if len(parts) == 4 && families[parts[0]] != nil {
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
	for _, mem := range []int{8, 9} {
		for _, level := range []int{6, 9, 1, 5, 4, 7, 8, 3, 2} {
			for _, family := range []string{"zlib", "cloudflare", "cloudflare-crc32c"} {
				out = append(out, Encoder{family, level, mem, 0})
			}
		}
	}
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
	memory          api.Memory
	init, feed, run api.Function
	input, output   uint32
}

func (s *Set) module(ctx context.Context, family string) (*module, error) {
	if m := s.modules[family]; m != nil {
		return m, nil
	}
	instance, err := s.runtime.InstantiateWithConfig(ctx, families[family], wazero.NewModuleConfig().WithName(family))
	if err != nil {
		return nil, fmt.Errorf("deflate encoder %s: %w", family, err)
	}
	m := &module{
		memory: instance.Memory(),
		init:   instance.ExportedFunction("init"), feed: instance.ExportedFunction("feed"), run: instance.ExportedFunction("run"),
	}
	for name, to := range map[string]*uint32{"input": &m.input, "output": &m.output} {
		r, err := instance.ExportedFunction(name).Call(ctx)
		if err != nil {
			return nil, fmt.Errorf("deflate encoder %s: %w", family, err)
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
		return err
	}
	r, err := m.init.Call(ctx, uint64(e.Level), uint64(e.MemLevel), uint64(e.Strategy))
	if err != nil || int32(r[0]) != 0 {
		return fmt.Errorf("deflate encoder %s can't be set up: %v", e, err)
	}
	buf := make([]byte, bufferSize)
	for {
		n, err := io.ReadFull(src, buf)
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return err
		}
		m.memory.Write(m.input, buf[:n])
		if _, err := m.feed.Call(ctx, uint64(n)); err != nil {
			return fmt.Errorf("deflate encoder %s: %w", e, err)
		}
		if err := m.drain(ctx, end, sink); err != nil {
			return err
		}
		if end {
			return nil
		}
	}
}

// drain takes out what the encoder has, until it wants more.
func (m *module) drain(ctx context.Context, finish bool, sink func([]byte) error) error {
	flag := uint64(0)
	if finish {
		flag = 1
	}
	for {
		r, err := m.run.Call(ctx, flag)
		if err != nil {
			return fmt.Errorf("deflate encoder: %w", err)
		}
		n := int32(r[0])
		if n < 0 {
			return fmt.Errorf("deflate encoder: error %d", n)
		}
		piece, ok := m.memory.Read(m.output, uint32(n))
		if !ok {
			return errors.New("deflate encoder: output outside of its memory")
		}
		if err := sink(piece); err != nil {
			return err
		}
		if n < bufferSize {
			return nil
		}
	}
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
		if n, _ := io.ReadFull(want, buf[:len(b)]); n < len(b) || !bytes.Equal(buf[:n], b) {
			return errOther
		}
		return nil
	})
	if errors.Is(err, errOther) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	n, _ := io.ReadFull(want, buf[:1])
	return n == 0, nil
}
