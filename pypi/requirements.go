package pypi

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// RequirementLine is a line of a requirements file that includes another file
// or names something to install.
type RequirementLine struct {
	Number  int    // of its first line, from 1
	Text    string // without comment and options, and without credentials in URLs
	Include string // of a -r line: the other file, as written
	Name    Name
	Version string   // of NAME==VERSION, as written; "" when it is not pinned so
	Marker  string   // the condition (PEP 508), not evaluated
	Hashes  []string // sha256 of --hash options, 64 digits of lower-case hex
}

var requirementOption = regexp.MustCompile(`(^|\s)--?[A-Za-z]`)

// ParseRequirements reads a requirements file of at most 32 MiB as pip does:
// comments, continued lines, -r includes, hashes. The caller reads the
// included files. Constraints (-c), editable projects (-e) and other options
// name nothing to install by itself and are passed over. A line with hashes
// must have a sha256 among them, so that a hash is never ignored. Errors name
// the line.
func ParseRequirements(r io.Reader) ([]RequirementLine, error) {
	const most = 32 << 20
	limited := &io.LimitedReader{R: r, N: most + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, 1<<20)
	var out []RequirementLine
	var joined strings.Builder
	number, first := 0, 0
	for lines.Scan() {
		number++
		text := strings.TrimSuffix(lines.Text(), "\r")
		if number == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		if joined.Len() == 0 {
			first = number
		}
		// A comment continues no line, and ends one that was continued.
		comment := strings.HasPrefix(strings.TrimLeft(text, " \t"), "#")
		if rest, ok := strings.CutSuffix(text, `\`); ok && !comment {
			joined.WriteString(rest)
			continue
		}
		if comment {
			joined.WriteByte(' ')
		}
		joined.WriteString(text)
		line, ok, err := parseRequirementLine(joined.String())
		joined.Reset()
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", first, err)
		}
		if ok {
			line.Number = first
			out = append(out, line)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", number+1, err)
	}
	if limited.N == 0 {
		return nil, fmt.Errorf("the file has more than %d bytes", most)
	}
	if strings.TrimSpace(joined.String()) != "" {
		return nil, fmt.Errorf("line %d: continued, and the file ends", first)
	}
	return out, nil
}

func parseRequirementLine(text string) (l RequirementLine, ok bool, err error) {
	for i := range len(text) {
		if text[i] == '#' && (i == 0 || text[i-1] == ' ' || text[i-1] == '\t') {
			text = text[:i]
			break
		}
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return l, false, nil
	}
	if text[0] == '-' {
		l.Include, ok = included(text)
		if ok && l.Include == "" {
			return l, false, fmt.Errorf("%s names no file", quote(text))
		}
		return l, ok, nil
	}
	options := ""
	if at := requirementOption.FindStringIndex(text); at != nil {
		text, options = strings.TrimSpace(text[:at[0]]), text[at[0]:]
	}
	l.Text = hideCredentials(text)
	if l.Hashes, err = hashes(options); err != nil {
		return l, false, fmt.Errorf("%s: %w", quote(l.Text), err)
	}
	if isPath(text) {
		return l, true, nil
	}
	r, err := ParseRequirement(text)
	if err != nil {
		return l, false, err
	}
	l.Name, l.Marker = r.Name, r.Marker
	if v, ok := r.Pinned(); ok {
		l.Version = v.Original()
	}
	return l, true, nil
}

// included is the file of a line "-r FILE" in any of its spellings.
func included(text string) (string, bool) {
	if rest, ok := strings.CutPrefix(text, "--requirement"); ok && (rest == "" || strings.ContainsRune(" \t=", rune(rest[0]))) {
		return unquoted(strings.TrimLeft(rest, " \t=")), true
	}
	rest, ok := strings.CutPrefix(text, "-r")
	return unquoted(strings.TrimSpace(rest)), ok
}

func unquoted(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// isPath reports whether text is a path or a URL rather than a name (PEP 508).
func isPath(text string) bool {
	name := strings.IndexAny(text, " \t@;=<>!~[(")
	if name < 0 {
		name = len(text)
	}
	return strings.ContainsAny(text[:name], `/\:`) || strings.HasPrefix(text, ".")
}

// hashes are the sha256 of "--hash=sha256:HEX" options.
func hashes(options string) ([]string, error) {
	var out []string
	others := false
	fields := strings.Fields(options)
	for i := 0; i < len(fields); i++ {
		value, ok := strings.CutPrefix(fields[i], "--hash")
		if !ok {
			continue
		}
		if value == "" && i+1 < len(fields) {
			i++
			value = fields[i]
		}
		kind, sum, ok := strings.Cut(unquoted(strings.TrimPrefix(value, "=")), ":")
		switch {
		case ok && kind == "sha256" && sha256Hex(sum) != "":
			out = append(out, sha256Hex(sum))
		case ok && kind != "sha256" && sum != "":
			others = true
		default:
			return nil, fmt.Errorf("option %s is not --hash=sha256: and 64 digits of hex", quote(fields[i]))
		}
	}
	if others && len(out) == 0 {
		return nil, errors.New("none of its hashes is a sha256")
	}
	return out, nil
}
