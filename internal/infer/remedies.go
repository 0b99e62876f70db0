package infer

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/truewheel/truewheel/compare"
	"github.com/truewheel/truewheel/recipe"
)

// Attempt is a recipe that was tried and what came of it.
type Attempt struct {
	Recipe  recipe.Recipe
	Class   string          // of the failure, "" when a wheel was built
	Detail  string          // of the failure, log included
	Result  *compare.Result // nil after a failure
	Rebuilt string          // METADATA of the rebuilt wheel
	Name    string          // file name of the rebuilt wheel
	Built   map[string]string
}

// score orders attempts: the more members equal the better, and any wheel is better than none.
func (a Attempt) score() int {
	switch {
	case a.Result == nil:
		return -1
	case a.Result.Verdict == compare.Reproduced:
		return 1 << 40
	case a.Result.Verdict == compare.Replayed:
		return 1 << 39
	}
	return a.Result.Equal<<8 - len(a.Result.Differences)
}

// Best is the index of the best attempt, the first of equals.
func Best(tried []Attempt) int {
	best := 0
	for i, a := range tried {
		if a.score() > tried[best].score() {
			best = i
		}
	}
	return best
}

// A remedy changes the recipe of an attempt that was not good enough, and
// says why; it returns nothing when it does not know better.
type remedy struct {
	name  string
	pure  bool // it is for wheels for every platform alone: the tag of others says what it would change
	apply func(*Evidence, Attempt) []change
}

type change struct {
	recipe recipe.Recipe
	why    string
}

var remedies = []remedy{
	{"compiled parts after a failure", false, compiledParts},
	{"python after a failure", true, otherPython},
	{"front end after a failure", true, otherFrontEnd},
	{"setuptools after a failure", true, olderSetuptools},
	{"extensions", false, dropExtensions},
	{"python tag", false, tagFromName},
	{"line ends", true, otherLineEnds},
	{"hash seed", false, hashSeed},
	{"python by a text", true, otherMinor},
	{"setuptools by METADATA", false, metadataSetuptools},
	{"front end", true, legacyFrontEnd},
	{"version control", false, hideGit},
}

// Retry is a better recipe after those that were tried, and what is other in
// it; ok is false when no remedy knows one.
func Retry(e *Evidence, tried []Attempt) (r recipe.Recipe, why string, ok bool) {
	best := tried[Best(tried)]
	for _, rem := range remedies {
		if rem.pure && e.Native != nil {
			continue
		}
		for _, c := range rem.apply(e, best) {
			if !slices.ContainsFunc(tried, func(a Attempt) bool { return reflect.DeepEqual(a.Recipe, c.recipe) }) {
				return c.recipe, c.why, true
			}
		}
	}
	return r, "", false
}

// clone is a recipe that can be changed without changing r.
func clone(r recipe.Recipe) recipe.Recipe {
	r.Requires, r.Constraints, r.Pins, r.Env = slices.Clone(r.Requires), slices.Clone(r.Constraints), slices.Clone(r.Pins), maps.Clone(r.Env)
	return r
}

// compiledParts switches on what a project compiles only when it is asked to:
// by hatchling's variable for all build hooks, or by one that setup.py reads.
func compiledParts(e *Evidence, a Attempt) []change {
	pure := strings.HasSuffix(a.Name, "-none-any.whl") || a.Class == "build" && strings.Contains(a.Detail, "holds no extension module")
	if e.Native == nil || !pure {
		return nil
	}
	var out []change
	with := func(name string) {
		r := clone(a.Recipe)
		set(&r, name, "1")
		out = append(out, change{r, name + "=1: nothing was compiled, and the published wheel is"})
	}
	if strings.Contains(e.Source.Backend, "hatchling") {
		with("HATCH_BUILD_HOOKS_ENABLE")
	}
	for _, m := range switchVariable.FindAllStringSubmatch(e.Source.SetupPy, -1) {
		if switchOn.MatchString(m[1]) && !switchOff.MatchString(m[1]) {
			with(m[1])
		}
	}
	return out
}

func otherPython(e *Evidence, a Attempt) []change {
	if a.Class != "resolve" && a.Class != "build" && a.Class != "python-missing" {
		return nil
	}
	var out []change
	order := []string{"3.9", "3.7", "3.11", "3.12", "3.8", "3.10", "3.6", "3.13"}
	if lessVersion("3.10", a.Recipe.Python) {
		order = []string{"3.12", "3.11", "3.13", "3.10", "3.9", "3.8"}
	}
	for _, v := range order {
		if v == a.Recipe.Python {
			continue
		}
		r := clone(a.Recipe)
		r.Python = v
		out = append(out, change{r, fmt.Sprintf("Python %s: the build failed with %s", v, a.Recipe.Python)})
		if len(out) == 2 {
			break
		}
	}
	return out
}

func otherFrontEnd(e *Evidence, a Attempt) []change {
	if a.Class != "build" || e.Source.SetupPy == "" {
		return nil
	}
	r := clone(a.Recipe)
	r.Mode = recipe.SetupPy
	return []change{{r, "setup.py bdist_wheel: the hooks failed"}}
}

