package pypi

import (
	"errors"
	"fmt"
	"strings"
)

// Requirement is a dependency (PEP 508): "demo[a,b] >=1,<2; python_version < '3'".
type Requirement struct {
	Text       string // as given
	Name       Name
	Extras     []Name
	Specifiers Specifiers // empty: any version
	Specifier  string     // the same as text: ">=1,<2"
	URL        string     // of "demo @ URL": then there are no specifiers
	Marker     string     // the condition, not evaluated; "" when there is none
}

// ParseRequirement parses a dependency of at most 10,000 characters. Markers
// are kept as text: whether one holds depends on an environment.
func ParseRequirement(s string) (Requirement, error) {
	r := Requirement{Text: s}
	err := errors.New("it is too long")
	if len(s) <= 10000 {
		err = r.parse(strings.TrimSpace(s))
	}
	if err != nil {
		return Requirement{Text: s}, fmt.Errorf("requirement %s: %w", quote(hideCredentials(s)), err)
	}
	return r, nil
}

func (r *Requirement) parse(s string) error {
	end := strings.IndexFunc(s, func(c rune) bool { return c >= 0x80 || !isAlphanumeric(byte(c)) && !strings.ContainsRune("-_.", c) })
	if end < 0 {
		end = len(s)
	}
	var err error
	if r.Name, err = ParseName(s[:end]); err != nil {
		return err
	}
	s = strings.TrimLeft(s[end:], " \t")
	if rest, ok := strings.CutPrefix(s, "["); ok {
		list, after, ok := strings.Cut(rest, "]")
		if !ok {
			return errors.New("extras without ]")
		}
		for extra := range strings.SplitSeq(list, ",") {
			if strings.TrimSpace(list) == "" {
				break // "demo[]" is allowed
			}
			name, err := ParseName(strings.TrimSpace(extra))
			if err != nil {
				return fmt.Errorf("extra: %w", err)
			}
			r.Extras = append(r.Extras, name)
		}
		s = strings.TrimLeft(after, " \t")
	}
	if rest, ok := strings.CutPrefix(s, "@"); ok {
		return r.parseURL(strings.TrimLeft(rest, " \t"))
	}
	specifier, marker, found := strings.Cut(s, ";")
	if r.Marker = strings.TrimSpace(marker); found && r.Marker == "" {
		return errors.New("; without a marker")
	}
	specifier = strings.TrimSpace(specifier)
	if rest, ok := strings.CutPrefix(specifier, "("); ok {
		if specifier, ok = strings.CutSuffix(rest, ")"); !ok {
			return errors.New("( without )")
		}
	}
	r.Specifier = strings.TrimSpace(specifier)
	r.Specifiers, err = ParseSpecifiers(r.Specifier)
	return err
}

// parseURL: a marker stands after white space, since a URL may hold a ';'.
func (r *Requirement) parseURL(s string) error {
	end := strings.IndexAny(s, " \t")
	if end < 0 {
		end = len(s)
	}
	r.URL = s[:end]
	if r.URL == "" {
		return errors.New("@ without a URL")
	}
	rest := strings.TrimSpace(s[end:])
	marker, ok := strings.CutPrefix(rest, ";")
	r.Marker = strings.TrimSpace(marker)
	if rest != "" && (!ok || r.Marker == "") {
		return errors.New("a URL ends at white space, and only a marker may follow it")
	}
	return nil
}

// Pinned is the version of "demo==1.0" and "demo===1.0", if that is what the
// requirement says.
func (r Requirement) Pinned() (Version, bool) {
	if len(r.Specifiers) != 1 {
		return Version{}, false
	}
	s := r.Specifiers[0]
	exact := s.op == "==" && !s.prefix || s.op == "===" && s.version.release != nil
	return s.version, exact
}

// hideCredentials replaces what stands before the @ of URLs in a text.
func hideCredentials(s string) string {
	var b strings.Builder
	for {
		i := strings.Index(s, "://")
		if i < 0 {
			return b.String() + s
		}
		b.WriteString(s[:i+3])
		s = s[i+3:]
		end := strings.IndexAny(s, "/?# \t\"'")
		if end < 0 {
			end = len(s)
		}
		if at := strings.LastIndexByte(s[:end], '@'); at >= 0 {
			b.WriteString("***")
			s = s[at:]
		}
	}
}
