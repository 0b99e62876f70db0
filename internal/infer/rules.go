package infer

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/truewheel/truewheel/recipe"
	"github.com/truewheel/truewheel/sdist"
)

// A rule sets inputs of a recipe from evidence and says why; it returns no
// reasons when it has nothing to say.
type rule struct {
	name  string
	apply func(*Evidence, *recipe.Recipe) []Reason
}

// rules in order: a later one may build on what an earlier one set.
var rules = []rule{
	{"resolution date", resolutionDate},
	{"backend", backendPin},
	{"setuptools by what METADATA tells", setuptoolsPin},
	{"wheel library by RECORD's mode", wheelLibrary},
	{"python", pythonVersion},
	{"front end", frontEnd},
	{"one time for all", sourceDateEpoch},
	{"time zone", timeZone},
	{"checkout time", checkoutTime},
	{"clock", clock},
	{"umask", umask},
	{"source modes", sourceModes},
	{"line ends", lineEnds},
	{"python tag", pythonTag},
	{"extensions", extensions},
	{"version from the environment", releaseVariable},
	{"build path", buildPath},
	{"limited API", limitedAPI},
	{"repair", repair},
	{"maturin", maturin},
	{"generators of modules", generators},
	{"compiler", compiler},
	{"flags of the compiler", compilerFlags},
	{"directory of compilation", compileDir},
}

// Recipe infers the inputs of the build that made the wheel of e.
// The reasons stand in the order of the rules.
func Recipe(e *Evidence) (recipe.Recipe, []Reason) {
	r := recipe.Recipe{Requires: slices.Clone(e.Source.Requires)}
	var why []Reason
	for _, rule := range rules {
		why = append(why, rule.apply(e, &r)...)
	}
	return r, why
}

func reason(input, value, why string, args ...any) []Reason {
	return []Reason{{Input: input, Value: value, Why: fmt.Sprintf(why, args...)}}
}

func resolutionDate(e *Evidence, r *recipe.Recipe) []Reason {
	r.Before = e.moment().UTC().Truncate(time.Second)
	if e.Uploaded.IsZero() {
		// An entry's time has no zone: a day covers them all.
		r.Before = r.Before.Add(24 * time.Hour)
		return reason("before", r.Before.Format(time.RFC3339), "the newest entry and a day, since the index tells no upload time")
	}
	return reason("before", r.Before.Format(time.RFC3339), "upload time")
}

// backends by the name that Generator gives them.
var backends = map[string]string{
	"bdist_wheel":       "wheel",
	"setuptools":        "setuptools",
	"hatchling":         "hatchling",
	"flit":              "flit-core",
	"flit_core":         "flit-core",
	"flit-core":         "flit-core",
	"poetry-core":       "poetry-core",
	"poetry":            "poetry",
	"pdm-backend":       "pdm-backend",
	"pdm-pep517":        "pdm-pep517",
	"pdm":               "pdm-pep517",
	"uv":                "uv-build",
	"maturin":           "maturin",
	"whey":              "whey",
	"jupyter-packaging": "jupyter-packaging",
	"scikit-build-core": "scikit-build-core",
}

// SetPin makes the version of name win over what the source requires; a name
// that nothing requires yet is required.
func setPin(r *recipe.Recipe, name, version string) {
	r.Pins = slices.DeleteFunc(r.Pins, func(p recipe.Pin) bool { return p.Name == name })
	r.Pins = append(r.Pins, recipe.Pin{Name: name, Version: version})
	slices.SortFunc(r.Pins, func(a, b recipe.Pin) int { return strings.Compare(a.Name, b.Name) })
	if !slices.ContainsFunc(r.Requires, func(s string) bool { return requirementName(s) == name }) {
		r.Requires = append(r.Requires, name)
	}
}

