// Package origin finds the repository and the commit that a release was made
// from, without being told.
//
// What a package says of itself is not proof: a repository that METADATA names
// is a place to build from, and only the build's verdict says whether it is
// the source. Repositories are asked over https only.
package origin

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/truewheel/truewheel/internal/git"
	"github.com/truewheel/truewheel/pypi"
)

// Release is what a repository is looked for.
type Release struct {
	Name     pypi.Name
	Version  pypi.Version
	Metadata string // METADATA or PKG-INFO
}

// Ways of finding.
const (
	ByProjectURL = "project-url" // a URL of METADATA, and the tag that fits the version
)

// Found is a commit, and how it was found.
type Found struct {
	Source git.Source // Rev is a tag or a commit
	Commit string     // 40 hex digits
	By     string
	Label  string // of the URL in METADATA
}

// A NotFoundError says that a release's repository is not known.
type NotFoundError struct{ Reasons []string }

func (e *NotFoundError) Error() string {
	if len(e.Reasons) == 0 {
		return "the metadata name no repository"
	}
	return "no repository was found: " + strings.Join(e.Reasons, "; ")
}

// Subdirectory is where in a repository a project lies, of the directories
// that hold one: where a URL of METADATA led to, the top, or the only
// directory that has the project's name.
func Subdirectory(projects []string, name pypi.Name, hint string) (string, error) {
	if hint != "" && slices.Contains(projects, hint) {
		return hint, nil
	}
	var named []string
	for _, dir := range projects {
		if n, err := pypi.ParseName(path.Base(dir)); err == nil && n == name && dir != "" {
			named = append(named, dir)
		}
	}
	switch top := slices.Contains(projects, ""); {
	case len(named) == 1 && !top:
		return named[0], nil
	case top || len(projects) == 0:
		return "", nil
	case len(projects) == 1:
		return projects[0], nil
	}
	return "", fmt.Errorf("the repository holds %d projects, and none of them alone is called %s: %s", len(projects), name, list(projects))
}

// maxAsked bounds how many repositories are asked for one release.
const maxAsked = 4

// Finder finds repositories.
type Finder struct {
	Git *git.Fetcher
}

// Find looks for the commit that a release was made from. That there is none
// is a *NotFoundError; tags that contradict each other an *AmbiguousError.
func (f *Finder) Find(ctx context.Context, r Release) (Found, error) {
	missing := &NotFoundError{}
	for i, c := range Candidates(r.Metadata) {
		if i == maxAsked {
			break
		}
		tags, err := f.Git.Tags(ctx, c.URL)
		if err != nil {
			if ctx.Err() != nil {
				return Found{}, ctx.Err()
			}
			missing.Reasons = append(missing.Reasons, fmt.Sprintf("%s: %v", c.Label, err))
			continue
		}
		tag, err := Tag(tags, r.Name, r.Version)
		var ambiguous *AmbiguousError
		if errors.As(err, &ambiguous) {
			return Found{}, fmt.Errorf("%s: %w (--source git+%s@TAG chooses one)", c.URL, err, c.URL)
		}
		if err != nil {
			missing.Reasons = append(missing.Reasons, fmt.Sprintf("%s: %v", c.URL, err))
			continue
		}
		return Found{
			Source: git.Source{URL: c.URL, Rev: tag.Name, Subdirectory: c.Subdirectory},
			Commit: tag.Commit, By: ByProjectURL, Label: c.Label,
		}, nil
	}
	return Found{}, missing
}
