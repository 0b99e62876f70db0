package wheel_test

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truewheel/truewheel/internal/hostile"
	"github.com/truewheel/truewheel/wheel"
)

//lint:file-ignore SA1019 only the old fields set an MS-DOS time without an extended one

// contents of a made wheel, in order.
type content struct{ name, text string }

func contentsOf(r *rand.Rand) []content {
	var out []content
	for i := range 1 + r.IntN(12) {
		out = append(out, content{fmt.Sprintf("demo/sub%d/m%d.py", i%3, i), strings.Repeat("x = 1\n", r.IntN(3000))})
	}
	return out
}

// pack makes a zip of contents in any order; level is that of every deflate stream.
func pack(t *testing.T, r *rand.Rand, contents []content, level int) []byte {
	t.Helper()
	contents = slices.Clone(contents)
	r.Shuffle(len(contents), func(i, j int) { contents[i], contents[j] = contents[j], contents[i] })
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, level) })
	if r.IntN(2) == 0 {
		if _, err := z.CreateHeader(&zip.FileHeader{Name: "demo/", CreatorVersion: 3<<8 | 20, ExternalAttrs: 0o040755<<16 | 0x10, ModifiedDate: 0x21}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range contents {
		h := &zip.FileHeader{Name: c.name, Method: zip.Deflate, CreatorVersion: 3<<8 | uint16(r.IntN(64)), ReaderVersion: 20}
		h.ExternalAttrs = []uint32{0o100644, 0o100664, 0o644, 0}[r.IntN(4)] << 16
		kind := r.IntN(3)
		if kind == 0 && r.IntN(2) == 0 {
			h.Modified = time.Unix(1e9+r.Int64N(5e8), 0) // with an extended timestamp
		} else {
			h.ModifiedDate, h.ModifiedTime = uint16(r.IntN(100)<<9|(1+r.IntN(12))<<5|1+r.IntN(28)), uint16(r.IntN(24)<<11|r.IntN(60)<<5|r.IntN(30))
		}
		if err := write(z, h, c.text, level, kind); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// write adds an entry: kind 0 with a data descriptor, else without, 2 with zip64 sizes.
func write(z *zip.Writer, h *zip.FileHeader, text string, level, kind int) error {
	if kind == 0 {
		w, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		_, err = io.WriteString(w, text)
		return err
	}
	var stream bytes.Buffer
	c, err := flate.NewWriter(&stream, level)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(c, text); err != nil {
		return err
	}
	if err := c.Close(); err != nil {
		return err
	}
	h.CRC32, h.UncompressedSize64, h.CompressedSize64 = crc(text), uint64(len(text)), uint64(stream.Len())
	h.Flags = uint16(level % 4 << 1)
	if kind == 2 {
		h.Extra = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, 0x7875), 3)
		h.Extra = append(h.Extra, 1, 0, 0)
	}
	w, err := z.CreateRaw(h)
	if err != nil {
		return err
	}
	_, err = w.Write(stream.Bytes())
	return err
}

func replayed(t *testing.T, e *wheel.Envelope, from *wheel.Archive) []byte {
	t.Helper()
	text, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := wheel.ParseEnvelope(text)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := again.Marshal(); err != nil || !bytes.Equal(second, text) {
		t.Fatalf("an envelope that is not stable: %v\n%s\n%s", err, text, second)
	}
	var out bytes.Buffer
	if err := wheel.Replay(context.Background(), &out, again, from, nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A wheel replays from its own envelope, and from that against any wheel of
// the same contents whose streams came from the same encoder.
func TestReplayProperty(t *testing.T) {
	ctx := context.Background()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		contents, level := contentsOf(r), r.IntN(10)
		subject, other := pack(t, r, contents, level), pack(t, r, contents, level)
		a, b := open(t, subject), open(t, other)
		for _, rebuilt := range []*wheel.Archive{a, b} {
			e, err := wheel.NewEnvelope(ctx, a, rebuilt, hexSum(subject), nil)
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if got := replayed(t, e, rebuilt); !bytes.Equal(got, subject) {
				t.Fatalf("seed %d: replays to other bytes", seed)
			}
		}
	}
}

// What an envelope from anywhere may not do.
func TestHostileEnvelope(t *testing.T) {
	ctx := context.Background()
	data := hostile.Honest()
	a := open(t, data)
	p := func(v uint32) *uint32 { return &v }
	s := func(v string) *string { return &v }
	n := func(v int) *int { return &v }
	h := func(v uint16) *uint16 { return &v }
	for name, change := range map[string]func(*wheel.Envelope){
		"exec bit":            func(e *wheel.Envelope) { e.Entries[0].External = p(0o100755 << 16) },
		"set-uid":             func(e *wheel.Envelope) { e.Entries[0].External = p(0o104644 << 16) },
		"link":                func(e *wheel.Envelope) { e.Entries[0].External = p(0o120777 << 16) },
		"device":              func(e *wheel.Envelope) { e.Entries[0].External = p(0o020644 << 16) },
		"MS-DOS directory":    func(e *wheel.Envelope) { e.Entries[0].External = p(0o100644<<16 | 0x10) },
		"default exec bit":    func(e *wheel.Envelope) { e.Default.External = p(0o100755 << 16) },
		"system":              func(e *wheel.Envelope) { e.Entries[0].Creator = h(19 << 8) },
		"version":             func(e *wheel.Envelope) { e.Entries[0].Reader = h(64) },
		"encrypted":           func(e *wheel.Envelope) { e.Entries[0].Flags = h(1) },
		"patched":             func(e *wheel.Envelope) { e.Entries[0].Flags = h(1 << 5) },
		"internal":            func(e *wheel.Envelope) { e.Entries[0].Internal = h(2) },
		"extra unknown":       func(e *wheel.Envelope) { e.Entries[0].Extra = s("efbe0000") },
		"extra path":          func(e *wheel.Envelope) { e.Entries[0].LocalExtra = s("75700500" + "0100000000") },
		"extra malformed":     func(e *wheel.Envelope) { e.Entries[0].Extra = s("5554ff00") },
		"extra twice":         func(e *wheel.Envelope) { e.Entries[0].Extra = s("5554000055540000") },
		"extra no hex":        func(e *wheel.Envelope) { e.Entries[0].Extra = s("zz") },
		"zip64 central":       func(e *wheel.Envelope) { e.Entries[0].Extra = s("01000000") },
		"other name":          func(e *wheel.Envelope) { e.Entries[0].Name = "evil.py" },
		"name leaves":         func(e *wheel.Envelope) { e.Entries[0].Name = "../evil.py" },
		"no name":             func(e *wheel.Envelope) { e.Entries[0].Name = "" },
		"twice":               func(e *wheel.Envelope) { e.Entries = append(e.Entries, e.Entries[0]) },
		"one less":            func(e *wheel.Envelope) { e.Entries = e.Entries[1:] },
		"none":                func(e *wheel.Envelope) { e.Entries = nil },
		"empty directory":     func(e *wheel.Envelope) { e.Entries = append(e.Entries, wheel.EnvelopeEntry{Name: "evil/"}) },
		"root directory":      func(e *wheel.Envelope) { e.Entries = append(e.Entries, wheel.EnvelopeEntry{Name: "/"}) },
		"huge descriptor":     func(e *wheel.Envelope) { e.Entries[0].Flags, e.Entries[0].Descriptor = h(8), n(1<<40) },
		"negative":            func(e *wheel.Envelope) { e.Entries[0].Flags, e.Entries[0].Descriptor = h(8), n(-16) },
		"descriptor unasked":  func(e *wheel.Envelope) { e.Entries[0].Descriptor = n(16) },
		"no descriptor":       func(e *wheel.Envelope) { e.Entries[0].Flags = h(8) },
		"time":                func(e *wheel.Envelope) { e.Entries[0].Time = s("1979-12-31T23:59:58") },
		"time no time":        func(e *wheel.Envelope) { e.Entries[0].Time = s("yesterday") },
		"encoder":             func(e *wheel.Envelope) { e.Entries[0].Encoder = s("zlib/6") },
		"extra time stuffed":  func(e *wheel.Envelope) { e.Entries[0].Extra = s("55540600" + "010000000041") },
		"extra time flags":    func(e *wheel.Envelope) { e.Entries[0].Extra = s("55540100" + "ff") },
		"extra time empty":    func(e *wheel.Envelope) { e.Entries[0].Extra = s("55540000") },
		"extra owner stuffed": func(e *wheel.Envelope) { e.Entries[0].Extra = s("75780400" + "01000041") },
		"extra owner cut":     func(e *wheel.Envelope) { e.Entries[0].Extra = s("75780300" + "010400") },
		"extra owner version": func(e *wheel.Envelope) { e.Entries[0].Extra = s("75780300" + "020000") },
		"zip64 short":         func(e *wheel.Envelope) { e.Entries[0].LocalExtra = s("01000800" + "0000000000000000") },
		"zero, no descriptor": func(e *wheel.Envelope) { e.Entries[0].Sizes = s("zero") },
		"stored, zero sizes": func(e *wheel.Envelope) {
			e.Entries[0].Flags, e.Entries[0].Descriptor, e.Entries[0].Sizes, e.Entries[0].Encoder = h(8), n(16), s("zero"), s("stored")
		},
		"field missing": func(e *wheel.Envelope) { e.Default.Reader, e.Entries[0].Reader = nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			e, err := wheel.NewEnvelope(ctx, a, a, hexSum(data), nil)
			if err != nil {
				t.Fatal(err)
			}
			change(e)
			var out bytes.Buffer
			if err := wheel.Replay(ctx, &out, e, a, nil); err != nil {
				return
			}
			if b, err := wheel.Open(hostile.Filename, bytes.NewReader(out.Bytes()), int64(out.Len()), wheel.Limits{}); err == nil {
				t.Errorf("replayed, and opens: %+v", b.Entries[0])
			} else {
				t.Errorf("replayed, and only Open refuses it: %v", err)
			}
		})
	}
}

// With byte code among the members no time may be another one.
func TestReplayTimes(t *testing.T) {
	ctx := context.Background()
	for _, data := range [][]byte{hostile.Honest(), hostile.HonestCompiled()} {
		a := open(t, data)
		e, err := wheel.NewEnvelope(ctx, a, a, hexSum(data), nil)
		if err != nil {
			t.Fatal(err)
		}
		other := "2001-02-03T04:05:06"
		e.Default.Time = &other
		compiled := len(data) != len(hostile.Honest())
		if err := wheel.Replay(ctx, io.Discard, e, a, nil); (err != nil) != compiled {
			t.Errorf("compiled %v: %v", compiled, err)
		}
	}
}

// A directory that only the rebuilt wheel makes can't be left out in silence.
func TestLostDirectory(t *testing.T) {
	ctx := context.Background()
	subject := open(t, hostile.Honest())
	for _, c := range hostile.Cases() {
		if c.Name != "directory-empty" {
			continue
		}
		var inert *wheel.NotInertError
		if _, err := wheel.NewEnvelope(ctx, subject, open(t, c.Bytes), hexSum(hostile.Honest()), nil); !errors.As(err, &inert) {
			t.Errorf("a rebuilt wheel with an empty directory: %v", err)
		}
		return
	}
	t.Error("no such case")
}

func TestParseEnvelope(t *testing.T) {
	data := hostile.Honest()
	a := open(t, data)
	e, err := wheel.NewEnvelope(context.Background(), a, a, hexSum(data), nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	good := string(text)
	for name, bad := range map[string]string{
		"empty":            "",
		"only null":        "null",
		"cut":              good[:len(good)-4],
		"more":             good + "{}",
		"schema":           strings.Replace(good, "envelope/1", "envelope/2", 1),
		"unknown field":    strings.Replace(good, `"filename"`, `"evil":1,"filename"`, 1),
		"unknown entry":    strings.Replace(good, `{"name"`, `{"evil":1,"name"`, 1),
		"type":             strings.Replace(good, `"reader":20`, `"reader":"20"`, 1),
		"too large":        strings.Replace(good, `"reader":20`, `"reader":65536`, 1),
		"negative":         strings.Replace(good, `"reader":20`, `"reader":-1`, 1),
		"sizes":            strings.Replace(good, `"sizes":"known"`, `"sizes":"maybe"`, 1),
		"twice":            strings.Replace(good, `"reader":20`, `"reader":45,"reader":20`, 1),
		"case":             strings.Replace(good, `"reader":20`, `"Reader":20`, 1),
		"null":             strings.Replace(good, `"entries":[`, `"entries":[null,`, 1),
		"hash":             strings.Replace(good, hexSum(data), hexSum(data)[1:], 1),
		"hash in capitals": strings.Replace(good, hexSum(data), strings.ToUpper(hexSum(data)), 1),
		"file elsewhere":   strings.Replace(good, `"filename":"`, `"filename":"../`, 1),
		"no default":       strings.Replace(good, `"reader":20,`, "", 1),
	} {
		if bad == good {
			t.Errorf("%s: the same text", name)
		}
		if _, err := wheel.ParseEnvelope([]byte(bad)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func crc(text string) uint32 { return crc32.ChecksumIEEE([]byte(text)) }
