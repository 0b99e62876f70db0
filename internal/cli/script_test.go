package cli_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/truewheel/truewheel/internal/cli"
	"github.com/truewheel/truewheel/internal/provenance/provenancetest"
	"github.com/truewheel/truewheel/internal/sandbox"
	"github.com/truewheel/truewheel/recipe/lock"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"truewheel": func() {
			os.Exit(cli.Run(context.Background(), os.Environ(), os.Stdin, os.Stdout, os.Stderr, os.Args[1:]))
		},
	})
}

// published is a project of the test's index.
type published struct {
	name, version, trap string
	noSdist             bool
	yanked              bool
	requires            string   // build requirement
	ownSdist            bool     // the sdist is the backend's
	carry               bool     // the sdist carries the published wheel
	urls                []string // Project-URLs; HOST is the server of repositories
}

var projects = []published{
	{name: "plain", version: "1.0"},
	{name: "times", version: "1.0", trap: "times"},
	{name: "clock", version: "1.0", trap: "clock"},
	{name: "checkout", version: "1.0", trap: "checkout"},
	{name: "unknown", version: "1.0", trap: "unknown"},
	{name: "scm", version: "1.0", trap: "scm"},
	{name: "mode", version: "1.0", trap: "mode"},
	{name: "broken", version: "1.0", trap: "broken"},
	{name: "slow", version: "1.0", trap: "slow"},
	{name: "network", version: "1.0", trap: "network"},
	{name: "home", version: "1.0", trap: "home"},
	{name: "nosdist", version: "1.0", noSdist: true},
	{name: "yanked", version: "1.0", yanked: true},
	{name: "carry", version: "1.0", carry: true},
	{name: "found", version: "1.0", trap: "checkout", urls: []string{"Documentation, https://docs.test/x", "Homepage, HOST/nowhere/at/all", "Source Code, HOST/found/tree/main"}},
	{name: "ambiguous", version: "1.0", trap: "checkout", urls: []string{"Source, HOST/ambiguous"}},
	{name: "mono", version: "1.0", trap: "mono", urls: []string{"Source, HOST/mono"}},
	{name: "export", version: "1.0", trap: "export", urls: []string{"Source, HOST/export"}},
	{name: "module", version: "1.0", trap: "module"},
	{name: "attested", version: "1.0", trap: "checkout"},
	{name: "attested2", version: "1.0", trap: "checkout", urls: []string{"Source, HOST/attested2"}},
	{name: "clean", version: "1.0", ownSdist: true, urls: []string{"Source, HOST/clean"}},
	{name: "evil", version: "1.0", trap: "evil", ownSdist: true, urls: []string{"Source, HOST/evil"}},
	{name: "gzip", version: "1.0", trap: "gzip", ownSdist: true, urls: []string{"Source, HOST/gzip"}},
	{name: "changed", version: "1.0", trap: "changed", ownSdist: true, urls: []string{"Source, HOST/changed"}},
	{name: "untagged", version: "1.0", trap: "checkout", urls: []string{"Source, HOST/untagged"}},
}

type indexFile struct {
	Filename   string            `json:"filename"`
	URL        string            `json:"url"`
	Hashes     map[string]string `json:"hashes"`
	Size       int               `json:"size"`
	UploadTime string            `json:"upload-time,omitempty"`
	Yanked     any               `json:"yanked"`
	Provenance string            `json:"provenance,omitempty"`
}

// site is a small package index.
type site struct {
	files      map[string][]byte
	trees      map[string][]byte // sources by project, as sdists
	pages      map[string][]indexFile
	plain      bool // no JSON, no upload times
	world      *provenancetest.World
	mu         sync.Mutex        // guards provenance
	provenance map[string][]byte // by project
	host       string            // URL of the server of repositories
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if project, ok := strings.CutPrefix(r.URL.Path, "/provenance/"); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		w.Write(s.provenance[project])
		return
	}
	if data, ok := s.files[path.Base(r.URL.Path)]; ok {
		w.Write(data)
		return
	}
	page, ok := s.pages[path.Base(r.URL.Path)]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if s.plain || strings.HasPrefix(r.URL.Path, "/plain/") {
		w.Header().Set("Content-Type", "text/html")
		for _, f := range page {
			fmt.Fprintf(w, "<a href=\"/files/%s#sha256=%s\">%s</a>\n", f.Filename, f.Hashes["sha256"], f.Filename)
		}
		return
	}
	w.Header().Set("Content-Type", "application/vnd.pypi.simple.v1+json")
	json.NewEncoder(w).Encode(map[string]any{"meta": map[string]string{"api-version": "1.1"}, "files": page})
}

