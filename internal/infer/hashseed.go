package infer

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"regexp"
	"slices"
	"strings"
)

// maxSeeds bounds the search: enough for sets of nine elements.
const maxSeeds = 3_000_000

// hashSeed: requirements that went through a set come out in an order that
// PYTHONHASHSEED decides. The seed of the build is not in the wheel, but one
// that gives the published order can be computed.
func hashSeed(e *Evidence, a Attempt) []change {
	if a.Result == nil || a.Recipe.HashSeed != "" || !slices.Contains(a.Result.Causes(), "hash-seed") {
		return nil
	}
	groups := e.setGroups(a.Rebuilt)
	if len(groups) == 0 {
		return nil
	}
	seed, ok := findSeed(groups, !lessVersion(a.Recipe.Python, "3.11"))
	if !ok {
		return nil
	}
	r := clone(a.Recipe)
	r.HashSeed = fmt.Sprint(seed)
	return []change{{r, fmt.Sprintf("PYTHONHASHSEED=%d, which gives the published order of requirements", seed)}}
}

// A setGroup is a set of strings of the source, in the order in which they
// stand there, and the order in which the wheel has them.
type setGroup struct {
	inserted  []string
	published []string
}

var extraMarker = regexp.MustCompile(`extra == ["']([^"']+)["']`)

// setGroups are the requirements that are in another order in the rebuilt METADATA, by extra.
func (e *Evidence) setGroups(rebuilt string) []setGroup {
	want, got := requiresByExtra(e.Metadata), requiresByExtra(rebuilt)
	literals := quoted.FindAllStringSubmatch(e.Source.SetupPy+"\n"+e.Source.Pyproject, -1)
	var out []setGroup
	for _, extra := range want.extras {
		lines := want.lines[extra]
		if slices.Equal(lines, got.lines[extra]) || len(lines) > 10 {
			continue
		}
		var g setGroup
		for _, line := range lines {
			g.published = append(g.published, literal(line, literals))
		}
		for _, m := range literals {
			if slices.Contains(g.published, m[1]) && !slices.Contains(g.inserted, m[1]) {
				g.inserted = append(g.inserted, m[1])
			}
		}
		if len(g.inserted) != len(g.published) {
			return nil // strings that are put together: their hashes can't be known
		}
		out = append(out, g)
	}
	return out
}

type byExtra struct {
	extras []string
	lines  map[string][]string
}

func requiresByExtra(metadata string) byExtra {
	out := byExtra{lines: map[string][]string{}}
	header, _, _ := strings.Cut(metadata, "\n\n")
	for line := range strings.SplitSeq(header, "\n") {
		v, ok := strings.CutPrefix(line, "Requires-Dist: ")
		if !ok {
			continue
		}
		extra := ""
		if m := extraMarker.FindStringSubmatch(v); m != nil {
			extra = m[1]
		}
		if out.lines[extra] == nil {
			out.extras = append(out.extras, extra)
		}
		out.lines[extra] = append(out.lines[extra], v)
	}
	return out
}

var quoted = regexp.MustCompile(`["']([A-Za-z0-9][^"'\n]*)["']`)

// literal is the string of the source that became a Requires-Dist line.
func literal(line string, literals [][]string) string {
	name := requirementName(line)
	bounds := bare(line)
	found := ""
	for _, m := range literals {
		if requirementName(m[1]) != name {
			continue
		}
		if bare(m[1]) == bounds {
			return m[1]
		}
		if found == "" {
			found = m[1]
		}
	}
	return found
}

// bare is a requirement's characters but spaces and parentheses, without
// marker, sorted: alike for the same bounds in any order.
func bare(s string) string {
	s, _, _ = strings.Cut(s, ";")
	chars := []rune(strings.Map(func(r rune) rune {
		if strings.ContainsRune(" ()", r) {
			return -1
		}
		return r
	}, strings.ToLower(s)))
	slices.Sort(chars)
	return string(chars)
}

// findSeed is the first seed with which all groups come out as published.
func findSeed(groups []setGroup, sip13 bool) (uint32, bool) {
	for seed := range uint32(maxSeeds) {
		if !slices.ContainsFunc(groups, func(g setGroup) bool { return !slices.Equal(setOrder(g.inserted, seed, sip13), g.published) }) {
			return seed, true
		}
	}
	return 0, false
}

// setOrder is the order in which CPython's set iterates over strings that
// were added one by one (Objects/setobject.c): by slot of the hash table.
func setOrder(elements []string, seed uint32, sip13 bool) []string {
	type entry struct {
		text string
		hash uint64
	}
	table := make([]*entry, 8)
	insert := func(e *entry) {
		mask := uint64(len(table) - 1)
		perturb, i := e.hash, e.hash&mask
		for {
			probes := uint64(0)
			if i+9 <= mask {
				probes = 9
			}
			for k := range probes + 1 {
				if table[i+k] == nil {
					table[i+k] = e
					return
				}
			}
			perturb >>= 5
			i = (i*5 + 1 + perturb) & mask
		}
	}
	k0, k1 := hashKey(seed)
	for n, text := range elements {
		insert(&entry{text, sipHash(text, k0, k1, sip13)})
		if used := n + 1; used*5 >= (len(table)-1)*3 {
			old := table
			size := 8
			for size <= used*4 {
				size *= 2
			}
			table = make([]*entry, size)
			for _, e := range old {
				if e != nil {
					insert(e)
				}
			}
		}
	}
	var out []string
	for _, e := range table {
		if e != nil {
			out = append(out, e.text)
		}
	}
	return out
}

// hashKey is the key that CPython makes of PYTHONHASHSEED (Python/bootstrap_hash.c).
func hashKey(seed uint32) (k0, k1 uint64) {
	if seed == 0 {
		return 0, 0
	}
	var b [16]byte
	x := seed
	for i := range b {
		x = x*214013 + 2531011
		b[i] = byte(x >> 16)
	}
	return binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:])
}

// sipHash is CPython's hash of an ASCII string: SipHash-1-3 from 3.11 on, SipHash-2-4 before.
func sipHash(s string, k0, k1 uint64, sip13 bool) uint64 {
	if s == "" {
		return 0
	}
	c, d := 2, 4
	if sip13 {
		c, d = 1, 3
	}
	v0, v1 := k0^0x736f6d6570736575, k1^0x646f72616e646f6d
	v2, v3 := k0^0x6c7967656e657261, k1^0x7465646279746573
	rounds := func(n int) {
		for range n {
			v0 += v1
			v2 += v3
			v1 = bits.RotateLeft64(v1, 13) ^ v0
			v3 = bits.RotateLeft64(v3, 16) ^ v2
			v0 = bits.RotateLeft64(v0, 32)
			v2 += v1
			v0 += v3
			v1 = bits.RotateLeft64(v1, 17) ^ v2
			v3 = bits.RotateLeft64(v3, 21) ^ v0
			v2 = bits.RotateLeft64(v2, 32)
		}
	}
	last := uint64(len(s)) << 56
	for len(s) >= 8 {
		m := binary.LittleEndian.Uint64([]byte(s[:8]))
		v3 ^= m
		rounds(c)
		v0 ^= m
		s = s[8:]
	}
	for i := range len(s) {
		last |= uint64(s[i]) << (8 * i)
	}
	v3 ^= last
	rounds(c)
	v0 ^= last
	v2 ^= 0xff
	rounds(d)
	h := v0 ^ v1 ^ v2 ^ v3
	if h == 1<<64-1 {
		h-- // -1 means an error there
	}
	return h
}
