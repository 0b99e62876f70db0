package git

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Ref is a tag of a repository.
type Ref struct {
	Name   string // without refs/tags/
	Commit string // that it means, however it is written
}

// patience bounds how long a server may take to list its tags.
const patience = 30 * time.Second

// tagName is what a tag may be called here: as a revision, and "NAME@1.0" too,
// which git+URL@REV can't say.
var tagName = regexp.MustCompile(`^[0-9A-Za-z_][0-9A-Za-z._/+@-]*$`)

// maxTags bounds how many tags of one repository are looked at.
const maxTags = 100_000

// Tags asks for the tags of the repository at url, sorted by name. Nothing is fetched.
func (f *Fetcher) Tags(ctx context.Context, url string) ([]Ref, error) {
	if err := checkURL(url); err != nil {
		return nil, err
	}
	if f.Offline {
		return nil, fmt.Errorf("list the tags of %s: --offline forbids it", url)
	}
	dir, done, err := f.Store.TempDir("git")
	if err != nil {
		return nil, err
	}
	defer done()
	limited, stop := context.WithTimeout(ctx, patience)
	defer stop()
	out, err := f.run(limited, dir, "ls-remote", "--tags", url)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("list the tags of %s: no answer within %s", url, patience)
	case err != nil:
		return nil, fmt.Errorf("list the tags of %s: %w", url, err)
	}
	commits := map[string]string{}
	var names []string
	for line := range strings.Lines(string(out)) {
		id, ref, _ := strings.Cut(strings.TrimSpace(line), "\t")
		name, ok := strings.CutPrefix(ref, "refs/tags/")
		if !ok || !commitID.MatchString(id) {
			continue
		}
		// The commit of an annotated tag follows the tag itself.
		name, peeled := strings.CutSuffix(name, "^{}")
		if !tagName.MatchString(name) || strings.Contains(name, "..") {
			continue
		}
		if _, there := commits[name]; !there {
			names = append(names, name)
		}
		if _, there := commits[name]; !there || peeled {
			commits[name] = id
		}
		if len(names) > maxTags {
			return nil, fmt.Errorf("list the tags of %s: more than %d", url, maxTags)
		}
	}
	slices.Sort(names)
	refs := make([]Ref, len(names))
	for i, name := range names {
		refs[i] = Ref{name, commits[name]}
	}
	return refs, nil
}

// Projects are the directories of a commit that hold a Python project, sorted;
// "" is the top.
func (r *Repository) Projects(ctx context.Context, c Commit) ([]string, error) {
	out, err := r.f.run(ctx, r.dir, "ls-tree", "-r", "-z", "--name-only", "--full-tree", c.ID)
	if err != nil {
		return nil, fmt.Errorf("list the files of commit %s: %w", c.ID[:12], err)
	}
	var dirs []string
	for name := range strings.SplitSeq(string(out), "\x00") {
		dir, base := path.Split(name)
		if base == "pyproject.toml" || base == "setup.py" {
			dirs = append(dirs, strings.TrimSuffix(dir, "/"))
		}
	}
	slices.Sort(dirs)
	return slices.Compact(dirs), nil
}
