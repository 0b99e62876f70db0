package truewheel_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/truewheel/truewheel/"

// houses in their order: a package imports only what stands above it
// (docs/architecture.md).
var houses = []string{
	"pypi", "wheel", "wheel/deflate", "sdist", "recipe", "recipe/lock",
	"compare/cause", "compare/text", "compare/native", "compare/tree", "compare/source", "compare", "report",
	"internal/hostile", "internal/store", "internal/index", "internal/crates", "internal/rootfs", "internal/debian", "internal/oci", "internal/git",
	"internal/provenance", "internal/provenance/provenancetest", "internal/origin", "internal/infer", "internal/uv", "internal/sandbox",
	"internal/env", "internal/build", "internal/project", "internal/rebuild", "internal/cli", "cmd/truewheel",
	"bench", "bench/hostile", "bench/image", "internal/docs",
}

// public packages are pure: none of these.
var impure = []string{"net/http", "os/exec", "os/signal", "net", "log"}

func TestArchitecture(t *testing.T) {
	rank := map[string]int{}
	for i, h := range houses {
		rank[h] = i
	}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != ".") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		house := filepath.ToSlash(filepath.Dir(path))
		if house == "." {
			return nil
		}
		from, ok := rank[house]
		if !ok {
			t.Errorf("%s: package %s stands in no house", path, house)
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if other, ok := strings.CutPrefix(name, module); ok && rank[other] >= from {
				t.Errorf("%s imports %s, which does not stand above it", path, other)
			}
			public := !strings.HasPrefix(house, "internal/") && !strings.HasPrefix(house, "cmd/") && !strings.HasPrefix(house, "bench")
			for _, bad := range impure {
				if public && name == bad {
					t.Errorf("%s imports %s: public packages are pure", path, name)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Names of registries and mirrors come from the user's settings, never from us.
func TestNoRegistryNames(t *testing.T) {
	bad := regexp.MustCompile(`(files\.)?(pypi|pythonhosted)\.(org|io)|deb\.debian\.org|proxy\.golang\.org`)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == ".git" || d.Name() == "bin" || d.Name() == "out" {
				return filepath.SkipDir
			}
			return nil
		}
		if path == "architecture_test.go" {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if m := bad.Find(data); m != nil {
			t.Errorf("%s names %s", path, m)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
