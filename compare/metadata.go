package compare

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/truewheel/truewheel/compare/cause"
	"github.com/truewheel/truewheel/compare/text"
)

// fields are the header lines of an email-like file, continuation lines joined.
func fields(s string) (out [][2]string, body string) {
	head, body, _ := strings.Cut(s, "\n\n")
	for line := range strings.SplitSeq(head, "\n") {
		if n := len(out); n > 0 && (strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")) {
			out[n-1][1] += "\n" + line
			continue
		}
		key, value, _ := strings.Cut(line, ":")
		if line != "" {
			out = append(out, [2]string{key, strings.TrimPrefix(value, " ")})
		}
	}
	return out, body
}

func values(fs [][2]string, key string) (out []string) {
	for _, f := range fs {
		if f[0] == key {
			out = append(out, f[1])
		}
	}
	return out
}

func keys(fs [][2]string) (out []string) {
	for _, f := range fs {
		if !slices.Contains(out, f[0]) {
			out = append(out, f[0])
		}
	}
	return out
}

// lineEnds takes line ends away and speaks of them.
func lineEnds(a, b []byte) (x, y string, out []cause.Finding) {
	if p, q := text.Ends(a), text.Ends(b); p != q {
		out = append(out, cause.Finding{Where: "line ends", Cause: "line-endings", Sure: true, A: p, B: q, Detail: "line ends " + p + " against " + q})
		a, b = text.LF(a), text.LF(b)
	}
	return string(a), string(b), out
}

var released = regexp.MustCompile(`^\d+(\.\d+)*((a|b|rc)\d+)?(\.post\d+)?$`)

// versionCause names why two versions of one project stand in two builds.
func versionCause(a, b string) string {
	if name := text.Classify(a, b, "version", ""); name == "version-from-clock" {
		return name
	}
	if released.MatchString(a) && released.MatchString(b) {
		return "another-release"
	}
	return "scm-version"
}

// explainWheel speaks of two WHEEL files.
func explainWheel(a, b []byte) []cause.Finding {
	p, q, out := lineEnds(a, b)
	x, _ := fields(p)
	y, _ := fields(q)
	for _, key := range union(keys(x), keys(y)) {
		v, w := values(x, key), values(y, key)
		if slices.Equal(v, w) {
			continue
		}
		f := cause.Finding{Where: key, Sure: true, A: strings.Join(v, " "), B: strings.Join(w, " ")}
		switch key {
		case "Generator":
			f.Cause = "generator-version"
		case "Tag", "Root-Is-Purelib":
			f.Cause = "python-tag"
			if pythonOnly(f.A, f.B) {
				f.Cause = "python-version"
			}
		default:
			f.Cause = "metadata-writer"
		}
		f.Detail = fmt.Sprintf("%s: %s against %s", key, orNothing(f.A), orNothing(f.B))
		out = append(out, f)
	}
	if len(out) == 0 && p != q {
		out = append(out, cause.Finding{Cause: "metadata-writer", Sure: true, Detail: "the same fields written otherwise"})
	}
	return out
}

var cpTag = regexp.MustCompile(`\bcp3\d+`)

