package infer

import (
	"regexp"
	"slices"
	"strings"

	"github.com/truewheel/truewheel/internal/debian"
	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/recipe"
)

// nativePython is the Python of a wheel that is not for every one: that of
// its tag, and for the stable ABI that of the suite which comes nearest.
func nativePython(e *Evidence) (version, why string) {
	if e.Native == nil {
		return "", ""
	}
	p, tag := e.Place, pythonOfTag(e)
	if e.InImage {
		return tag, "the tag"
	}
	if s := suitePython(p.Suite); s != "" && s != tag {
		return s, "the wheel is for more than one Python; " + p.Suite + " comes nearest: " + p.Near
	}
	return tag, "the tag"
}

// repair: who made the wheel portable, and for which platform.
func repair(e *Evidence, r *recipe.Recipe) []Reason {
	n := e.Native
	if n == nil || n.Repairer != recipe.Auditwheel {
		return nil
	}
	r.Repair = recipe.Auditwheel
	platform := e.Filename.Platform[0]
	for _, p := range e.Filename.Platform {
		if pypi.PolicyVersion(platform) == "" || pypi.PolicyVersion(p) != "" && lessVersion(pypi.PolicyVersion(platform), pypi.PolicyVersion(p)) {
			platform = p
		}
	}
	r.Target = e.Filename.Python[0] + "-" + platform
	why := reason("target", r.Target, "the newest of the wheel's tags")
	if n.Repaired == "" {
		return append(why, reason("repair", recipe.Auditwheel, "the tag is one that it gives")...)
	}
	r.Constraints = append(r.Constraints, recipe.Auditwheel+"=="+n.Repaired)
	return append(why, reason("repair", recipe.Auditwheel+" "+n.Repaired, "its bill of materials")...)
}

var limitedSetting = regexp.MustCompile(`py[-_]limited[-_]api["']?\s*[:=]\s*["']?cp3`)

// limitedAPI: an abi3 tag that the source does not ask for was given from outside.
func limitedAPI(e *Evidence, r *recipe.Recipe) []Reason {
	if e.Native == nil || !e.setuptools() || !slices.Contains(e.Filename.ABI, "abi3") {
		return nil
	}
	for _, text := range []string{e.Source.SetupPy, e.Source.SetupCfg, e.Source.Pyproject} {
		if limitedSetting.MatchString(text) {
			return nil
		}
	}
	r.Switches.LimitedAPI = e.Filename.Python[0]
	return reason("limited API", r.Switches.LimitedAPI, "tag abi3, which the source does not ask for")
}

// maturin leaves the tag of a wheel that PEP 517's front ends build at linux,
// unless its own variable says which policy it is for.
func maturin(e *Evidence, r *recipe.Recipe) []Reason {
	name, _ := e.generator()
	if e.Native == nil || name != "maturin" || !slices.ContainsFunc(e.Filename.Platform, portable) {
		return nil
	}
	platform := e.Filename.Platform[0]
	for _, m := range debian.Machines {
		platform = strings.TrimSuffix(platform, "_"+m)
	}
	args := "--compatibility " + platform + " --auditwheel skip"
	if !e.Native.Symtab {
		args += " --strip"
	}
	set(r, "MATURIN_PEP517_ARGS", args)
	return reason("MATURIN_PEP517_ARGS", args, "maturin made the wheel, for the tag %s", e.Filename.Platform[0])
}

// generators: tools that wrote their version into the modules.
func generators(e *Evidence, r *recipe.Recipe) []Reason {
	if e.Native == nil {
		return nil
	}
	var versions []string
	for _, m := range e.Native.Marks {
		if v, ok := strings.CutPrefix(m.Value, "Cython "); ok && m.Kind == MarkTool {
			versions = append(versions, v)
		}
	}
	needed := slices.ContainsFunc(r.Requires, func(s string) bool { return requirementName(s) == "cython" })
	if len(versions) != 1 || !needed {
		return nil // several: some modules came generated
	}
	setPin(r, "cython", versions[0])
	return reason("cython", versions[0], "its name for itself in the modules")
}

// plainFlags are those of the CPython in PyPA's images, as the modules of
// one project show that was built there with every one of them.
func plainFlags(python string) []string {
	if lessVersion(python, "3.12") {
		return []string{"-O3", "-fwrapv"}
	}
	return []string{"-O3", "-fno-strict-overflow"}
}

// compilerFlags: setuptools compiles with the flags that its Python was built
// with, unless CFLAGS say otherwise. Another distribution's Python has others.
func compilerFlags(e *Evidence, r *recipe.Recipe) []Reason {
	n := e.Native
	if n == nil || n.GCC == "" || e.InImage {
		return nil
	}
	var why []Reason
	if e.setuptools() {
		flags, from := slices.Clone(n.Flags), "DW_AT_producer of the modules"
		if len(flags) == 0 {
			if !n.RedHat {
				return nil
			}
			flags, from = plainFlags(r.Python), "those of the CPython in PyPA's images; the modules have no DWARF that tells"
		}
		switch {
		case !n.Debug:
			flags = append(flags, "-g0")
		case !slices.ContainsFunc(flags, func(s string) bool { return strings.HasPrefix(s, "-g") }):
			flags = append(flags, "-g")
		}
		// CPython's own flags, which these stand for, always have it.
		set(r, "CFLAGS", strings.Join(append(flags, "-DNDEBUG"), " "))
		why = reason("CFLAGS", r.Env["CFLAGS"], "%s", from)
	}
	if !n.Symtab {
		set(r, "LDFLAGS", "-Wl,--strip-all")
		why = append(why, reason("LDFLAGS", r.Env["LDFLAGS"], "the modules have no symbols but those that the loader needs")...)
	}
	return why
}

// compiler: of the suite's compilers the one that comes nearest.
func compiler(e *Evidence, r *recipe.Recipe) []Reason {
	p := e.Place
	if p == nil || e.InImage || p.Suite == "" || suiteCompiler(p.Suite) == p.Compiler || suitePython(p.Suite) != r.Python {
		return nil
	}
	set(r, "CC", p.Compiler)
	set(r, "CXX", strings.Replace(p.Compiler, "gcc", "g++", 1))
	return reason("CC", p.Compiler, "%s", p.Near)
}

// compileDir: DWARF and assertions hold the directory that setuptools compiled in.
func compileDir(e *Evidence, r *recipe.Recipe) []Reason {
	if e.Native == nil || e.Native.Dir == "" || !e.setuptools() {
		return nil
	}
	with := clone(*r)
	with.Path = e.Native.Dir
	if with.Check() != nil {
		return nil
	}
	r.Path = e.Native.Dir
	return reason("path", r.Path, "DW_AT_comp_dir of the modules")
}

// set sets a variable of the build.
func set(r *recipe.Recipe, name, value string) {
	if r.Env == nil {
		r.Env = map[string]string{}
	}
	r.Env[name] = value
}
