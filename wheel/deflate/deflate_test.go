package deflate_test

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"testing"

	"github.com/truewheel/truewheel/wheel/deflate"
)

// vectors: what Python's zlib.compressobj(level, DEFLATED, -15, memLevel,
// strategy) makes of the first n bytes of text, by the start of its sha256.
var vectors = []struct {
	encoder string
	n       int
	sum     string
}{
	{"zlib:1:8:0", 0, "9b4fb24edd6d1d88"},
	{"zlib:3:8:0", 0, "9b4fb24edd6d1d88"},
	{"zlib:6:8:0", 0, "9b4fb24edd6d1d88"},
	{"zlib:9:8:0", 0, "9b4fb24edd6d1d88"},
	{"zlib:6:9:0", 0, "9b4fb24edd6d1d88"},
	{"zlib:6:1:0", 0, "9b4fb24edd6d1d88"},
	{"zlib:6:8:1", 0, "9b4fb24edd6d1d88"},
	{"zlib:6:8:2", 0, "9b4fb24edd6d1d88"},
	{"zlib:6:8:3", 0, "9b4fb24edd6d1d88"},
	{"zlib:6:8:4", 0, "9b4fb24edd6d1d88"},
	{"zlib:1:8:0", 1, "c1378b57f7081a32"},
	{"zlib:3:8:0", 1, "c1378b57f7081a32"},
	{"zlib:6:8:0", 1, "c1378b57f7081a32"},
	{"zlib:9:8:0", 1, "c1378b57f7081a32"},
	{"zlib:6:9:0", 1, "c1378b57f7081a32"},
	{"zlib:6:1:0", 1, "c1378b57f7081a32"},
	{"zlib:6:8:1", 1, "c1378b57f7081a32"},
	{"zlib:6:8:2", 1, "c1378b57f7081a32"},
	{"zlib:6:8:3", 1, "c1378b57f7081a32"},
	{"zlib:6:8:4", 1, "c1378b57f7081a32"},
	{"zlib:1:8:0", 1000, "642d9cef9a991592"},
	{"zlib:3:8:0", 1000, "2922fec4102a09d5"},
	{"zlib:6:8:0", 1000, "950a4271fedc2b4d"},
	{"zlib:9:8:0", 1000, "950a4271fedc2b4d"},
	{"zlib:6:9:0", 1000, "950a4271fedc2b4d"},
	{"zlib:6:1:0", 1000, "19dd88766440164f"},
	{"zlib:6:8:1", 1000, "aeb2c26c77b643c0"},
	{"zlib:6:8:2", 1000, "b59d83ca117fc8a1"},
	{"zlib:6:8:3", 1000, "f7c4dc38bcd813e5"},
	{"zlib:6:8:4", 1000, "6231cbdb5ab5dac6"},
	{"zlib:1:8:0", 200000, "a1ee1ca57b2a5407"},
	{"zlib:3:8:0", 200000, "7db3baba0ac451c6"},
	{"zlib:6:8:0", 200000, "6135b3075a017736"},
	{"zlib:9:8:0", 200000, "c7d2cb1eb3a11b87"},
	{"zlib:6:9:0", 200000, "fc7e92823346b3bf"},
	{"zlib:6:1:0", 200000, "8335755b1dda7773"},
	{"zlib:6:8:1", 200000, "68da86675641e9ef"},
	{"zlib:6:8:2", 200000, "6cf75690319abbbe"},
	{"zlib:6:8:3", 200000, "c7c59261f6e797b0"},
	{"zlib:6:8:4", 200000, "6f90727f6e2517c0"},
}

// text is a deterministic mix of words and bytes.
func text(n int) []byte {
	words := []string{"alpha ", "beta ", "gamma\n", "delta_", "(x, y)", "    ", "return ", "self."}
	x := uint32(12345)
	var out []byte
	for len(out) < n {
		x = (x*1103515245 + 12345) & 0x7fffffff
		out = append(out, words[x>>16&7]...)
		if x>>20&15 == 0 {
			out = append(out, byte(x>>8))
		}
	}
	return out[:n]
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

func TestVectors(t *testing.T) {
	s := newSet(t)
	for _, v := range vectors {
		sum := sha256.Sum256(encode(t, s, v.encoder, text(v.n)))
		if got := hex.EncodeToString(sum[:8]); got != v.sum {
			t.Errorf("%s of %d bytes: %s, want %s", v.encoder, v.n, got, v.sum)
		}
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
	plain := text(3000)
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
	for _, s := range []string{"", "zlib", "zlib:6:8", "zlib:10:8:0", "zlib:6:0:0", "zlib:6:8:5", "zlib:06:8:0", "miniz:6:8:0", "zlib:6:8:0:0"} {
		if e, err := deflate.ParseEncoder(s); err == nil {
			t.Errorf("%q is %v", s, e)
		}
	}
}

func FuzzFind(f *testing.F) {
	s := newSet(f)
	all := deflate.Encoders()
	f.Add([]byte("hello hello hello"), uint8(0))
	f.Add(text(5000), uint8(7))
	f.Fuzz(func(t *testing.T, plain []byte, which uint8) {
		e := all[int(which)%len(all)]
		stream := encode(t, s, e.String(), plain)
		name, ok := find(t, s, plain, stream)
		if !ok || !bytes.Equal(encode(t, s, name, plain), stream) {
			t.Errorf("%s: found %q, %v", e, name, ok)
		}
	})
}
