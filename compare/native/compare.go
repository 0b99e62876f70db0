package native

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/truewheel/truewheel/compare/cause"
	"github.com/truewheel/truewheel/compare/text"
)

// Result is in what two images differ.
type Result struct {
	Findings  []cause.Finding
	Functions *Functions // nil where no code differs
}

// Compare says in what b, the rebuilt image, differs from a.
//
// A finding is sure when what it speaks of, put back, makes all that is
// loaded and all that is not the same; headers and identifiers that a linker
// computes from the rest are not counted.
func Compare(a, b *Image) *Result {
	c := &comparison{a: a, b: b, Result: &Result{}, covered: map[string]bool{}}
	if a.Format != b.Format || a.Machine != b.Machine {
		c.add(cause.Finding{Where: "format", A: a.Format + " " + a.Machine, B: b.Format + " " + b.Machine})
		return c.Result
	}
	c.sections()
	if len(c.differing()) > 0 {
		c.tools()
		c.identifiers()
		c.links()
		c.symbols()
		c.texts()
		c.code()
	}
	c.headers()
	c.rest()
	c.certify()
	return c.Result
}

// A sectionPair is a section that differs, or that only one side has.
type sectionPair struct{ a, b *Section }

func (p sectionPair) name() string { return p.section().Name }

func (p sectionPair) section() *Section {
	if p.a != nil {
		return p.a
	}
	return p.b
}

type comparison struct {
	*Result
	a, b                *Image
	other, onlyA, onlyB []sectionPair
	moved               bool            // sections lie at other addresses
	covered             map[string]bool // sections whose difference a finding speaks of
	minus, plus         []string        // texts of one side only
	undone              []substitution
}

type substitution struct{ a, b string }

func (c *comparison) add(f cause.Finding) {
	if f.Detail == "" {
		f.Detail = f.A + " against " + f.B
	}
	c.Findings = append(c.Findings, f)
}

func (c *comparison) cover(sections ...string) {
	for _, s := range sections {
		c.covered[s] = true
	}
}

// sections finds which differ.
func (c *comparison) sections() {
	byName := func(im *Image) ([]string, map[string]*Section) {
		var names []string
		at, seen := map[string]*Section{}, map[string]int{}
		for i := range im.Sections {
			s := &im.Sections[i]
			name := s.Name
			if seen[s.Name]++; seen[s.Name] > 1 {
				name = fmt.Sprintf("%s#%d", s.Name, seen[s.Name])
			}
			at[name] = s
			names = append(names, name)
		}
		return names, at
	}
	names, x := byName(c.a)
	others, y := byName(c.b)
	for _, name := range names {
		s, t := x[name], y[name]
		if t == nil {
			c.onlyA = append(c.onlyA, sectionPair{a: s})
			continue
		}
		if s.Addr != t.Addr {
			c.moved = true
		}
		if s.Size != t.Size || s.Flags != t.Flags || !bytes.Equal(s.Bytes, t.Bytes) {
			c.other = append(c.other, sectionPair{s, t})
		}
	}
	for _, name := range others {
		if x[name] == nil {
			c.onlyB = append(c.onlyB, sectionPair{b: y[name]})
		}
	}
}

// differing are all sections that are not the same on both sides.
func (c *comparison) differing() []sectionPair { return slices.Concat(c.other, c.onlyA, c.onlyB) }

func (c *comparison) differs(name string) bool {
	return slices.ContainsFunc(c.differing(), func(p sectionPair) bool { return p.name() == name })
}

var flagWords = regexp.MustCompile(`(^| )(-[A-Za-z][^ ]*)`)

