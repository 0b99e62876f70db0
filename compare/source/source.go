// Package source compares a source distribution with the commit that it was
// made from, and says of every file that the commit does not have, or has
// otherwise, what it is.
//
// A class is given by what a file holds, not by its name:
//
//   - generated: a build backend or tool writes such a file. Sure says that
//     its contents show it: metadata of this release, assignments of literals
//     and nothing else, a setup.cfg with the same settings. Without it the file
//     only claims to be generated (C code of Cython, configure of Autoconf), and
//     nothing here can make it again: it is worth a look.
//   - vendored: it lies in a submodule, whose commit the repository names.
//   - unexplained: everything else. This is where a back door would be.
//
// Nothing is run, and no file is trusted for saying what it is.
package source

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/sdist"
)

// Class of a difference.
type Class string

// Classes.
const (
	Generated   Class = "generated"
	Vendored    Class = "vendored"
	Unexplained Class = "unexplained"
)

// Difference is a file of the sdist that the commit does not have so.
type Difference struct {
	Name  string   `json:"name"` // in the sdist, below its top
	Kind  string   `json:"kind"` // added | changed
	Class Class    `json:"class"`
	Sure  bool     `json:"sure"`            // of the class, by contents; always for unexplained ones
	By    string   `json:"by,omitempty"`    // what generated it, which submodule, or what it holds, in words
	Flags []string `json:"flags,omitempty"` // build script, executable, archive, compiled code, high entropy, binary
}

// Result of a comparison.
type Result struct {
	Files       int          `json:"files"` // of the sdist
	Equal       int          `json:"equal"` // to the commit's
	Differences []Difference `json:"differences"`
	Missing     []string     `json:"missing"` // files of the commit's project that the sdist lacks, sorted
}

// Of are the differences of one class, in their order.
func (r *Result) Of(c Class) []Difference {
	return slices.DeleteFunc(slices.Clone(r.Differences), func(d Difference) bool { return d.Class != c })
}

// Side is an sdist, or a commit in the form of one.
type Side struct {
	Tree *sdist.Tree
	// Read gives the contents of a file by its name below the top.
	Read func(name string) ([]byte, error)
}

// maxRead bounds the files that are looked into; larger ones are told by size.
const maxRead = 16 << 20

// files are the files of a side by name; links count by where they lead.
func (s Side) files() map[string]sdist.Entry {
	out := make(map[string]sdist.Entry, len(s.Tree.Entries))
	for _, e := range s.Tree.Entries {
		if !e.Dir && e.Name != ".git" && !strings.HasPrefix(e.Name, ".git/") {
			out[e.Name] = e
		}
	}
	return out
}

func (s Side) text(e sdist.Entry) ([]byte, error) {
	if e.Symlink != "" {
		return []byte(e.Symlink), nil
	}
	if e.Size > maxRead {
		return nil, nil
	}
	data, err := s.Read(e.Name)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", e.Name, err)
	}
	return data, nil
}

// comparison is one on its way.
type comparison struct {
	published, commit Side
	name              pypi.Name
	version           pypi.Version
	here, there       map[string]sdist.Entry
	bySum             map[[32]byte]string // a name in the commit
	submodules        []string
}

// Compare compares the sdist of a release with a commit. Where the commit's
// project lies in a subdirectory (sdist.Tree.Project), the sdist is of that.
func Compare(ctx context.Context, name pypi.Name, version pypi.Version, published, commit Side) (*Result, error) {
	c := &comparison{published: published, commit: commit, name: name, version: version, here: published.files(), there: commit.files(), bySum: map[[32]byte]string{}}
	for _, e := range commit.Tree.Entries {
		if !e.Dir && e.Symlink == "" && c.there[e.Name].Name != "" && c.bySum[e.SHA256] == "" {
			c.bySum[e.SHA256] = e.Name
		}
	}
	if e, ok := c.there[".gitmodules"]; ok {
		text, err := commit.text(e)
		if err != nil {
			return nil, err
		}
		c.submodules = submodules(string(text))
	}
	r := &Result{Files: len(c.here), Differences: []Difference{}, Missing: []string{}}
	matched := map[string]bool{}
	for _, e := range published.Tree.Entries {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if _, ok := c.here[e.Name]; !ok {
			continue
		}
		at, d, err := c.file(e)
		if err != nil {
			return nil, err
		}
		matched[at] = true
		if d == nil {
			r.Equal++
			continue
		}
		r.Differences = append(r.Differences, *d)
	}
	for _, e := range commit.Tree.Entries {
		if _, ok := c.there[e.Name]; ok && !matched[e.Name] && within(e.Name, commit.Tree.Project) {
			r.Missing = append(r.Missing, e.Name)
		}
	}
	slices.Sort(r.Missing)
	slices.SortStableFunc(r.Differences, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.weight(), b.weight()), cmp.Compare(a.Name, b.Name))
	})
	return r, nil
}

