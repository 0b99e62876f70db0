package index

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truewheel/truewheel/internal/store"
	"github.com/truewheel/truewheel/pypi"
)

const page = `{"meta":{"api-version":"1.1"},"files":[{"filename":"demo-1.0.tar.gz","url":"/f/demo-1.0.tar.gz","hashes":{"sha256":"%s"},"size":5,"upload-time":"2024-01-02T03:04:05Z","yanked":false}]}`

func sumOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// server is an index that a test scripts; it keeps what it was asked.
type server struct {
	*httptest.Server
	handle func(w http.ResponseWriter, r *http.Request, n int) // n counts the requests, from 1
	asked  []*http.Request
}

func serve(t *testing.T, handle func(w http.ResponseWriter, r *http.Request, n int)) *server {
	t.Helper()
	s := &server{handle: handle}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked = append(s.asked, r)
		s.handle(w, r, len(s.asked))
	}))
	t.Cleanup(s.Close)
	return s
}

func client(t *testing.T, settings *Settings, environ ...string) *Client {
	t.Helper()
	st, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(settings, st, environ)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func sendPage(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
	fmt.Fprintf(w, page, sumOf("hello"))
}

func TestPageIsRevalidated(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		w.Header().Set("ETag", `"one"`)
		if n > 1 && r.Header.Get("If-None-Match") == `"one"` {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		sendPage(w)
	})
	c := client(t, &Settings{Index: s.URL + "/simple"})
	for range 2 {
		p, err := c.Page(context.Background(), "demo")
		if err != nil || len(p.Files) != 1 || !p.HasUploadTimes {
			t.Fatalf("%+v %v", p, err)
		}
	}
	if len(s.asked) != 2 || s.asked[1].Header.Get("If-None-Match") != `"one"` {
		t.Errorf("asked %d times", len(s.asked))
	}
	c.Settings.Offline = true
	if _, err := c.Page(context.Background(), "demo"); err != nil || len(s.asked) != 2 {
		t.Errorf("offline: %v, asked %d times", err, len(s.asked))
	}
	var offline *OfflineError
	if _, err := c.Page(context.Background(), "other"); !errors.As(err, &offline) {
		t.Errorf("offline, unknown: %v", err)
	}
}

func TestFreshPageIsNotAskedAgain(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		w.Header().Set("Cache-Control", "max-age=600, public")
		sendPage(w)
	})
	c := client(t, &Settings{Index: s.URL + "/simple/"})
	for range 3 {
		if _, err := c.Page(context.Background(), "demo"); err != nil {
			t.Fatal(err)
		}
	}
	if len(s.asked) != 1 || s.asked[0].URL.Path != "/simple/demo/" {
		t.Errorf("asked %d times", len(s.asked))
	}
}

func TestServerInTrouble(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if n < 3 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader([]int{0, http.StatusTooManyRequests, http.StatusBadGateway}[n])
			return
		}
		sendPage(w)
	})
	c := client(t, &Settings{Index: s.URL})
	if _, err := c.Page(context.Background(), "demo"); err != nil || len(s.asked) != 3 {
		t.Errorf("%v, asked %d times", err, len(s.asked))
	}
}

func TestPageErrors(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		switch r.URL.Path {
		case "/missing/":
			http.NotFound(w, r)
		case "/forbidden/":
			w.WriteHeader(http.StatusForbidden)
		default:
			w.Header().Set("Content-Type", "image/png")
		}
	})
	u := strings.Replace(s.URL, "http://", "http://user:secret@", 1)
	c := client(t, &Settings{Index: u})
	var missing *NotFoundError
	if _, err := c.Page(context.Background(), "missing"); !errors.As(err, &missing) {
		t.Errorf("%v", err)
	}
	for _, name := range []pypi.Name{"forbidden", "picture"} {
		_, err := c.Page(context.Background(), name)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFetch(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		switch r.URL.Path {
		case "/cut":
			w.Header().Set("Content-Length", "5")
			if n == 1 {
				w.Write([]byte("hel")) // and the connection ends
				return
			}
			w.Write([]byte("hello"))
		case "/good":
			w.Write([]byte("hello"))
		case "/big":
			w.Write(bytes.Repeat([]byte("x"), 1000))
		}
	})
	ctx := context.Background()
	c := client(t, &Settings{Index: s.URL})
	if _, err := c.Fetch(ctx, pypi.File{Filename: "f", URL: s.URL + "/cut", SHA256: sumOf("hello")}); err != nil || len(s.asked) != 2 {
		t.Errorf("cut off once: %v, asked %d times", err, len(s.asked))
	}
	var wrong *store.MismatchError
	if _, err := c.Fetch(ctx, pypi.File{Filename: "f", URL: s.URL + "/good", SHA256: sumOf("other")}); !errors.As(err, &wrong) {
		t.Errorf("another file: %v", err)
	}
	if _, err := c.Fetch(ctx, pypi.File{Filename: "f", URL: s.URL + "/good"}); err == nil {
		t.Error("a file without sha256 was fetched")
	}
	c.MaxFile = 10
	if _, err := c.Fetch(ctx, pypi.File{Filename: "f", URL: s.URL + "/big", SHA256: sumOf("big")}); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("a large file: %v", err)
	}
	c.Settings.Offline = true
	if _, err := c.Fetch(ctx, pypi.File{Filename: "f", URL: "http://0.0.0.0:1/", SHA256: sumOf("hello")}); err != nil {
		t.Errorf("it is in the store: %v", err)
	}
}

