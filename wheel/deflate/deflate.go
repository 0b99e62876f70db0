// Package deflate knows how deflate streams are made, bit for bit: it names
// the encoder and settings that turn contents into exactly a given stream,
// and makes that stream again.
//
// The encoders are upstream's C sources compiled to WebAssembly (wasm/build.sh)
// and run by wazero: no program is started, and a hostile input meets a
// sandbox. Families:
//
//   - zlib: zlib 1.3.2, whose streams are those of 1.2.13 in every setting tested;
//   - zlib-ng: zlib-ng 2.3.3, whose streams are those of 2.2 too, and of 2.1
//     where that has no hash of the processor's;
//   - zlib-ng-classic: the same built without its new strategies (upstream's
//     WITH_NEW_STRATEGIES=OFF), as Homebrew and others ship it in zlib's place;
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
//
// The streams of zlib-ng's new strategies depend on that too, and on the output buffers.
// They are made as Python's zipfile makes them from contents given at once
// (writestr); a fifth field says in pieces of how many bytes they were given
// otherwise, as copyfileobj does: "zlib-ng:6:8:0:8192".
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

const memoryPages = 96 // of 64 KiB: all the memory that a module can have

// rooms are the sizes of the output buffers that Python's zlib module gives to
// one call, one after the other; the last one again and again. (Python's grow
// to 4 MiB and more then.) No module's buffer is larger.
var rooms = []uint64{32 << 10, 64 << 10, 256 << 10, 1 << 20}

// Encoder is a family with its settings.
type Encoder struct {
	Family                    string
	Level, MemLevel, Strategy int // zlib's: 1 to 9, 1 to 9, 0 to 4
	Chunk                     int // bytes that zlib-ng was given at a time, 1,024 to 65,536; 0: all at once
}

// String is the encoder's name.
func (e Encoder) String() string {
	name := fmt.Sprintf("%s:%d:%d:%d", e.Family, e.Level, e.MemLevel, e.Strategy)
	if e.Chunk != 0 {
		name += fmt.Sprintf(":%d", e.Chunk)
	}
	return name
}

// ParseEncoder parses a name. It accepts only what String gives.
func ParseEncoder(s string) (Encoder, error) {
	family, settings, _ := strings.Cut(s, ":")
	e := Encoder{Family: family}
	for i, part := range strings.Split(settings, ":") {
		n, err := strconv.Atoi(part)
		if to := []*int{&e.Level, &e.MemLevel, &e.Strategy, &e.Chunk}; err == nil && i < len(to) {
			*to[i] = n
		}
	}
	if e.String() != s || !e.valid() {
		return Encoder{}, fmt.Errorf("%q is no deflate encoder that is known", s)
	}
	return e, nil
}

func (e Encoder) valid() bool {
	within := func(n, low, high int) bool { return n >= low && n <= high }
	cut := e.Chunk == 0 || within(e.Chunk, 1<<10, 1<<16) && (e.Family == "zlib-ng" || e.Family == "zlib-ng-crc32c")
	return slices.Contains(families, e.Family) && cut && within(e.Level, 1, 9) && within(e.MemLevel, 1, 9) && within(e.Strategy, 0, 4)
}

// Encoders are all settings that are tried, the likely ones first.
func Encoders() []Encoder {
	var out []Encoder
	add := func(family string, level, mem, strategy, chunk int) {
		out = append(out, Encoder{family, level, mem, strategy, chunk})
	}
	levels := []int{6, 9, 1, 5, 4, 7, 8, 3, 2}
	// What nearly all wheels are made with, before any other family is looked at.
	for _, level := range levels[:3] {
		add("zlib", level, 8, 0, 0)
	}
	for _, level := range levels {
		for _, family := range families {
			if level > 6 && strings.HasSuffix(family, "classic") {
				continue // the new strategies are those of levels 1 to 6
			}
			if e := (Encoder{family, level, 8, 0, 0}); !slices.Contains(out, e) {
				out = append(out, e)
			}
			if cut := (Encoder{family, level, 8, 0, 8 << 10}); cut.valid() && slices.Contains([]int{1, 5, 6}, level) {
				out = append(out, cut)
			}
		}
	}
	for _, level := range levels {
		add("zlib", level, 9, 0, 0)
	}
	for strategy := 1; strategy <= 4; strategy++ {
		for _, level := range []int{6, 9, 1} {
			add("zlib", level, 8, strategy, 0)
		}
	}
	for mem := 1; mem <= 7; mem++ {
		add("zlib", 6, mem, 0, 0)
		add("zlib", 9, mem, 0, 0)
	}
	return out
}

