package compare_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truewheel/truewheel/compare"
	"github.com/truewheel/truewheel/compare/cause"
	"github.com/truewheel/truewheel/compare/tree"
	"github.com/truewheel/truewheel/wheel"
	"github.com/truewheel/truewheel/wheel/deflate"
)

// A planted pair differs by one cause that real tools made (planted.py).
type planted struct {
	id, cause string
	also      []string // causes that may be named too
	what      string
}

func plantedPairs(t testing.TB) []planted {
	f, err := os.Open("testdata/planted/manifest.tsv")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []planted
	for s := bufio.NewScanner(f); s.Scan(); {
		p := strings.Split(s.Text(), "\t")
		if p[0] == "id" {
			continue
		}
		out = append(out, planted{p[0], p[1], strings.FieldsFunc(p[2], func(r rune) bool { return r == ',' || r == ' ' }), p[3]})
	}
	return out
}

// opened is a wheel of a planted pair. Its name is that which its dist-info tells.
func opened(t testing.TB, name string) (*wheel.Archive, string) {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	a, err := wheel.Open(filepath.Base(name), bytes.NewReader(b), int64(len(b)), wheel.Limits{})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	dir, err := a.DistInfo()
	if err != nil {
		t.Fatal(err)
	}
	a.Filename = strings.TrimSuffix(dir, ".dist-info") + "-py3-none-any.whl"
	return a, hex.EncodeToString(sum[:])
}

func compared(t testing.TB, a, b string, enc wheel.Encoders) *compare.Result {
	x, p := opened(t, a)
	y, q := opened(t, b)
	r, err := compare.Wheels(context.Background(), x, y, compare.Options{Scalar: true, SubjectSHA256: p, RebuiltSHA256: q, Encoders: enc, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// tars compares two tars of one file that have other headers.
func tars(t *testing.T, x, y tar.Header) *compare.Result {
	t.Helper()
	var sides []compare.Side
	for _, h := range []tar.Header{x, y} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		h.Name, h.Mode, h.Size = "top/a", 0o644, 1
		if h.ModTime.IsZero() {
			h.ModTime = time.Unix(1, 0)
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		tr, err := tree.Open(t.Context(), "x.tar", bytes.NewReader(b.Bytes()), int64(b.Len()), tree.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		sides = append(sides, compare.Side{Name: "x.tar", Tree: tr})
	}
	r, err := compare.Trees(t.Context(), sides[0], sides[1], compare.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Each cause is named, first, and none that is not there.
func TestPlanted(t *testing.T) {
	enc, err := deflate.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close(context.Background())
	named := map[string]bool{}
	for _, p := range plantedPairs(t) {
		t.Run(p.id, func(t *testing.T) {
			r := compared(t, "testdata/planted/"+p.id+".a.whl", "testdata/planted/"+p.id+".b.whl", enc)
			got := r.Causes()
			for _, c := range got {
				named[c] = true
				if _, ok := cause.Find(c); !ok {
					t.Errorf("%s is not in the catalogue", c)
				}
				if c != p.cause && !slices.Contains(p.also, c) {
					t.Errorf("named %s, which is not there (%s)", c, p.what)
				}
			}
			switch {
			case p.cause == "-":
				if r.Unexplained() == 0 {
					t.Errorf("nothing is unexplained; causes %v", got)
				}
			case len(got) == 0 || got[0] != p.cause:
				t.Errorf("causes %v, want %s first (%s)", got, p.cause, p.what)
			}
			if t.Failed() {
				for _, d := range r.Differences {
					t.Logf("  %s %s %q [%s %v] %s", d.Kind, d.Member, d.Where, d.Cause, d.Sure, d.Detail)
				}
			}
		})
	}
	t.Run("tar-writer", func(t *testing.T) {
		r := tars(t, tar.Header{Uid: 1000, Uname: "someone"}, tar.Header{Format: tar.FormatPAX, ModTime: time.Unix(1, 5e8)})
		if got := r.Causes(); len(got) != 1 || got[0] != "tar-writer" {
			t.Errorf("causes %v: %+v", got, r.Differences)
		}
		for _, c := range r.Causes() {
			named[c] = true
		}
	})
	for _, c := range cause.Catalogue() {
		if !named[c.Name] {
			t.Errorf("no pair shows %s", c.Name)
		}
	}
}
