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
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/truewheel/truewheel/internal/git"
	"github.com/truewheel/truewheel/internal/index"
	"github.com/truewheel/truewheel/internal/provenance"
	"github.com/truewheel/truewheel/pypi"
)

// Release is what a repository is looked for.
type Release struct {
	Name     pypi.Name
	Version  pypi.Version
	Metadata string // METADATA or PKG-INFO
	File     pypi.File
}

// Ways of finding.
const (
	ByAttestation = "attestation" // the publisher's, of the index
	ByProjectURL  = "project-url" // a URL of METADATA, and the tag that fits the version
)

// Found is a commit, and how it was found.
type Found struct {
	Source git.Source // Rev is a tag or a commit
	Commit string     // 40 hex digits
	By     string
	Label  string // of the URL in METADATA
	// Identity is whose attestation it was, nil for none.
	Identity *provenance.Identity
	// Suspicions are what does not fit together, in words; also of what was not found.
	Suspicions []string
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
	Git    *git.Fetcher
	Client *index.Client
	Root   *provenance.TrustedRoot // nil: certificates are not verified
}

// Find looks for the commit that a release was made from: what the publisher
// attested to the index, else what METADATA names. That there is none is a
// *NotFoundError; tags that contradict each other an *AmbiguousError. An
// attestation that does not hold is a suspicion, with an error too.
func (f *Finder) Find(ctx context.Context, r Release) (Found, error) {
	var suspicions []string
	if r.File.Provenance != "" {
		found, err := f.attested(ctx, r)
		if err == nil || ctx.Err() != nil {
			return found, errors.Join(err, ctx.Err())
		}
		suspicions = found.Suspicions
		if !errors.Is(err, provenance.ErrNoCommit) {
			suspicions = append(suspicions, fmt.Sprintf("%s: %v", r.File.Filename, err))
		}
	}
	found, err := f.named(ctx, r)
	found.Suspicions = append(suspicions, found.Suspicions...)
	return found, err
}

// maxProvenance bounds what an index serves of one file.
const maxProvenance = 8 << 20

// provenance of a file, from the index, or as it was when it was last asked for.
func (f *Finder) provenance(ctx context.Context, file pypi.File) ([]byte, error) {
	st := f.Client.Store
	if data, _, ok := st.CachedBytes("provenance", file.SHA256); ok {
		return data, nil
	}
	at, _, err := f.Client.FetchURL(ctx, file.Provenance, "")
	if err != nil {
		return nil, err
	}
	r, err := os.Open(at)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, maxProvenance+1))
	if err == nil && len(data) > maxProvenance {
		err = fmt.Errorf("read provenance: more than %d bytes", maxProvenance)
	}
	return data, err
}

// attested is the commit that the publisher's attestations name.
func (f *Finder) attested(ctx context.Context, r Release) (Found, error) {
	data, err := f.provenance(ctx, r.File)
	if err != nil {
		return Found{}, err
	}
	ids, err := provenance.Read(data, provenance.Subject{Filename: r.File.Filename, SHA256: r.File.SHA256}, f.Root)
	if err != nil {
		return Found{}, err
	}
	id, err := provenance.Best(ids)
	if err != nil {
		return Found{}, err
	}
	// What was seen to hold is kept for offline runs.
	_ = f.Client.Store.CacheBytes("provenance", r.File.SHA256, data)
	found := Found{Source: git.Source{URL: id.Repository, Rev: id.Commit}, Commit: id.Commit, By: ByAttestation, Identity: &id}
	for _, c := range Candidates(r.Metadata) {
		if c.URL == id.Repository || strings.TrimSuffix(c.URL, ".git") == id.Repository {
			found.Source.Subdirectory = c.Subdirectory
		} else if c.rank == 0 {
			found.Suspicions = append(found.Suspicions, fmt.Sprintf("attested is the repository %s, and METADATA names %s", id.Repository, c.URL))
		}
	}
	if f.Git.Offline {
		return found, nil
	}
	tags, err := f.Git.Tags(ctx, id.Repository)
	if err != nil {
		return found, err
	}
	for _, t := range tags {
		switch {
		case t.Name == id.Tag() && t.Commit != id.Commit:
			found.Suspicions = append(found.Suspicions, fmt.Sprintf("tag %s has moved: attested is commit %s, and it is %s now", t.Name, id.Commit[:12], t.Commit[:12]))
		case t.Name == id.Tag():
			found.Source.Rev = t.Name // with it the version can be told
		}
	}
	return found, nil
}

// named is the commit of the tag that fits, in a repository that METADATA names.
func (f *Finder) named(ctx context.Context, r Release) (Found, error) {
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
