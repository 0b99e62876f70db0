package wheel_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/truewheel/truewheel/internal/hostile"
	"github.com/truewheel/truewheel/wheel"
)

func open(t testing.TB, data []byte) *wheel.Archive {
	t.Helper()
	a, err := wheel.Open(hostile.Filename, bytes.NewReader(data), int64(len(data)), wheel.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Each hostile wheel is refused, flagged, or can't be proven by an envelope.
func TestHostile(t *testing.T) {
	ctx := context.Background()
	base, compiled := open(t, hostile.Honest()), open(t, hostile.HonestCompiled())
	for _, c := range hostile.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			a, err := wheel.Open(hostile.Filename, bytes.NewReader(c.Bytes), int64(len(c.Bytes)), wheel.Limits{})
			if err == nil {
				_, err = a.Sums(ctx)
			}
			if err == nil {
				_, err = a.DistInfo()
			}
			if c.Want == hostile.Refused {
				var refusal *wheel.FormatError
				if !errors.As(err, &refusal) {
					t.Fatalf("%s: error %v, want a refusal", c.Why, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", c.Why, err)
			}
			suspicions, err := a.CheckRecord(ctx)
			if err != nil {
				t.Fatal(err)
			}
			suspicions = append(suspicions, a.Suspicions()...)
			if c.Want == hostile.Flagged && len(suspicions) == 0 {
				t.Errorf("%s: nothing flagged", c.Why)
			}
			honest := base
			if c.Name == "time-pyc" {
				honest = compiled
			}
			_, err = wheel.NewEnvelope(ctx, a, honest, hexSum(c.Bytes), nil)
			var inert *wheel.NotInertError
			var content *wheel.ContentError
			if !errors.As(err, &inert) && !errors.As(err, &content) {
				t.Errorf("%s: NewEnvelope says %v", c.Why, err)
			}
		})
	}
}

// Each field that an envelope may hold replays, both ways, also where all of
// them differ at once.
func TestInert(t *testing.T) {
	ctx := context.Background()
	cases := append(hostile.Inert(), hostile.Case{Name: "honest", Bytes: hostile.Honest()})
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			a := open(t, c.Bytes)
			if s, err := a.CheckRecord(ctx); err != nil || len(s) > 0 {
				t.Errorf("RECORD: %v %v", s, err)
			}
			for _, other := range cases {
				if other.Name == "stored" && c.Name != "stored" {
					continue // it has no deflate stream to give
				}
				rebuilt := open(t, other.Bytes)
				e, err := wheel.NewEnvelope(ctx, a, rebuilt, hexSum(c.Bytes), nil)
				if err != nil {
					t.Fatalf("of %s: %v", other.Name, err)
				}
				if got := replayed(t, e, rebuilt); !bytes.Equal(got, c.Bytes) {
					t.Errorf("of %s: other bytes", other.Name)
				}
				if fields := e.Fields(rebuilt); (len(fields) == 0) != (c.Name == other.Name) {
					t.Errorf("of %s: fields %q", other.Name, fields)
				}
			}
		})
	}
}

func TestHonest(t *testing.T) {
	ctx := context.Background()
	for _, data := range [][]byte{hostile.Honest(), hostile.HonestCompiled()} {
		a := open(t, data)
		if s, err := a.CheckRecord(ctx); err != nil || len(s) > 0 {
			t.Errorf("%v %v", s, err)
		}
		e, err := wheel.NewEnvelope(ctx, a, a, hexSum(data), nil)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := wheel.Replay(ctx, &out, e, a, nil); err != nil || !bytes.Equal(out.Bytes(), data) {
			t.Errorf("replay: %v, equal %v", err, bytes.Equal(out.Bytes(), data))
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(hostile.Honest())
	for _, c := range hostile.Cases() {
		if len(c.Bytes) < 4096 {
			f.Add(c.Bytes)
		}
	}
	f.Fuzz(agree)
}

// agree checks what holds for any bytes: what is accepted, another reader sees
// alike, and an envelope of it replays exactly.
func agree(t *testing.T, data []byte) {
	ctx := context.Background()
	a, err := wheel.Open(hostile.Filename, bytes.NewReader(data), int64(len(data)), wheel.Limits{MaxSize: 1 << 20})
	if err != nil {
		return
	}
	if _, err := a.Sums(ctx); err != nil {
		return
	}
	// What we accept, another reader sees alike.
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatalf("accepted here, and archive/zip says %v", err)
	}
	if len(z.File) != len(a.Entries) {
		t.Fatalf("%d entries here, %d there", len(a.Entries), len(z.File))
	}
	for i, f := range z.File {
		if f.Name != a.Entries[i].Name {
			t.Fatalf("entry %d is %q here and %q there", i, a.Entries[i].Name, f.Name)
		}
		if f.FileInfo().IsDir() {
			continue
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		there, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("%q: %v", f.Name, err)
		}
		sums, _ := a.Sums(ctx)
		if sha256.Sum256(there) != sums[i] {
			t.Fatalf("%q has other contents there", f.Name)
		}
	}
	e, err := wheel.NewEnvelope(ctx, a, a, hexSum(data), nil)
	if err != nil {
		return
	}
	var out bytes.Buffer
	if err := wheel.Replay(ctx, &out, e, a, nil); err != nil || !bytes.Equal(out.Bytes(), data) {
		t.Fatalf("an envelope that does not replay: %v", err)
	}
}

// With any bit or byte of an honest wheel changed, what is accepted is still
// read alike by others and replays.
func TestBitFlips(t *testing.T) {
	for _, honest := range [][]byte{hostile.Honest(), hostile.HonestCompiled()} {
		for i := range honest {
			for bit := range 8 {
				data := bytes.Clone(honest)
				data[i] ^= 1 << bit
				agree(t, data)
			}
		}
		for i := range honest {
			for _, v := range []byte{0x00, 0x7f, 0xff} {
				data := bytes.Clone(honest)
				data[i] = v
				agree(t, data)
			}
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte("a,sha256=x,1\nb,,\n"))
	f.Add([]byte("\"a,b\",sha256=x,1\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		lines, err := wheel.ParseRecord(data)
		for _, l := range lines {
			if err == nil && l.Size < -1 {
				t.Errorf("%+v", l)
			}
		}
	})
}

func FuzzEnvelope(f *testing.F) {
	ctx := context.Background()
	data := hostile.Honest()
	a := open(f, data)
	e, err := wheel.NewEnvelope(ctx, a, a, hexSum(data), nil)
	if err != nil {
		f.Fatal(err)
	}
	text, err := e.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := wheel.ParseEnvelope(text)
		if err != nil {
			// Written as Marshal does, it may be one.
			var loose wheel.Envelope
			if json.Unmarshal(text, &loose) != nil {
				return
			}
			if text, err = loose.Marshal(); err != nil {
				t.Fatal(err)
			}
			if e, err = wheel.ParseEnvelope(text); err != nil {
				return
			}
		}
		var out bytes.Buffer
		if err := wheel.Replay(ctx, &out, e, a, nil); err != nil {
			return
		}
		// What an envelope makes has the same members, contents and execute bits.
		b, err := wheel.Open(hostile.Filename, bytes.NewReader(out.Bytes()), int64(out.Len()), wheel.Limits{})
		if err != nil {
			t.Fatalf("replayed to what Open refuses: %v", err)
		}
		if _, err := wheel.NewEnvelope(ctx, b, a, hexSum(out.Bytes()), nil); err != nil {
			var encoder *wheel.EncoderError
			if !errors.As(err, &encoder) {
				t.Fatalf("replayed what is not inert: %v", err)
			}
		}
	})
}
