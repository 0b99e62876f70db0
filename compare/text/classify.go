package text

import (
	"path"
	"regexp"
	"strings"
)

// What a value looks like.
var (
	isDate       = regexp.MustCompile(`\b(19|20)\d\d[-/.]?(0[1-9]|1[0-2])[-/.]?(0[1-9]|[12]\d|3[01])([T _]?([01]\d|2[0-3])[:.]?[0-5]\d([:.]?[0-5]\d)?)?(\.\d+)?(Z|[+-]\d\d:?\d\d)?`)
	isClock      = regexp.MustCompile(`\b([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?\b`)
	isEpoch      = regexp.MustCompile(`\b1[0-9]{9}(\.\d+)?\b`)
	isCDate      = regexp.MustCompile(`\b((Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?((Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 0-3]?\d|\d\d? (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec))( \d\d:\d\d:\d\d)?,? \d{4}\b`)
	isHex        = regexp.MustCompile(`^[0-9a-fA-F]{7,}$|^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)
	isHexPart    = regexp.MustCompile(`[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|\b[0-9a-fA-F]{8,}\b`)
	isTemp       = regexp.MustCompile(`\b(tmp|temp|build-env-|pip-[a-z-]+-)[a-z0-9_]{6,10}\b`)
	isVersion    = regexp.MustCompile(`^v?\d+(\.\d+)+([-.+_]?[a-zA-Z0-9]+)*$`)
	isPython     = regexp.MustCompile(`(?i)\b((cp|cpython|py|python|pip|pythonw?)[-_ ]?)3[._]?\d{1,2}(\.\d+)?([a-z]+\d+)?|\bPython/3\.\d+(\.\d+)?`)
	isSysVersion = regexp.MustCompile(`3\.\d+\.\d+\S* \([^()]*, [^()]*\) ?(\\n)?\[`) // sys.version
	isMinor      = regexp.MustCompile(`^3\.\d{1,2}(\.\d+)?([a-z]+\d+)?\+?$`)
	isMonth      = regexp.MustCompile(`(?i)\b(january|jan|february|feb|march|april|apr|may|june|jun|july|jul|august|aug|september|sept?|october|oct|november|nov|december|dec|januar|februar|märz|mai|juni|juli|oktober|okt|dezember|dez|janvier|février|mars|avril|juin|juillet|août|septembre|octobre|novembre|décembre|monday|tuesday|wednesday|thursday|friday|saturday|sunday|montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag|lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche)\b`)
	isLocale     = regexp.MustCompile(`^([a-z]{2}_[A-Z]{2}|C|POSIX)(\.[A-Za-z0-9-]+)?$`)
	isCommit     = regexp.MustCompile(`^g?[0-9a-f]{7,40}$`)
	isNothing    = regexp.MustCompile(`^(?i)(none|unknown|null|)$`)
	isDecimal    = regexp.MustCompile(`^\d+([.,]\d+)+$`)
)

var contexts = []struct {
	cause string
	words *regexp.Regexp
}{
	{"hostname", regexp.MustCompile(`(?i)host_?name|\bhost\b|_host\b|\buser(_?name)?\b|_user\b|\bbuild_?er\b|built_?by|built_?on|\bnode\b|\blogin\b|\bmachine_name\b|\buname\b|\bon_machine\b`)},
	{"cpu", regexp.MustCompile(`(?i)cpu|nproc|jobs\b|cores?\b|threads?\b|parallel|avx|sse[0-9]|march|simd|workers\b`)},
}

// Classify names the cause of value b where a stood. line is what stands
// around them (both lines), file the name of the file; "" when nothing is
// known that makes such a difference.
func Classify(a, b, line, file string) string {
	low := strings.ToLower(line)
	base := strings.ToLower(path.Base(file))
	masked := func(re *regexp.Regexp) bool {
		return re.MatchString(a) && re.MatchString(b) && re.ReplaceAllString(a, "\x00") == re.ReplaceAllString(b, "\x00")
	}
	versions := strings.Contains(low, "version") || strings.Contains(base, "version") || strings.Contains(base, "_scm") || strings.HasPrefix(base, "pkg-info")
	switch {
	case masked(isTemp):
		return "random"
	case masked(isPython):
		return "python-version"
	case samePlace(a, b):
		return "build-path"
	case isSysVersion.MatchString(strings.SplitN(line, "\n", 2)[0]):
		return "python-version"
	case masked(isCDate), masked(isClock):
		return "version-from-clock"
	case masked(isDate):
		return "version-from-clock"
	case masked(isEpoch):
		return "version-from-clock"
	}
	if isVersion.MatchString(a) && isVersion.MatchString(b) {
		switch {
		case strings.Contains(low, "cython"):
			return "cython-version"
		case strings.Contains(low, "numpy"):
			return "numpy-version"
		case isMinor.MatchString(a) && isMinor.MatchString(b) && (strings.Contains(low, "python") || strings.Contains(low, "py_version") || strings.Contains(low, "interpreter")):
			return "python-version"
		case strings.Contains(low, "gcc") || strings.Contains(low, "clang") || strings.Contains(low, "compiler"):
			return "compiler"
		}
	}
	if isLocale.MatchString(a) && isLocale.MatchString(b) || isDecimal.MatchString(a) && isDecimal.MatchString(b) && strings.ReplaceAll(a, ",", ".") == strings.ReplaceAll(b, ",", ".") || masked(isMonth) {
		return "locale"
	}
	if isCommit.MatchString(strings.Trim(a, `'"`)) && isNothing.MatchString(strings.Trim(b, `'"`)) && (strings.Contains(low, "commit") || strings.Contains(low, "revision")) {
		return "scm-version" // no version control told it
	}
	hex := isHex.MatchString(a) && isHex.MatchString(b) && strings.ContainsAny(a+b, "0123456789")
	if versions && (isVersion.MatchString(a) || isVersion.MatchString(b) || hex) || hex && (strings.Contains(low, "commit") || strings.Contains(low, "revision") || strings.Contains(low, "git")) || strings.HasPrefix(a, "g") && isHex.MatchString(a[1:]) && strings.HasPrefix(b, "g") && isHex.MatchString(b[1:]) {
		return "scm-version"
	}
	if hex && len(a) == len(b) && len(a) >= 8 || masked(isHexPart) {
		return "random"
	}
	for _, c := range contexts {
		if c.words.MatchString(key(line)) && (a == "" || b == "" || quoted(a) == quoted(b)) && (simple(a) && simple(b) || (a == "" || b == "") && simple(a+b)) {
			return c.cause
		}
	}
	return ""
}

// key is what a line gives a value to: "jobs" of "jobs = 8" and of "jobs: 8";
// a line without a value is its own key.
func key(line string) string {
	first, _, _ := strings.Cut(line, "\n")
	if i := strings.IndexAny(first, "=:"); i >= 0 {
		return first[:i]
	}
	return first
}

func quoted(s string) bool { return strings.HasPrefix(s, "'") || strings.HasPrefix(s, "\"") }

// simple is a name, a number, a list of features: no code.
func simple(s string) bool {
	return s != "" && len(s) < 200 && !strings.ContainsAny(s, "(){}=;")
}

// roots are where builds happen.
var roots = regexp.MustCompile(`^(/|[A-Za-z]:[\\/])|/(tmp|home|build|project|io|work|workspace|src|root|Users|opt|usr|var|private|github)/|site-packages`)

// samePlace reports whether two values are the paths of one thing, or one
// directory, in two places.
func samePlace(a, b string) bool {
	a, b = paths(a), paths(b)
	if strings.Count(a, "/") < 1 || strings.Count(b, "/") < 1 || !roots.MatchString(a) || !roots.MatchString(b) || strings.Contains(a, "://") {
		return false
	}
	// Debian's name of a directory.
	a, b = strings.ReplaceAll(a, "dist-packages", "site-packages"), strings.ReplaceAll(b, "dist-packages", "site-packages")
	return path.Base(a) == path.Base(b) || buildRoots.MatchString(a) || buildRoots.MatchString(b)
}

// buildRoots are directories in which no installed file lies.
var buildRoots = regexp.MustCompile(`^([A-Za-z]:)?/(tmp|home|build|project|io|work|workspace|root|Users|private|github|var/folders|a/)`)

// paths has one kind of slash, and no quotes around.
func paths(s string) string {
	s = strings.Trim(s, "\"'`:,")
	if i := strings.IndexAny(s, "/"); i > 0 && s[i-1] != ':' && strings.HasPrefix(s, "-") { // -I/usr/include
		s = s[i:]
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, `\\`, "/"), `\`, "/")
}
