package pypi

import (
	"cmp"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
)

// Version is a version (PEP 440). The zero Version is none: it comes before
// all others and its text is "".
type Version struct {
	original string
	epoch    *big.Int
	release  []*big.Int
	pre      string // "a", "b", "rc" or ""
	preN     *big.Int
	post     *big.Int
	dev      *big.Int
	local    []string
}

var versionPattern = regexp.MustCompile(`^(?i)v?(?:([0-9]+)!)?([0-9]+(?:\.[0-9]+)*)` +
	`(?:[-_.]?(alpha|beta|preview|pre|a|b|c|rc)[-_.]?([0-9]*))?` +
	`(?:-([0-9]+)|[-_.]?(post|rev|r)[-_.]?([0-9]*))?` +
	`(?:[-_.]?(dev)[-_.]?([0-9]*))?` +
	`(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?$`)

// ParseVersion parses a version in any of PEP 440's spellings, of at most 200
// characters, all of ASCII.
func ParseVersion(s string) (Version, error) {
	v := Version{original: s}
	if isPlain(s) {
		v.epoch = new(big.Int)
		for part := range strings.SplitSeq(s, ".") {
			v.release = append(v.release, number(part))
		}
		return v, nil
	}
	// ASCII, since the pattern's (?i) would take U+017F for an s.
	ascii := !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
	var m []string
	if ascii && len(s) <= 200 {
		m = versionPattern.FindStringSubmatch(strings.TrimSpace(s))
	}
	if m == nil {
		return Version{original: s}, fmt.Errorf("%s is not a version (PEP 440)", quote(s))
	}
	v.epoch = number(m[1])
	for part := range strings.SplitSeq(m[2], ".") {
		v.release = append(v.release, number(part))
	}
	if m[3] != "" {
		v.pre = map[string]string{"alpha": "a", "a": "a", "beta": "b", "b": "b", "c": "rc", "rc": "rc", "pre": "rc", "preview": "rc"}[strings.ToLower(m[3])]
		v.preN = number(m[4])
	}
	switch {
	case m[5] != "":
		v.post = number(m[5])
	case m[6] != "":
		v.post = number(m[7])
	}
	if m[8] != "" {
		v.dev = number(m[9])
	}
	if m[10] != "" {
		v.local = strings.FieldsFunc(strings.ToLower(m[10]), func(r rune) bool { return strings.ContainsRune("-_.", r) })
		for i, part := range v.local {
			if n, ok := new(big.Int).SetString(part, 10); ok {
				v.local[i] = n.String()
			}
		}
	}
	return v, nil
}

// isPlain reports whether s is "1.26.0" or so: most versions are, and need no pattern.
func isPlain(s string) bool {
	digit := false // the character before
	for i := range len(s) {
		if s[i] == '.' && !digit || s[i] != '.' && (s[i] < '0' || s[i] > '9') {
			return false
		}
		digit = s[i] != '.'
	}
	return digit && len(s) <= 200
}

func number(s string) *big.Int {
	n := new(big.Int)
	if s != "" {
		n.SetString(s, 10)
	}
	return n
}

// Original is the version as it was written.
func (v Version) Original() string { return v.original }

// String is the normal form.
func (v Version) String() string {
	if v.release == nil {
		return ""
	}
	var b strings.Builder
	if v.epoch.Sign() > 0 {
		fmt.Fprintf(&b, "%s!", v.epoch)
	}
	for i, n := range v.release {
		if i > 0 {
			b.WriteByte('.')
		}
		b.WriteString(n.String())
	}
	if v.pre != "" {
		fmt.Fprintf(&b, "%s%s", v.pre, v.preN)
	}
	if v.post != nil {
		fmt.Fprintf(&b, ".post%s", v.post)
	}
	if v.dev != nil {
		fmt.Fprintf(&b, ".dev%s", v.dev)
	}
	if v.local != nil {
		b.WriteString("+" + strings.Join(v.local, "."))
	}
	return b.String()
}

// IsPrerelease reports whether v is a pre-release or development release.
func (v Version) IsPrerelease() bool { return v.pre != "" || v.dev != nil }

// Compare orders versions: -1, 0 or 1.
func (v Version) Compare(w Version) int {
	return cmp.Or(
		compareNumbers(v.epoch, w.epoch),
		compareRelease(v.release, w.release),
		cmp.Compare(v.preRank(), w.preRank()), compareNumbers(v.preN, w.preN),
		compareNumbers(v.post, w.post), // none is before any
		-compareNumbers(v.devKey(), w.devKey()),
		compareLocal(v.local, w.local),
	)
}

func compareRelease(a, b []*big.Int) int {
	zero := new(big.Int)
	for i := range max(len(a), len(b)) {
		x, y := zero, zero
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if c := x.Cmp(y); c != 0 {
			return c
		}
	}
	return 0
}

