package native

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// Change is one function that is not the same in two images.
type Change struct {
	Kind string // changed | added | removed
	Name string // of the function, or its address where nothing names it
	A, B Function
	Why  string // for changed: instructions | a constant | what it refers to
}

// Functions is what became of all functions of two images.
type Functions struct {
	A, B    int // how many there are
	Same    int // equal, wherever they lie
	Start   int // of the changes those in objects that the C library links into every module
	Changes []Change
}

// Count counts changes of a kind.
func (f *Functions) Count(kind string) int {
	n := 0
	for _, c := range f.Changes {
		if c.Kind == kind {
			n++
		}
	}
	return n
}

// matcher pairs the functions of two images.
type matcher struct {
	a, b   *Image
	x, y   []body
	toB    []int // index in b by index in a, -1 unpaired
	toA    []int
	undo   func([]byte) []byte  // puts back the texts that were explained
	votes  map[[2]uint64]int    // how often data at one address stands where data at another does
	chosen map[uint64][2]uint64 // of them the most frequent by address in a, with its count
}

// matchFunctions pairs all functions.
func matchFunctions(a, b *Image, undo func([]byte) []byte) *matcher {
	m := &matcher{a: a, b: b, undo: undo, votes: map[[2]uint64]int{}, chosen: map[uint64][2]uint64{}}
	sa, sb := scanner{im: a}, scanner{im: b}
	m.x, m.y = make([]body, len(a.Functions)), make([]body, len(b.Functions))
	for i, f := range a.Functions {
		m.x[i] = sa.body(f)
	}
	for i, f := range b.Functions {
		m.y[i] = sb.body(f)
	}
	m.toB, m.toA = unpaired(len(m.x)), unpaired(len(m.y))
	m.byName()
	m.byBody()
	m.byCallers()
	m.byPlace()
	m.vote()
	return m
}

func unpaired(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = -1
	}
	return out
}

func (m *matcher) pair(i, j int) { m.toB[i], m.toA[j] = j, i }

// stable is a name without the numbers that compilers append, which count
// what was made before: f.part.0, f.constprop.1, f.cold.
func stable(name string) string {
	base, rest, ok := strings.Cut(name, ".")
	if !ok || base == "" {
		return name
	}
	for part := range strings.SplitSeq(rest, ".") {
		if part != "" && (part[0] < '0' || part[0] > '9') {
			base += "." + part
		}
	}
	return base
}

// byName pairs functions whose name is theirs alone, and those with one name in order.
func (m *matcher) byName() {
	names := func(fs []Function, key func(string) string, taken []int) map[string][]int {
		out := map[string][]int{}
		for i, f := range fs {
			if f.Name != "" && taken[i] < 0 {
				k := key(f.Name)
				out[k] = append(out[k], i)
			}
		}
		return out
	}
	for _, key := range []func(string) string{func(s string) string { return s }, stable} {
		x, y := names(m.a.Functions, key, m.toB), names(m.b.Functions, key, m.toA)
		for name, is := range x {
			js := y[name]
			// First those with equal code: a file has many a static function with one name.
			for _, i := range is {
				for _, j := range js {
					if m.toB[i] < 0 && m.toA[j] < 0 && m.x[i].hash == m.y[j].hash {
						m.pair(i, j)
					}
				}
				if len(js) > 64 {
					break
				}
			}
			left := func(l, taken []int) (out []int) {
				for _, i := range l {
					if taken[i] < 0 {
						out = append(out, i)
					}
				}
				return out
			}
			is, js = left(is, m.toB), left(js, m.toA)
			if len(is) == len(js) {
				for k := range is {
					m.pair(is[k], js[k])
				}
			}
		}
	}
}

// byBody pairs what has equal code: in order where several have.
func (m *matcher) byBody() {
	y := map[uint64][]int{}
	for j := range m.y {
		if m.toA[j] < 0 {
			y[m.y[j].hash] = append(y[m.y[j].hash], j)
		}
	}
	x := map[uint64][]int{}
	for i := range m.x {
		if m.toB[i] < 0 {
			x[m.x[i].hash] = append(x[m.x[i].hash], i)
		}
	}
	for hash, is := range x {
		js := y[hash]
		for k := range min(len(is), len(js)) {
			// Functions that have names, other ones, are not the same for being equal.
			if f, g := m.a.Functions[is[k]], m.b.Functions[js[k]]; f.Name == "" || g.Name == "" || f.Name == g.Name || len(is) == 1 && len(js) == 1 && f.Size > 64 {
				m.pair(is[k], js[k])
			}
		}
	}
}

