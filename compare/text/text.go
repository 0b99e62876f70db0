// Package text says in what two texts differ: by line, by the values that
// stand in another's place, and for Python by token.
//
// [Explain] takes differences away one kind after the other (line ends, order,
// values) and claims a kind only for what is equal once it is taken away.
package text

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/diff"
	"golang.org/x/text/unicode/norm"

	"github.com/truewheel/truewheel/compare/cause"
)

// Is reports whether b is text: UTF-8 (or nearly), without control characters.
func Is(b []byte) bool {
	head := b[:min(len(b), 8<<10)]
	odd := 0
	for i := 0; i < len(head); {
		r, n := utf8.DecodeRune(head[i:])
		switch {
		case r == 0:
			return false
		case r == utf8.RuneError && n == 1 && i+utf8.UTFMax < len(head), r < 0x20 && r != '\n' && r != '\r' && r != '\t' && r != '\f' && r != 0x1b:
			odd++
		}
		i += n
	}
	return odd*32 <= len(head)
}

// Unified is the unified diff of two texts, without the lines that name files.
func Unified(a, b []byte) string {
	out := string(diff.Diff("a", a, "b", b))
	if i := strings.Index(out, "\n@@"); i >= 0 {
		return out[i+1:]
	}
	return out
}

// LF is a text with line ends LF.
func LF(b []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
}

// Ends names the line ends of a text: LF, CRLF, CR, mixed.
func Ends(b []byte) string {
	crlf, lf, cr := bytes.Count(b, []byte("\r\n")), bytes.Count(b, []byte("\n")), bytes.Count(b, []byte("\r"))
	switch {
	case cr == 0:
		return "LF"
	case crlf == lf && crlf == cr:
		return "CRLF"
	case lf == 0:
		return "CR"
	}
	return "mixed"
}

// A hunk is a run of lines that one side has in place of the other's.
type hunk struct {
	line   int // of a, from 1
	a, b   []string
	before string // the lines above it
}

// hunks reads them off a unified diff.
func hunks(a, b []byte) []hunk {
	var out []hunk
	line, open := 0, false
	var above []string
	for s := range strings.Lines(Unified(a, b)) {
		s = strings.TrimSuffix(s, "\n")
		switch {
		case strings.HasPrefix(s, "@@"):
			var from int
			if _, err := fmt.Sscanf(s, "@@ -%d", &from); err == nil {
				line = from
			}
			open, above = false, nil
			continue
		case strings.HasPrefix(s, "-"), strings.HasPrefix(s, "+"):
			if !open {
				out = append(out, hunk{line: line, before: strings.Join(above[max(0, len(above)-3):], "\n")})
				open = true
			}
			h := &out[len(out)-1]
			if s[0] == '-' {
				h.a = append(h.a, s[1:])
				line++
			} else {
				h.b = append(h.b, s[1:])
			}
			continue
		case strings.HasPrefix(s, "\\"): // no newline at the end
			continue
		}
		open = false
		line++
		above = append(above, s)
	}
	return out
}

// Without is a less the elements of b, each as often as it stands there.
func Without(a, b []string) []string {
	count := make(map[string]int, len(b))
	for _, s := range b {
		count[s]++
	}
	var out []string
	for _, s := range a {
		if count[s] > 0 {
			count[s]--
		} else {
			out = append(out, s)
		}
	}
	return out
}

// SameLines reports whether two texts have the same lines in any order.
func SameLines(a, b []byte) bool { return slices.Equal(sortedCopy(lines(a)), sortedCopy(lines(b))) }

