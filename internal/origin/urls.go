package origin

import (
	"cmp"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"
)

// Candidate is a URL that may be of a repository.
type Candidate struct {
	URL          string // https, without credentials, query or fragment
	Subdirectory string // that the URL led to, "" for none
	Label        string // as METADATA writes it
	rank         int
}

// labels of Project-URL by what they say of a repository (the well-known
// labels of the packaging specifications; lower is better).
var labels = map[string]int{
	"source": 0, "repository": 0, "sourcecode": 0, "github": 0, "repo": 0, "code": 0, "git": 0, "gitlab": 0, "sourcerepository": 0,
	"homepage": 1, "home": 1,
	"download": 2, "changelog": 2, "changes": 2, "releasenotes": 2, "whatsnew": 2, "history": 2,
	"issues": 2, "bugs": 2, "issue": 2, "tracker": 2, "issuetracker": 2, "bugtracker": 2,
	"documentation": 3, "docs": 3,
}

// pages are the parts of a path at which a forge's pages about a repository begin.
var pages = map[string]bool{
	"tree": true, "blob": true, "issues": true, "pulls": true, "pull": true, "wiki": true, "releases": true, "tags": true, "tag": true, "-": true,
	"src": true, "commits": true, "commit": true, "archive": true, "raw": true, "blame": true, "discussions": true, "actions": true, "merge_requests": true,
	"branches": true, "projects": true, "security": true, "network": true, "browse": true, "-/issues": true,
}

// Candidates are the URLs of METADATA that may be of the project's
// repository, the likeliest first. Only https is taken: what a package says of
// itself must not lead to files of this machine, or use keys of its user.
func Candidates(metadata string) []Candidate {
	var out []Candidate
	for line := range strings.Lines(metadata) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			break // the description follows
		}
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		label := ""
		switch strings.ToLower(key) {
		case "project-url":
			label, value, _ = strings.Cut(value, ",")
		case "home-page":
			label = "Homepage"
		case "download-url":
			label = "Download"
		default:
			continue
		}
		label = strings.TrimSpace(label)
		rank, known := labels[normal(label)]
		if !known {
			rank = 3
		}
		c, cut, ok := repository(strings.TrimSpace(value))
		if !ok || rank > 1 && !cut {
			continue // a page that is not below a repository
		}
		c.Label, c.rank = label, rank
		out = append(out, c)
	}
	slices.SortStableFunc(out, func(a, b Candidate) int { return cmp.Compare(a.rank, b.rank) })
	seen := map[string]int{}
	var unique []Candidate
	for _, c := range out {
		if i, ok := seen[c.URL]; ok {
			unique[i].Subdirectory = cmp.Or(unique[i].Subdirectory, c.Subdirectory)
			continue
		}
		seen[c.URL] = len(unique)
		unique = append(unique, c)
	}
	return unique
}

// normal is a label without case, spaces and punctuation.
func normal(label string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPunct(r) || unicode.IsSpace(r) || unicode.IsSymbol(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, label)
}

// repository is the repository that a URL leads to; cut says that the URL was
// of a page or file in it.
func repository(raw string) (c Candidate, cut, ok bool) {
	raw = strings.TrimPrefix(raw, "git+")
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.HasPrefix(u.Host, "-") {
		return c, false, false
	}
	u.Scheme, u.User, u.RawQuery, u.Fragment, u.RawPath = "https", nil, "", "", ""
	parts := strings.FieldsFunc(u.Path, func(r rune) bool { return r == '/' })
	for i, p := range parts {
		if i < 1 || !pages[p] {
			continue
		}
		rest := parts[i+1:]
		if p == "-" && len(rest) > 0 {
			p, rest = rest[0], rest[1:]
		}
		if p == "tree" && len(rest) > 1 {
			c.Subdirectory = path.Join(rest[1:]...) // after the branch
		}
		parts, cut = parts[:i], true
		break
	}
	if len(parts) == 0 || slices.Contains(parts, "..") {
		return c, false, false
	}
	cut = cut || strings.HasSuffix(parts[len(parts)-1], ".git")
	u.Path = "/" + strings.Join(parts, "/")
	c.URL = u.String()
	return c, cut, true
}
