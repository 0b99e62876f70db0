package deflate_test

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/truewheel/truewheel/wheel/deflate"
)

// zlibVectors[strategy][level-1] is the start of the sha256 of the streams that
// Python's zlib.compressobj(level, DEFLATED, -15, memLevel, strategy) makes of
// the inputs, one after the other, for memLevel 1 to 9.
var zlibVectors = [5][9]string{
	{"96665cf585cd1395", "715e178b8b40f9fa", "d1fb1a65fdb865b0", "3bde80c291c76df8", "545e654df743e847", "fb34763867aa1f6f", "74b0ddb7adac7088", "9009a127b58421ae", "447d69e7d232c374"},
	{"96665cf585cd1395", "715e178b8b40f9fa", "d1fb1a65fdb865b0", "9ce7ec7570829d78", "59f578e6e158ead5", "f5e34d87800b0578", "741855f802b6291f", "515531a83891be92", "1a07bc9ee0669b48"},
	{"dbbe3b0ec40885e9", "dbbe3b0ec40885e9", "dbbe3b0ec40885e9", "dbbe3b0ec40885e9", "dbbe3b0ec40885e9", "dbbe3b0ec40885e9", "dbbe3b0ec40885e9", "dbbe3b0ec40885e9", "dbbe3b0ec40885e9"},
	{"8ac0aa0c2858558d", "8ac0aa0c2858558d", "8ac0aa0c2858558d", "8ac0aa0c2858558d", "8ac0aa0c2858558d", "8ac0aa0c2858558d", "8ac0aa0c2858558d", "8ac0aa0c2858558d", "8ac0aa0c2858558d"},
	{"9297888fb8209a94", "b5184d7f1feefea8", "62604eca6bd792f7", "cc0bb4a5048c3ca8", "ad1ac0f82aae6f87", "f2c5051a373de524", "c017a51e656b20e4", "5682feb1a9ed1b64", "df044f58f57a4b18"},
}

// encoderKind is a family and the size of the pieces it is given.
type encoderKind struct {
	family string
	chunk  int
}

// vectors[kind][level-1] is the same of the family's upstream as a native
// program, for the strategies 0 to 4 at memLevel 8, with output buffers as
// Python's, and with longer prose.
var vectors = map[encoderKind][9]string{
	{"zlib-ng", 0}:                {"099d3c928c866175", "bdfef1881d44f811", "18dd4de5b02810c7", "9d9e71e165b7ce80", "d403d1d0bb773cf4", "7de396ae9703e653", "9cb8084eef8f24ae", "081cc55daed8aa51", "45b57693bc4ee70b"},
	{"zlib-ng", 8192}:             {"0df45f2e52dc8cd1", "bdfef1881d44f811", "18dd4de5b02810c7", "9d9e71e165b7ce80", "3691a5034c7e0111", "d9ba7a7b5b3d6fe1", "9cb8084eef8f24ae", "081cc55daed8aa51", "45b57693bc4ee70b"},
	{"zlib-ng-classic", 0}:        {"bdfef1881d44f811", "6e59ac8f6851ca36", "84807f09ffc84f46", "7076e7be750114cb", "4067cb31ec469fea", "fd6682544ef39476", "9cb8084eef8f24ae", "081cc55daed8aa51", "45b57693bc4ee70b"},
	{"zlib-ng-crc32c", 0}:         {"1e1d4ffac39dbb4b", "86dfad2055a8b1a1", "6214eebf764cdac1", "5e8a94ab92a68ad4", "bc5360e68ac2b14c", "43a39601e5fec694", "9cb8084eef8f24ae", "081cc55daed8aa51", "45b57693bc4ee70b"},
	{"zlib-ng-crc32c", 8192}:      {"d36e6f9514ed1fa4", "86dfad2055a8b1a1", "6214eebf764cdac1", "5e8a94ab92a68ad4", "385855ee48fe2b16", "58b02caa6e209f9b", "9cb8084eef8f24ae", "081cc55daed8aa51", "45b57693bc4ee70b"},
	{"zlib-ng-crc32c-classic", 0}: {"86dfad2055a8b1a1", "359d0b298114cf87", "84807f09ffc84f46", "ab518d0d83aa3f82", "f8908de3092d5fa8", "2924ddf382484dee", "9cb8084eef8f24ae", "081cc55daed8aa51", "45b57693bc4ee70b"},
	{"cloudflare", 0}:             {"a0e0d103162c1844", "8e548b5de5306ac1", "104cafc60131f8ab", "c519ff9766660dfc", "af7dab118aff8700", "257b1cbae432a9db", "47637a39cd9258d1", "bbd4ae1bf7d8ff11", "081cc55daed8aa51"},
	{"cloudflare-crc32c", 0}:      {"6290a277ee52aa1b", "0dd2e696bf62db3b", "6c4e9be96c8eb5f1", "78e8def2e57d632f", "0c2eb53d2e4855f7", "2924ddf382484dee", "9cb8084eef8f24ae", "081cc55daed8aa51", "081cc55daed8aa51"},
}