// byCallers pairs what pairs of equal code refer to in the same place.
func (m *matcher) byCallers() {
	for range 3 {
		found := false
		for i, j := range m.toB {
			if j < 0 || m.x[i].hash != m.y[j].hash {
				continue
			}
			p, q := m.x[i].references, m.y[j].references
			for k := range min(len(p), len(q)) {
				f, g := m.a.function(p[k].target), m.b.function(q[k].target)
				if f >= 0 && g >= 0 && m.toB[f] < 0 && m.toA[g] < 0 && m.a.Functions[f].Name == "" && m.b.Functions[g].Name == "" &&
					p[k].target == m.a.Functions[f].Addr && q[k].target == m.b.Functions[g].Addr {
					m.pair(f, g)
					found = true
				}
			}
		}
		if !found {
			return
		}
	}
}

// byPlace pairs nameless functions between the same neighbours, where there
// are as many on both sides.
func (m *matcher) byPlace() {
	last := -1
	for i := 0; i < len(m.toB); {
		if m.toB[i] >= 0 {
			last = m.toB[i]
			i++
			continue
		}
		end := i
		for end < len(m.toB) && m.toB[end] < 0 {
			end++
		}
		var js []int
		for j := last + 1; j < len(m.toA) && m.toA[j] < 0; j++ {
			js = append(js, j)
		}
		if len(js) == end-i {
			for k, j := range js {
				if m.a.Functions[i+k].Name == "" || m.b.Functions[j].Name == "" {
					m.pair(i+k, j)
				}
			}
		}
		i = end
	}
}

// vote counts which data of b stands where data of a does.
func (m *matcher) vote() {
	for i, j := range m.toB {
		if j < 0 || m.x[i].hash != m.y[j].hash {
			continue
		}
		p, q := m.x[i].references, m.y[j].references
		for k := range min(len(p), len(q)) {
			if p[k].branch {
				continue
			}
			key := [2]uint64{p[k].target, q[k].target}
			m.votes[key]++
			// Of equal counts the lower address, so that the outcome has one order.
			if c := m.chosen[key[0]]; uint64(m.votes[key]) > c[1] || uint64(m.votes[key]) == c[1] && key[1] < c[0] {
				m.chosen[key[0]] = [2]uint64{key[1], uint64(m.votes[key])}
			}
		}
	}
}

func (m *matcher) changes() *Functions {
	out := &Functions{A: len(m.x), B: len(m.y)}
	for i, j := range m.toB {
		f := m.a.Functions[i]
		if j < 0 {
			out.Changes = append(out.Changes, Change{Kind: "removed", Name: f.label(), A: f})
			continue
		}
		g := m.b.Functions[j]
		c := Change{Kind: "changed", Name: f.label(), A: f, B: g}
		if g.Name != "" && f.Name == "" {
			c.Name = g.Name
		}
		if m.x[i].hash != m.y[j].hash {
			c.Why = "instructions"
			out.Changes = append(out.Changes, c)
		} else if why := m.refersElsewhere(i, j); why != "" {
			c.Why = why
			out.Changes = append(out.Changes, c)
		} else {
			out.Same++
		}
	}
	for j, i := range m.toA {
		if g := m.b.Functions[j]; i < 0 {
			out.Changes = append(out.Changes, Change{Kind: "added", Name: g.label(), B: g})
		}
	}
	slices.SortStableFunc(out.Changes, func(x, y Change) int {
		return cmp.Or(cmp.Compare(kindRank(x.Kind), kindRank(y.Kind)), cmp.Compare(max(x.A.Addr, x.B.Addr), max(y.A.Addr, y.B.Addr)))
	})
	return out
}

func kindRank(kind string) int { return slices.Index([]string{"changed", "added", "removed"}, kind) }

func (f Function) label() string {
	if f.Name != "" {
		return f.Name
	}
	return "code at " + hexAddr(f.Addr)
}

// refersElsewhere says which of the references of two functions with equal
// code are not the same; "" when all are.
func (m *matcher) refersElsewhere(i, j int) string {
	p, q := m.x[i].references, m.y[j].references
	if len(p) != len(q) {
		return "what it refers to"
	}
	for k := range p {
		if why := m.otherTarget(p[k], q[k]); why != "" {
			return why
		}
	}
	return ""
}

