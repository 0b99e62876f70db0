package wheel_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/truewheel/truewheel/wheel"
)

func TestParseRecord(t *testing.T) {
	for _, c := range []struct {
		text string
		want []wheel.RecordLine // nil: an error
	}{
		{"", []wheel.RecordLine{}},
		{"a.py,sha256=x,1\n", []wheel.RecordLine{{Path: "a.py", Algorithm: "sha256", Digest: "x", Size: 1}}},
		{"a.py,sha256=x,1\r\nb.py,,\r\n", []wheel.RecordLine{{"a.py", "sha256", "x", 1}, {"b.py", "", "", -1}}},
		{`"a,b.py",md5=x=,0`, []wheel.RecordLine{{"a,b.py", "md5", "x=", 0}}},
		{"a.py,sha256=x\n", nil},
		{"a.py,sha256=x,1,2\n", nil},
		{"a.py,sha256,1\n", nil},
		{"a.py,sha256=x,-1\n", nil},
		{"a.py,sha256=x,1.5\n", nil},
		{"a.py,sha256=x,99999999999999999999\n", nil},
		{"\"a.py,,\n", nil},
	} {
		got, err := wheel.ParseRecord([]byte(c.text))
		if (err != nil) != (c.want == nil) || !slices.Equal(got, c.want) {
			t.Errorf("%q: %+v, %v; want %+v", c.text, got, err, c.want)
		}
	}
}

// checked is what CheckRecord says about a wheel of a module and this RECORD.
func checked(t *testing.T, record string) []string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range []struct{ name, text string }{{"m.py", "x = 1\n"}, {"m-1.dist-info/RECORD", record}, {"m-1.dist-info/RECORD.jws", "{}"}} {
		w, err := z.Create(f.name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, f.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := open(t, b.Bytes()).CheckRecord(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, x := range s {
		out = append(out, x.Member+" "+x.Detail)
	}
	return out
}

func TestCheckRecord(t *testing.T) {
	long, middle := sha512.Sum512([]byte("x = 1\n")), sha512.Sum384([]byte("x = 1\n"))
	b64 := base64.RawURLEncoding.EncodeToString
	for _, c := range []struct {
		record string
		want   string // a part of the one suspicion; "" for none
	}{
		{fmt.Sprintf("m.py,sha512=%s,6\nm-1.dist-info/RECORD,,\n", b64(long[:])), ""},
		{fmt.Sprintf("m.py,sha384=%s,6\n", b64(middle[:])), ""},
		{fmt.Sprintf("m.py,sha384=%s,6\n", b64(long[:])), "another hash"},
		{fmt.Sprintf("m.py,sha512=%s,7\n", b64(long[:])), "size 7"},
		{fmt.Sprintf("m.py,sha512=%s=,6\n", b64(long[:])), "another hash"},
		{"m.py,sha256=,6\n", "another hash"},
		{"m.py,SHA256=x,6\n", "weaker"},
		{"m.py,,6\n", "no hash"},
		{"m-1.dist-info/RECORD,,\n", "is not in RECORD"},
		{"m.py\n", "read RECORD"},
	} {
		got := checked(t, c.record)
		if c.want == "" && len(got) > 0 || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], c.want)) {
			t.Errorf("%q: %q, want %q", c.record, got, c.want)
		}
	}
}
