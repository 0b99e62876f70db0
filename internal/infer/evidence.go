// Package infer reads off a published wheel how it was made, and says with
// which recipe to build it again.
//
// Evidence is what the wheel, its source and its upload tell. [Recipe] turns
// it into a recipe by the table of rules in rules.go, in order, one function
// each; [Retry] turns what a try got wrong into a better recipe by the table
// of remedies in remedies.go. Every input that is set carries its reason.
// No rule knows a project by name.
package infer

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/truewheel/truewheel/pypi"
)

// Evidence is what can be known about a wheel before building it.
type Evidence struct {
	Filename  pypi.WheelFilename
	Uploaded  time.Time // zero: the index does not say
	Generator string    // as in WHEEL, "bdist_wheel (0.42.0)"
	Members   []Member  // in the order of the archive, without directories
	Metadata  string    // METADATA, raw
	Texts     map[string]string
	Source    Source
	Native    *Native // nil for a wheel for every platform
	Place     *Place  // where it was made; nil as Native is
	InImage   bool    // it is to be built in an image of PyPA, which has its own compiler and flags
}

// Member is a file of the subject.
type Member struct {
	Name    string
	Time    time.Time // MS-DOS time read as UTC
	Mode    uint32    // unix mode as stored, file type included
	System  uint8     // "version made by" system: 0 is Windows, 3 is Unix
	Size    int64
	SHA256  [32]byte
	Sources []SourceFile // files of the source with the same contents
}

// SourceFile is a file of the source.
type SourceFile struct {
	Name string // below the top directory
	Time time.Time
	Mode uint32
}

// Source is what the sdist tells.
type Source struct {
	Top        string
	Git        bool     // a commit, with .git
	Zip        bool     // times are local, two seconds apart
	Declared   bool     // pyproject.toml has a [build-system] table
	Requires   []string // build-system.requires, or PEP 517's default
	Backend    string   // build-backend, "" when none is named
	RequiresPy string   // Requires-Python of PKG-INFO
	SetupPy    string   // text, "" when there is none
	SetupCfg   string
	Pyproject  string
	NewestTime time.Time
	SameTime   bool // all files have one time
}

// Reason says why an input has its value.
type Reason struct {
	Input string `json:"input"`
	Value string `json:"value"`
	Why   string `json:"why"`
}

// InDistInfo reports whether m lies in the .dist-info directory.
func (m Member) InDistInfo() bool {
	dir, _, ok := strings.Cut(m.Name, "/")
	return ok && strings.HasSuffix(dir, ".dist-info")
}

// Base is the last element of the name.
func (m Member) Base() string { return m.Name[strings.LastIndexByte(m.Name, '/')+1:] }

// generated reports whether m is a file that every build writes anew.
func (m Member) generated() bool {
	if !m.InDistInfo() || strings.Count(m.Name, "/") != 1 {
		return false
	}
	switch m.Base() {
	case "METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt":
		return true
	}
	return false
}

func (e *Evidence) member(base string) (Member, bool) {
	for _, m := range e.Members {
		if m.InDistInfo() && m.Base() == base && strings.Count(m.Name, "/") == 1 {
			return m, true
		}
	}
	return Member{}, false
}

var generatorLine = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9_.-]*)[ /]+\(?v?([0-9][A-Za-z0-9.+!]*)\)?`)

// generator splits "bdist_wheel (0.42.0)" or "flit 3.9.0".
func (e *Evidence) generator() (name, version string) {
	m := generatorLine.FindStringSubmatch(e.Generator)
	if m == nil {
		return "", ""
	}
	if v, err := pypi.ParseVersion(m[2]); err == nil {
		return m[1], v.String()
	}
	return m[1], ""
}

// times are the distinct times of the members that keep says, oldest first.
func (e *Evidence) times(keep func(Member) bool) []time.Time {
	var out []time.Time
	for _, m := range e.Members {
		if keep(m) && !slices.ContainsFunc(out, m.Time.Equal) {
			out = append(out, m.Time)
		}
	}
	slices.SortFunc(out, time.Time.Compare)
	return out
}

// moment is the upload, or where the index does not tell it, the newest entry.
func (e *Evidence) moment() time.Time {
	if !e.Uploaded.IsZero() {
		return e.Uploaded
	}
	newest := e.Source.NewestTime
	for _, t := range e.times(func(Member) bool { return true }) {
		if t.After(newest) {
			newest = t
		}
	}
	return newest
}