// tools are compilers, linkers and their flags.
func (c *comparison) tools() {
	a, b := c.a, c.b
	if !slices.Equal(a.Compilers, b.Compilers) {
		c.add(cause.Finding{Where: "compiler", Cause: "compiler", A: join(a.Compilers), B: join(b.Compilers)})
		c.cover(".comment")
	}
	x, y := producers(a), producers(b)
	if len(x) > 0 && len(y) > 0 && !slices.Equal(x, y) && slices.Equal(a.Compilers, b.Compilers) {
		c.add(cause.Finding{Where: "DW_AT_producer", Cause: "compiler", A: join(x), B: join(y)})
	}
	if x, y := flags(a), flags(b); len(a.Producers) > 0 && len(b.Producers) > 0 && !slices.Equal(x, y) {
		c.add(cause.Finding{Where: "DW_AT_producer", Cause: "compiler-flags", A: strings.Join(text.Without(x, y), " "), B: strings.Join(text.Without(y, x), " "),
			Detail: "flags of the compiler: " + change(x, y, 8)})
	}
	if c.differs(".GCC.command.line") {
		c.add(cause.Finding{Where: ".GCC.command.line", Cause: "compiler-flags", Detail: "recorded switches: " + change(commandLine(a), commandLine(b), 8)})
		c.cover(".GCC.command.line")
	}
	if a.Linker != b.Linker {
		c.add(cause.Finding{Where: "linker", Cause: "linker", A: orNone(a.Linker), B: orNone(b.Linker)})
		c.cover(".comment", ".note.gnu.gold-version")
	} else {
		c.layout()
	}
	for _, t := range c.toolVersions() {
		c.add(t)
	}
}

func orNone(s string) string {
	if s == "" {
		return "not named"
	}
	return s
}

// layout speaks of sections in another order, as other linkers place them.
func (c *comparison) layout() {
	loaded := func(im *Image) (out []string) {
		for _, s := range im.Sections {
			if s.Addr != 0 && s.Kind != Debug {
				out = append(out, s.Name)
			}
		}
		return out
	}
	x, y := loaded(c.a), loaded(c.b)
	common := func(l, of []string) (out []string) {
		has := map[string]bool{}
		for _, s := range of {
			has[s] = true
		}
		for _, s := range l {
			if has[s] {
				out = append(out, s)
			}
		}
		return out
	}
	// Repair tools move what the loader reads; only code and data tell of linkers.
	steady := func(l []string) []string {
		return slices.DeleteFunc(slices.Clone(l), func(s string) bool {
			return strings.HasPrefix(s, ".dyn") || strings.HasPrefix(s, ".gnu") || strings.HasPrefix(s, ".note") || strings.HasPrefix(s, ".rel")
		})
	}
	p, q := steady(common(x, y)), steady(common(y, x))
	if !slices.Equal(p, q) && len(p) > 5 {
		c.add(cause.Finding{Where: "order of sections", Cause: "linker", Detail: "the same sections in another order: " + strings.Join(p, " ") + " against " + strings.Join(q, " ")})
	}
}