func (s *site) add(project, filename string, data []byte, yanked any) {
	sum := sha256.Sum256(data)
	s.files[filename] = data
	provenance := ""
	if strings.HasPrefix(project, "attested") {
		provenance = "/provenance/" + project
	}
	s.pages[project] = append(s.pages[project], indexFile{
		Provenance: provenance,
		Filename:   filename, URL: "/files/" + filename, Hashes: map[string]string{"sha256": hex.EncodeToString(sum[:])},
		Size: len(data), UploadTime: "2021-03-04T06:00:00Z", Yanked: yanked,
	})
}

// publish makes sdist and wheel of p, the wheel by running its backend as its publisher would.
func publish(t testing.TB, s *site, p published, python string, port int) {
	t.Helper()
	var urls []string
	for _, u := range p.urls {
		urls = append(urls, strings.ReplaceAll(u, "HOST", s.host))
	}
	backend, err := os.ReadFile("testdata/project/backend.py")
	if err != nil {
		t.Fatal(err)
	}
	project, err := json.Marshal(map[string]any{"name": p.name, "version": p.version, "trap": p.trap, "port": port, "urls": urls})
	if err != nil {
		t.Fatal(err)
	}
	requires := "[]"
	if p.requires != "" {
		requires = fmt.Sprintf("[%q]", p.requires)
	}
	files := map[string][]byte{
		"pyproject.toml":   []byte("[build-system]\nrequires = " + requires + "\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n"),
		"backend.py":       backend,
		"project.json":     project,
		"PKG-INFO":         []byte("Metadata-Version: 2.1\nName: " + p.name + "\nVersion: " + p.version + "\n"),
		"demo/__init__.py": []byte("answer = 42\n"),
		"demo/text.txt":    []byte(strings.Repeat("a line of text\n", 50)),
	}
	dir := t.TempDir()
	for name, data := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := t.TempDir()
	cmd := exec.Command(python, "-I", "backend.py", out)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PUBLISHER=1")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("publish %s: %v\n%s", p.name, err, text)
	}
	stem := p.name + "-" + p.version
	wheel, err := os.ReadFile(filepath.Join(out, stem+"-py3-none-any.whl"))
	if err != nil {
		t.Fatal(err)
	}
	if p.carry {
		files["demo/"+stem+"-py3-none-any.whl"] = wheel
	}
	var yanked any = false
	if p.yanked {
		yanked = "wrong"
	}
	s.add(p.name, stem+"-py3-none-any.whl", wheel, yanked)
	switch {
	case p.ownSdist:
		s.trees[p.name] = pack(t, stem, files)
		if err := os.Remove(filepath.Join(dir, "PKG-INFO")); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(python, "-I", "backend.py", out, "sdist")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PUBLISHER=1")
		text, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("publish %s: %v\n%s", p.name, err, text)
		}
		data, err := os.ReadFile(filepath.Join(out, stem+".tar.gz"))
		if err != nil {
			t.Fatal(err)
		}
		s.add(p.name, stem+".tar.gz", data, yanked)
	case !p.noSdist:
		s.trees[p.name] = pack(t, stem, files)
		s.add(p.name, stem+".tar.gz", s.trees[p.name], yanked)
	}
}