func within(name, dir string) bool { return dir == "" || strings.HasPrefix(name, dir+"/") }

// weight orders differences: what deserves a look first stands first.
func (d Difference) weight() int {
	switch {
	case d.Class == Unexplained && slices.Contains(d.Flags, "build script"):
		return 0
	case d.Class == Unexplained && d.Kind == "changed":
		return 1
	case d.Class == Unexplained && len(d.Flags) > 0:
		return 2
	case d.Class == Unexplained:
		return 3
	case d.Class == Generated && !d.Sure:
		return 4
	case d.Class == Vendored:
		return 5
	}
	return 6
}

// file compares one file of the sdist; at is the commit's, "" when it has none.
func (c *comparison) file(e sdist.Entry) (at string, d *Difference, err error) {
	at = path.Join(c.commit.Tree.Project, e.Name)
	other, there := c.there[at]
	if there && same(e, other) {
		for _, dir := range c.submodules {
			if within(at, dir) {
				return at, &Difference{Name: e.Name, Kind: "added", Class: Vendored, Sure: true, By: "submodule " + dir}, nil
			}
		}
		return at, nil, nil
	}
	text, err := c.published.text(e)
	if err != nil {
		return "", nil, err
	}
	d = &Difference{Name: e.Name, Kind: "added", Class: Unexplained, Sure: true, Flags: flags(e, text)}
	var was []byte
	if there {
		d.Kind = "changed"
		if was, err = c.commit.text(other); err != nil {
			return "", nil, err
		}
	} else {
		at = ""
	}
	if e.Symlink == "" && e.Size <= maxRead {
		c.explain(d, e, text, was, there)
	}
	return at, d, nil
}

// same: a link may have become the file that it leads to only by a difference.
func same(a, b sdist.Entry) bool {
	return a.Symlink == b.Symlink && a.SHA256 == b.SHA256 && (a.Mode&0o111 == 0 || b.Mode&0o111 != 0 || a.Mode == 0)
}

// explain finds out what a file is that the commit does not have so.
func (c *comparison) explain(d *Difference, e sdist.Entry, text, was []byte, there bool) {
	explained := func(by string, sure bool) { d.Class, d.By, d.Sure = Generated, by, sure }
	if there {
		switch {
		case e.SHA256 == c.there[path.Join(c.commit.Tree.Project, e.Name)].SHA256:
			d.By = "it may be executed, and may not in the commit"
			return
		case bytes.Equal(unix(text), unix(was)):
			explained("line ends", true)
			return
		case expanded(string(was), string(text)):
			explained("git archive (export-subst)", true)
			return
		}
	}
	for _, rule := range rules {
		if by, sure, ok := rule(c, e.Name, text, was, there); ok {
			explained(by, sure)
			return
		}
	}
	if from := c.bySum[e.SHA256]; !there && from != "" {
		if path.Base(from) == path.Base(e.Name) && !slices.Contains(d.Flags, "build script") {
			explained("a copy of "+from, true)
			return
		}
		d.By = "it holds what " + from + " does"
	}
	if there {
		d.By = changed(text, was)
	}
}

// unix is a text with line ends of Unix.
func unix(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }

// changed says how much of a text is other.
func changed(now, was []byte) string {
	if !isText(now) || !isText(was) {
		return fmt.Sprintf("%d bytes, and %d in the commit", len(now), len(was))
	}
	count := map[string]int{}
	for line := range strings.Lines(string(was)) {
		count[line]++
	}
	added := 0
	for line := range strings.Lines(string(now)) {
		if count[line]--; count[line] < 0 {
			added++
		}
	}
	removed := 0
	for _, n := range count {
		removed += max(0, n)
	}
	return fmt.Sprintf("%d lines added, %d removed", added, removed)
}

// submodules are the directories that .gitmodules names.
func submodules(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, "=")
		if strings.TrimSpace(key) == "path" {
			out = append(out, path.Clean(strings.TrimSpace(value)))
		}
	}
	return out
}
