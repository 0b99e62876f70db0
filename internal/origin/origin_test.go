package origin

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/truewheel/truewheel/internal/git"
	"github.com/truewheel/truewheel/pypi"
)

func TestCandidates(t *testing.T) {
	for _, c := range []struct{ metadata, want string }{
		{"Project-URL: Source, https://host.test/a/b\n", "https://host.test/a/b"},
		{"Project-URL: Source Code, http://user:pw@host.test/a/b.git?x#y\n", "https://host.test/a/b.git"},
		{"Home-page: https://host.test/a/b/tree/main/py/x\n", "https://host.test/a/b:py/x"},
		{"Home-page: https://host.test/a/b\nProject-URL: repository, https://host.test/c/d/-/tree/main/x\n", "https://host.test/c/d:x https://host.test/a/b"},
		{"Project-URL: Bug Tracker, https://host.test/a/b/issues\nHome-page: https://docs.test/\n", "https://host.test/a/b"},
		{"Project-URL: Documentation, https://host.test/a/b\n", ""},
		{"Project-URL: Source, file:///srv/a\nProject-URL: Source, ssh://host.test/a/b\nProject-URL: Source, /srv/a\nProject-URL: Source, https://-x/a/b\n", ""},
		{"Project-URL: Source, https://host.test/a/../b\n", ""},
		{"Name: x\n\nProject-URL: Source, https://host.test/in/description\n", ""},
	} {
		var got []string
		for _, x := range Candidates(c.metadata) {
			s := x.URL
			if x.Subdirectory != "" {
				s += ":" + x.Subdirectory
			}
			got = append(got, s)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%q: %q, not %q", c.metadata, s, c.want)
		}
	}
}

func TestTag(t *testing.T) {
	for _, c := range []struct{ tags, version, want string }{
		{"v1.2.3", "1.2.3", "v1.2.3"},
		{"1.2.3 v1.2.4 v1.2.30 v11.2.3 v1.2.3rc1", "1.2.3", "1.2.3"},
		{"REL_1_2_3", "1.2.3", "REL_1_2_3"},
		{"release-1.2.3", "1.2.3", "release-1.2.3"},
		{"release/v1.2.3", "1.2.3", "release/v1.2.3"},
		{"demo-x-1.2.3 other-1.2.3", "1.2.3", "demo-x-1.2.3"},
		{"Demo_X@1.2.3 v1.2.3", "1.2.3", "Demo_X@1.2.3"},
		{"demo-x/v1.2.3", "1.2.3", "demo-x/v1.2.3"},
		{"v1.2.3-rc.1", "1.2.3rc1", "v1.2.3-rc.1"},
		{"v1.0.0 v1.0", "1.0", "v1.0"},
		{"v1.0.0", "1.0", "v1.0.0"},
		{"1.0.post1", "1.0-1", "1.0.post1"},
		{"v1 v1.2", "1.2.3", "no tag fits version 1.2.3"},
		{"other-1.2.3", "1.2.3", "no tag fits version 1.2.3; of another name: other-1.2.3"},
		{"v1.2.3 1.2.3", "1.2.3", "several tags fit version 1.2.3 and name different commits: v1.2.3, 1.2.3"},
	} {
		v, err := pypi.ParseVersion(c.version)
		if err != nil {
			t.Fatal(err)
		}
		var refs []git.Ref
		for i, name := range strings.Fields(c.tags) {
			refs = append(refs, git.Ref{Name: name, Commit: strings.Repeat(string(rune('a'+i)), 40)})
		}
		tag, err := Tag(refs, "demo-x", v)
		got := tag.Name
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s of %s: %q, not %q", c.version, c.tags, got, c.want)
		}
		for i := range refs {
			refs[i].Commit = refs[0].Commit
		}
		var ambiguous *AmbiguousError
		if _, err := Tag(refs, "demo-x", v); errors.As(err, &ambiguous) {
			t.Errorf("%s: all tags name one commit: %v", c.tags, err)
		}
	}
}

func TestSubdirectory(t *testing.T) {
	for _, c := range []struct{ projects, hint, want string }{
		{".", "", "."}, {". py/demo-x", "", "."}, {"py/demo_x py/b", "", "py/demo_x"}, {"py/a py/b", "py/b", "py/b"},
		{"py/only", "", "py/only"}, {"", "gone", "."}, {"py/a py/b", "gone", "the repository holds 2 projects"},
	} {
		var dirs []string
		for _, d := range strings.Fields(c.projects) {
			dirs = append(dirs, strings.TrimPrefix(d, "."))
		}
		got, err := Subdirectory(dirs, "demo-x", c.hint)
		if got == "" {
			got = "."
		}
		if err != nil {
			got = err.Error()
		}
		if !strings.HasPrefix(got, c.want) || slices.Contains([]string{"."}, c.want) && got != "." {
			t.Errorf("%s, %s: %q, not %q", c.projects, c.hint, got, c.want)
		}
	}
}

func FuzzFit(f *testing.F) {
	f.Add("v1.2.3")
	f.Add("demo-x@1_2_3")
	v, err := pypi.ParseVersion("1.2.3")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, tag string) {
		if score, other := fit(tag, "demo-x", v); score > 0 && other {
			t.Errorf("%q fits and does not", tag)
		}
		for _, c := range Candidates("Project-URL: Source, " + tag) {
			if !strings.HasPrefix(c.URL, "https://") {
				t.Errorf("%q gives %q", tag, c.URL)
			}
		}
	})
}