func TestCredentials(t *testing.T) {
	other := serve(t, func(w http.ResponseWriter, r *http.Request, n int) { w.Write([]byte("hello")) })
	// The same address under another host name, so that it is another host.
	elsewhere := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
	s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		user, password, ok := r.BasicAuth()
		if !ok || user != "me" || password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if r.URL.Path == "/away" {
			http.Redirect(w, r, elsewhere+"/f", http.StatusFound)
			return
		}
		sendPage(w)
	})
	ctx := context.Background()
	bare := s.URL
	in := strings.Replace(s.URL, "http://", "http://me:secret@", 1)
	c := client(t, &Settings{Index: in + "/simple"})
	if _, err := c.Page(ctx, "demo"); err != nil {
		t.Errorf("in the URL: %v", err)
	}
	if _, err := c.Fetch(ctx, pypi.File{Filename: "f", URL: bare + "/away", SHA256: sumOf("hello")}); err != nil {
		t.Errorf("redirect: %v", err)
	}
	if len(other.asked) != 1 || other.asked[0].Header.Get("Authorization") != "" {
		t.Error("the other host saw the credentials")
	}
	if strings.Contains(c.Settings.Redacted(), "secret") || strings.Contains(c.Settings.Redacted(), "me@") {
		t.Error(c.Settings.Redacted())
	}

	name := filepath.Join(t.TempDir(), "netrc")
	u, err := url.Parse(bare)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("machine "+u.Hostname()+" login me password secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c = client(t, &Settings{Index: bare}, "NETRC="+name)
	if _, err := c.Page(ctx, "demo"); err != nil {
		t.Errorf("netrc: %v", err)
	}
	if _, err := client(t, &Settings{Index: bare}).Page(ctx, "demo"); err == nil {
		t.Error("no credentials are enough")
	}
}

func TestExtraIndexComesFirst(t *testing.T) {
	extra := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if r.URL.Path == "/demo/" {
			sendPage(w)
			return
		}
		http.NotFound(w, r)
	})
	main := serve(t, func(w http.ResponseWriter, r *http.Request, n int) { sendPage(w) })
	c := client(t, &Settings{Index: main.URL, Extra: []string{extra.URL}})
	for _, name := range []pypi.Name{"demo", "other"} {
		if _, err := c.Page(context.Background(), name); err != nil {
			t.Fatal(err)
		}
	}
	if len(extra.asked) != 2 || len(main.asked) != 1 || main.asked[0].URL.Path != "/other/" {
		t.Errorf("extra %d, index %d", len(extra.asked), len(main.asked))
	}
}

// Of more authority first: each row's settings win over those of the rows below.
func TestDiscover(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(name string) {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	write("config/uv/uv.toml", "index-url = \"https://uvtoml.test/simple\"\n")
	write("config/pip/pip.conf", "[global]\nindex-url = https://user:secret@pipconf.test/simple\nextra-index-url =\n  https://one.test/\n  https://two.test/\ncert = /c.pem\n")
	write("system/pip.conf", "[global]\nindex-url = https://system.test/simple\n")
	env := []string{"UV_DEFAULT_INDEX=https://uvenv.test/simple", "PIP_INDEX_URL=https://pipenv.test/simple"}
	c := Config{Index: "https://flag.test/simple", Dirs: Dirs{Home: dir, Config: filepath.Join(dir, "config"), System: filepath.Join(dir, "system")}, Builtin: "https://builtin.test/simple"}
	discover := func() *Settings {
		c.Environ = env
		s, err := Discover(context.Background(), c)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, step := range []struct {
		want string
		next func()
	}{
		{"flag.test", func() { c.Index = "" }},
		{"uvenv.test", func() { env = env[1:] }},
		{"uvtoml.test", func() { remove("config/uv/uv.toml") }},
		{"pipenv.test", func() { env = nil }},
		{"pipconf.test", func() { remove("config/pip/pip.conf") }},
		{"system.test", func() { remove("system/pip.conf") }},
		{"builtin.test", func() {}},
	} {
		s := discover()
		u, err := url.Parse(s.Index)
		if err != nil || u.Host != step.want {
			t.Errorf("%s, want %s", s.Index, step.want)
		}
		if step.want == "pipconf.test" {
			if len(s.Extra) != 2 || s.Cert != "/c.pem" || strings.Contains(s.Redacted(), "secret") || s.Origin["index"] != filepath.Join(dir, "config/pip/pip.conf") {
				t.Errorf("%+v", s)
			}
		}
		step.next()
	}
	c.Index = "not a url"
	c.Environ = nil
	if _, err := Discover(context.Background(), c); err == nil {
		t.Error("an index that is no URL is taken")
	}
}

func TestUVEnv(t *testing.T) {
	s := &Settings{Index: "https://a.test/", Extra: []string{"https://b.test/", "https://c.test/"}, Cert: "/c.pem", Proxy: "http://p.test:1"}
	got := strings.Join(s.UVEnv([]string{"HOME=/h", "HTTPS_PROXY=http://q.test", "SECRET=x"}), "\n")
	for _, want := range []string{"UV_DEFAULT_INDEX=https://a.test/", "UV_INDEX=https://b.test/ https://c.test/", "SSL_CERT_FILE=/c.pem", "ALL_PROXY=http://p.test:1", "HTTPS_PROXY=http://q.test"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if strings.Contains(got, "SECRET") {
		t.Error("the caller's environment leaks")
	}
}
