package infer

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/truewheel/truewheel/compare/native"
	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/wheel"
)

// Mark is one thing that a wheel tells of how its compiled members were made.
type Mark struct {
	Kind  string `json:"kind"`  // compiler, flags, python, ...: one of marks
	Value string `json:"value"` // as it stands there
	Where string `json:"where"` // the first place it was read from
	More  int    `json:"more"`  // in how many other members it stands too
}

// The kinds of marks, in the order in which they are told.
const (
	MarkPolicy   = "policy"   // tags of the platform
	MarkCompiler = "compiler" // of extension modules
	MarkLinker   = "linker"
	MarkFlags    = "flags"
	MarkStart    = "start files" // what compiled the C library's, which every module carries
	MarkSymbols  = "symbols"     // what was left of debug information
	MarkLibc     = "libc"
	MarkSystem   = "system" // SDK and oldest system
	MarkPython   = "python"
	MarkTool     = "tool"
	MarkCrates   = "crates"
	MarkConfig   = "config"
	MarkRepair   = "repair"
	MarkVendored = "vendored"
	MarkRunPath  = "rpath"
	MarkPath     = "build path"
	MarkTemp     = "temporary"
	MarkTime     = "time"
)

var marks = []string{
	MarkPolicy, MarkCompiler, MarkLinker, MarkFlags, MarkStart, MarkSymbols, MarkLibc, MarkSystem, MarkPython, MarkTool, MarkCrates,
	MarkConfig, MarkRepair, MarkVendored, MarkRunPath, MarkPath, MarkTemp, MarkTime,
}

// Native is what the compiled members of a wheel tell.
type Native struct {
	Marks    []Mark   // by kind, then as they were found
	Modules  []string // extension modules, without what follows the first dot of their last part
	GCC      string   // version of the newest GCC that extension modules name, "14.2.1"; "" when none does
	RedHat   bool     // it is of Red Hat's toolsets, which manylinux images have
	Clang    string   // version, where modules name clang
	Rust     string   // version of rustc
	Glibc    string   // newest version of a symbol that modules need, "2.14"
	Python   string   // full version, "3.11.13"
	Flags    []string // that most C and C++ units of modules were compiled with, of those that change code; nil when nothing tells
	Debug    bool     // modules have DWARF
	Symtab   bool     // modules have symbols that the loader does not need
	Dir      string   // directory the C units of modules were compiled in, when it is one
	Repairer string   // "auditwheel", "delocate", "delvewheel", or "" when nothing names one
	Repaired string   // its version, "" unknown
}

// maxNative bounds a compiled member that is read.
const maxNative = 512 << 20

// marker collects marks.
type marker struct {
	n     *Native
	at    map[[2]string]int
	flags map[string]map[string]int // by version of GCC and all flags: in how many modules
	dirs  map[string]int
	libcs map[string][2]string // by family of symbols: the newest version, and a module that needs it
}

func newMarker(n *Native) *marker {
	return &marker{n: n, at: map[[2]string]int{}, flags: map[string]map[string]int{}, dirs: map[string]int{}, libcs: map[string][2]string{}}
}

func (m *marker) add(kind, value, where string) {
	if value == "" {
		return
	}
	key := [2]string{kind, value}
	if i, ok := m.at[key]; ok {
		m.n.Marks[i].More++
		return
	}
	m.at[key] = len(m.n.Marks)
	m.n.Marks = append(m.n.Marks, Mark{Kind: kind, Value: value, Where: where})
}

// IsVendored reports whether a member lies where repair tools copy libraries
// to: NAME.libs, or a .dylibs directory.
func IsVendored(name string) bool {
	top, _, ok := strings.Cut(name, "/")
	return ok && strings.HasSuffix(top, ".libs") || strings.Contains("/"+name, "/.dylibs/")
}

// module is the name of an extension module without its suffixes.
func module(name string) (string, bool) {
	if IsVendored(name) || !strings.HasSuffix(name, ".so") && !strings.HasSuffix(name, ".pyd") {
		return "", false
	}
	dir, base := path.Split(name)
	stem, _, _ := strings.Cut(base, ".")
	return dir + stem, true
}