func pack(t testing.TB, top string, files map[string][]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		h := &tar.Header{Name: top + "/" + name, Mode: 0o644, Size: int64(len(files[name])), ModTime: time.Date(2021, 3, 4, 5, 0, 0, 0, time.UTC)}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// courier is a wheel that carries another one.
func courier(t testing.TB, cargo []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, data := range map[string][]byte{"cargo.whl": cargo, "courier-1.0.dist-info/METADATA": []byte("Name: courier\n")} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// compiledWheel is a wheel with an extension module of a planted pair.
func compiledWheel(t testing.TB, tag string) []byte {
	t.Helper()
	planted, err := zip.OpenReader("../../compare/testdata/planted/strip.a.whl")
	if err != nil {
		t.Fatal(err)
	}
	defer planted.Close()
	var module []byte
	for _, f := range planted.File {
		if strings.HasSuffix(f.Name, ".so") {
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			if module, err = io.ReadAll(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	files := map[string][]byte{
		"compiled/_fast.so": module, "compiled/__init__.py": []byte("answer = 42\n"),
		"compiled-1.0.dist-info/METADATA": []byte("Metadata-Version: 2.1\nName: compiled\nVersion: 1.0\n"),
		"compiled-1.0.dist-info/WHEEL":    []byte("Wheel-Version: 1.0\nGenerator: setuptools (80.9.0)\nRoot-Is-Purelib: false\nTag: " + tag + "\n"),
	}
	names := slices.Sorted(maps.Keys(files))
	var record strings.Builder
	for _, name := range names {
		sum := sha256.Sum256(files[name])
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", name, base64.RawURLEncoding.EncodeToString(sum[:]), len(files[name]))
	}
	const recordName = "compiled-1.0.dist-info/RECORD"
	files[recordName] = []byte(record.String() + recordName + ",,\n")
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range append(names, recordName) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, CreatorVersion: 3<<8 | 20, ExternalAttrs: 0o100644 << 16})
		if err == nil {
			_, err = w.Write(files[name])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// require LOCK PROJECT adds the project's wheel to a lock as a build requirement.
func (s *site) require(ts *testscript.TestScript, _ bool, args []string) {
	name := ts.MkAbs(args[0])
	data, err := os.ReadFile(name)
	ts.Check(err)
	l, err := lock.Parse(data)
	ts.Check(err)
	for _, f := range s.pages[args[1]] {
		if strings.HasSuffix(f.Filename, ".whl") {
			l.Packages = append(l.Packages, lock.Package{
				Name: args[1], Version: "1.0",
				File: lock.File{PURL: lock.PyPIURL(args[1], "1.0"), Filename: f.Filename, Size: int64(f.Size), SHA256: f.Hashes["sha256"]},
			})
		}
	}
	data, err = l.Marshal()
	ts.Check(err)
	ts.Check(os.WriteFile(name, data, 0o644))
}

// cages says, once, whether there are any here.
var cages = sync.OnceValues(func() (*sandbox.Runtime, error) {
	dir, err := os.MkdirTemp("", "cages-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	return sandbox.Find(context.Background(), "", dir)
})

// repository DIR PROJECT [NAME TEXT]... makes a repository of a project's
// source, with more files, and the tag v1.0.
func (s *site) repository(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o755))
	git := func(words ...string) {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=x", "-c", "user.email=x@example.org"}, words...)...)
		cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=2021-03-04T05:00:00Z", "GIT_AUTHOR_DATE=2021-03-04T05:00:00Z", "GIT_CONFIG_GLOBAL="+os.DevNull)
		if out, err := cmd.CombinedOutput(); err != nil {
			ts.Fatalf("git %q: %v\n%s", words, err, out)
		}
	}
	cmd := exec.Command("tar", "-xz", "--strip-components=1", "-C", dir)
	cmd.Stdin = bytes.NewReader(s.trees[args[1]])
	ts.Check(cmd.Run())
	ts.Check(os.Remove(filepath.Join(dir, "PKG-INFO")))
	for more := args[2:]; len(more) > 1; more = more[2:] {
		ts.Check(os.WriteFile(filepath.Join(dir, more[0]), []byte(strings.ReplaceAll(more[1], `\n`, "\n")), 0o644))
	}
	git("init", "-q", "-b", "main")
	git("add", "-A")
	git("commit", "-q", "-m", "x")
	git("tag", "-f", "v1.0")
}

// serveGit serves the repositories below dir over https, as a forge does.
func serveGit(t testing.TB, dir string) (url, ca string) {
	t.Helper()
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(&cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"),
		Env:  []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=" + os.DevNull},
	})
	t.Cleanup(server.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(ca, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return server.URL, ca
}

// attest PROJECT DIR URL [PROJECT2] says that the wheel of PROJECT (or the one
// of PROJECT2, as it were) was made from the commit of DIR, served at URL, by its tag v1.0.
func (s *site) attest(ts *testscript.TestScript, _ bool, args []string) {
	out, err := exec.Command("git", "-C", ts.MkAbs(args[1]), "rev-parse", "HEAD").Output()
	ts.Check(err)
	of := args[len(args)-1]
	if len(args) == 3 {
		of = args[0]
	}
	sum := sha256.Sum256(s.files[of+"-1.0-py3-none-any.whl"])
	data, err := s.world.Attest(provenancetest.Claim{
		Filename: of + "-1.0-py3-none-any.whl", SHA256: hex.EncodeToString(sum[:]), Repository: args[2], Commit: strings.TrimSpace(string(out)), Ref: "refs/tags/v1.0",
		Time: time.Date(2021, 3, 4, 5, 30, 0, 0, time.UTC),
	})
	ts.Check(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.provenance[args[0]] = data
}

// in DIR COMMAND... runs a command in a directory, git with an author.
func in(ts *testscript.TestScript, _ bool, args []string) {
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Dir = ts.MkAbs(args[0])
	who := []string{"GIT_AUTHOR_NAME=x", "GIT_AUTHOR_EMAIL=x@example.org", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=x@example.org"}
	cmd.Env = append(append(os.Environ(), who...), "GIT_COMMITTER_DATE=2021-03-04T05:00:00Z", "GIT_AUTHOR_DATE=2021-03-04T05:00:00Z", "GIT_CONFIG_GLOBAL="+os.DevNull,
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=protocol.file.allow", "GIT_CONFIG_VALUE_0=always")
	if out, err := cmd.CombinedOutput(); err != nil {
		ts.Fatalf("%q: %v\n%s", args[1:], err, out)
	}
}

// edit FROM TO PATTERN NEW writes a file with what matches the pattern first replaced.
func edit(ts *testscript.TestScript, _ bool, args []string) {
	data, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	at := regexp.MustCompile(args[2]).FindIndex(data)
	if at == nil {
		ts.Fatalf("%s has no %q", args[0], args[2])
	}
	fresh := string(data[:at[0]]) + strings.ReplaceAll(args[3], `\n`, "\n") + string(data[at[1]:])
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(fresh), 0o644))
}

// append FILE TEXT writes at the end of a file.
func appendTo(ts *testscript.TestScript, _ bool, args []string) {
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_APPEND|os.O_WRONLY, 0)
	ts.Check(err)
	_, err = f.WriteString(args[1])
	ts.Check(errors.Join(err, f.Close()))
}

func TestScripts(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Fatal("the tests need a python3")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	hosted := t.TempDir()
	host, ca := serveGit(t, hosted)
	s := &site{files: map[string][]byte{}, trees: map[string][]byte{}, pages: map[string][]indexFile{}, host: host, provenance: map[string][]byte{}}
	if s.world, err = provenancetest.New(); err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(t.TempDir(), "trusted_root.json")
	if err := os.WriteFile(root, s.world.Root, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, p := range projects {
		publish(t, s, p, python, listener.Addr().(*net.TCPAddr).Port)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.add("courier", "courier-1.0-py3-none-any.whl", courier(t, s.files["plain-1.0-py3-none-any.whl"]), false)
	for _, tag := range []string{"cp313-cp313-manylinux_2_28_x86_64", "cp313-cp313-macosx_11_0_arm64", "cp313-cp313-win_amd64"} {
		s.add("compiled", "compiled-1.0-"+tag+".whl", compiledWheel(t, tag), false)
	}
	s.add("compiled", "compiled-1.0.tar.gz", pack(t, "compiled-1.0", map[string][]byte{"PKG-INFO": []byte("Name: compiled\nVersion: 1.0\n"), "setup.py": nil}), false)
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"require": s.require, "edit": edit, "append": appendTo, "repository": s.repository, "in": in, "attest": s.attest},
		Condition: func(c string) (bool, error) {
			if c != "cage" {
				return false, fmt.Errorf("unknown condition %q", c)
			}
			_, err := cages()
			return err == nil, nil
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("INDEX", server.URL+"/simple")
			e.Setenv("HTML_INDEX", server.URL+"/plain")
			e.Setenv("UV_DEFAULT_INDEX", server.URL+"/simple")
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, "cache"))
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("PYENV_ROOT", filepath.Join(os.Getenv("HOME"), ".pyenv"))
			e.Setenv("HOSTED", hosted)
			e.Setenv("ROOT", root)
			e.Setenv("HOST", host)
			e.Setenv("GIT_SSL_CAINFO", ca)
			e.Setenv("SECRET", "must not be seen")
			for _, name := range []string{"plain", "times", "mode"} {
				file := name + "-1.0-py3-none-any.whl"
				if err := os.WriteFile(filepath.Join(e.WorkDir, file), s.files[file], 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	})
}