// Explain says in what two texts differ. name is the file's, with slashes.
func Explain(name string, a, b []byte) []cause.Finding {
	var out []cause.Finding
	if x, y := LF(a), LF(b); Ends(a) != Ends(b) && (bytes.ContainsRune(a, '\r') || bytes.ContainsRune(b, '\r')) {
		out = append(out, cause.Finding{Where: "line ends", Cause: "line-endings", Sure: true, A: Ends(a), B: Ends(b),
			Detail: "line ends " + Ends(a) + " against " + Ends(b)})
		a, b = x, y
	}
	if bytes.Equal(a, b) {
		return out
	}
	if x, y := bytes.TrimSuffix(a, []byte("\n")), bytes.TrimSuffix(b, []byte("\n")); len(x) == len(a) != (len(y) == len(b)) && bytes.Equal(x, y) {
		return append(out, cause.Finding{Where: "end", Detail: "a line end at the end of the file on one side only"})
	}
	if SameLines(a, b) && (!isCode(name) || listed(hunks(a, b))) {
		name, detail := order(lines(a), lines(b))
		return append(out, cause.Finding{Where: "order of lines", Cause: name, Sure: true, Detail: "the same lines in another order" + detail})
	}
	e := explainer{name: name}
	if strings.HasSuffix(name, ".py") || strings.HasSuffix(name, ".pyi") {
		e.python(a, b)
	}
	for _, h := range hunks(a, b) {
		e.hunk(h)
	}
	return append(out, e.findings()...)
}