var requirementStart = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*`)
var separators = regexp.MustCompile(`[-_.]+`)

func requirementName(s string) string {
	return strings.ToLower(separators.ReplaceAllString(requirementStart.FindString(strings.TrimSpace(s)), "-"))
}

func backendPin(e *Evidence, r *recipe.Recipe) []Reason {
	name, version := e.generator()
	project, ok := backends[name]
	if !ok || version == "" {
		return nil
	}
	if project == string(e.Filename.Name) {
		return nil // a backend that built itself, from this source
	}
	setPin(r, project, version)
	return reason(project, version, "Generator: %s", e.Generator)
}

// setuptools made wheels itself from 70.1 on; before, the wheel library did,
// and Generator then says nothing of setuptools.
func setuptoolsPin(e *Evidence, r *recipe.Recipe) []Reason {
	if name, _ := e.generator(); name != "bdist_wheel" {
		return nil
	}
	limit, why := "70.1", "its wheels were made by the wheel library until 70.1"
	for _, m := range setuptoolsMarks {
		if !dateBefore(r.Before, m.released) && m.shows(e) && lessVersion(m.before, limit) {
			limit, why = m.before, m.why
		}
	}
	r.Constraints = append(r.Constraints, "setuptools<"+limit)
	return reason("setuptools", "<"+limit, "%s", why)
}

// A mark is something in METADATA that setuptools of a version and later write otherwise.
type mark struct {
	before   string    // only versions before this one show it
	released time.Time // of that version: nothing to say about older wheels
	shows    func(*Evidence) bool
	why      string
}

func dateBefore(a, b time.Time) bool { return !a.IsZero() && a.Before(b) }

func date(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }

// setuptoolsMarks were found by building one project with every minor
// version of setuptools and comparing METADATA.
var setuptoolsMarks = []mark{
	{"36.4", date(2017, 9, 3), func(e *Evidence) bool {
		// From 36.4 to 38.6 it was always written, if only as UNKNOWN.
		return !e.hasField("Description-Content-Type") && e.moment().Before(date(2018, 3, 15))
	}, "METADATA has no Description-Content-Type"},
	{"38.6", date(2018, 3, 15), func(e *Evidence) bool { return e.hasLine("Description-Content-Type: UNKNOWN") }, "METADATA says Description-Content-Type: UNKNOWN"},
	{"39.0", date(2018, 3, 17), func(e *Evidence) bool { return e.hasLine("Author: UNKNOWN") }, "METADATA says Author: UNKNOWN"},
	{"57.0", date(2021, 5, 22), func(e *Evidence) bool {
		return e.hasLicence() && !e.hasField("License-File")
	}, "a licence in .dist-info that METADATA does not name"},
	{"60.6", date(2022, 2, 3), func(e *Evidence) bool { return e.hasLine("Home-page: UNKNOWN") }, "METADATA says Home-page: UNKNOWN"},
	{"60.9", date(2022, 2, 11), func(e *Evidence) bool { return unspacedEntryPoint.MatchString(e.Texts["entry_points.txt"]) }, "entry points as they were written, not normalised"},
	{"62.2", date(2022, 5, 2), func(e *Evidence) bool {
		return e.hasLine("License: UNKNOWN") || e.hasLine("Platform: UNKNOWN")
	}, "METADATA says UNKNOWN for what the project leaves out"},
}

var unspacedEntryPoint = regexp.MustCompile(`(?m)^[^\s=\[]+=[^\s]`)

// hasLine reports whether METADATA's header has that line.
func (e *Evidence) hasLine(line string) bool {
	header, _, _ := strings.Cut(e.Metadata, "\n\n")
	return slices.Contains(strings.Split(header, "\n"), line)
}

// hasLicence reports whether a licence file lies in .dist-info.
func (e *Evidence) hasLicence() bool {
	return slices.ContainsFunc(e.Members, func(m Member) bool {
		base := strings.ToUpper(m.Base())
		return m.InDistInfo() && (strings.HasPrefix(base, "LICEN") || strings.HasPrefix(base, "COPYING"))
	})
}

// hasField reports whether METADATA has a line "key: ...".
func (e *Evidence) hasField(key string) bool {
	header, _, _ := strings.Cut(e.Metadata, "\n\n")
	return strings.HasPrefix(header, key+":") || strings.Contains(header, "\n"+key+":")
}

// wheelLibrary: the wheel library wrote RECORD with mode 0664 and no file
// type until 0.38. With setuptools as Generator, an old wheel sat beside it:
// setuptools before 76 took its zip writer from there.
func wheelLibrary(e *Evidence, r *recipe.Recipe) []Reason {
	name, version := e.generator()
	record, ok := e.member("RECORD")
	if name != "setuptools" || !ok {
		return nil
	}
	if record.Mode != 0o664 {
		if spacedRequirement.MatchString(e.Metadata) && lessVersion("71", version) && lessVersion(version, "75.4") {
			setPin(r, "wheel", "0.43.0")
			return reason("wheel", "0.43.0", "Requires-Dist has a space before the version, as wheel wrote it from 0.41 to 0.43; Generator is %s", e.Generator)
		}
		return nil
	}
	setPin(r, "wheel", "0.37.1")
	return reason("wheel", "0.37.1", "RECORD has mode 0664 and no file type, as wheel wrote it before 0.38; Generator is %s", e.Generator)
}

var spacedRequirement = regexp.MustCompile(`(?m)^Requires-Dist: [A-Za-z0-9._\[\],-]+ [<>=!~]`)

// pythonByDate is what a release of that time was most likely built with.
var pythonByDate = []struct {
	until  time.Time
	python string
}{
	{date(2021, 1, 1), "3.8"},
	{date(2022, 7, 1), "3.9"},
	{date(2023, 4, 1), "3.10"},
	{date(2024, 7, 1), "3.11"},
	{date(2025, 7, 1), "3.12"},
	{date(9999, 1, 1), "3.13"},
}

func pythonVersion(e *Evidence, r *recipe.Recipe) []Reason {
	if v, why := nativePython(e); v != "" {
		r.Python = v
		return reason("python", v, "%s", why)
	}
	for _, m := range e.Members {
		// A namespace package's .pth file carries the version that made it.
		if f := pthVersion.FindStringSubmatch(m.Name); f != nil && f[1] != "2" {
			r.Python = f[1] + "." + f[2]
			return reason("python", r.Python, "the name of %s", m.Name)
		}
	}
	for _, p := range pythonByDate {
		if e.moment().Before(p.until) {
			r.Python = p.python
			break
		}
	}
	why := "upload date"
	if name, v := e.generator(); name == "bdist_wheel" && lessVersion(v, "0.38") && lessVersion("3.9", r.Python) {
		r.Python = "3.9"
		why = "wheel " + v + " needs Python 3.11 or older"
	}
	return reason("python", r.Python, "%s", why)
}

var pthVersion = regexp.MustCompile(`-py([23])\.([0-9]+)-nspkg\.pth$`)

// frontEnd: setuptools got PEP 517 hooks for projects without pyproject.toml in 40.8.
func frontEnd(e *Evidence, r *recipe.Recipe) []Reason {
	r.Mode = recipe.PEP517
	if e.Source.Declared && e.setuptools() && e.Source.SetupPy != "" && otherBackend.MatchString(e.Source.Backend) {
		r.Mode = recipe.SetupPy
		r.Requires = []string{"setuptools", "wheel"}
		return reason("mode", string(r.Mode), "Generator is %s, and the declared backend %s is not setuptools", e.Generator, e.Source.Backend)
	}
	if e.Source.Declared || e.Source.SetupPy == "" || !r.Before.Before(date(2019, 2, 5)) {
		return nil
	}
	r.Mode = recipe.SetupPy
	r.Requires = slices.DeleteFunc(r.Requires, func(s string) bool { return requirementName(s) == "setuptools" })
	r.Requires = append(r.Requires, "setuptools")
	return reason("mode", string(r.Mode), "no build system is declared, and the setuptools of that time had no hooks for that")
}

// otherBackend: backends that never use setuptools to write a pure wheel.
var otherBackend = regexp.MustCompile(`^(poetry|flit|hatchling|pdm|maturin|uv_build)`)

// constants are the times that backends give entries by themselves.
var constants = []time.Time{date(1980, 1, 1), date(2016, 1, 1), date(2020, 2, 2)}

func constant(t time.Time) bool { return slices.ContainsFunc(constants, t.Equal) }

func sourceDateEpoch(e *Evidence, r *recipe.Recipe) []Reason {
	all := e.times(func(Member) bool { return true })
	if len(all) != 1 || constant(all[0]) {
		return nil
	}
	epoch := all[0].Unix()
	r.SourceDateEpoch = &epoch
	return reason("SOURCE_DATE_EPOCH", all[0].Format(time.RFC3339), "all entries have this time")
}

// carried are the members whose contents the source has too.
func (e *Evidence) carried() []Member {
	var out []Member
	for _, m := range e.Members {
		if len(m.Sources) > 0 && m.Size > 0 && !m.generated() {
			out = append(out, m)
		}
	}
	return out
}

// shift is how far a member's time lies after its source's, to two seconds.
func shift(m Member) (time.Duration, bool) {
	var best time.Duration
	for i, s := range m.Sources {
		d := m.Time.Sub(s.Time.Truncate(time.Second))
		if d > -2*time.Second && d <= 0 && m.Time.Unix()/2 == s.Time.Unix()/2 {
			d = 0
		} else if odd := s.Time.Unix() % 2; odd != 0 {
			d += time.Duration(odd) * time.Second
		}
		if i == 0 || d.Abs() < best.Abs() {
			best = d
		}
	}
	return best, len(m.Sources) > 0
}

// Zones whose clocks change, as POSIX TZ strings: publishers' usual ones.
var zones = []struct {
	name   string
	tz     string
	std    time.Duration // local minus UTC
	summer time.Duration
}{
	{"US Pacific", "PST8PDT,M3.2.0,M11.1.0", -8 * time.Hour, -7 * time.Hour},
	{"US Mountain", "MST7MDT,M3.2.0,M11.1.0", -7 * time.Hour, -6 * time.Hour},
	{"US Central", "CST6CDT,M3.2.0,M11.1.0", -6 * time.Hour, -5 * time.Hour},
	{"US Eastern", "EST5EDT,M3.2.0,M11.1.0", -5 * time.Hour, -4 * time.Hour},
	{"Western Europe", "GMT0BST,M3.5.0/1,M10.5.0", 0, time.Hour},
	{"Central Europe", "CET-1CEST,M3.5.0,M10.5.0/3", time.Hour, 2 * time.Hour},
	{"Eastern Europe", "EET-2EEST,M3.5.0/3,M10.5.0/4", 2 * time.Hour, 3 * time.Hour},
	{"Sydney", "AEST-10AEDT,M10.1.0,M4.1.0/3", 10 * time.Hour, 11 * time.Hour},
}

// timeZone: zip times are local. Where members carry the source's times
// shifted by whole quarter hours, that is the zone (of the build or, for a
// zip sdist whose own times are local too, of the sdist's maker).
func timeZone(e *Evidence, r *recipe.Recipe) []Reason {
	if r.SourceDateEpoch != nil {
		return nil
	}
	count := map[time.Duration]int{}
	total := 0
	for _, m := range e.carried() {
		if d, ok := shift(m); ok && !constant(m.Time) {
			count[d]++
			total++
		}
	}
	var found []time.Duration // whole quarter hours, most frequent first
	explained := 0
	for d, n := range count {
		if d%(15*time.Minute) == 0 && d.Abs() <= 14*time.Hour {
			found = append(found, d)
			explained += n
		}
	}
	slices.SortFunc(found, func(a, b time.Duration) int {
		return cmp.Or(count[b]-count[a], cmp.Compare(a.Abs(), b.Abs()), cmp.Compare(a, b))
	})
	if len(found) == 0 || explained*2 < total || len(found) == 1 && found[0] == 0 {
		return nil
	}
	if count[0]*2 > explained {
		return nil // stray matches; the zone is UTC
	}
	if len(found) >= 2 && (found[0]-found[1]).Abs() == time.Hour {
		low, high := min(found[0], found[1]), max(found[0], found[1])
		for _, z := range zones {
			if !e.Source.Zip && z.std == low && z.summer == high {
				r.TimeZone = z.tz
				return reason("time zone", z.tz, "members carry the source's times shifted by %s and %s: %s", low, high, z.name)
			}
			if e.Source.Zip && -z.summer == low && -z.std == high {
				r.SourceZone = z.tz
				return reason("source zone", z.tz, "members lie %s and %s after the zip sdist's local times: %s", low, high, z.name)
			}
		}
	}
	tz := posixZone(found[0])
	if e.Source.Zip {
		r.SourceZone = posixZone(-found[0])
		return reason("source zone", r.SourceZone, "members carry the zip sdist's local times shifted by %s", found[0])
	}
	r.TimeZone = tz
	return reason("time zone", tz, "members carry the source's times shifted by %s", found[0])
}

// posixZone writes a fixed zone d east of UTC: POSIX counts westward.
func posixZone(d time.Duration) string {
	sign, abs := "-", d
	if d < 0 {
		sign, abs = "+", -d
	}
	s := fmt.Sprintf("<L>%s%d", sign, abs/time.Hour)
	if m := abs % time.Hour / time.Minute; m != 0 {
		s += fmt.Sprintf(":%02d", m)
	}
	return strings.Replace(s, "<L>", "LOC", 1)
}

// checkoutTime: where all members of the project have one time that their
// sources have not, they were checked out anew and then built.
func checkoutTime(e *Evidence, r *recipe.Recipe) []Reason {
	if r.SourceDateEpoch != nil || r.TimeZone != "" || r.SourceZone != "" {
		return nil
	}
	var one time.Time
	for _, m := range e.carried() {
		if constant(m.Time) {
			return nil
		}
		if d, _ := shift(m); d == 0 {
			return nil
		}
		if one.IsZero() {
			one = m.Time
		} else if !m.Time.Equal(one) {
			return nil
		}
	}
	if one.IsZero() {
		return nil
	}
	r.SourceTime = one
	return reason("source time", one.Format(time.RFC3339), "all members that the source has carry this one time, which it has not: a fresh checkout")
}

// stepOrder is the order in which setuptools writes what it generates.
var stepOrder = []string{"top_level.txt", "entry_points.txt", "METADATA", "WHEEL", "RECORD"}

// clock: generated files carry the time of the build; it may step once between two of them.
func clock(e *Evidence, r *recipe.Recipe) []Reason {
	r.Clock.Start = r.Before
	var first, second time.Time
	for _, base := range stepOrder {
		m, ok := e.member(base)
		if !ok || constant(m.Time) {
			continue
		}
		switch {
		case first.IsZero():
			first = m.Time
		case m.Time.After(first) && second.IsZero():
			second = m.Time
			r.Clock.StepAt = m.Name
		}
	}
	if first.IsZero() {
		return reason("clock", r.Clock.Start.Format(time.RFC3339), "upload time; nothing in the wheel tells it")
	}
	r.Clock.Start = localToUTC(first, r)
	value := r.Clock.Start.Format(time.RFC3339)
	if r.SourceDateEpoch != nil {
		r.Clock.StepAt = ""
		return reason("clock", value, "SOURCE_DATE_EPOCH")
	}
	if !second.IsZero() {
		r.Clock.Step = second.Sub(first)
		value += fmt.Sprintf(", +%s at %s", r.Clock.Step, r.Clock.StepAt)
	}
	return reason("clock", value, "times of the generated files")
}

// localToUTC undoes the recipe's zone.
func localToUTC(t time.Time, r *recipe.Recipe) time.Time {
	if r.TimeZone == "" {
		return t
	}
	for _, z := range zones {
		if z.tz == r.TimeZone {
			// March to October is summer north of the equator; the rules'
			// own days matter only within a week of the change.
			north := z.summer < 9*time.Hour
			if summer := t.Month() > time.March && t.Month() < time.November; summer == north {
				return t.Add(-z.summer)
			}
			return t.Add(-z.std)
		}
	}
	return t.Add(-zoneOffset(r.TimeZone))
}

// zoneOffset reads what posixZone writes: local minus UTC.
func zoneOffset(tz string) time.Duration {
	s := strings.TrimPrefix(tz, "LOC")
	if s == tz || s == "" {
		return 0
	}
	hours, minutes, _ := strings.Cut(s[1:], ":")
	h, _ := strconv.Atoi(hours)
	m, _ := strconv.Atoi(minutes)
	d := time.Duration(h)*time.Hour + time.Duration(m)*time.Minute
	if s[0] == '+' {
		return -d
	}
	return d
}

// umask: WHEEL is always written anew, so its mode is 0666 without the umask;
// METADATA's is not a sign (some writers copy it with 0644).
func umask(e *Evidence, r *recipe.Recipe) []Reason {
	r.Umask = 0o022
	m, ok := e.member("WHEEL")
	if !ok || m.Mode&0o777 == 0 || m.Mode&0o600 != 0o600 || m.System == 0 {
		return nil
	}
	perm := m.Mode & 0o777
	if name, _ := e.generator(); perm == 0o600 && name != "bdist_wheel" && name != "setuptools" {
		return nil // a constant of flit's and pdm's writers
	}
	r.Umask = 0o666 &^ perm
	if r.Umask == 0o022 {
		return nil
	}
	return reason("umask", fmt.Sprintf("%04o", r.Umask), "WHEEL has mode %04o", perm)
}

// sourceModes: whichever way of unpacking gives most members their modes.
func sourceModes(e *Evidence, r *recipe.Recipe) []Reason {
	filter := sdist.DataFilter(r.Umask)
	var raw, masked, data, n int
	for _, m := range e.carried() {
		if m.Mode == 0 {
			continue
		}
		n++
		s := m.Sources[0]
		if m.Mode&0o777 == s.Mode&0o777 {
			raw++
		}
		if m.Mode&0o777 == s.Mode&0o777&^r.Umask {
			masked++
		}
		if m.Mode&0o777 == filter(s.Mode, false) {
			data++
		}
	}
	r.SourceModes = "umask"
	switch {
	case n == 0 || masked >= raw && masked >= data:
		return nil
	case raw >= data:
		r.SourceModes = "raw"
		return reason("source modes", "raw", "%d of %d members have the source's raw modes, %d with the umask off", raw, n, masked)
	}
	r.SourceModes = "data"
	return reason("source modes", "data", "%d of %d members have the modes that Python's data filter gives, %d with the umask off", data, n, masked)
}

func lineEnds(e *Evidence, r *recipe.Recipe) []Reason {
	if !strings.Contains(e.Texts["WHEEL"], "\r\n") && !strings.Contains(firstLine(e.Metadata), "\r") {
		return nil
	}
	r.LineEnds = "crlf"
	return reason("line ends", "crlf", "generated files have them: built on Windows")
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

var universalSetting = regexp.MustCompile(`(?mi)^\s*universal\s*=\s*(1|true|yes|on)`)
var tagSetting = regexp.MustCompile(`(?mi)^\s*python[-_]tag\s*=`)

// pythonTag: a tag that the source does not ask for was given from outside.
func pythonTag(e *Evidence, r *recipe.Recipe) []Reason {
	if e.Native != nil || !e.setuptools() {
		return nil
	}
	tag := strings.Join(e.Filename.Python, ".")
	config := e.Source.SetupCfg + "\n" + e.Source.Pyproject
	set := universalSetting.MatchString(config) || tagSetting.MatchString(config) ||
		strings.Contains(e.Source.SetupPy, "universal") || strings.Contains(e.Source.SetupPy, "python_tag") || strings.Contains(e.Source.SetupPy, "python-tag")
	switch {
	case tag == "py2.py3" && !set:
		r.Switches.Universal = true
		return reason("universal", "true", "tag py2.py3, which the source does not ask for")
	case tag != "py3" && tag != "py2.py3" && !set:
		r.Switches.PythonTag = tag
		return reason("python tag", tag, "tag %s, which the source does not ask for", tag)
	}
	return nil
}

var (
	hasExtensions = regexp.MustCompile(`\bext_modules\b|\bcythonize\b|\bcffi_modules\b|\brust_extensions\b|\bmypycify\b`)
	// A variable that looks like a switch of compiled parts.
	switchVariable = regexp.MustCompile(`(?:environ\.get|environ|getenv)\s*[\[(]\s*["']([A-Z][A-Z0-9_]*)["']`)
	switchOff      = regexp.MustCompile(`DISABLE|(?:^|_)NO(?:_|CYTHON|EXT|MYPYC|C$)|WITHOUT|SKIP|PURE|IGNORE`)
	switchOn       = regexp.MustCompile(`EXT|SPEEDUP|CYTHON|MYPYC|COMPILE|NATIVE|ACCEL`)
	switchArgument = regexp.MustCompile(`["'](--(?:no|without|disable|skip|pure)[a-z-]*(?:ext|cython|c-|compile|speed|mypyc)[a-z-]*)["']`)
)

// extensions: a pure wheel of a source that compiles was built with its
// compiled parts switched off. The project's own switch comes first.
func extensions(e *Evidence, r *recipe.Recipe) []Reason {
	if !e.Filename.IsPure() || !e.setuptools() || !hasExtensions.MatchString(e.Source.SetupPy) {
		return nil
	}
	// Without a switch ext_modules are dropped: contents stay the same, only the tag depends on it.
	r.Switches.NoExtensions = true
	why := reason("extensions", "off", "a pure wheel of a source that can compile")
	switchTo := func(name, value string) {
		set(r, name, value)
		r.Switches.NoExtensions = false
		why = reason(name, value, "a pure wheel of a source that can compile; setup.py has this switch")
	}
	for _, m := range switchArgument.FindAllStringSubmatch(e.Source.SetupPy, -1) {
		r.Switches.Args = []string{m[1]}
		r.Switches.NoExtensions = false
		return reason("setup.py argument", m[1], "a pure wheel of a source that can compile; setup.py has this switch")
	}
	for _, m := range switchVariable.FindAllStringSubmatch(e.Source.SetupPy, -1) {
		if name := m[1]; switchOn.MatchString(name) && switchOff.MatchString(name) {
			switchTo(name, "1")
			return why
		}
	}
	for _, m := range switchVariable.FindAllStringSubmatch(e.Source.SetupPy, -1) {
		if name := m[1]; switchOn.MatchString(name) && !strings.Contains(name, "REQUIRE") {
			switchTo(name, "false")
			return why
		}
	}
	return why
}

// setuptools reports whether setuptools makes the wheel.
func (e *Evidence) setuptools() bool {
	name, _ := e.generator()
	return name == "bdist_wheel" || name == "setuptools"
}

var versionVariable = regexp.MustCompile(`(?:environ\.get|environ|getenv)\s*[\[(]\s*["']([A-Z][A-Z0-9_]*VERSION[A-Z0-9_]*)["']`)

// releaseVariable: a setup.py that takes its version from the environment was given it there.
func releaseVariable(e *Evidence, r *recipe.Recipe) []Reason {
	if e.Source.Declared {
		return nil
	}
	m := versionVariable.FindStringSubmatch(e.Source.SetupPy)
	if m == nil {
		return nil
	}
	version := e.Filename.Version.Original()
	set(r, m[1], version)
	return reason(m[1], version, "setup.py reads this variable; it is the release's version")
}

var viaSdist = regexp.MustCompile(`/tmp/build-via-sdist-[a-z0-9_]{8}/[^/\s"']+`)

// buildPath: `python -m build` unpacks the sdist below /tmp; a generated
// text may hold that path.
func buildPath(e *Evidence, r *recipe.Recipe) []Reason {
	for _, name := range slices.Sorted(maps.Keys(e.Texts)) {
		if p := viaSdist.FindString(e.Texts[name]); p != "" {
			r.Path = p
			return reason("path", p, "stands in %s", name)
		}
	}
	return nil
}