// otherTarget compares what two instructions refer to.
func (m *matcher) otherTarget(p, q reference) string {
	f, g := m.a.function(p.target), m.b.function(q.target)
	if f >= 0 && g >= 0 {
		if m.toB[f] == g || m.x[f].hash == m.y[g].hash || m.toB[f] < 0 && m.toA[g] < 0 {
			return ""
		}
		if x, y := m.a.Functions[f], m.b.Functions[g]; stable(x.Name) == stable(y.Name) && x.Name != "" || x.Name == "" && y.Name == "" && p.target != x.Addr {
			return ""
		}
		return "calls " + m.b.Functions[g].label() + ", not " + m.a.Functions[f].label()
	}
	s, t := m.a.section(p.target), m.b.section(q.target)
	if s == nil || t == nil {
		return ""
	}
	if s.Kind == Tables && t.Kind == Tables || s.Kind == Code != (t.Kind == Code) {
		x, y := m.a.imported(p.target), m.b.imported(q.target)
		if x != y && x != "" && y != "" {
			return "calls " + y + ", not " + x
		}
		return ""
	}
	if s.Kind != t.Kind {
		return "refers to " + string(t.Kind) + ", not " + string(s.Kind)
	}
	if s.Kind == ReadOnly || s.Kind == Data {
		if x, ok := m.a.pointers[p.target]; ok && x.symbol != "" {
			if y := m.b.pointers[q.target]; y.symbol != x.symbol {
				return "refers to " + y.symbol + ", not " + x.symbol
			}
			return ""
		}
	}
	if s.Kind == ReadOnly {
		x, y := m.a.at(p.target), m.b.at(q.target)
		if p.load > 0 {
			n := int(p.load)
			if len(x) >= n && len(y) >= n && !bytes.Equal(x[:n], y[:n]) {
				return "a constant"
			}
			return ""
		}
		v, ok1 := cString(x)
		w, ok2 := cString(y)
		if ok1 && ok2 && v != w && len(v) > 3 && len(w) > 3 && string(m.undo([]byte(w))) != v {
			return "the text " + quote(w) + ", not " + quote(v)
		}
		return ""
	}
	if p.branch {
		return ""
	}
	if c := m.chosen[p.target]; c[1] > 1 && c[0] != q.target && m.votes[[2]uint64{p.target, q.target}] == 1 && c[1] > 3 {
		return "refers to another variable"
	}
	return ""
}

// sameConstants reports whether two functions have the same numbers in them.
func (m *matcher) sameConstants(c Change) bool {
	return slices.Equal(m.a.constants(c.A), m.b.constants(c.B))
}

// sameNames reports whether two functions refer to the same functions and
// imports, in whatever order: other code of one source.
func (m *matcher) sameNames(c Change) bool {
	return slices.Equal(m.a.named(m.x[m.a.function(c.A.Addr)]), m.b.named(m.y[m.b.function(c.B.Addr)]))
}

// constants are the numbers in a function's instructions, each once, but for
// those that optimisers make and take away.
func (im *Image) constants(f Function) (out []int64) {
	for b := im.code(f); im.Machine == "x86-64" && len(b) > 0; {
		in := decodeX86(b)
		if in.imm > 1 || in.imm < -1 {
			out = append(out, in.imm)
		}
		b = b[in.length:]
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// named are the functions and imports that a function refers to.
func (im *Image) named(b body) (out []string) {
	for _, r := range b.references {
		if i := im.function(r.target); i >= 0 {
			out = append(out, "f "+stable(im.Functions[i].Name))
		} else if s := im.imported(r.target); s != "" {
			out = append(out, "i "+s)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// imported is the import behind an entry of the procedure linkage table or a
// slot of the global offset table.
func (im *Image) imported(addr uint64) string {
	if p, ok := im.pointers[addr]; ok {
		return p.symbol
	}
	b := im.at(addr)
	for n := 0; n < 3 && len(b) > 0; n++ {
		in := decodeX86(b)
		if im.Machine == "x86-64" && in.opcode == 0xff && in.field > 0 && !in.branch && in.length <= len(b) {
			return im.pointers[in.target(b, addr)].symbol
		}
		addr += uint64(in.length)
		b = b[in.length:]
	}
	return ""
}