// Set runs encoders. It is safe for concurrent use; streams are made one after the other.
type Set struct {
	mu      sync.Mutex // guards what follows, and the modules' memory
	runtime wazero.Runtime
	modules map[string]*module
	last    Encoder   // found last: the next member was most likely made alike
	src     io.Reader // what the module that runs reads
	srcErr  error     // why that ended, when it was not the end
}

// New makes a Set. Modules are compiled when they are first needed.
func New(ctx context.Context) (*Set, error) { return NewCached(ctx, "") }

// NewCached makes a Set that keeps compiled modules in a directory, which has
// to be as trusted as the program; "" keeps none. A directory that can't be
// used is done without.
func NewCached(ctx context.Context, dir string) (*Set, error) {
	// Without WithCloseOnContextDone, which makes the code five times slower:
	// a call ends by itself after little input, and read asks ctx.
	config := wazero.NewRuntimeConfig().WithMemoryLimitPages(memoryPages)
	if dir != "" {
		if cache, err := wazero.NewCompilationCacheWithDir(dir); err == nil {
			config = config.WithCompilationCache(cache)
		}
	}
	s := &Set{runtime: wazero.NewRuntimeWithConfig(ctx, config), modules: map[string]*module{}}
	_, err := s.runtime.NewHostModuleBuilder("env").NewFunctionBuilder().WithFunc(s.read).Export("read").Instantiate(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("deflate encoders: %w", err), s.Close(ctx))
	}
	return s, nil
}

// read gives a module up to n bytes of its input; none at the end.
func (s *Set) read(ctx context.Context, m api.Module, to, n uint32) uint32 {
	buf, ok := m.Memory().Read(to, n)
	switch {
	case s.srcErr != nil:
		return 0
	case ctx.Err() != nil:
		s.srcErr = ctx.Err()
		return 0
	case !ok:
		s.srcErr = errors.New("deflate encoder reads to outside of its memory")
		return 0
	}
	got, err := readFull(s.src, buf)
	s.srcErr = err
	return uint32(got)
}

// Close frees what the Set holds.
func (s *Set) Close(ctx context.Context) error { return s.runtime.Close(ctx) }

// module is an instance of one family.
type module struct {
	instance  api.Module
	init, run api.Function
	output    uint32 // address of its output buffer
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
	output, err := instance.ExportedFunction("output").Call(ctx)
	if err != nil {
		return nil, err
	}
	m := &module{instance, instance.ExportedFunction("init"), instance.ExportedFunction("run"), uint32(output[0])}
	s.modules[family] = m
	return m, nil
}

// Why a module's run stopped.
const (
	runFull = iota // the output buffer is full
	runDone        // one call of the encoder's is over: the first buffer is next
	runEnd         // the stream is complete
)

// encode runs one stream. sink gets it in pieces and may end it with an error.
func (s *Set) encode(ctx context.Context, e Encoder, src io.Reader, sink func([]byte) error) error {
	s.src, s.srcErr = src, nil
	defer func() { s.src = nil }()
	m, err := s.module(ctx, e.Family)
	if err != nil {
		return fmt.Errorf("deflate encoder %s: %w", e.Family, err)
	}
	r, err := m.init.Call(ctx, uint64(e.Level), uint64(e.MemLevel), uint64(e.Strategy), uint64(e.Chunk))
	if err != nil {
		return s.drop(ctx, e, err)
	}
	if code := int32(r[0]); code != 0 {
		return fmt.Errorf("deflate encoder %s: set-up gives error %d", e, code)
	}
	for room := 0; ; {
		r, err := m.run.Call(ctx, rooms[room])
		if err != nil {
			return s.drop(ctx, e, err)
		}
		if s.srcErr != nil {
			return s.srcErr
		}
		if code := int32(r[0]); code < 0 {
			return fmt.Errorf("deflate encoder %s: error %d", e, code)
		}
		piece, ok := m.instance.Memory().Read(m.output, uint32(r[0])&(1<<24-1))
		if !ok {
			return fmt.Errorf("deflate encoder %s: its output is outside of its memory", e)
		}
		if err := sink(piece); err != nil {
			return err
		}
		switch r[0] >> 24 {
		case runFull:
			room = min(room+1, len(rooms)-1)
		case runDone:
			room = 0
		case runEnd:
			return nil
		}
	}
}

// drop forgets an instance that trapped, so that the next stream gets a new one.
func (s *Set) drop(ctx context.Context, e Encoder, cause error) error {
	if m := s.modules[e.Family]; m != nil {
		delete(s.modules, e.Family)
		_ = m.instance.Close(context.WithoutCancel(ctx))
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
	var buf []byte
	err = s.encode(ctx, e, src, func(b []byte) error {
		buf = slices.Grow(buf[:0], len(b))[:len(b)]
		n, err := readFull(want, buf)
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
	n, err := readFull(want, make([]byte, 1))
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
