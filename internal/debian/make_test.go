package debian

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ulikunitz/xz"

	"github.com/truewheel/truewheel/internal/index"
	"github.com/truewheel/truewheel/internal/store"
)

// member of a deb that a test makes; the zero Type is a regular file.
type member struct {
	name, text, link string
	kind             byte
	mode             int64
}

func makeTar(members []member) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	for _, m := range members {
		h := &tar.Header{Name: m.name, Typeflag: m.kind, Mode: m.mode, Linkname: m.link, Uid: 7, Gid: 8}
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		if m.kind == 0 {
			h.Typeflag, h.Size = tar.TypeReg, int64(len(m.text))
		}
		if err := t.WriteHeader(h); err != nil {
			panic(err)
		}
		if _, err := t.Write([]byte(m.text)); err != nil && h.Size > 0 {
			panic(err)
		}
	}
	if t.Close() != nil || z.Close() != nil {
		panic("a tar in memory")
	}
	return b.Bytes()
}

func ar(names []string, bodies ...[]byte) []byte {
	b := bytes.NewBufferString("!<arch>\n")
	for i, name := range names {
		fmt.Fprintf(b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", name, 0, 0, 0, "100644", len(bodies[i]))
		b.Write(bodies[i])
		if len(bodies[i])%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// makeDeb is a .deb of that name, version 1.0, with extra lines of control.
func makeDeb(name, extra, postinst string, members ...member) []byte {
	control := "Package: " + name + "\nVersion: 1.0\nArchitecture: amd64\n" + extra
	return ar([]string{"debian-binary", "control.tar.gz", "data.tar.gz"},
		[]byte("2.0\n"), makeTar([]member{{name: "./control", text: control}, {name: "./postinst", text: postinst}}), makeTar(members))
}

// put writes a deb to a file and says what it shall be.
func put(t *testing.T, name string, data []byte) Deb {
	t.Helper()
	at := filepath.Join(t.TempDir(), name+".deb")
	if err := os.WriteFile(at, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return Deb{name, "1.0", at}
}

// site is an archive that the test serves.
type site struct {
	t      *testing.T
	key    *openpgp.Entity
	other  *openpgp.Entity
	files  map[string][]byte
	server *httptest.Server
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, files: map[string][]byte{}}
	for _, to := range []**openpgp.Entity{&s.key, &s.other} {
		var err error
		if *to, err = openpgp.NewEntity("test", "", "test@example.org", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA}); err != nil {
			t.Fatal(err)
		}
	}
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, ok := s.files[strings.TrimPrefix(r.URL.Path, "/debian/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(data)
	}))
	t.Cleanup(s.server.Close)
	return s
}

func sumOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// publish puts an index there, signed by a key.
func (s *site) publish(dist, packages string, key *openpgp.Entity, fields string) {
	s.t.Helper()
	var z bytes.Buffer
	w, err := xz.NewWriter(&z)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := w.Write([]byte(packages)); err != nil || w.Close() != nil {
		s.t.Fatal(err)
	}
	s.files["dists/"+dist+"/main/binary-amd64/Packages.xz"] = z.Bytes()
	text := fmt.Sprintf("Codename: %s\nDate: Sat, 21 Nov 2026 09:15:44 UTC\n%sSHA256:\n %s %d main/binary-amd64/Packages.xz\n", dist, fields, sumOf(z.Bytes()), z.Len())
	s.files["dists/"+dist+"/InRelease"] = s.sign(text, key)
}

func (s *site) sign(text string, key *openpgp.Entity) []byte {
	var b bytes.Buffer
	w, err := clearsign.Encode(&b, key.PrivateKey, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil || w.Close() != nil {
		s.t.Fatal(err)
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// archive asks the site, at noon of 22 November 2026.
func (s *site) archive() *Archive {
	s.t.Helper()
	st, err := store.Open(s.t.TempDir())
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := index.New(&index.Settings{Index: s.server.URL + "/simple/"}, st, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	var ring bytes.Buffer
	if err := s.key.Serialize(&ring); err != nil {
		s.t.Fatal(err)
	}
	return &Archive{
		Client: c, Keyring: ring.Bytes(), Now: func() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) },
		Mirrors: func() (Mirrors, error) { return Mirrors{Main: []string{s.server.URL + "/debian"}}, nil },
	}
}

func stanza(name, version, more string) string {
	return fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: amd64\nFilename: pool/main/x/%s_%s_amd64.deb\nSize: 5\nSHA256: %s\n%s\n",
		name, version, name, strings.ReplaceAll(version, ":", "%3a"), strings.Repeat("ab", 32), more)
}