func lines(b []byte) []string { return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n") }

// order says why the same items stand in two orders.
func order(a, b []string) (name, detail string) {
	letters := func(s string) string { // what a language sorts by first
		return strings.Map(func(r rune) rune {
			if unicode.IsLetter(r) || unicode.IsDigit(r) {
				return unicode.ToLower(r)
			}
			return -1
		}, norm.NFD.String(s))
	}
	byLetters := func(x, y string) int { return strings.Compare(letters(x), letters(y)) }
	if slices.IsSorted(a) && slices.IsSortedFunc(b, byLetters) || slices.IsSorted(b) && slices.IsSortedFunc(a, byLetters) {
		return "locale", ": sorted by code point, and by letters whatever their case"
	}
	return "hash-seed", ""
}

// explainer gathers what stands in another's place.
type explainer struct {
	name  string
	found []cause.Finding
	more  map[string]int // by cause: findings after the first
	form  string         // what a Python file differs in, when it is not code
	rest  []hunk         // unexplained
}

func (e *explainer) add(f cause.Finding) {
	if i := slices.IndexFunc(e.found, func(g cause.Finding) bool { return g.Cause == f.Cause }); i >= 0 {
		if e.more == nil {
			e.more = map[string]int{}
		}
		e.more[f.Cause]++
		return
	}
	e.found = append(e.found, f)
}

// hunk explains lines in the place of others, pair by pair.
func (e *explainer) hunk(h hunk) {
	if slices.Equal(sortedCopy(h.a), sortedCopy(h.b)) && (!isCode(e.name) || listed([]hunk{h})) {
		name, detail := order(h.a, h.b)
		e.add(cause.Finding{Where: fmt.Sprintf("line %d", h.line), Cause: name, Sure: true, Detail: "the same lines in another order" + detail})
		return
	}
	if len(h.a) != len(h.b) {
		e.rest = append(e.rest, h)
		return
	}
	for i := range h.a {
		if !e.pair(h.a[i], h.b[i], h.line+i, h.before) {
			e.rest = append(e.rest, hunk{line: h.line + i, a: h.a[i : i+1], b: h.b[i : i+1]})
		}
	}
}

// isCode reports whether the order of a file's lines means something.
func isCode(name string) bool {
	switch path.Ext(name) {
	case ".py", ".pyi", ".pyx", ".pxd", ".c", ".h", ".cc", ".cpp", ".hpp", ".cxx", ".js", ".ts", ".rs", ".go", ".sh", ".f", ".f90":
		return true
	}
	return false
}

// listed reports whether all lines of hunks are items of lists: they end in commas.
func listed(hs []hunk) bool {
	for _, h := range hs {
		for _, l := range slices.Concat(h.a, h.b) {
			if l = strings.TrimSpace(l); l != "" && !strings.HasSuffix(l, ",") {
				return false
			}
		}
	}
	return true
}

// permuted reports whether two lines have the same items in other places of
// one list: what stands between the items is the same, with commas in it.
func permuted(x, y []string) bool {
	if len(x) != len(y) || slices.Equal(x, y) {
		return false
	}
	var a, b []string
	from, to := -1, -1
	for i := range x {
		if x[i] == y[i] {
			continue
		}
		if len(x[i]) == 1 && !isItem(x[i]) || len(y[i]) == 1 && !isItem(y[i]) {
			return false
		}
		a, b, to = append(a, x[i]), append(b, y[i]), i
		if from < 0 {
			from = i
		}
	}
	// Between the first and the last of them lies a list and nothing else.
	for _, s := range x[from:to] {
		if len(s) == 1 && strings.Contains("()[]{};=", s) {
			return false
		}
	}
	return slices.Contains(x[from:to], ",") && slices.Equal(sortedCopy(a), sortedCopy(b))
}

func isItem(s string) bool {
	c := s[0]
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= 0x80
}

func sortedCopy(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

var word = regexp.MustCompile(`[A-Za-z]:\\[^\s"',;()\[\]{}]*|[^\s"'=,;()\[\]{}<>|]+|.`)

// pair explains one line in the place of another.
func (e *explainer) pair(a, b string, line int, before string) bool {
	if len(a) > 1<<16 || len(b) > 1<<16 {
		return false
	}
	x, y := word.FindAllString(a, -1), word.FindAllString(b, -1)
	if permuted(x, y) {
		e.add(cause.Finding{Where: fmt.Sprintf("line %d", line), Cause: "hash-seed", Sure: true, Detail: "the same items in another order: " + clip(a) + " against " + clip(b), A: clip(a), B: clip(b)})
		return true
	}
	var found []cause.Finding
	explain := func(p, q string) bool {
		name := Classify(p, q, a+"\n"+b, e.name)
		if name == "" || name == "scm-version" { // a version says of what a few lines above it
			if n := Classify(p, q, a+"\n"+b+"\n"+before, e.name); n == "cython-version" || n == "numpy-version" || n == "compiler" && name == "" {
				name = n
			}
		}
		if name == "" {
			return false
		}
		found = append(found, cause.Finding{Where: fmt.Sprintf("line %d", line), Cause: name, Sure: true, Detail: clip(p) + " against " + clip(q), A: clip(p), B: clip(q)})
		return true
	}
	if len(x) == len(y) {
		for i := range x {
			if x[i] != y[i] && !explain(x[i], y[i]) {
				found = nil
				break
			}
		}
	}
	if len(found) == 0 { // other numbers of words: what is between the same words
		n := 0
		for n < min(len(x), len(y)) && x[n] == y[n] {
			n++
		}
		m := 0
		for m < min(len(x), len(y))-n && x[len(x)-1-m] == y[len(y)-1-m] {
			m++
		}
		if !explain(strings.Join(x[n:len(x)-m], ""), strings.Join(y[n:len(y)-m], "")) {
			return false
		}
	}
	for _, f := range found {
		e.add(f)
	}
	return true
}

func clip(s string) string {
	s = strings.TrimSpace(s)
	if r := []rune(s); len(r) > 100 {
		return string(r[:100]) + "…"
	}
	return s
}

// findings are what was explained, then what was not.
func (e *explainer) findings() []cause.Finding {
	for i, f := range e.found {
		if n := e.more[f.Cause]; n > 0 {
			e.found[i].Detail += fmt.Sprintf(" (and %d more such)", n)
		}
	}
	if len(e.rest) > 0 {
		first := e.rest[0]
		f := cause.Finding{Where: fmt.Sprintf("line %d", first.line)}
		if len(first.a) > 0 {
			f.A = clip(first.a[0])
		}
		if len(first.b) > 0 {
			f.B = clip(first.b[0])
		}
		minus, plus := 0, 0
		for _, h := range e.rest {
			minus, plus = minus+len(h.a), plus+len(h.b)
		}
		f.Detail = fmt.Sprintf("%d lines against %d", minus, plus)
		if minus == 1 && plus == 1 {
			f.Detail = f.A + " against " + f.B
		}
		if e.form != "" {
			f.Detail = e.form + ": " + f.Detail
		}
		e.found = append(e.found, f)
	}
	return e.found
}

// python says what of a Python file is the same.
func (e *explainer) python(a, b []byte) {
	x, errA := PythonTokens(a)
	y, errB := PythonTokens(b)
	switch {
	case errA != nil || errB != nil:
	case slices.Equal(x.Code, y.Code) && slices.Equal(x.Comments, y.Comments):
		e.form = "only the formatting differs"
	case slices.Equal(x.Code, y.Code):
		e.form = "only comments differ"
	default:
		e.form = "code"
	}
}