// random is a generator whose vectors are easily made in another language.
type random uint32

func (r *random) n(k int) int {
	*r = (*r*1103515245 + 12345) & 0x7fffffff
	return int(*r>>12) % k
}

// prose is n bytes of something like Python with many different words.
func prose(n int) []byte {
	r := random(12345)
	words := make([][]byte, 2000)
	for i := range words {
		words[i] = make([]byte, 2+r.n(9))
		for j := range words[i] {
			words[i][j] = byte('a' + r.n(1+r.n(26)))
		}
	}
	var out []byte
	for len(out) < n {
		out = append(out, words[r.n(1+r.n(2000))]...)
		switch r.n(12) {
		case 0:
			out = append(out, "\n        "...)
		case 1:
			out = append(out, "(self, "...)
		case 2:
			out = append(out, " = "...)
		default:
			out = append(out, ' ')
		}
	}
	return out[:n]
}

// noise is n bytes that can't be compressed.
func noise(n int) []byte {
	r := random(12345)
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(r.n(256))
	}
	return out
}

func inputs(long int) [][]byte {
	return [][]byte{{}, []byte("a"), prose(1000), prose(long), noise(66000), make([]byte, 70000)}
}

func newSet(t testing.TB) *deflate.Set {
	t.Helper()
	s, err := deflate.New(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

func encode(t testing.TB, s *deflate.Set, name string, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := s.Encode(context.Background(), name, &out, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// sum is the start of the sha256 of the streams of all inputs.
func sum(t *testing.T, s *deflate.Set, inputs [][]byte, encoders ...deflate.Encoder) string {
	t.Helper()
	h := sha256.New()
	for _, e := range encoders {
		for _, in := range inputs {
			h.Write(encode(t, s, e.String(), in))
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func TestVectors(t *testing.T) {
	for strategy, row := range zlibVectors {
		t.Run(fmt.Sprintf("zlib strategy %d", strategy), func(t *testing.T) {
			t.Parallel()
			s, in := newSet(t), inputs(70000)
			for i, want := range row {
				var all []deflate.Encoder
				for mem := 1; mem <= 9; mem++ {
					all = append(all, deflate.Encoder{Family: "zlib", Level: i + 1, MemLevel: mem, Strategy: strategy})
				}
				if got := sum(t, s, in, all...); got != want {
					t.Errorf("level %d: %s, want %s", i+1, got, want)
				}
			}
		})
	}
	for kind, row := range vectors {
		t.Run(fmt.Sprint(kind), func(t *testing.T) {
			t.Parallel()
			s, in := newSet(t), inputs(250000)
			for i, want := range row {
				var all []deflate.Encoder
				for strategy := range 5 {
					all = append(all, deflate.Encoder{Family: kind.family, Level: i + 1, MemLevel: 8, Strategy: strategy, Chunk: kind.chunk})
				}
				if got := sum(t, s, in, all...); got != want {
					t.Errorf("level %d: %s, want %s", i+1, got, want)
				}
			}
		})
	}
}

func find(t testing.TB, s *deflate.Set, plain, stream []byte) (string, bool) {
	t.Helper()
	name, ok, err := s.Find(context.Background(),
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(plain)), nil },
		func() io.Reader { return bytes.NewReader(stream) })
	if err != nil {
		t.Fatal(err)
	}
	return name, ok
}

// Every encoder's stream inflates to what it was made of, and is found again.
func TestFind(t *testing.T) {
	s := newSet(t)
	plain := prose(3000)
	for _, e := range deflate.Encoders() {
		stream := encode(t, s, e.String(), plain)
		back, err := io.ReadAll(flate.NewReader(bytes.NewReader(stream)))
		if err != nil || !bytes.Equal(back, plain) {
			t.Fatalf("%s: inflates to other bytes (%v)", e, err)
		}
		name, ok := find(t, s, plain, stream)
		if !ok || !bytes.Equal(encode(t, s, name, plain), stream) {
			t.Errorf("%s: found %q, %v", e, name, ok)
		}
	}
	if name, ok := find(t, s, plain, append(encode(t, s, "zlib:6:8:0", plain), 0)); ok {
		t.Errorf("a stream with a byte too many is %s", name)
	}
	var other bytes.Buffer
	w, err := flate.NewWriter(&other, 6)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(plain)
	w.Close()
	if name, ok := find(t, s, plain, other.Bytes()); ok {
		t.Errorf("the stream of another encoder is %s", name)
	}
}

func TestParseEncoder(t *testing.T) {
	for _, e := range deflate.Encoders() {
		if got, err := deflate.ParseEncoder(e.String()); err != nil || got != e {
			t.Errorf("%s: %v %v", e, got, err)
		}
	}
	for _, s := range []string{"", "zlib", "zlib:6:8", "zlib:10:8:0", "zlib:6:0:0", "zlib:6:8:5", "zlib:06:8:0", "miniz:6:8:0", "zlib:6:8:0:0", "zlib:6:8:0:8192", "zlib-ng:6:8:0:", "zlib-ng:6:8:0:1", "zlib-ng:6:8:0:8192:1", "zlib-ng-classic:6:8:0:8192", "zlib:+6:8:0", "zlib:-6:8:0", "zlib:0:8:0"} {
		if e, err := deflate.ParseEncoder(s); err == nil {
			t.Errorf("%q is %v", s, e)
		}
	}
}

func FuzzFind(f *testing.F) {
	s := newSet(f)
	all := deflate.Encoders()
	f.Add([]byte("hello hello hello"), uint8(0))
	f.Add(prose(5000), uint8(7))
	f.Fuzz(func(t *testing.T, plain []byte, which uint8) {
		e := all[int(which)%len(all)]
		stream := encode(t, s, e.String(), plain)
		name, ok := find(t, s, plain, stream)
		if !ok || !bytes.Equal(encode(t, s, name, plain), stream) {
			t.Errorf("%s: found %q, %v", e, name, ok)
		}
	})
}

// A name that is accepted is the one that is given back.
func FuzzParseEncoder(f *testing.F) {
	for _, e := range deflate.Encoders() {
		f.Add(e.String())
	}
	f.Add("zlib:06:8:0")
	f.Fuzz(func(t *testing.T, name string) {
		if e, err := deflate.ParseEncoder(name); err == nil && e.String() != name {
			t.Errorf("%q is %q", name, e)
		}
	})
}

// Errors of the reader and of the context come back, and the Set goes on.
func TestErrors(t *testing.T) {
	s := newSet(t)
	plain := prose(200000)
	stream := encode(t, s, "zlib:6:8:0", plain)
	broken := errors.New("broken disk")
	if err := s.Encode(t.Context(), "zlib:6:8:0", io.Discard, iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("Encode of a broken reader: %v", err)
	}
	_, _, err := s.Find(t.Context(),
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(plain)), nil },
		func() io.Reader { return iotest.ErrReader(broken) })
	if !errors.Is(err, broken) {
		t.Errorf("Find in a broken stream: %v", err)
	}
	_, _, err = s.Find(t.Context(), func() (io.ReadCloser, error) { return nil, broken }, func() io.Reader { return bytes.NewReader(stream) })
	if !errors.Is(err, broken) {
		t.Errorf("Find without contents: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Encode(ctx, "zlib:6:8:0", io.Discard, bytes.NewReader(plain)); !errors.Is(err, context.Canceled) {
		t.Errorf("Encode with a context that has ended: %v", err)
	}
	if err := s.Encode(t.Context(), "zlib:6:8:7", io.Discard, bytes.NewReader(plain)); err == nil {
		t.Error("Encode with a strategy that there is not gives no error")
	}
	if !bytes.Equal(encode(t, s, "zlib:6:8:0", plain), stream) {
		t.Error("another stream after errors")
	}
}

// Streams made at the same time don't mix.
func TestConcurrent(t *testing.T) {
	s := newSet(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			plain := prose(20000 + i)
			name, ok := find(t, s, plain, encode(t, s, "zlib-ng:6:8:0", plain))
			if !ok || name != "zlib-ng:6:8:0" {
				t.Errorf("found %q, %v", name, ok)
			}
		})
	}
	wg.Wait()
}

// The contents' size does not matter for memory.
func TestMemory(t *testing.T) {
	s := newSet(t)
	encode(t, s, "zlib:6:8:0", nil)
	const size = 64 << 20
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := s.Encode(t.Context(), "zlib:1:8:0", io.Discard, io.LimitReader(zeros{}, size)); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes allocated for %d bytes of contents", n, size)
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func BenchmarkEncode(b *testing.B) {
	s, plain := newSet(b), prose(1<<20)
	for _, name := range []string{"zlib:6:8:0", "zlib:9:8:0", "zlib-ng:6:8:0", "zlib-ng-classic:6:8:0"} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			for b.Loop() {
				encode(b, s, name, plain)
			}
		})
	}
}

// The cost of a stream that no encoder makes.
func BenchmarkUnknown(b *testing.B) {
	s, plain := newSet(b), prose(100000)
	stream := bytes.Repeat([]byte{0xff}, 100)
	for b.Loop() {
		find(b, s, plain, stream)
	}
}
