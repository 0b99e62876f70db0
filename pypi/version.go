package pypi

import (
	"cmp"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
)

// Version is a version (PEP 440).
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

// ParseVersion parses a version in any of PEP 440's spellings.
func ParseVersion(s string) (Version, error) {
	v := Version{original: s}
	m := versionPattern.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil || len(s) > 200 {
		return v, fmt.Errorf("%q is not a version (PEP 440)", s)
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
	}
	return v, nil
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
		v.epoch.Cmp(w.epoch),
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
			return nil, fmt.Errorf("%q is not a version specifier (PEP 440)", part)
		}
		sp := specifier{op: m[1], text: m[2]}
		if sp.op == "===" {
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
		if sp.op == "~=" && len(sp.version.release) < 2 {
			return nil, fmt.Errorf("specifier %q: ~= takes at least two numbers", part)
		}
		out = append(out, sp)
	}
	return out, nil
}

// Contains reports whether v fulfils all of s. Pre-releases are not treated apart.
func (s Specifiers) Contains(v Version) bool {
	return !slices.ContainsFunc(s, func(sp specifier) bool { return !sp.contains(v) })
}

func (s specifier) contains(v Version) bool {
	public := v
	if s.version.local == nil {
		public.local = nil
	}
	c := public.Compare
	switch s.op {
	case "===":
		return strings.EqualFold(v.original, s.text)
	case "==":
		if s.prefix {
			return v.hasPrefix(s.version)
		}
		return c(s.version) == 0
	case "!=":
		if s.prefix {
			return !v.hasPrefix(s.version)
		}
		return c(s.version) != 0
	case "<=":
		return c(s.version) <= 0
	case ">=":
		return c(s.version) >= 0
	case "<":
		return c(s.version) < 0 && (s.version.IsPrerelease() || !(v.IsPrerelease() && compareRelease(v.release, s.version.release) == 0))
	case ">":
		return c(s.version) > 0 && (s.version.post != nil || v.post == nil || compareRelease(v.release, s.version.release) != 0)
	}
	// ~=
	prefix := s.version
	prefix.release = prefix.release[:len(prefix.release)-1]
	prefix.pre, prefix.post, prefix.dev = "", nil, nil
	return c(s.version) >= 0 && v.hasPrefix(prefix)
}

func (v Version) hasPrefix(p Version) bool {
	if v.epoch.Cmp(p.epoch) != 0 {
		return false
	}
	n := len(p.release)
	padded := v.release
	for len(padded) < n {
		padded = append(slices.Clone(padded), new(big.Int))
	}
	return compareRelease(padded[:n], p.release) == 0 && (p.pre == "" || v.pre == p.pre && compareNumbers(v.preN, p.preN) == 0)
}