// preRank: 1.dev1 < 1a1 < 1b1 < 1rc1 < 1.
func (v Version) preRank() int {
	switch {
	case v.pre == "a":
		return 1
	case v.pre == "b":
		return 2
	case v.pre == "rc":
		return 3
	case v.post == nil && v.dev != nil:
		return 0
	}
	return 4
}

// devKey makes no development release the latest: nil sorts first and the order is turned.
func (v Version) devKey() *big.Int {
	if v.dev == nil {
		return nil
	}
	return new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 1024), v.dev)
}

func compareNumbers(a, b *big.Int) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return a.Cmp(b)
}

func compareLocal(a, b []string) int {
	return slices.CompareFunc(a, b, func(x, y string) int {
		xn, xok := new(big.Int).SetString(x, 10)
		yn, yok := new(big.Int).SetString(y, 10)
		switch {
		case xok && yok:
			return xn.Cmp(yn)
		case xok:
			return 1
		case yok:
			return -1
		}
		return cmp.Compare(x, y)
	})
}

// Specifiers are a set of version specifiers (PEP 440), all of which have to hold.
type Specifiers []specifier

type specifier struct {
	op, text string
	version  Version
	prefix   bool // ends in .*
}

var specifierPattern = regexp.MustCompile(`^(~=|===|==|!=|<=|>=|<|>)\s*([^\s,;]+)$`)

// ParseSpecifiers parses ">=3.8, !=3.9.1". The empty text holds for all versions.
func ParseSpecifiers(s string) (Specifiers, error) {
	var out Specifiers
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		m := specifierPattern.FindStringSubmatch(part)
		if m == nil {
			return nil, fmt.Errorf("%s is not a version specifier (PEP 440)", quote(part))
		}
		sp := specifier{op: m[1], text: m[2]}
		if sp.op == "===" {
			sp.version, _ = ParseVersion(sp.text) // any text will do
			out = append(out, sp)
			continue
		}
		var err error
		text := m[2]
		if sp.op == "==" || sp.op == "!=" {
			text, sp.prefix = strings.CutSuffix(text, ".*")
		}
		if sp.version, err = ParseVersion(text); err != nil {
			return nil, fmt.Errorf("specifier %q: %w", part, err)
		}
		if sp.version.local != nil && (sp.prefix || sp.op != "==" && sp.op != "!=") {
			return nil, fmt.Errorf("specifier %q: a local version can only be equal or not", part)
		}
		if sp.prefix && (sp.version.IsPrerelease() || sp.version.post != nil) {
			return nil, fmt.Errorf("specifier %q: only numbers can be a prefix", part)
		}
		if sp.op == "~=" && len(sp.version.release) < 2 {
			return nil, fmt.Errorf("specifier %q: ~= takes at least two numbers", part)
		}
		out = append(out, sp)
	}
	return out, nil
}

// Contains reports whether v fulfils all of s. Pre-releases fulfil them only
// if prereleases is set or one of s names a pre-release; for Requires-Python set it.
func (s Specifiers) Contains(v Version, prereleases bool) bool {
	if v.IsPrerelease() && !prereleases && !slices.ContainsFunc(s, specifier.namesPrerelease) {
		return false
	}
	return !slices.ContainsFunc(s, func(sp specifier) bool { return !sp.contains(v) })
}

func (s specifier) namesPrerelease() bool {
	return s.version.IsPrerelease() && s.op != "!="
}

func (s specifier) contains(v Version) bool {
	if s.op == "===" {
		return strings.EqualFold(strings.TrimSpace(v.original), s.text)
	}
	public := v
	if s.version.local == nil {
		public.local = nil
	}
	order := public.Compare(s.version)
	sameBase := compareNumbers(v.epoch, s.version.epoch) == 0 && compareRelease(v.release, s.version.release) == 0
	switch s.op {
	case "==":
		return order == 0 || s.prefix && v.hasPrefix(s.version)
	case "!=":
		return order != 0 && !(s.prefix && v.hasPrefix(s.version))
	case "<=":
		return order <= 0
	case ">=":
		return order >= 0
	case "<": // not a pre-release of the version itself
		return order < 0 && !(sameBase && v.IsPrerelease() && !s.version.IsPrerelease())
	case ">": // not a post-release of the version itself
		return order > 0 && !(sameBase && v.post != nil && s.version.post == nil)
	}
	// ~=
	prefix := s.version
	prefix.release = prefix.release[:len(prefix.release)-1]
	return order >= 0 && v.hasPrefix(prefix)
}

// hasPrefix reports whether v is of the epoch of p and its numbers begin with those of p.
func (v Version) hasPrefix(p Version) bool {
	return compareNumbers(v.epoch, p.epoch) == 0 && compareRelease(v.release[:min(len(v.release), len(p.release))], p.release) == 0
}
