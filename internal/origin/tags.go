package origin

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/truewheel/truewheel/internal/git"
	"github.com/truewheel/truewheel/pypi"
)

// A NoTagError says that no tag fits a version.
type NoTagError struct {
	Version string
	Near    []string // tags of that version whose prefix is another project's
}

func (e *NoTagError) Error() string {
	if len(e.Near) == 0 {
		return "no tag fits version " + e.Version
	}
	return fmt.Sprintf("no tag fits version %s; of another name: %s", e.Version, list(e.Near))
}

// An AmbiguousError says that several commits are tagged alike.
type AmbiguousError struct {
	Version string
	Tags    []string
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("several tags fit version %s and name different commits: %s", e.Version, list(e.Tags))
}

func list(names []string) string {
	if len(names) > 8 {
		return strings.Join(names[:8], ", ") + fmt.Sprintf(" and %d more", len(names)-8)
	}
	return strings.Join(names, ", ")
}

// start is where a tag's version begins: at a digit after none.
var start = regexp.MustCompile(`(^|[^0-9.])[0-9]`)

// plain are prefixes that say nothing of a project.
var plain = map[string]bool{"": true, "v": true, "release": true, "releases": true, "rel": true, "version": true, "ver": true, "r": true, "tag": true, "tags": true, "python": true, "py": true}

// fit says how well a tag fits: 0 not at all, more is better. other says that
// it is of this version, and of something with another name.
func fit(tag string, name pypi.Name, version pypi.Version) (score int, other bool) {
	for _, at := range start.FindAllStringIndex(tag, -1) {
		prefix, rest := tag[:at[1]-1], tag[at[1]-1:]
		v, ok := sameVersion(rest, version)
		if !ok {
			continue
		}
		score := 10
		if v == version.String() {
			score = 11 // v1.0 and v1.0.0 are one version by PEP 440: as written is better
		}
		words := strings.FieldsFunc(strings.ToLower(prefix), func(r rune) bool { return strings.ContainsRune("-_/@=. +", r) })
		for len(words) > 0 && plain[words[len(words)-1]] {
			words = words[:len(words)-1]
		}
		for len(words) > 0 && plain[words[0]] {
			words = words[1:]
		}
		switch joined := strings.Join(words, "-"); joined {
		case "":
			return score, false
		case string(name):
			return score + 10, false // a repository of many names each
		}
		other = true
	}
	return 0, other
}

// sameVersion reads what a tag has after its prefix: with the version's
// separators, or others where a system or a habit wants them.
func sameVersion(text string, version pypi.Version) (string, bool) {
	for _, t := range []string{text, strings.ReplaceAll(text, "_", "."), strings.ReplaceAll(text, "-", ".")} {
		if v, err := pypi.ParseVersion(t); err == nil && v.Compare(version) == 0 {
			return v.String(), true
		}
	}
	return "", false
}

// Tag is the tag that fits a version of a project best. Several that fit
// equally well have to name one commit.
func Tag(tags []git.Ref, name pypi.Name, version pypi.Version) (git.Ref, error) {
	type scored struct {
		git.Ref
		score int
	}
	var fits []scored
	missing := &NoTagError{Version: version.String()}
	for _, t := range tags {
		score, other := fit(t.Name, name, version)
		if score > 0 {
			fits = append(fits, scored{t, score})
		} else if other {
			missing.Near = append(missing.Near, t.Name)
		}
	}
	if len(fits) == 0 {
		return git.Ref{}, missing
	}
	slices.SortStableFunc(fits, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	ambiguous := &AmbiguousError{Version: version.String()}
	different := false
	for _, f := range fits {
		if f.score == fits[0].score {
			ambiguous.Tags = append(ambiguous.Tags, f.Name)
			different = different || f.Commit != fits[0].Commit
		}
	}
	if different {
		return git.Ref{}, ambiguous
	}
	return fits[0].Ref, nil
}
