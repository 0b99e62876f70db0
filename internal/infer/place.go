package infer

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/truewheel/truewheel/internal/debian"
	"github.com/truewheel/truewheel/internal/oci"
	"github.com/truewheel/truewheel/pypi"
)

// Place says where a native wheel was made, as far as it tells, and what
// there is that comes nearest to it.
type Place struct {
	System   string `json:"system"`   // "linux", "macos", "windows"
	Machine  string `json:"machine"`  // as in the tag: "x86_64", "arm64", "amd64"
	Image    string `json:"image"`    // of PyPA that fits, "manylinux_2_28_x86_64"; "" where none does
	Pinned   string `json:"pinned"`   // the image of that name that was usual when the wheel was uploaded, and why
	Suite    string `json:"suite"`    // of Debian, "" where none has the Python
	Compiler string `json:"compiler"` // package of the suite, "gcc-12"
	Near     string `json:"near"`     // how near that is, in words
	Needs    string `json:"needs"`    // what a machine has to have to build it, where that is no Linux
}

// nearest finds the place of a native wheel; nil for one for every platform.
func nearest(e *Evidence) *Place {
	n := e.Native
	if n == nil {
		return nil
	}
	p := &Place{}
	platform := e.Filename.Platform[len(e.Filename.Platform)-1]
	switch p.System = system(platform); p.System {
	case macOS:
		parts := strings.SplitN(platform, "_", 4)
		p.Machine = parts[len(parts)-1]
		p.Needs = n.needs("a Mac ("+p.Machine+")", pythonOfTag(e))
		return p
	case windows:
		p.Machine = map[string]string{"win32": "x86"}[platform]
		if p.Machine == "" {
			p.Machine = strings.TrimPrefix(platform, "win_")
		}
		p.Needs = n.needs("a Windows machine ("+p.Machine+")", pythonOfTag(e))
		return p
	}
	p.image(e)
	for _, m := range debian.Machines {
		if strings.HasSuffix(platform, "_"+m) {
			p.Machine = m
		}
	}
	p.suite(e)
	return p
}

// Elsewhere says why a wheel can't be built on this machine, or nil. The
// receiver may be nil.
func (p *Place) Elsewhere() error {
	switch {
	case p == nil:
		return nil
	case p.System != linux:
		return fmt.Errorf("it is built on %s", p.Needs)
	case p.Machine != "" && p.Machine != debian.Machines[debian.Machine()]:
		return fmt.Errorf("it is built on a machine of type %s, and this is %s", p.Machine, debian.Machines[debian.Machine()])
	}
	return nil
}

// needs is what has to be on a machine of another system.
func (n *Native) needs(machine, python string) string {
	out := []string{machine, "Python " + python}
	if n.Python != "" {
		out[1] = "Python " + n.Python
	}
	for _, m := range n.Marks {
		switch {
		case m.Kind == MarkSystem && strings.HasPrefix(m.Value, "SDK "):
			out = append(out, m.Value+xcode(strings.TrimPrefix(m.Value, "SDK ")))
		case m.Kind == MarkLinker:
			out = append(out, m.Value+visualStudio(strings.TrimPrefix(m.Value, "MSVC linker ")))
		}
	}
	if n.Repaired != "" {
		out = append(out, n.Repairer+" "+n.Repaired)
	}
	return strings.Join(slices.Compact(out), ", ")
}

// sdks are the releases of Xcode that brought each macOS SDK.
var sdks = map[string]string{
	"10.14": "10", "10.15": "11", "11.0": "12.2", "11.1": "12.3", "11.3": "12.5", "12.0": "13.0", "12.1": "13.2", "12.3": "13.3", "13.0": "14.1", "13.1": "14.2",
	"13.3": "14.3", "14.0": "15.0", "14.2": "15.1", "14.4": "15.3", "14.5": "15.4", "15.0": "16.0", "15.1": "16.1", "15.2": "16.2", "15.4": "16.3", "15.5": "16.4", "26.0": "26.0",
}

func xcode(sdk string) string {
	if v := sdks[strings.TrimSuffix(sdk, ".0")]; v != "" {
		return " (Xcode " + v + ")"
	}
	if v := sdks[sdk]; v != "" {
		return " (Xcode " + v + ")"
	}
	return ""
}

// visualStudio is the release that has a linker: 14.20 came with 2019 (16.0), 14.30 with 2022 (17.0).
func visualStudio(linker string) string {
	var minor int
	if _, err := fmt.Sscanf(linker, "14.%d", &minor); err != nil {
		return ""
	}
	switch {
	case minor >= 50:
		return " (Visual Studio 2026)"
	case minor >= 30:
		return fmt.Sprintf(" (Visual Studio 2022, 17.%d)", minor-30)
	case minor >= 20:
		return fmt.Sprintf(" (Visual Studio 2019, 16.%d)", minor-20)
	case minor >= 10:
		return " (Visual Studio 2017)"
	}
	return " (Visual Studio 2015)"
}

// Abroad reports whether a target, "cp311-macosx_11_0_arm64", is of a system
// that no environment here has, and which.
func Abroad(target string) (name string, abroad bool) {
	switch s := system(target[strings.LastIndexByte(target, '-')+1:]); s {
	case macOS:
		return "macOS", true
	case windows:
		return "Windows", true
	}
	return "", false
}

