package compare

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// explain names the cause of two different contents of one member, or "".
func explain(name string, published, rebuilt []byte) (cause, detail string) {
	base := name[strings.LastIndexByte(name, '/')+1:]
	if published == nil || rebuilt == nil {
		return "", "contents differ (too large to look into)"
	}
	switch {
	case inDistInfo(name) && base == "RECORD":
		if sameLines(published, rebuilt) {
			return "record-order", "same lines in another order"
		}
		return Consequence, "RECORD"
	case bytes.Equal(lf(published), lf(rebuilt)):
		return "line-endings", "equal but for line ends: " + ends(published) + " published, " + ends(rebuilt) + " rebuilt"
	case inDistInfo(name) && base == "WHEEL":
		return explainWheel(string(published), string(rebuilt))
	case inDistInfo(name) && base == "METADATA":
		return explainMetadata(string(published), string(rebuilt))
	case strings.HasSuffix(name, ".pyc"):
		return "pyc", "byte code"
	case inDistInfo(name) && sameLines(published, rebuilt):
		return "hash-seed", "same lines in another order"
	}
	a, b, n := firstDifference(published, rebuilt)
	detail = fmt.Sprintf("line %d: published %q, rebuilt %q", n, clip(a), clip(b))
	switch {
	case strings.Contains(a, "/tmp/") || strings.Contains(a, "/home/") || strings.Contains(b, "/build/"):
		return "build-path", detail
	case isVersionFile(base):
		return "scm-version", detail
	case sameLines(published, rebuilt):
		return "hash-seed", "same lines in another order"
	}
	return "", detail
}

func isVersionFile(base string) bool {
	base = strings.ToLower(strings.TrimLeft(base, "_"))
	return strings.HasPrefix(base, "version.") || strings.HasSuffix(base, "version.py")
}

func lf(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }

func ends(b []byte) string {
	crlf, all := bytes.Count(b, []byte("\r\n")), bytes.Count(b, []byte("\n"))
	switch crlf {
	case 0:
		return "LF"
	case all:
		return "CRLF"
	}
	return "mixed"
}

func sameLines(a, b []byte) bool {
	x, y := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	slices.SortFunc(x, bytes.Compare)
	slices.SortFunc(y, bytes.Compare)
	return slices.EqualFunc(x, y, bytes.Equal)
}

func clip(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}

// firstDifference is the first line that differs, counted from 1.
func firstDifference(a, b []byte) (x, y string, line int) {
	p, q := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	for i := range max(len(p), len(q)) {
		x, y = "", ""
		if i < len(p) {
			x = p[i]
		}
		if i < len(q) {
			y = q[i]
		}
		if x != y {
			return x, y, i + 1
		}
	}
	return "", "", 0
}

func explainWheel(a, b string) (string, string) {
	field := func(text, key string) string {
		for line := range strings.Lines(text) {
			if v, ok := strings.CutPrefix(line, key+":"); ok {
				return strings.TrimSpace(v)
			}
		}
		return ""
	}
	if x, y := field(a, "Generator"), field(b, "Generator"); x != y {
		return "generator-version", fmt.Sprintf("Generator: published %s, rebuilt %s", x, y)
	}
	if x, y := field(a, "Root-Is-Purelib"), field(b, "Root-Is-Purelib"); x != y {
		return "python-tag", fmt.Sprintf("Root-Is-Purelib: published %s, rebuilt %s", x, y)
	}
	if x, y := tagLines(a), tagLines(b); !slices.Equal(x, y) {
		return "python-tag", fmt.Sprintf("Tag: published %s, rebuilt %s", strings.Join(x, " "), strings.Join(y, " "))
	}
	return "metadata-writer", "WHEEL"
}

func tagLines(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(line, "Tag:"); ok {
			out = append(out, strings.TrimSpace(v))
		}
	}
	return out
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
	return MetadataDifference{Published: without(x, y), Rebuilt: without(y, x), Body: abody != bbody}
}

// without is a less the lines of b, each counted as often as it stands.
func without(a, b []string) []string {
	left := map[string]int{}
	for _, s := range b {
		left[s]++
	}
	var out []string
	for _, s := range a {
		if left[s] > 0 {
			left[s]--
			continue
		}
		out = append(out, s)
	}
	return out
}

func explainMetadata(published, rebuilt string) (string, string) {
	d := Metadata(published, rebuilt)
	all := slices.Concat(d.Published, d.Rebuilt)
	only := func(prefixes ...string) bool {
		return len(all) > 0 && !slices.ContainsFunc(all, func(s string) bool {
			return !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
		})
	}
	var first string
	if len(d.Published) > 0 {
		first = "published " + clip(d.Published[0])
	}
	if len(d.Rebuilt) > 0 {
		if first != "" {
			first += ", "
		}
		first += "rebuilt " + clip(d.Rebuilt[0])
	}
	switch {
	case len(all) == 0 && !d.Body:
		if strings.Count(published, "Requires-Dist:") > 1 || strings.Count(published, "Provides-Extra:") > 1 {
			return "hash-seed", "same lines of METADATA in another order"
		}
		return "metadata-writer", "same lines of METADATA in another order"
	case only("License-File", "Dynamic: license-file", "License"):
		return "license-files", first
	case only("Version:"):
		return "scm-version", first
	case only("Metadata-Version:"):
		return "metadata-version", first
	case only("Requires-Dist", "Provides-Extra", "Requires-Python") && !d.Body:
		return "metadata-requires", first
	case len(all) == 0:
		return "metadata-description", "the description differs"
	}
	return "metadata-writer", first
}

// explainTogether gives causes that only show across members.
func explainTogether(ds []Difference) {
	renamed := map[string]string{} // base name of a licence -> its other place
	for _, d := range ds {
		if d.Kind == "extra" && inDistInfo(d.Member) {
			renamed[d.Member[strings.LastIndexByte(d.Member, '/')+1:]] = d.Member
		}
	}
	for i := range ds {
		d := &ds[i]
		base := d.Member[strings.LastIndexByte(d.Member, '/')+1:]
		upper := strings.ToUpper(base)
		licence := strings.HasPrefix(upper, "LICEN") || strings.HasPrefix(upper, "COPYING") || strings.HasPrefix(upper, "NOTICE") || strings.HasPrefix(upper, "AUTHORS")
		if d.Cause == "" && inDistInfo(d.Member) && d.Kind != "content" && (licence || renamed[base] != "") {
			d.Cause = "license-files"
		}
	}
}