// Modules are the extension modules of a wheel, without their suffixes, sorted.
func Modules(a *wheel.Archive) []string {
	var out []string
	for _, e := range a.Entries {
		if m, ok := module(e.Name); ok {
			out = append(out, m)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// readNative reads what compiled members tell. A wheel for every platform has none.
func readNative(a *wheel.Archive, e *Evidence) (*Native, error) {
	if e.Filename.IsPure() {
		return nil, nil
	}
	m := newMarker(&Native{Modules: Modules(a)})
	m.add(MarkPolicy, strings.Join(e.Filename.Platform, " "), "file name")
	for _, entry := range a.Entries {
		if entry.IsDir() || entry.Size < 64 || entry.Size > maxNative || !mayBeNative(entry.Name) {
			continue
		}
		data, err := a.ReadFile(entry.Name, maxNative)
		if err != nil {
			return nil, err
		}
		images, err := native.Parse(data, native.Limits{})
		if err != nil {
			continue // whatever it is, it tells nothing
		}
		for _, im := range images {
			m.image(entry.Name, im)
		}
	}
	m.conclude()
	m.texts(a, e)
	if all := e.times(func(Member) bool { return true }); len(all) == 1 {
		m.add(MarkTime, all[0].Format("2006-01-02T15:04:05"), "all entries")
	}
	slices.SortStableFunc(m.n.Marks, func(a, b Mark) int { return slices.Index(marks, a.Kind) - slices.Index(marks, b.Kind) })
	return m.n, nil
}

// mayBeNative tells by the name which members are worth reading.
func mayBeNative(name string) bool {
	base := strings.ToLower(path.Base(name))
	return strings.Contains(base, ".so") || strings.HasSuffix(base, ".pyd") || strings.HasSuffix(base, ".dll") ||
		strings.HasSuffix(base, ".dylib") || strings.HasSuffix(base, ".exe") || !strings.Contains(base, ".")
}

var (
	gccVersion      = regexp.MustCompile(`^GCC: \(.*\) ([0-9]+\.[0-9]+\.[0-9]+)`)
	producerVersion = regexp.MustCompile(`^GNU C\S* ([0-9]+\.[0-9]+\.[0-9]+)`)
	clangVersion    = regexp.MustCompile(`clang version ([0-9]+\.[0-9]+\.[0-9]+)`)
	rustcVersion    = regexp.MustCompile(`rustc version ([0-9]+\.[0-9]+\.[0-9]+\S*)`)
	libcSymbol      = regexp.MustCompile(`@(GLIBC|GLIBCXX|CXXABI|GCC)_([0-9]+(?:\.[0-9]+)+)$`)

	cpythonPath = regexp.MustCompile(`(?i:cpython-|python[\\/]|python/versions/)(3\.[0-9]{1,2}\.[0-9]{1,2})[\\/-]`)
	tempPath    = regexp.MustCompile(`(?:/tmp|/var/folders/[^/\s"]+/[^/\s"]+/T|\\Temp)[\\/](?:tmp|pip-[a-z-]+-|build-env-|build-via-sdist-|cibw-run-|ci-wheel-)[A-Za-z0-9_]{5,12}`)
	buildRoot   = regexp.MustCompile(`(?:/(?:project|io|host|work|github/workspace|Users/runner/work/[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+|home/runner/work/[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+)|[CD]:[\\/]a[\\/][A-Za-z0-9_.-]+[\\/][A-Za-z0-9_.-]+)[\\/]`)
	crate       = regexp.MustCompile(`registry[\\/]src[\\/][^\\/]{1,80}[\\/]([A-Za-z0-9_-]{1,64}?)-([0-9]+\.[0-9]+\.[0-9]+[^\\/\x00-\x1f ]{0,40})[\\/]`)
)

func (m *marker) image(name string, im *native.Image) {
	_, isModule := module(name)
	where := func(section string) string { return section + " of " + name }
	kind := MarkCompiler
	if !isModule {
		kind = MarkVendored
		m.add(MarkVendored, path.Base(name), "file name")
	}
	for _, c := range im.Compilers {
		if kind == MarkVendored {
			c = path.Base(name) + ": " + c
		}
		m.add(kind, c, where(map[string]string{"PE": "Rich header", "ELF": ".comment"}[im.Format]))
	}
	if !isModule {
		return
	}
	linker := im.Linker
	if im.Format == "PE" && linker != "" {
		linker = "MSVC linker " + linker
	}
	m.add(MarkLinker, linker, where("headers"))
	for _, c := range im.Compilers {
		if v := gccVersion.FindStringSubmatch(c); v != nil && (m.n.GCC == "" || lessVersion(m.n.GCC, v[1])) {
			m.n.GCC, m.n.RedHat = v[1], strings.Contains(c, "Red Hat")
		}
		if v := clangVersion.FindStringSubmatch(c); v != nil {
			m.n.Clang = v[1]
		}
		if v := rustcVersion.FindStringSubmatch(c); v != nil {
			m.n.Rust = v[1]
		}
	}
	for _, p := range im.Producers {
		m.producer(p, where("DW_AT_producer"))
	}
	for _, d := range im.Dirs {
		if path.IsAbs(d) && path.Ext(d) == "" {
			m.dirs[d]++
		}
	}
	for _, text := range im.Annobin {
		m.add(MarkStart, text, where(".gnu.build.attributes"))
	}
	if im.Format == "ELF" {
		m.symbols(im, name)
		m.libc(im, name)
	}
	for _, f := range im.Facts {
		switch f.Name {
		case "minimum OS", "SDK", "subsystem version":
			m.add(MarkSystem, f.Name+" "+f.Value, where("headers"))
		}
	}
	if im.Linked != "" {
		m.add(MarkTime, "linked "+im.Linked, where("header"))
	}
	for _, t := range im.Tools() {
		m.add(MarkTool, t.Name+" "+t.Value, where("strings"))
	}
	for _, p := range im.RunPath {
		m.add(MarkRunPath, p, where("dynamic section"))
	}
	for _, s := range im.Sections {
		// A run path that a repair tool replaced stays in .dynstr.
		if s.Kind == native.ReadOnly || s.Kind == native.Data || s.Kind == native.Debug || s.Name == ".dynstr" {
			m.paths(s, name)
		}
	}
}

// paths looks for paths in a section that tell of the machine of the build.
func (m *marker) paths(s native.Section, name string) {
	where := s.Name + " of " + name
	once := map[string]bool{}
	each := func(re *regexp.Regexp, kind string, value func([][]byte) string) {
		for _, v := range re.FindAllSubmatch(s.Bytes, 4096) {
			if text := value(v); !once[kind+text] {
				once[kind+text] = true
				m.add(kind, text, where)
			}
		}
	}
	each(cpythonPath, MarkPython, func(v [][]byte) string {
		version := string(v[1])
		if m.n.Python == "" {
			m.n.Python = version
		}
		return version
	})
	each(tempPath, MarkTemp, func(v [][]byte) string { return string(v[0]) })
	each(buildRoot, MarkPath, func(v [][]byte) string { return strings.TrimRight(string(v[0]), `/\`) })
	each(crate, MarkCrates, func(v [][]byte) string { return string(v[1]) + " " + string(v[2]) })
}

func (m *marker) symbols(im *native.Image, name string) {
	debug := len(im.Producers) > 0
	m.n.Debug, m.n.Symtab = m.n.Debug || debug, m.n.Symtab || im.Symtab
	text := map[[2]bool]string{
		{true, true}: "DWARF", {false, true}: "no DWARF", {false, false}: "stripped", {true, false}: "DWARF, no symbol table",
	}[[2]bool{debug, im.Symtab}]
	m.add(MarkSymbols, text, "sections of "+name)
}

// libc notes the newest version of each family of symbols.
func (m *marker) libc(im *native.Image, name string) {
	for _, s := range im.Imports {
		if v := libcSymbol.FindStringSubmatch(s); v != nil && (m.libcs[v[1]][0] == "" || lessVersion(m.libcs[v[1]][0], v[2])) {
			m.libcs[v[1]] = [2]string{v[2], name}
		}
	}
}

// producer reads the compiler and the flags of a unit, "GNU C17 14.2.1 20250110 (Red Hat 14.2.1-7) -mtune=generic -g -O3".
func (m *marker) producer(p, where string) {
	compiler, flags, ok := strings.Cut(p, " -")
	if !ok {
		m.add(MarkCompiler, compiler, where)
		return
	}
	flags = "-" + flags
	m.add(MarkFlags, p, where)
	if !strings.HasPrefix(compiler, "GNU C") {
		return
	}
	v := producerVersion.FindStringSubmatch(compiler)
	if v == nil {
		return
	}
	if m.flags[v[1]] == nil {
		m.flags[v[1]] = map[string]int{}
	}
	m.flags[v[1]][flags]++
}

// conclude makes scalars of what was counted.
func (m *marker) conclude() {
	// Objects of another compiler came ready made; of several ways to compile
	// the project's files the most frequent one counts.
	usual, most := "", 0
	for _, flags := range slices.Sorted(maps.Keys(m.flags[m.n.GCC])) {
		if n := m.flags[m.n.GCC][flags]; n > most {
			usual, most = flags, n
		}
	}
	for _, f := range strings.Fields(usual) {
		switch {
		case f == "-mtune=generic", f == "-march=x86-64", f == "-fPIC", f == "-fpic", strings.HasPrefix(f, "-std="):
			// The compiler's own default, the linker's need, the language.
		default:
			m.n.Flags = append(m.n.Flags, f)
		}
	}
	m.n.Glibc = m.libcs["GLIBC"][0]
	for _, family := range []string{"GLIBC", "GLIBCXX", "CXXABI", "GCC"} {
		if v := m.libcs[family]; v[0] != "" {
			m.add(MarkLibc, family+" "+v[0], "symbol versions of "+v[1])
		}
	}
	if len(m.dirs) == 1 {
		for d := range m.dirs {
			m.n.Dir = d
			m.add(MarkPath, d, "DW_AT_comp_dir")
		}
	}
}

// texts reads what members beside the compiled ones tell.
func (m *marker) texts(a *wheel.Archive, e *Evidence) {
	for _, entry := range a.Entries {
		base := path.Base(entry.Name)
		switch {
		case entry.IsDir() || entry.Size > maxMetadata:
		case strings.Contains(entry.Name, ".dist-info/sboms/"):
			if data, err := a.ReadFile(entry.Name, maxMetadata); err == nil {
				m.sbom(entry.Name, data)
			}
		case base == "DELVEWHEEL" && strings.Contains(entry.Name, ".dist-info/"):
			if data, err := a.ReadFile(entry.Name, maxMetadata); err == nil {
				m.n.Repairer = "delvewheel"
				if v, ok := strings.CutPrefix(firstLine(string(data)), "Version: "); ok {
					m.n.Repaired = strings.TrimSpace(v)
				}
				m.add(MarkRepair, strings.Join(strings.Fields(string(data)), " "), entry.Name)
			}
		case base == "__config__.py":
			if data, err := a.ReadFile(entry.Name, maxMetadata); err == nil {
				m.config(entry.Name, string(data))
			}
		case strings.Contains("/"+entry.Name, "/.dylibs/") && m.n.Repairer == "":
			m.n.Repairer = "delocate"
			m.add(MarkRepair, "delocate", "the directory .dylibs")
		}
	}
	name, version := e.generator()
	if name == "delocate" {
		m.n.Repairer, m.n.Repaired = name, version
	}
	if project := backends[name]; project != "" && version != "" {
		m.add(MarkTool, project+" "+version, "Generator")
	} else {
		m.add(MarkTool, e.Generator, "Generator")
	}
	if m.n.Repairer == "" && slices.ContainsFunc(e.Filename.Platform, portable) && name != "maturin" {
		m.n.Repairer = "auditwheel"
		m.add(MarkRepair, "auditwheel", "the tag "+e.Filename.Platform[0])
	}
}

// portable reports whether a platform tag is one that a repair tool gives.
func portable(platform string) bool {
	return strings.HasPrefix(platform, "manylinux") || strings.HasPrefix(platform, "musllinux")
}

// sbom reads a bill of materials (CycloneDX): who wrote it, and what was vendored.
func (m *marker) sbom(name string, data []byte) {
	type component struct{ Name, Version, PURL string }
	var doc struct {
		Metadata struct{ Tools json.RawMessage }
		// The wheel itself is a component too.
		Components []component
	}
	if json.Unmarshal(data, &doc) != nil {
		return
	}
	var tools []component
	if json.Unmarshal(doc.Metadata.Tools, &tools) != nil {
		var newer struct{ Components []component } // CycloneDX 1.5
		if json.Unmarshal(doc.Metadata.Tools, &newer) == nil {
			tools = newer.Components
		}
	}
	for _, t := range tools {
		m.add(MarkRepair, strings.TrimSpace(t.Name+" "+t.Version), name)
		if t.Name == "auditwheel" {
			m.n.Repairer = t.Name
			if v, err := pypi.ParseVersion(t.Version); err == nil {
				m.n.Repaired = v.String()
			}
		}
	}
	for _, c := range doc.Components {
		switch {
		case strings.HasPrefix(c.PURL, "pkg:pypi/"):
		case strings.HasPrefix(c.PURL, "pkg:cargo/"):
			m.add(MarkCrates, c.Name+" "+c.Version, name)
		default:
			m.add(MarkVendored, strings.TrimSpace(fmt.Sprintf("%s %s", c.Name, c.Version)), name)
		}
	}
}

var configEntry = regexp.MustCompile(`"([a-z0-9+ _-]+)": \{[^{}]*?"name": r?"([^"]*)"[^{}]*?"version": r?"([^"]*)"`)

// config reads the build configuration that meson projects such as numpy install.
func (m *marker) config(name, text string) {
	for _, v := range configEntry.FindAllStringSubmatch(text, 64) {
		m.add(MarkConfig, v[1]+": "+v[2]+" "+v[3], name)
	}
}