// The systems of platform tags.
const linux, macOS, windows = "linux", "macos", "windows"

// system is that of a platform tag; what is of no other is taken for Linux.
func system(platform string) string {
	switch {
	case strings.HasPrefix(platform, "macosx_"):
		return macOS
	case strings.HasPrefix(platform, "win"):
		return windows
	}
	return linux
}

// pythonOfTag is the minor version that the tag names, the oldest that it
// allows where that is several; "" when it names none.
func pythonOfTag(e *Evidence) string {
	for _, t := range e.Filename.Python {
		if digits, ok := strings.CutPrefix(t, "cp3"); ok && digits != "" {
			return "3." + digits
		}
	}
	return ""
}

// gccs are the major versions of GCC that the images of a policy have had.
var gccs = map[string][]int{
	"manylinux1": {4}, "manylinux2010": {8}, "manylinux2014": {8, 9, 10}, "manylinux_2_24": {6}, "manylinux_2_28": {11, 12, 13, 14, 15},
	"manylinux_2_31": {9}, "manylinux_2_34": {12, 13, 14, 15}, "manylinux_2_35": {11}, "manylinux_2_39": {14}, "musllinux_1_1": {9, 10}, "musllinux_1_2": {13, 14},
}

// image is the image that fits policy, compiler and date: the oldest that has
// the C library of the newest tag and, where the compiler is known, has had
// it; and of that the one which cibuildwheel pinned then.
func (p *Place) image(e *Evidence) {
	var newest oci.Policy
	var machine string
	for _, tag := range e.Filename.Platform {
		if v := pypi.PolicyVersion(tag); v != "" && !lessVersion(v, newest.Version) {
			// A policy without images of its own is met by one with a newer C library.
			newest = oci.Policy{Libc: "glibc", Version: v}
			if strings.HasPrefix(tag, "musl") {
				newest.Libc = "musl"
			}
			machine = strings.SplitN(tag, "_", 4)[3]
		} else if known, m, ok := oci.ParsePolicy(tag); ok && newest.Version == "" {
			newest, machine = known, m
		}
	}
	gcc := major(e.Native.GCC)
	for _, policy := range oci.Policies {
		if policy.Libc != newest.Libc || lessVersion(policy.Version, newest.Version) || gcc != 0 && !slices.Contains(gccs[policy.Name], gcc) {
			continue
		}
		p.Image = policy.Name + "_" + machine
		if pin, ok := oci.Pinned(policy, machine, e.moment()); ok {
			p.Pinned = fmt.Sprintf("%s, of cibuildwheel %s", pin.Reference(), pin.Release)
		}
		return
	}
}

// suite chooses the suite that has the Python and comes nearest in its compiler.
func (p *Place) suite(e *Evidence) {
	python, gcc := pythonOfTag(e), major(e.Native.GCC)
	abi3 := slices.Contains(e.Filename.ABI, "abi3")
	best := -1
	for _, s := range debian.Suites {
		if python != "" && s.Python != python && !(abi3 && lessVersion(python, s.Python)) {
			continue
		}
		for i, version := range s.GCC {
			apart := 0
			if gcc != 0 {
				apart = 2*max(major(version)-gcc, gcc-major(version)) + min(i, 1)
			} else {
				apart = i
			}
			if best < 0 || apart < best {
				best = apart
				p.Suite, p.Compiler = s.Name, "gcc-"+strconv.Itoa(major(version))
				p.Near = near(e.Native, s, version)
			}
		}
	}
	if p.Suite == "" && python != "" {
		p.Near = "no suite of Debian has Python " + python
	}
}

// near says how an environment differs from what the modules tell.
func near(n *Native, s debian.Suite, gcc string) string {
	var out []string
	switch {
	case n.GCC == "" && n.Clang != "":
		out = append(out, "GCC "+gcc+" for clang "+n.Clang)
	case n.GCC == "":
		out = append(out, "GCC "+gcc+"; the modules name none")
	case n.GCC == gcc:
		out = append(out, "GCC "+gcc+", built by Debian")
	case major(n.GCC) == major(gcc):
		out = append(out, "GCC "+gcc+" for "+n.GCC)
	default:
		out = append(out, "another major version of GCC: "+gcc+" for "+n.GCC)
	}
	if n.Glibc != "" {
		out = append(out, fmt.Sprintf("glibc %s (the modules need %s)", s.Glibc, n.Glibc))
	}
	if n.Rust != "" {
		out = append(out, "rustc of the suite for "+n.Rust)
	}
	return strings.Join(out, ", ")
}

// major is the first number of a version, 0 where there is none.
func major(version string) int {
	first, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(first)
	if err != nil {
		return 0
	}
	return n
}

// suitePython is the Python of a suite, "" of none.
func suitePython(name string) string {
	s, err := debian.ParseSuite(name)
	if err != nil {
		return ""
	}
	return s.Python
}

// suiteCompiler is the package of a suite's default compiler.
func suiteCompiler(name string) string {
	s, err := debian.ParseSuite(name)
	if err != nil {
		return ""
	}
	return "gcc-" + strconv.Itoa(major(s.GCC[0]))
}
