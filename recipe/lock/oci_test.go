package lock_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/truewheel/truewheel/recipe"
	"github.com/truewheel/truewheel/recipe/lock"
)

func TestOCI(t *testing.T) {
	l := lock.Lock{
		Python: "3.11.9",
		Environment: lock.Environment{
			Kind: lock.OCI, Image: "pypa/manylinux_2_28_x86_64", Digest: "sha256:" + strings.Repeat("a", 64), Architecture: "amd64",
			Python: "/opt/python/cp311-cp311/bin/python", Root: strings.Repeat("b", 64),
		},
		Recipe: recipe.Recipe{Python: "3.11", Mode: recipe.PEP517, Clock: recipe.Clock{Start: time.Unix(1e9, 0).UTC()}, Umask: 0o22},
	}
	data, err := l.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := lock.Parse(data)
	if err != nil || again.Environment.Digest != l.Environment.Digest || again.Environment.Python != l.Environment.Python {
		t.Fatalf("%+v %v", again, err)
	}
	if twice, err := again.Marshal(); err != nil || !bytes.Equal(twice, data) {
		t.Errorf("%s %v", twice, err)
	}
	sbom, err := l.SBOM()
	if err != nil || !strings.Contains(string(sbom), "pkg:oci/manylinux_2_28_x86_64@sha256") {
		t.Errorf("%s %v", sbom, err)
	}
	for name, c := range map[string]struct {
		old, fresh, want string
	}{
		"host in the name": {"'pypa/", "'example.com/pypa/", "names a host"},
		"port":             {"'pypa/", "'example:5000/pypa/", "is not the name of one"},
		"tag":              {"x86_64'", "x86_64:v1'", "is not the name of one"},
		"digest":           {"sha256:aaaa", "sha256:AAAA", "64 hex digits"},
		"algorithm":        {"sha256:a", "sha512:a", "64 hex digits"},
		"interpreter":      {"'/opt/python", "'opt/python", "is not the path of an interpreter"},
		"dots":             {"'/opt/python", "'/opt/../python", "is not the path of an interpreter"},
		"architecture":     {"'amd64'", "'am d64'", "architecture"},
		"root":             {"root = 'bb", "root = 'b", "is not a sha256"},
		"suite":            {"kind = 'oci'", "kind = 'oci'\nsuite = 'bookworm'", "no suite"},
		"kind host":        {"kind = 'oci'", "kind = 'host'", "nor an image"},
		"kind debian":      {"kind = 'oci'", "kind = 'debian'\nsuite = 'bookworm'", "has no image"},
	} {
		text := strings.Replace(string(data), c.old, c.fresh, 1)
		if text == string(data) {
			t.Fatalf("%s: nothing to replace", name)
		}
		if _, err := lock.Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, not %q", name, err, c.want)
		}
	}
}
