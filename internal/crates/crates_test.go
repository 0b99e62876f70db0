package crates

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var sum = strings.Repeat("ab", 32)

func TestParse(t *testing.T) {
	const own = "[[package]]\nname = \"demo\"\nversion = \"0.1.0\"\n"
	registry := func(name, version, checksum string) string {
		return own + "[[package]]\nname = \"" + name + "\"\nversion = \"" + version + "\"\nsource = \"registry+https://example.org/index\"\nchecksum = \"" + checksum + "\"\n"
	}
	got, err := Parse([]byte(registry("pyo3", "0.22.0", sum)))
	if err != nil || len(got) != 1 || got[0] != (Crate{"pyo3", "0.22.0", sum}) {
		t.Errorf("%+v %v", got, err)
	}
	for name, text := range map[string]string{
		"a path for a name":  registry("../x", "1.0.0", sum),
		"a path for version": registry("x", "1.0.0/../..", sum),
		"no sum":             registry("x", "1.0.0", ""),
		"a repository":       own + "[[package]]\nname = \"x\"\nversion = \"1.0.0\"\nsource = \"git+https://example.org/x#abc\"\n",
		"no TOML":            "[[package",
	} {
		if got, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestPlace(t *testing.T) {
	k := Crate{"serde", "1.0.0", sum}
	for template, want := range map[string]string{
		"https://example.org/dl":                               "https://example.org/dl/serde/1.0.0/download",
		"https://example.org/{prefix}/{crate}-{version}.crate": "https://example.org/se/rd/serde-1.0.0.crate",
	} {
		if got := place(template, k); got != want {
			t.Errorf("%s: %s", template, got)
		}
	}
}

func TestFindIndex(t *testing.T) {
	dir := t.TempDir()
	cargo := filepath.Join(dir, "cargo")
	if err := os.WriteFile(cargo, []byte("\x7fELF\x00\xffé sparse+https://crates.example.org/\x00more"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := FindIndex(dir, cargo); err != nil || got != "https://crates.example.org/" {
		t.Errorf("%q %v", got, err)
	}
	config := "[source.crates-io]\nreplace-with = \"m\"\n[source.m]\nregistry = \"sparse+https://mirror.example.org/\"\n"
	if err := os.WriteFile(filepath.Join(dir, "config.toml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := FindIndex(dir, cargo); err != nil || got != "https://mirror.example.org/" {
		t.Errorf("%q %v", got, err)
	}
	silent := filepath.Join(dir, "silent")
	if err := os.WriteFile(silent, []byte("\x7fELF"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := FindIndex(t.TempDir(), silent); err == nil {
		t.Error("a program that names no registry")
	}
}

type file struct {
	name string
	kind byte
	text string
}

func crateOf(t *testing.T, files ...file) *os.File {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Typeflag: f.kind, Mode: 0o644, Size: int64(len(f.text)), Linkname: "/etc/passwd"}
		if f.kind == tar.TypeReg {
			h.Linkname = ""
		} else {
			h.Size = 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.text)[:h.Size]); err != nil {
			t.Fatal(err)
		}
	}
	if w.Close() != nil || z.Close() != nil {
		t.Fatal("tar")
	}
	name := filepath.Join(t.TempDir(), "c")
	if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestUnpack(t *testing.T) {
	k := []Crate{{"x", "1.0.0", sum}}
	try := func(files ...file) (string, error) {
		dir := filepath.Join(t.TempDir(), "crates")
		return dir, Unpack(t.Context(), k, dir, func(string) (*os.File, error) { return crateOf(t, files...), nil })
	}
	dir, err := try(file{"x-1.0.0/Cargo.toml", tar.TypeReg, "[package]"}, file{"x-1.0.0/src/lib.rs", tar.TypeReg, "fn f() {}"})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"Cargo.toml": "[package]", "src/lib.rs": "fn f() {}", ".cargo-checksum.json": sum} {
		data, err := os.ReadFile(filepath.Join(dir, "x-1.0.0", name))
		if err != nil || !strings.Contains(string(data), want) {
			t.Errorf("%s: %q %v", name, data, err)
		}
	}
	for name, f := range map[string]file{
		"up":            {"x-1.0.0/../../y", tar.TypeReg, "y"},
		"absolute":      {"/etc/y", tar.TypeReg, "y"},
		"another crate": {"y-1.0.0/Cargo.toml", tar.TypeReg, "y"},
		"symbolic link": {"x-1.0.0/y", tar.TypeSymlink, ""},
		"hard link":     {"x-1.0.0/y", tar.TypeLink, ""},
		"device":        {"x-1.0.0/y", tar.TypeChar, ""},
	} {
		if _, err := try(f); err == nil {
			t.Errorf("%s was unpacked", name)
		}
	}
	if _, err := try(file{"x-1.0.0/a", tar.TypeReg, "1"}, file{"x-1.0.0/a", tar.TypeReg, "2"}); err == nil {
		t.Error("one name twice was unpacked")
	}
}

// What is read out of any Cargo.lock is safe as a name of a directory.
func FuzzParse(f *testing.F) {
	f.Add([]byte("[[package]]\nname = \"x\"\nversion = \"1.0.0\"\nsource = \"registry+https://example.org/i\"\nchecksum = \"" + sum + "\"\n"))
	f.Add([]byte("[[package]]\nname = \"../x\"\nversion = \"1.0.0/..\"\nsource = \"sparse+x\"\nchecksum = \"00\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		crates, err := Parse(data)
		if err != nil && crates != nil {
			t.Error("an error and crates")
		}
		for _, k := range crates {
			if !filepath.IsLocal(k.Name+"-"+k.Version) || strings.ContainsAny(k.Name+k.Version, "/\\\x00") || len(k.SHA256) != 64 {
				t.Errorf("%+v", k)
			}
		}
	})
}
