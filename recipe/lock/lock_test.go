package lock_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/truewheel/truewheel/recipe"
	"github.com/truewheel/truewheel/recipe/lock"
)

var epoch int64 = 1700000000

func sample() lock.Lock {
	return lock.Lock{
		Subject:     &lock.File{PURL: "pkg:pypi/demo@1.0", Filename: "demo-1.0-py3-none-any.whl", Size: 9, SHA256: strings.Repeat("0f", 32)},
		Source:      &lock.File{PURL: "pkg:pypi/demo@1.0", Filename: "demo-1.0.tar.gz", Size: 10, SHA256: strings.Repeat("ab", 32)},
		Python:      "3.11.7",
		Environment: lock.Environment{Kind: lock.Host},
		Packages: []lock.Package{
			{Name: "wheel", Version: "0.42.0", File: lock.File{PURL: "pkg:pypi/wheel@0.42.0", Filename: "wheel-0.42.0-py3-none-any.whl", Size: 2, SHA256: strings.Repeat("cd", 32)}},
			{Name: "setuptools", Version: "69.0.0", File: lock.File{PURL: "pkg:pypi/setuptools@69.0.0", Filename: "setuptools-69.0.0-py3-none-any.whl", Size: 3, SHA256: strings.Repeat("ef", 32)}},
		},
		Recipe: recipe.Recipe{
			Python: "3.11", Requires: []string{"setuptools>=40.8", "wheel"}, Mode: recipe.PEP517,
			Pins:            []recipe.Pin{{Name: "wheel", Version: "0.42.0"}},
			Before:          time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC),
			SourceDateEpoch: &epoch,
			Clock:           recipe.Clock{Start: time.Date(2024, 1, 2, 3, 4, 4, 0, time.UTC), Step: 2 * time.Second, StepAt: "demo-1.0.dist-info/RECORD"},
			Umask:           0o022, TimeZone: "UTC+7", Env: map[string]string{"B": "2", "A": "1"},
			Switches: recipe.Switches{Universal: true, Args: []string{"--no-x"}},
		},
	}
}

func TestRoundTrip(t *testing.T) {
	first, err := sample().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	l, err := lock.Parse(first)
	if err != nil {
		t.Fatalf("%v in\n%s", err, first)
	}
	second, err := l.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Errorf("rewrite changed the lock:\n%s\nthen\n%s", first, second)
	}
	if l.Recipe.Clock != sample().Recipe.Clock || *l.Recipe.SourceDateEpoch != epoch || l.Recipe.Env["A"] != "1" || !l.Recipe.Switches.Universal {
		t.Errorf("read back %+v", l.Recipe)
	}
}

func TestParseErrors(t *testing.T) {
	good, err := sample().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	replace := func(old, new string) string {
		if !strings.Contains(string(good), old) {
			t.Fatalf("no %q in\n%s", old, good)
		}
		return strings.Replace(string(good), old, new, 1)
	}
	for name, test := range map[string]struct{ in, want string }{
		"empty":         {"", "no lock-version"},
		"newer":         {replace("lock-version = 1", "lock-version = 2"), "newer than this program"},
		"unknown field": {replace("[python]", "[python]\nflavour = 'x'"), `unknown field "python.flavour"`},
		"sha256":        {replace(strings.Repeat("ab", 32), "abc"), "source:"},
		"file name":     {replace("demo-1.0.tar.gz", "../demo-1.0.tar.gz"), "is not a file name"},
		"umask":         {replace("'0022'", "'9'"), "umask"},
		"path":          {replace("umask =", "path = '/usr/x'\numask ="), "build path"},
		"twice":         {replace("name = 'wheel', version = '0.42.0', purl = 'pkg:pypi/wheel@0.42.0'", "name = 'setuptools', version = '1', purl = 'pkg:pypi/setuptools@1'"), "stands twice"},
		"python":        {replace("3.11.7", "2.7.18"), "python"},
		"variable":      {replace("A = '1'", "LD_PRELOAD = '1'"), "LD_PRELOAD"},
	} {
		if _, err := lock.Parse([]byte(test.in)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	good, err := sample().Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := lock.Parse(data)
		if err != nil {
			return
		}
		first, err := l.Marshal()
		if err != nil {
			t.Fatalf("a lock that was read can't be written: %v", err)
		}
		again, err := lock.Parse(first)
		if err != nil {
			t.Fatalf("a lock that was written can't be read: %v\n%s", err, first)
		}
		if second, _ := again.Marshal(); !bytes.Equal(first, second) {
			t.Errorf("not stable:\n%s\n%s", first, second)
		}
	})
}