// producers are the compilers that DWARF names, without their flags.
func producers(im *Image) (out []string) {
	for _, p := range im.Producers {
		p, _, _ = strings.Cut(p, " -")
		out = append(out, p)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// flags are the flags in all producers, each once; paths are another cause.
func flags(im *Image) (out []string) {
	for _, p := range im.Producers {
		for _, m := range flagWords.FindAllStringSubmatch(p, -1) {
			if !strings.Contains(m[2], "/") {
				out = append(out, m[2])
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func commandLine(im *Image) (out []string) {
	for _, s := range im.Sections {
		if s.Name == ".GCC.command.line" {
			out = append(out, texts(s.Bytes)...)
		}
	}
	return out
}

// identifiers are numbers that name a build.
func (c *comparison) identifiers() {
	a, b := c.a, c.b
	if a.BuildID != b.BuildID {
		c.add(cause.Finding{Where: "build-id", Cause: cause.Consequence, A: orNone(a.BuildID), B: orNone(b.BuildID)})
		c.cover(".note.gnu.build-id", "LC_UUID", ".gnu_debuglink", ".buildid")
	}
	if a.Linked != b.Linked {
		c.add(cause.Finding{Where: "time stamp", Cause: "link-time", A: a.Linked, B: b.Linked})
		c.cover(".edata")
	}
	signature := func(im *Image) []byte {
		for _, s := range im.Sections {
			if s.Kind == Signature {
				return s.Bytes
			}
		}
		return nil
	}
	if x, y := signature(a), signature(b); !bytes.Equal(x, y) {
		name := "signature"
		if x != nil && y != nil && a.Format == "Mach-O" && adhoc(x) && adhoc(y) {
			name = cause.Consequence // a hash of the pages, signed by nobody
		}
		c.add(cause.Finding{Where: "signature", Cause: name, Detail: fmt.Sprintf("%d bytes against %d", len(x), len(y))})
		c.cover("LC_CODE_SIGNATURE", "certificates")
	}
}

// adhoc reports whether a Mach-O signature holds no certificate: its CMS blob
// (slot 0x10000) is missing or empty.
func adhoc(b []byte) bool {
	if len(b) < 12 {
		return false
	}
	for i := range int(min(binary.BigEndian.Uint32(b[8:]), 64)) {
		at := 12 + 8*i
		if at+8 > len(b) {
			return false
		}
		if slot, off := binary.BigEndian.Uint32(b[at:]), binary.BigEndian.Uint32(b[at+4:]); slot == 0x10000 {
			return int64(off)+8 <= int64(len(b)) && binary.BigEndian.Uint32(b[off+4:]) <= 8
		}
	}
	return true
}

// hashed is the name of a library with the hash that auditwheel, delvewheel
// and others put in it.
var hashed = regexp.MustCompile(`-[0-9a-f]{8,64}(\.|$)`)

// Plain is the name of a library without such hashes.
func Plain(name string) string {
	for hashed.MatchString(name) {
		name = hashed.ReplaceAllString(name, "$1")
	}
	return name
}

func plain(l []string) (out []string) {
	for _, s := range l {
		out = append(out, Plain(s))
	}
	return out
}

// links is what the image asks the loader for.
func (c *comparison) links() {
	a, b := c.a, c.b
	switch {
	case slices.Equal(a.Needed, b.Needed):
	case slices.Equal(plain(a.Needed), plain(b.Needed)):
		c.add(cause.Finding{Where: "needed libraries", Cause: "vendored-library", Detail: change(a.Needed, b.Needed, 4), A: join(text.Without(a.Needed, b.Needed)), B: join(text.Without(b.Needed, a.Needed))})
	default:
		c.add(cause.Finding{Where: "needed libraries", Cause: "link-target", Detail: change(a.Needed, b.Needed, 6), A: join(a.Needed), B: join(b.Needed)})
	}
	if a.Name != b.Name {
		name := ""
		if Plain(a.Name) == Plain(b.Name) {
			name = "vendored-library"
		} else if (a.Name == "") != (b.Name == "") && !slices.Equal(a.Compilers, b.Compilers) {
			name = "compiler" // it is the compiler that names what it links, or does not
		}
		c.add(cause.Finding{Where: "own name", Cause: name, A: orNone(a.Name), B: orNone(b.Name)})
	}
	if !slices.Equal(a.RunPath, b.RunPath) {
		name := "link-target"
		if absolute := func(s string) bool { return strings.HasPrefix(s, "/") }; slices.ContainsFunc(text.Without(a.RunPath, b.RunPath), absolute) || slices.ContainsFunc(text.Without(b.RunPath, a.RunPath), absolute) {
			name = "build-path"
		}
		c.add(cause.Finding{Where: "rpath", Cause: name, A: join(a.RunPath), B: join(b.RunPath)})
	}
	if x, y := otherVersions(a.Imports, b.Imports); len(x) > 0 {
		c.add(cause.Finding{Where: "symbol versions", Cause: "link-target", Detail: change(x, y, 6)})
	}
	var seen []string
	for _, f := range slices.Concat(a.Facts, b.Facts) {
		if v, w := valueOf(a.Facts, f.Name, "none"), valueOf(b.Facts, f.Name, "none"); v != w && !slices.Contains(seen, f.Name) {
			seen = append(seen, f.Name)
			c.add(cause.Finding{Where: f.Name, Cause: c.factCause(f.Name), A: v, B: w})
		}
	}
}

// valueOf is what a fact says, none when it is not there.
func valueOf(l []Fact, name, none string) string {
	for _, f := range l {
		if f.Name == name {
			return f.Value
		}
	}
	return none
}

// otherVersions are the imports that both sides have in other versions.
func otherVersions(a, b []string) (x, y []string) {
	version := map[string]string{}
	for _, s := range b {
		name, v, _ := strings.Cut(s, "@")
		version[name] = v
	}
	for _, s := range a {
		name, v, _ := strings.Cut(s, "@")
		if w, ok := version[name]; ok && w != v {
			x, y = append(x, s), append(y, name+"@"+w)
		}
	}
	return x, y
}

func (c *comparison) factCause(name string) string {
	switch name {
	case "SDK", "minimum OS", "subsystem version":
		return "compiler"
	case "DT_FLAGS", "DT_FLAGS_1", "stack", "DLL characteristics":
		return "compiler-flags"
	}
	return ""
}

// symbols is what the image gives and takes by name, and what debuggers read.
func (c *comparison) symbols() {
	a, b := c.a, c.b
	unversioned := func(l []string) (out []string) {
		for _, s := range l {
			s, _, _ = strings.Cut(s, "@")
			out = append(out, s)
		}
		return out
	}
	if x, y := unversioned(a.Imports), unversioned(b.Imports); !slices.Equal(x, y) {
		name := c.codeCause()
		if d := slices.Concat(text.Without(x, y), text.Without(y, x)); name == "" && slices.ContainsFunc(d, hardens) && !slices.ContainsFunc(d, func(s string) bool { return !hardens(s) && !slices.Contains(d, "__"+s+"_chk") }) {
			name = "compiler-flags"
		}
		c.add(cause.Finding{Where: "imports", Cause: name, Detail: change(x, y, 6)})
	}
	if !slices.Equal(a.Exports, b.Exports) {
		c.add(cause.Finding{Where: "exports", Cause: c.codeCause(), Detail: change(a.Exports, b.Exports, 6)})
	}
	if a.Symtab != b.Symtab {
		c.add(cause.Finding{Where: "symbols", Cause: "strip", Detail: onlyOne(a.Symtab, "symbols that the loader does not need")})
		c.cover(".symtab", ".strtab", ".shstrtab", "__LINKEDIT")
	}
	if x, y := c.has(".gnu_debuglink"); x != y {
		c.add(cause.Finding{Where: ".gnu_debuglink", Cause: "debug", Detail: onlyOne(x, "a link to a debug file")})
		c.cover(".gnu_debuglink", ".shstrtab")
	}
	debug := func(l []sectionPair) (out []string) {
		for _, p := range l {
			if p.section().Kind == Debug && p.name() != ".gnu_debuglink" {
				out = append(out, p.name())
			}
		}
		return out
	}
	if x, y := debug(c.onlyA), debug(c.onlyB); len(x)+len(y) > 0 && (len(a.Producers) == 0) != (len(b.Producers) == 0) {
		name := "debug"
		if a.Symtab != b.Symtab {
			name = "strip"
		}
		c.add(cause.Finding{Where: "debug information", Cause: name, Detail: onlyOne(len(x) > 0, "debug sections")})
		c.cover(append(x, y...)...)
		c.cover(".symtab", ".strtab", ".shstrtab")
	}
}

// has reports which sides have a section.
func (c *comparison) has(name string) (a, b bool) {
	is := func(s Section) bool { return s.Name == name }
	return slices.ContainsFunc(c.a.Sections, is), slices.ContainsFunc(c.b.Sections, is)
}

// hardens reports whether an import is one that -fstack-protector and
// _FORTIFY_SOURCE ask for.
func hardens(s string) bool {
	return s == "__stack_chk_fail" || strings.HasPrefix(s, "__") && strings.HasSuffix(s, "_chk")
}

func onlyOne(first bool, what string) string {
	if first {
		return what + " only in the first"
	}
	return what + " only in the second"
}

// toolVersions are fingerprints of what generated the source.
func (c *comparison) toolVersions() (out []cause.Finding) {
	x, y := c.a.Tools(), c.b.Tools()
	for _, t := range []struct{ tool, cause string }{{"Cython", "cython-version"}, {"NumPy API", "numpy-version"}, {"pybind11", ""}, {"rustc", "compiler"}, {"Go", "compiler"}} {
		if v, w := valueOf(x, t.tool, ""), valueOf(y, t.tool, ""); v != w && v != "" && w != "" {
			out = append(out, cause.Finding{Where: t.tool, Cause: t.cause, Detail: fmt.Sprintf("%s %s against %s", t.tool, v, w), A: v, B: w})
		}
	}
	return out
}

var (
	cDate = regexp.MustCompile(`(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 0-3]\d \d{4}`)
	cTime = regexp.MustCompile(`[0-2]\d:[0-5]\d:[0-6]\d`)
)

// texts compares the texts that only one side has.
func (c *comparison) texts() {
	differ := slices.ContainsFunc(c.differing(), func(p sectionPair) bool {
		k := p.section().Kind
		return k == ReadOnly || k == Data || k == Debug || k == Other
	})
	if !differ {
		return
	}
	x, y := c.a.allTexts(), c.b.allTexts()
	c.minus, c.plus = text.Without(x, y), text.Without(y, x)
	if c.paths() {
		return
	}
	minus, plus := slices.Clone(c.minus), slices.Clone(c.plus)
	slices.Sort(minus)
	slices.Sort(plus)
	if len(minus) != len(plus) || len(minus) > 4096 {
		return
	}
	byCause := map[string][]substitution{}
	var names []string
	for i := range minus {
		name := c.classify(minus[i], plus[i])
		if len(byCause[name]) == 0 {
			names = append(names, name)
		}
		byCause[name] = append(byCause[name], substitution{minus[i], plus[i]})
	}
	for _, name := range names {
		s := byCause[name]
		if name == "" {
			continue
		}
		c.undone = append(c.undone, s...)
		f := cause.Finding{Where: "text", Cause: name, A: quote(s[0].a), B: quote(s[0].b)}
		f.Detail = f.A + " against " + f.B
		if len(s) > 1 {
			f.Detail += fmt.Sprintf(" (and %d more such)", len(s)-1)
		}
		c.add(f)
	}
}

// classify names the cause of one text in the place of another.
func (c *comparison) classify(a, b string) string {
	masked := func(re *regexp.Regexp) bool {
		return re.MatchString(a) && re.MatchString(b) && re.ReplaceAllString(a, "") == re.ReplaceAllString(b, "")
	}
	switch {
	case masked(cDate), masked(cTime), cDate.MatchString(a) && cTime.ReplaceAllString(cDate.ReplaceAllString(a, ""), "") == cTime.ReplaceAllString(cDate.ReplaceAllString(b, ""), "") && cDate.MatchString(b):
		return "date-macro"
	case strings.HasPrefix(a, "_cython_") && strings.HasPrefix(b, "_cython_"):
		return "cython-version"
	case Plain(a) == Plain(b) && strings.Contains(a, ".so"):
		return "vendored-library"
	}
	name := text.Classify(a, b, a+"\n"+b, "")
	if name == "build-path" && strings.HasPrefix(a, "/usr/") && strings.HasPrefix(b, "/usr/") {
		return c.codeCause() // where the compiler's own headers lie
	}
	return name
}

// paths looks for one directory in the place of another in all texts.
func (c *comparison) paths() bool {
	from, to := directory(c.minus, c.plus)
	if from == "" {
		from, to = directory(text.Without(c.a.Dirs, c.b.Dirs), text.Without(c.b.Dirs, c.a.Dirs))
	}
	if from == "" || strings.HasPrefix(from, "/usr/") && strings.HasPrefix(to, "/usr/") { // where the compiler's own headers lie
		return false
	}
	// All that differs is the directory, when putting it back leaves nothing.
	var left []string
	for _, s := range c.plus {
		left = append(left, strings.ReplaceAll(s, to, from))
	}
	rest := len(text.Without(c.minus, left)) + len(text.Without(left, c.minus))
	f := cause.Finding{Where: "text", Cause: "build-path", A: from, B: to}
	if name := text.Classify(from, to, from+"\n"+to, ""); name != "" {
		f.Cause = name // an interpreter of another version lies elsewhere, too
	}
	f.Detail = fmt.Sprintf("%s against %s in %d texts", from, to, len(c.minus))
	for _, s := range c.minus {
		if strings.Contains(s, from) {
			f.Detail += ", such as " + quote(s)
			break
		}
	}
	c.add(f)
	c.undone = append(c.undone, substitution{from, to})
	return rest == 0
}

// directory finds the directories of builds in texts of which the ends are alike.
func directory(minus, plus []string) (from, to string) {
	count := map[[2]string]int{}
	ends := map[string][]string{}
	tail := func(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }
	rooted := func(s string) bool { return strings.HasPrefix(s, "/") || len(s) > 2 && s[1] == ':' }
	for _, s := range plus {
		if rooted(s) && len(s) < 4096 {
			ends[tail(s)] = append(ends[tail(s)], s)
		}
	}
	var best [2]string
	for _, s := range minus {
		if !rooted(s) || len(s) >= 4096 {
			continue
		}
		for _, t := range ends[tail(s)][:min(4, len(ends[tail(s)]))] {
			n := 0
			for n < min(len(s), len(t)) && s[len(s)-1-n] == t[len(t)-1-n] {
				n++
			}
			key := [2]string{s[:len(s)-n], t[:len(t)-n]}
			if i := strings.IndexByte(s[len(s)-n:], '/'); i >= 0 { // whole names of directories
				key = [2]string{s[:len(s)-n+i], t[:len(t)-n+i]}
			}
			if len(key[0]) < 2 || len(key[1]) < 2 {
				continue
			}
			count[key]++
			if n := count[key]; n > count[best] || n == count[best] && key[0] < best[0] {
				best = key
			}
		}
	}
	if best[0] == "" { // the directories themselves
		for _, s := range minus[:min(50, len(minus))] {
			for _, t := range plus[:min(50, len(plus))] {
				if rooted(s) && rooted(t) && text.Classify(s, t, "", "") == "build-path" && !strings.ContainsAny(s+t, " \n") {
					return s, t
				}
			}
		}
	}
	return best[0], best[1]
}

// allTexts are the texts of data and of debug information.
func (im *Image) allTexts() []string {
	var out []string
	for _, s := range im.Sections {
		if s.Kind == ReadOnly || s.Kind == Data || s.Name == ".debug_str" || s.Name == ".debug_line_str" || s.Name == "__DWARF,__debug_str" || s.Name == "__DWARF,__debug_line_str" {
			out = append(out, texts(s.Bytes)...)
		}
	}
	return out
}

// code compares functions.
func (c *comparison) code() {
	differ := slices.ContainsFunc(c.differing(), func(p sectionPair) bool {
		k := p.section().Kind
		return k == Code || k == ReadOnly || k == Data || k == Zero
	})
	if !differ {
		return
	}
	m := matchFunctions(c.a, c.b, c.undo)
	fs := m.changes()
	if len(fs.Changes) == 0 {
		return
	}
	for _, ch := range fs.Changes {
		if runtimes[ch.Name] {
			fs.Start++
		}
	}
	c.Functions = fs
	f := cause.Finding{Where: "functions", Cause: c.codeCause(), Detail: fmt.Sprintf("%d of %d functions changed", fs.Count("changed"), fs.A)}
	if n := fs.Count("added"); n > 0 {
		f.Detail += fmt.Sprintf(", %d added", n)
	}
	if n := fs.Count("removed"); n > 0 {
		f.Detail += fmt.Sprintf(", %d removed", n)
	}
	for i, ch := range fs.Changes {
		if i == 3 {
			f.Detail += ", …"
			break
		}
		f.Detail += pick(i == 0, ": ", ", ") + ch.Name
	}
	if f.Cause == "" {
		f.Cause = c.flagsByCode(m)
		if f.Cause != "" {
			f.Detail += c.flagEvidence()
		}
	}
	c.add(f)
}

// codeCause is what explains other code, when something found before does.
func (c *comparison) codeCause() string {
	for _, name := range []string{"compiler", "compiler-flags", "cython-version", "numpy-version", "python-version", "linker"} {
		for _, f := range c.Findings {
			if f.Cause == name {
				return name
			}
		}
	}
	return ""
}

// flagsByCode tells other flags by what the code looks like: instructions that
// only one side has; most functions compiled otherwise, or all of them to
// other instructions with the same numbers, for the same texts, imports and exports.
func (c *comparison) flagsByCode(m *matcher) string {
	x, y := c.a.vectors(), c.b.vectors()
	if (x == 0) != (y == 0) && c.Functions.Count("changed") > 0 {
		return "compiler-flags"
	}
	if len(c.minus)+len(c.plus) > 0 || !slices.Equal(c.a.Exports, c.b.Exports) {
		return ""
	}
	const trifle = 32 // bytes: a function so small is the same with any flags
	all, otherwise, constants, shuffled := 0, 0, c.a.Machine == "x86-64", true
	for _, f := range c.a.Functions {
		if f.Size >= trifle && !runtimes[f.Name] && f.Name != "" {
			all++
		}
	}
	for _, ch := range c.Functions.Changes {
		switch {
		case ch.Kind != "changed" || ch.A.Size < trifle:
			continue
		case ch.Why != "instructions" || slices.Equal(c.a.opcodes(ch.A), c.b.opcodes(ch.B)) || !m.sameNames(ch):
			return ""
		}
		otherwise++
		constants = constants && m.sameConstants(ch)
		x, y := c.a.opcodes(ch.A), c.b.opcodes(ch.B)
		slices.Sort(x)
		slices.Sort(y)
		shuffled = shuffled && slices.Equal(x, y)
	}
	if otherwise >= 2 && otherwise*5 >= all*2 || otherwise > 0 && constants && (shuffled || all == 1) {
		return "compiler-flags"
	}
	return ""
}

func (c *comparison) flagEvidence() string {
	x, y := c.a.vectors(), c.b.vectors()
	if (x == 0) != (y == 0) {
		return fmt.Sprintf("; %d AVX instructions against %d", x, y)
	}
	return "; the same texts, imports and exports"
}

// runtimes are functions of the C runtime's objects, which are compiled once for all.
var runtimes = map[string]bool{"_init": true, "_fini": true, "_start": true, "deregister_tm_clones": true, "register_tm_clones": true, "__do_global_dtors_aux": true, "frame_dummy": true}

// vectors counts AVX instructions.
func (im *Image) vectors() int {
	if im.Machine != "x86-64" {
		return 0
	}
	n := 0
	for _, f := range im.Functions {
		for b := im.code(f); len(b) > 0; {
			in := decodeX86(b)
			if in.vector {
				n++
			}
			b = b[in.length:]
		}
	}
	return n
}

// opcodes are those of a function, in order.
func (im *Image) opcodes(f Function) (out []uint16) {
	b := im.code(f)
	for im.Machine == "x86-64" && len(b) > 0 {
		in := decodeX86(b)
		out = append(out, in.opcode)
		b = b[in.length:]
	}
	for im.Machine == "arm64" && len(b) >= 4 {
		out = append(out, binary.LittleEndian.Uint16(b[2:])>>5)
		b = b[4:]
	}
	return out
}

// headers are compared by what was read of them.
func (c *comparison) headers() {
	if len(c.differing()) > 0 || len(c.Findings) > 0 {
		return
	}
	if c.a.Linked != c.b.Linked {
		c.add(cause.Finding{Where: "time stamp", Cause: "link-time", A: c.a.Linked, B: c.b.Linked})
	}
	c.links()
	c.layout()
}

// rest speaks of the sections that nothing spoke of yet.
func (c *comparison) rest() {
	codeChanged := c.Functions != nil
	for _, p := range c.differing() {
		s := p.section()
		if c.covered[s.Name] {
			continue
		}
		f := cause.Finding{Where: s.Name, Cause: cause.Consequence}
		switch {
		case p.a == nil || p.b == nil:
			f.Detail = onlyOne(p.b == nil, string(s.Kind))
			if f.Cause = c.codeCause(); f.Cause == "" && (s.Kind == Tables || s.Kind == Debug || s.Kind == Symbols || s.Kind == Zero) {
				f.Cause = cause.Consequence
			}
		case s.Kind == Tables, s.Kind == Symbols, s.Kind == Debug, s.Kind == Code, s.Kind == Zero:
			f.Detail = "addresses and offsets"
			if s.Kind == Code && codeChanged {
				f.Detail = "the functions above, and addresses"
			}
			if s.Kind == Code && !codeChanged && !c.moved && !c.spokenOf() {
				f.Cause, f.Detail = "", fmt.Sprintf("%d bytes of code differ", distinct(p.a.Bytes, p.b.Bytes))
			}
			if s.Kind == Debug && !c.moved && !codeChanged && !c.spokenOf() {
				f.Cause, f.Detail = "debug", fmt.Sprintf("%d bytes against %d", len(p.a.Bytes), len(p.b.Bytes))
			}
		case s.Kind == ReadOnly || s.Kind == Data:
			f = c.data(p)
		case s.Kind == Note && (c.moved || codeChanged) && len(p.a.Bytes) == len(p.b.Bytes):
			f.Detail = "addresses" // annobin's notes say which code they are about
		case s.Kind == Note:
			f.Cause, f.Detail = c.codeCause(), fmt.Sprintf("%d bytes against %d", len(p.a.Bytes), len(p.b.Bytes))
		default:
			f.Cause, f.Detail = c.codeCause(), fmt.Sprintf("%d bytes against %d", len(p.a.Bytes), len(p.b.Bytes))
		}
		c.add(f)
	}
}

// spokenOf reports whether something was found that other things follow from.
func (c *comparison) spokenOf() bool {
	return slices.ContainsFunc(c.Findings, func(f cause.Finding) bool { return f.Cause != cause.Consequence })
}

// data speaks of a section of data that differs.
func (c *comparison) data(p sectionPair) cause.Finding {
	f := cause.Finding{Where: p.name(), Cause: cause.Consequence}
	x, y := c.a.withoutPointers(p.a), c.b.withoutPointers(p.b)
	switch {
	case bytes.Equal(x, y):
		f.Detail = "addresses"
		return f
	case bytes.Equal(x, c.undo(y)):
		f.Detail = "the texts above"
		return f
	}
	f.Cause = c.codeCause()
	minus, plus := text.Without(texts(p.a.Bytes), texts(p.b.Bytes)), text.Without(texts(p.b.Bytes), texts(p.a.Bytes))
	minus, plus = c.unexplained(minus, plus)
	switch {
	case len(minus)+len(plus) > 0:
		f.Detail = "texts: " + change(quoted(minus), quoted(plus), 3)
	case c.moved || c.Functions != nil || len(c.undone) > 0:
		// Jump tables and constants beside code that moved or changed.
		f.Cause, f.Detail = cause.Consequence, "constants and tables of code that moved or changed"
	default:
		f.Detail = fmt.Sprintf("%d bytes differ", distinct(x, y))
	}
	return f
}

// unexplained is what is left of texts after taking away those that a finding speaks of.
func (c *comparison) unexplained(minus, plus []string) (a, b []string) {
	for _, s := range plus {
		b = append(b, string(c.undo([]byte(s))))
	}
	return text.Without(minus, b), text.Without(b, minus)
}

func quoted(l []string) (out []string) {
	for _, s := range l {
		out = append(out, quote(s))
	}
	return out
}

// undo puts back what findings speak of.
func (c *comparison) undo(b []byte) []byte {
	for _, s := range c.undone {
		b = bytes.ReplaceAll(b, []byte(s.b), []byte(s.a))
	}
	return b
}

// withoutPointers blanks the slots that the loader fills.
func (im *Image) withoutPointers(s *Section) []byte {
	out := slices.Clone(s.Bytes)
	i, _ := slices.BinarySearch(im.slots, s.Addr)
	for ; i < len(im.slots) && im.slots[i] < s.Addr+uint64(len(out)); i++ {
		at := im.slots[i] - s.Addr
		clear(out[at:min(at+8, uint64(len(out)))])
	}
	return out
}

// distinct counts the bytes that differ.
func distinct(a, b []byte) int {
	n := max(len(a), len(b)) - min(len(a), len(b))
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

// certify marks findings as sure: everything but the build-id is the same
// once what they speak of is put back.
func (c *comparison) certify() {
	if !c.spokenOf() && c.Functions == nil && (c.a.BuildID == "") != (c.b.BuildID == "") {
		for i, f := range c.Findings { // an identifier that is there or not moves the rest
			if f.Where == "build-id" {
				c.Findings[i].Cause = "build-id"
			}
		}
		return
	}
	identifier := func(name string) bool {
		return name == ".note.gnu.build-id" || name == "LC_UUID" || name == "LC_CODE_SIGNATURE" || name == ".gnu_debuglink" || name == ".buildid"
	}
	causes := map[string]bool{}
	for _, f := range c.Findings {
		if f.Cause != cause.Consequence {
			causes[f.Cause] = true
		}
	}
	// Nothing but identifiers: they are the cause, not a consequence.
	if len(causes) == 0 {
		only := true
		for _, p := range c.differing() {
			only = only && identifier(p.name())
		}
		if only {
			for i, f := range c.Findings {
				if f.Where == "build-id" {
					c.Findings[i].Cause, c.Findings[i].Sure = "build-id", true
				}
			}
		}
		return
	}
	if len(causes) != 1 || causes[""] {
		return
	}
	sure := true
	for _, p := range c.differing() {
		if identifier(p.name()) {
			continue
		}
		switch {
		case causes["strip"]:
			sure = sure && (p.section().Kind == Symbols || p.section().Kind == Debug)
		case causes["debug"]:
			sure = sure && (p.section().Kind == Symbols || p.section().Kind == Debug || c.covered[p.name()])
		case causes["signature"]:
			sure = sure && p.section().Kind == Signature
		case causes["compiler"]:
			sure = sure && p.name() == ".comment"
		case causes["link-time"]:
			sure = sure && c.covered[p.name()]
		default:
			sure = sure && p.a != nil && p.b != nil && len(c.undone) > 0 && bytes.Equal(p.a.Bytes, c.undo(p.b.Bytes))
		}
	}
	for i, f := range c.Findings {
		c.Findings[i].Sure = sure && f.Cause != cause.Consequence
	}
}
