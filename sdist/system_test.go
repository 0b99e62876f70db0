package sdist

import (
	"errors"
	"io/fs"
	"reflect"
	"strings"
	"testing"
)

func TestBuildSystem(t *testing.T) {
	legacy := []string{"setuptools>=40.8.0", "wheel"}
	for _, c := range []struct {
		name  string
		files map[string]string
		want  BuildSystem
		err   string
	}{
		{"setup.py", map[string]string{"setup.py": ""}, BuildSystem{SetupPy: true, Requires: legacy}, ""},
		{"nothing", nil, BuildSystem{Requires: legacy}, "neither"},
		{"no table", map[string]string{"pyproject.toml": "[tool.x]\n"}, BuildSystem{Requires: legacy}, ""},
		{"declared", map[string]string{"pyproject.toml": "[build-system]\nrequires = ['a>=1', 'b']\nbuild-backend = 'c.d:e'\nbackend-path = ['.', 'x/y']\n"},
			BuildSystem{Declared: true, Requires: []string{"a>=1", "b"}, Backend: "c.d:e", BackendPath: []string{".", "x/y"}}, ""},
		{"requires alone", map[string]string{"pyproject.toml": "[build-system]\nrequires = []\n", "setup.py": ""}, BuildSystem{Declared: true, SetupPy: true, Requires: []string{}}, ""},
		{"no requires", map[string]string{"pyproject.toml": "[build-system]\nbuild-backend = 'a'\n"}, BuildSystem{Requires: legacy}, "lacks requires"},
		{"path out", map[string]string{"pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'a'\nbackend-path = ['x/../..']\n"}, BuildSystem{Requires: legacy}, "leaves the source"},
		{"absolute path", map[string]string{"pyproject.toml": "[build-system]\nrequires = []\nbuild-backend = 'a'\nbackend-path = ['/x']\n"}, BuildSystem{Requires: legacy}, "leaves the source"},
		{"path without backend", map[string]string{"pyproject.toml": "[build-system]\nrequires = []\nbackend-path = ['x']\n"}, BuildSystem{Requires: legacy}, "without build-backend"},
		{"not TOML", map[string]string{"pyproject.toml": "[build-system\n"}, BuildSystem{Requires: legacy}, "read pyproject.toml"},
		{"large", map[string]string{"pyproject.toml": strings.Repeat("#", maxSmall+1)}, BuildSystem{Requires: legacy}, "larger than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			members := []any{dir("a/")}
			for name, data := range c.files {
				members = append(members, with(file("a/"+name), data))
			}
			tree, err := openBytes("a-1.tar.gz", gz(t, tarball(t, members...)), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := tree.BuildSystem()
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestMetadata(t *testing.T) {
	for _, c := range []struct {
		data string
		want Metadata
		bad  bool
	}{
		{"Metadata-Version: 2.1\r\nName: A.b\r\nVersion: 1.0\r\nRequires-Python: >=3.8\r\n\r\nName: other\r\n", Metadata{"2.1", "A.b", "1.0", ">=3.8"}, false},
		{"\ufeffName: a\nversion: 1\nDescription: x\n        Requires-Python: no\nName: again", Metadata{"", "a", "1", ""}, false},
		{"Name: a\n\nVersion: 1\n", Metadata{}, true},
		{"", Metadata{}, true},
	} {
		tree := &Tree{small: map[string][]byte{"PKG-INFO": []byte(c.data)}}
		got, err := tree.Metadata()
		if got != c.want || (err != nil) != c.bad {
			t.Errorf("%q: %+v, %v", c.data, got, err)
		}
	}
	if _, err := new(Tree).Metadata(); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