func olderSetuptools(e *Evidence, a Attempt) []change {
	if a.Class != "build" || e.Source.SetupPy == "" {
		return nil
	}
	r := clone(a.Recipe)
	r.Constraints = append(r.Constraints, "setuptools<58")
	return []change{{r, "setuptools before 58: the build failed"}}
}

func dropExtensions(e *Evidence, a Attempt) []change {
	if a.Result == nil || !e.Filename.IsPure() || strings.HasSuffix(a.Name, "-none-any.whl") || a.Recipe.Switches.NoExtensions {
		return nil
	}
	r := clone(a.Recipe)
	r.Switches.NoExtensions = true
	return []change{{r, "no extensions: the rebuilt wheel is not pure"}}
}

func tagFromName(e *Evidence, a Attempt) []change {
	if a.Result == nil || a.Name == e.Filename.Filename || !strings.HasSuffix(a.Name, "-none-any.whl") {
		return nil
	}
	tag := strings.Join(e.Filename.Python, ".")
	r := clone(a.Recipe)
	if tag == "py2.py3" {
		r.Switches.Universal = true
	} else {
		r.Switches.PythonTag = tag
	}
	return []change{{r, fmt.Sprintf("tag %s: the rebuilt wheel is %s", tag, a.Name)}}
}

func otherLineEnds(e *Evidence, a Attempt) []change {
	if a.Result == nil || !slices.Contains(a.Result.Causes(), "line-endings") {
		return nil
	}
	r := clone(a.Recipe)
	r.LineEnds = map[string]string{"": "crlf", "crlf": ""}[r.LineEnds]
	return []change{{r, "other line ends in generated files"}}
}

func legacyFrontEnd(e *Evidence, a Attempt) []change {
	if a.Result == nil || e.Source.Declared || e.Source.SetupPy == "" || a.Recipe.Mode == recipe.SetupPy {
		return nil
	}
	r := clone(a.Recipe)
	r.Mode = recipe.SetupPy
	return []change{{r, "setup.py bdist_wheel, as was usual without pyproject.toml"}}
}

// hideGit: some publishers build from an export of the commit, and backends
// then take other files, and another version.
func hideGit(e *Evidence, a Attempt) []change {
	if !e.Source.Git || a.Recipe.SourceGit == recipe.Hidden {
		return nil
	}
	r := clone(a.Recipe)
	r.SourceGit = recipe.Hidden
	return []change{{r, "without .git, as in an export of the commit"}}
}

// metadataSetuptools: what METADATA shows only beside the rebuilt one.
func metadataSetuptools(e *Evidence, a Attempt) []change {
	if a.Result == nil || !e.setuptools() || a.Rebuilt == "" || a.Rebuilt == e.Metadata {
		return nil
	}
	name, _ := e.generator()
	d := compare.Metadata(e.Metadata, a.Rebuilt)
	var out []change
	bound := func(limit, why string) {
		r := clone(a.Recipe)
		r.Constraints = slices.DeleteFunc(r.Constraints, func(s string) bool { return strings.HasPrefix(s, "setuptools<") })
		r.Constraints = append(r.Constraints, "setuptools"+limit)
		out = append(out, change{r, "setuptools" + limit + ": " + why})
	}
	if name != "bdist_wheel" {
		return nil
	}
	has := func(lines []string, prefix string) bool {
		return slices.ContainsFunc(lines, func(s string) bool { return strings.HasPrefix(s, prefix) })
	}
	switch {
	case has(d.Published, "Name: ") && strings.Contains(find(d.Published, "Name: "), "-"):
		bound("<69.0.3", "Name is normalised in METADATA")
	case has(d.Rebuilt, "License-File: ") && !has(d.Published, "License-File: "):
		bound("<57", "METADATA names no licence files")
	case has(d.Rebuilt, "Description-Content-Type: ") && !has(d.Published, "Description-Content-Type: "):
		bound("<36.4", "METADATA has no Description-Content-Type")
	case has(d.Rebuilt, "Project-URL: ") && !has(d.Published, "Project-URL: "):
		bound("<38.3", "METADATA has no Project-URL")
	}
	// Otherwise the versions just before setuptools changed what it writes.
	for _, limit := range []string{"<69.0.3", "<62.2", "<57", "<50", "<42"} {
		bound(limit, "METADATA differs, and setuptools wrote it otherwise then")
	}
	return out
}

func find(lines []string, prefix string) string {
	for _, s := range lines {
		if v, ok := strings.CutPrefix(s, prefix); ok {
			return v
		}
	}
	return ""
}

var minorInText = regexp.MustCompile(`3\.[0-9]{1,2}`)

// otherMinor: texts that differ only in Python's minor version tell which one it was.
func otherMinor(_ *Evidence, a Attempt) []change {
	if a.Result == nil {
		return nil
	}
	for _, d := range a.Result.Differences {
		if d.Kind != "content" || d.Published == "" {
			continue
		}
		if minorInText.ReplaceAllString(d.Published, "") != minorInText.ReplaceAllString(d.Rebuilt, "") {
			continue
		}
		if v := minorInText.FindString(d.Published); v != "" && strings.Contains(d.Rebuilt, a.Recipe.Python) && v != a.Recipe.Python {
			r := clone(a.Recipe)
			r.Python = v
			return []change{{r, fmt.Sprintf("Python %s: it stands in %s", v, d.Member)}}
		}
	}
	return nil
}
