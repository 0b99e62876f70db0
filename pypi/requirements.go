package pypi

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// RequirementLine is a line of a requirements file that names something to install.
type RequirementLine struct {
	Number  int
	Text    string // without comment and options
	Include string // of -r and -c lines: the other file
	Name    Name
	Version string   // of NAME==VERSION; "" when it is not pinned so
	Hashes  []string // sha256 of --hash options, lower-case hex
}

var (
	pinnedLine = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*={2,3}\s*([^\s;,*]+)\s*(;.*)?$`)
	nameStart  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*`)
	hashOption = regexp.MustCompile(`\s--hash[= ]([a-z0-9]+):([0-9a-fA-F]+)`)
	option     = regexp.MustCompile(`\s--?[a-z][a-z-]*([= ][^\s]+)?`)
)

// ParseRequirements reads a requirements file as pip does: comments,
// continued lines, -r includes, hashes. Other options are passed over.
func ParseRequirements(r io.Reader) ([]RequirementLine, error) {
	var out []RequirementLine
	lines := bufio.NewScanner(io.LimitReader(r, 32<<20))
	lines.Buffer(nil, 1<<20)
	number, first, joined := 0, 0, ""
	for lines.Scan() {
		number++
		text := strings.TrimRight(lines.Text(), " \t\r")
		if joined == "" {
			first = number
		}
		if rest, ok := strings.CutSuffix(text, `\`); ok {
			joined += rest + " "
			continue
		}
		line, ok, err := parseRequirement(joined+text, first)
		joined = ""
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, line)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("line %d: %w", number+1, err)
	}
	if strings.TrimSpace(joined) != "" {
		return nil, fmt.Errorf("line %d: continued, and the file ends", first)
	}
	return out, nil
}

func parseRequirement(text string, number int) (RequirementLine, bool, error) {
	l := RequirementLine{Number: number}
	if i := strings.Index(" "+text, " #"); i >= 0 {
		text = text[:i]
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return l, false, nil
	}
	for _, prefix := range []string{"-r", "--requirement"} {
		if rest, ok := strings.CutPrefix(text, prefix); ok && rest != "" && strings.ContainsRune(" =\t", rune(rest[0])) {
			l.Include = strings.TrimSpace(rest[1:])
			return l, true, nil
		}
	}
	if strings.HasPrefix(text, "-") {
		return l, false, nil // an option, or an editable project
	}
	for _, m := range hashOption.FindAllStringSubmatch(text, -1) {
		if m[1] == "sha256" {
			l.Hashes = append(l.Hashes, strings.ToLower(m[2]))
		}
	}
	l.Text = strings.TrimSpace(option.ReplaceAllString(text, ""))
	var err error
	if m := pinnedLine.FindStringSubmatch(l.Text); m != nil {
		if l.Name, err = ParseName(m[1]); err != nil {
			return l, false, fmt.Errorf("line %d: %w", number, err)
		}
		if _, err := ParseVersion(m[2]); err != nil {
			return l, false, fmt.Errorf("line %d: %w", number, err)
		}
		l.Version = m[2]
		return l, true, nil
	}
	if !nameStart.MatchString(l.Text) {
		return l, false, fmt.Errorf("line %d: %q is not a requirement", number, l.Text)
	}
	return l, true, nil
}