// pythonOnly reports whether tags differ in CPython's version only.
func pythonOnly(a, b string) bool {
	return cpTag.MatchString(a) && cpTag.MatchString(b) && cpTag.ReplaceAllString(a, "") == cpTag.ReplaceAllString(b, "")
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// union is a and what b has more, in b's order.
func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// fieldCause names the cause of another value of a field of METADATA.
func fieldCause(key string, a, b []string) string {
	switch key {
	case "Metadata-Version":
		return "metadata-version"
	case "Version":
		return versionCause(strings.Join(a, " "), strings.Join(b, " "))
	case "License", "License-File", "License-Expression":
		return "license-files"
	case "Dynamic":
		if d := slices.Concat(text.Without(a, b), text.Without(b, a)); !slices.ContainsFunc(d, func(s string) bool { return !strings.HasPrefix(s, "license") }) {
			return "license-files"
		}
	case "Requires-Dist", "Provides-Extra", "Requires-Python":
		if slices.Equal(normal(a), normal(b)) {
			return "metadata-writer"
		}
		return "metadata-requires"
	case "Description", "Summary":
		return "metadata-description"
	}
	if len(a) > 0 && len(b) > 0 && !slices.Equal(words(a), words(b)) && key != "Classifier" {
		return "" // it says another thing, not the same thing otherwise
	}
	return "metadata-writer"
}

// words are those of all values, in any order.
func words(l []string) []string {
	out := strings.FieldsFunc(strings.ToLower(strings.Join(l, " ")), func(r rune) bool { return r == ' ' || r == ',' || r == ';' || r == '"' || r == '\n' || r == '|' })
	slices.Sort(out)
	return out
}

var requirementName = regexp.MustCompile(`^[a-z0-9-]+(\[[^\]]*\])?`)

// normal are requirements without what may be written in two ways.
func normal(l []string) (out []string) {
	for _, s := range l {
		s = strings.NewReplacer(" ", "", "(", "", ")", "", `"`, "'", "_", "-", ".", "-").Replace(strings.ToLower(s))
		if name, rest, ok := strings.Cut(s, "extra=="); ok {
			s = name + "extra==" + strings.Trim(rest, "()")
		}
		parts := strings.Split(s, ";")
		name := requirementName.FindString(parts[0])
		specs := strings.FieldsFunc(parts[0][len(name):], func(r rune) bool { return r == ',' })
		slices.Sort(specs)
		out = append(out, name+strings.Join(specs, ",")+";"+strings.Join(parts[1:], ";"))
	}
	slices.Sort(out)
	return out
}

// explainMetadata speaks of two METADATA files, field by field.
func explainMetadata(a, b []byte) []cause.Finding {
	p, q, out := lineEnds(a, b)
	if p == q {
		return out
	}
	x, abody := fields(p)
	y, bbody := fields(q)
	for _, key := range union(keys(x), keys(y)) {
		v, w := values(x, key), values(y, key)
		if slices.Equal(v, w) {
			continue
		}
		minus, plus := text.Without(v, w), text.Without(w, v)
		f := cause.Finding{Where: key, Sure: true, A: clip(strings.Join(minus, ", ")), B: clip(strings.Join(plus, ", "))}
		if len(minus)+len(plus) == 0 {
			name, detail := order(v, w)
			f.Cause, f.Detail = name, "the same values of "+key+" in another order"+detail
		} else {
			f.Cause = fieldCause(key, v, w)
			f.Sure = f.Cause != "version-from-clock" // a release may be named by its date
			f.Detail = fmt.Sprintf("%s: %s against %s", key, orNothing(f.A), orNothing(f.B))
		}
		out = append(out, f)
	}
	written := 0
	for _, f := range out {
		if f.Cause == "metadata-writer" {
			written++
		}
	}
	for i, f := range out { // License and License-Expression come and go with the writer
		if written >= 2 && f.Cause == "license-files" && f.Where != "License-File" {
			out[i].Cause = "metadata-writer"
		}
	}
	if abody != bbody {
		f := cause.Finding{Where: "description", Sure: true, Cause: "metadata-description", Detail: "the description differs"}
		if strings.TrimSpace(abody) == strings.TrimSpace(bbody) {
			f.Cause, f.Detail = "metadata-writer", "empty lines at the end of the description"
		}
		out = append(out, f)
	}
	if len(out) == 0 {
		out = append(out, cause.Finding{Cause: "metadata-writer", Sure: true, Detail: "the same fields in another order"})
	}
	return out
}

// order says why the same values stand in two orders.
func order(a, b []string) (name, detail string) {
	f := text.Explain("", []byte(strings.Join(a, "\n")+"\n"), []byte(strings.Join(b, "\n")+"\n"))
	if len(f) == 1 && f[0].Cause == "locale" {
		return "locale", strings.TrimPrefix(f[0].Detail, "the same lines in another order")
	}
	return "hash-seed", ""
}

// MetadataDifference says which lines of METADATA's header are only in one of two files.
type MetadataDifference struct {
	Published, Rebuilt []string // header lines only there, in order
	Body               bool     // the descriptions differ
}

// Metadata compares two METADATA files by header lines and body.
func Metadata(published, rebuilt string) MetadataDifference {
	a, abody, _ := strings.Cut(published, "\n\n")
	b, bbody, _ := strings.Cut(rebuilt, "\n\n")
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	return MetadataDifference{Published: text.Without(x, y), Rebuilt: text.Without(y, x), Body: abody != bbody}
}

// record speaks of two RECORD files: lines of members that differ follow from them.
func (c *comparison) record(a, b []byte, add func(cause.Finding)) {
	p, q, ends := lineEnds(a, b)
	for _, f := range ends {
		add(f)
	}
	if p == q {
		return
	}
	x, y := strings.Split(strings.TrimSuffix(p, "\n"), "\n"), strings.Split(strings.TrimSuffix(q, "\n"), "\n")
	minus, plus := text.Without(x, y), text.Without(y, x)
	if slices.Equal(x, y) {
		add(cause.Finding{Where: "end", Detail: "a line end at the end of the file on one side only"})
		return
	}
	if len(minus)+len(plus) == 0 {
		add(cause.Finding{Where: "order of lines", Cause: c.recordOrder(x, y), Sure: true, Detail: "the same lines in another order"})
		return
	}
	name := func(line string) string {
		if s, ok := strings.CutPrefix(line, `"`); ok {
			s, _, _ = strings.Cut(s, `"`)
			return s
		}
		s, _, _ := strings.Cut(line, ",")
		return s
	}
	named := map[string]bool{}
	for _, line := range slices.Concat(minus, plus) {
		named[name(line)] = true
	}
	touched := map[string]bool{}
	for _, p := range c.pairs {
		x, y := memberName(p, true), memberName(p, false)
		if !named[x] && !named[y] || p.a != nil && p.b != nil && !p.renamed && sameNow(p) {
			continue
		}
		touched[x], touched[y] = true, true
	}
	var odd []string
	for _, line := range slices.Concat(minus, plus) {
		if !touched[name(line)] {
			odd = append(odd, line)
		}
	}
	if len(odd) == 0 {
		add(cause.Finding{Where: "lines", Cause: cause.Consequence, Sure: true, Detail: count(max(len(minus), len(plus)), "line") + " of members that differ"})
	} else {
		add(cause.Finding{Where: "lines", Cause: c.recordWriter(minus, plus), Detail: fmt.Sprintf("%s of members that do not differ, such as %s", count(len(odd), "line"), clip(odd[0]))})
	}
	// What is left, once changed lines are taken out, is in one order or not.
	keep := func(lines []string) (out []string) {
		for _, l := range lines {
			if !touched[name(l)] {
				out = append(out, l)
			}
		}
		return out
	}
	if v, w := keep(x), keep(y); len(odd) == 0 && !slices.Equal(v, w) {
		add(cause.Finding{Where: "order of lines", Cause: c.recordOrder(v, w), Sure: true, Detail: "the same lines in another order"})
	}
}

// recordOrder: RECORD in the order of the archive follows from that.
func (c *comparison) recordOrder(x, y []string) string {
	if !slices.Equal(common(c.a.Tree, c.b.Tree), common(c.b.Tree, c.a.Tree)) && !slices.IsSorted(x) && !slices.IsSorted(y) {
		return cause.Consequence
	}
	return "record-order"
}

// recordWriter: the same hashes written otherwise.
func (c *comparison) recordWriter(minus, plus []string) string {
	plain := func(l []string) (out []string) {
		for _, s := range l {
			out = append(out, strings.ReplaceAll(strings.ReplaceAll(s, `"`, ""), "=", ""))
		}
		slices.Sort(out)
		return out
	}
	if slices.Equal(plain(minus), plain(plus)) {
		return "metadata-writer"
	}
	return ""
}

func memberName(p pair, first bool) string {
	switch {
	case first && p.a != nil:
		return p.a.Name
	case !first && p.b != nil:
		return p.b.Name
	}
	return ""
}

// sameNow compares a member on the spot, since others are looked into at the same time.
func sameNow(p pair) bool {
	same, _, err := equal(p.a, p.b)
	return err == nil && same
}
