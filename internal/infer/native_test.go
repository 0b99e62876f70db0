package infer

import (
	"slices"
	"testing"

	"github.com/truewheel/truewheel/compare/native"
	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/recipe"
)

// compiled is a wheel with one extension module, for the rules to look at.
func compiled(t *testing.T, filename string, change func(*native.Image)) *Evidence {
	t.Helper()
	name, err := pypi.ParseWheelFilename(filename)
	if err != nil {
		t.Fatal(err)
	}
	im := &native.Image{
		Format: "ELF", Compilers: []string{"GCC: (GNU) 14.2.1 20250110 (Red Hat 14.2.1-7)"}, Symtab: true,
		Producers: []string{"GNU C17 14.2.1 20250110 (Red Hat 14.2.1-7) -mtune=generic -march=x86-64 -g -O3 -fwrapv -fPIC"},
		Dirs:      []string{"/project", "src/demo.c"}, Imports: []string{"malloc@GLIBC_2.2.5", "memcpy@GLIBC_2.14", "PyList_New"}, RunPath: []string{"$ORIGIN/../demo.libs"},
		Annobin:  []string{"running gcc 8.5.0 20210514"},
		Sections: []native.Section{{Name: ".rodata", Kind: native.ReadOnly, Bytes: []byte("x\x00/opt/_internal/cpython-3.11.13/include\x00_cython_3_1_4\x00/tmp/build-env-m273bhe1/lib/x.h\x00/home/ci/.cargo/registry/src/host-0123456789abcdef/pyo3-0.22.2/src/lib.rs\x00/io/libyaml/src/api.c\x00")}},
	}
	if change != nil {
		change(im)
	}
	e := evidence(func(e *Evidence) { e.Filename, e.Generator = name, "setuptools (80.9.0)" })
	m := newMarker(&Native{Modules: []string{"demo/_speedups"}})
	m.image("demo/_speedups.cpython-311-x86_64-linux-gnu.so", im)
	m.conclude()
	e.Native = m.n
	if slices.ContainsFunc(name.Platform, portable) {
		e.Native.Repairer = recipe.Auditwheel
	}
	e.Place = nearest(e)
	return e
}

const manylinux = "demo-1.0-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.manylinux_2_28_x86_64.whl"

func TestMarks(t *testing.T) {
	n := compiled(t, manylinux, nil).Native
	for _, want := range []Mark{
		{MarkCompiler, "GCC: (GNU) 14.2.1 20250110 (Red Hat 14.2.1-7)", ".comment of demo/_speedups.cpython-311-x86_64-linux-gnu.so", 0},
		{MarkFlags, "GNU C17 14.2.1 20250110 (Red Hat 14.2.1-7) -mtune=generic -march=x86-64 -g -O3 -fwrapv -fPIC", "DW_AT_producer of demo/_speedups.cpython-311-x86_64-linux-gnu.so", 0},
		{MarkStart, "running gcc 8.5.0 20210514", ".gnu.build.attributes of demo/_speedups.cpython-311-x86_64-linux-gnu.so", 0},
		{MarkLibc, "GLIBC 2.14", "symbol versions of demo/_speedups.cpython-311-x86_64-linux-gnu.so", 0},
		{MarkPython, "3.11.13", ".rodata of demo/_speedups.cpython-311-x86_64-linux-gnu.so", 0},
		{MarkTool, "Cython 3.1.4", "strings of demo/_speedups.cpython-311-x86_64-linux-gnu.so", 0},
		{MarkTemp, "/tmp/build-env-m273bhe1", ".rodata of demo/_speedups.cpython-311-x86_64-linux-gnu.so", 0},
		{MarkCrates, "pyo3 0.22.2", ".rodata of demo/_speedups.cpython-311-x86_64-linux-gnu.so", 0},
		{MarkPath, "/io", ".rodata of demo/_speedups.cpython-311-x86_64-linux-gnu.so", 0},
		{MarkPath, "/project", "DW_AT_comp_dir", 0},
		{MarkRunPath, "$ORIGIN/../demo.libs", "dynamic section of demo/_speedups.cpython-311-x86_64-linux-gnu.so", 0},
		{MarkSymbols, "DWARF", "sections of demo/_speedups.cpython-311-x86_64-linux-gnu.so", 0},
	} {
		if !slices.Contains(n.Marks, want) {
			t.Errorf("no %+v among %+v", want, n.Marks)
		}
	}
	if n.GCC != "14.2.1" || !n.RedHat || n.Glibc != "2.14" || n.Python != "3.11.13" || n.Dir != "/project" || !slices.Equal(n.Flags, []string{"-g", "-O3", "-fwrapv"}) {
		t.Errorf("%+v", n)
	}
}

func TestPlace(t *testing.T) {
	gcc := func(v string) func(*native.Image) {
		return func(im *native.Image) {
			im.Compilers = []string{"GCC: (GNU) " + v + " (Red Hat " + v + "-1)"}
		}
	}
	for _, test := range []struct {
		file                           string
		change                         func(*native.Image)
		system, image, suite, compiler string
	}{
		{manylinux, nil, "linux", "manylinux_2_28_x86_64", "bookworm", "gcc-12"},
		{"demo-1.0-cp313-cp313-manylinux_2_28_x86_64.whl", nil, "linux", "manylinux_2_28_x86_64", "trixie", "gcc-14"},
		{"demo-1.0-cp313-cp313-manylinux_2_28_x86_64.whl", gcc("12.2.1"), "linux", "manylinux_2_28_x86_64", "trixie", "gcc-12"},
		{"demo-1.0-cp39-cp39-manylinux2014_x86_64.whl", gcc("10.2.1"), "linux", "manylinux2014_x86_64", "bullseye", "gcc-10"},
		{"demo-1.0-cp39-cp39-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", gcc("14.2.1"), "linux", "manylinux_2_28_x86_64", "bullseye", "gcc-10"},
		{"demo-1.0-cp38-abi3-manylinux2014_x86_64.whl", gcc("10.2.1"), "linux", "manylinux2014_x86_64", "bullseye", "gcc-10"},
		{"demo-1.0-cp38-abi3-manylinux_2_28_x86_64.whl", nil, "linux", "manylinux_2_28_x86_64", "trixie", "gcc-14"},
		{"demo-1.0-cp312-cp312-manylinux_2_28_x86_64.whl", nil, "linux", "manylinux_2_28_x86_64", "", ""},
		{"demo-1.0-cp313-cp313-musllinux_1_2_x86_64.whl", gcc("14.2.0"), "linux", "musllinux_1_2_x86_64", "trixie", "gcc-14"},
		{"demo-1.0-cp311-cp311-macosx_11_0_arm64.whl", nil, "macos", "", "", ""},
		{"demo-1.0-cp311-cp311-win_amd64.whl", nil, "windows", "", "", ""},
	} {
		p := compiled(t, test.file, test.change).Place
		if p.System != test.system || p.Image != test.image || p.Suite != test.suite || p.Compiler != test.compiler {
			t.Errorf("%s: %+v", test.file, p)
		}
		if (p.System == "linux") == (p.Needs != "") || p.System == "linux" && p.Near == "" {
			t.Errorf("%s: not said how near, or what it needs: %+v", test.file, p)
		}
		if p.System != "linux" && p.Elsewhere() == nil {
			t.Errorf("%s can be built here", test.file)
		}
	}
}

func TestNativeRules(t *testing.T) {
	newest := "demo-1.0-cp313-cp313-manylinux_2_17_x86_64.manylinux_2_28_x86_64.whl"
	for _, test := range []struct {
		name, file string
		change     func(*native.Image)
		evidence   func(*Evidence)
		holds      func(recipe.Recipe) bool
	}{
		{"Python of the tag", manylinux, nil, nil, func(r recipe.Recipe) bool { return r.Python == "3.11" && r.Switches.PythonTag == "" }},
		{"repair and target", newest, nil, nil, func(r recipe.Recipe) bool {
			return r.Repair == recipe.Auditwheel && r.Target == "cp313-manylinux_2_28_x86_64"
		}},
		{"the repairer's version", newest, nil, func(e *Evidence) { e.Native.Repaired = "6.7.0" }, func(r recipe.Recipe) bool { return slices.Contains(r.Constraints, "auditwheel==6.7.0") }},
		{"flags by DWARF", newest, nil, nil, func(r recipe.Recipe) bool { return r.Env["CFLAGS"] == "-g -O3 -fwrapv -DNDEBUG" }},
		{"flags without DWARF", newest, func(im *native.Image) { im.Producers = nil }, nil, func(r recipe.Recipe) bool { return r.Env["CFLAGS"] == "-O3 -fno-strict-overflow -g0 -DNDEBUG" }},
		{"stripped", newest, func(im *native.Image) { im.Producers, im.Symtab = nil, false }, nil, func(r recipe.Recipe) bool { return r.Env["LDFLAGS"] == "-Wl,--strip-all" }},
		{"no flags for meson", newest, nil, func(e *Evidence) { e.Generator = "meson" }, func(r recipe.Recipe) bool { return r.Env["CFLAGS"] == "" }},
		{"path", newest, nil, nil, func(r recipe.Recipe) bool { return r.Path == "/project" }},
		{"no path that hides the system", newest, func(im *native.Image) { im.Dirs = []string{"/usr/src/demo"} }, nil, func(r recipe.Recipe) bool { return r.Path == "" }},
		{"another compiler of the suite", newest, func(im *native.Image) {
			im.Compilers = []string{"GCC: (GNU) 12.2.1 20221121 (Red Hat 12.2.1-7)"}
		}, nil, func(r recipe.Recipe) bool { return r.Env["CC"] == "gcc-12" && r.Env["CXX"] == "g++-12" }},
		{"limited API from outside", "demo-1.0-cp38-abi3-manylinux_2_28_x86_64.whl", nil, nil, func(r recipe.Recipe) bool { return r.Switches.LimitedAPI == "cp38" }},
		{"limited API in the source", "demo-1.0-cp38-abi3-manylinux_2_28_x86_64.whl", nil, func(e *Evidence) { e.Source.SetupPy = "options={'bdist_wheel': {'py_limited_api': 'cp38'}}" }, func(r recipe.Recipe) bool { return r.Switches.LimitedAPI == "" }},
		{"maturin's policy", newest, nil, func(e *Evidence) { e.Generator, e.Native.Repairer = "maturin (1.8.3)", "" }, func(r recipe.Recipe) bool {
			return r.Env["MATURIN_PEP517_ARGS"] == "--compatibility manylinux_2_17 --auditwheel skip" && r.Repair == ""
		}},
		{"an image has its own compiler and flags", newest, nil, func(e *Evidence) { e.InImage = true }, func(r recipe.Recipe) bool { return len(r.Env) == 0 && r.Python == "3.13" && r.Repair != "" }},
		{"Cython", newest, nil, func(e *Evidence) { e.Source.Requires = []string{"setuptools", "Cython>=3"} }, func(r recipe.Recipe) bool { return hasPin(r, "cython", "3.1.4") }},
		{"Cython that the source did not ask for", newest, nil, nil, func(r recipe.Recipe) bool { return !hasPin(r, "cython", "3.1.4") }},
	} {
		e := compiled(t, test.file, test.change)
		if test.evidence != nil {
			test.evidence(e)
		}
		r, _ := Recipe(e)
		if !test.holds(r) {
			t.Errorf("%s: %+v", test.name, r)
		}
		if err := r.Check(); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestCompiledParts(t *testing.T) {
	e := compiled(t, manylinux, nil)
	e.Source.SetupPy = "if os.environ.get('DEMO_USE_MYPYC') == '1' and not os.environ.get('DEMO_NO_MYPYC'): pass"
	failed := Attempt{Class: "build", Detail: "demo-1.0-py3-none-any.whl holds no extension module: there is nothing to repair"}
	r, _, ok := Retry(e, []Attempt{failed})
	if !ok || r.Env["DEMO_USE_MYPYC"] != "1" || r.Env["DEMO_NO_MYPYC"] != "" {
		t.Errorf("setup.py's switch: %v %+v", ok, r.Env)
	}
	e.Source.SetupPy, e.Source.Backend = "", "hatchling.build"
	if r, _, ok = Retry(e, []Attempt{failed}); !ok || r.Env["HATCH_BUILD_HOOKS_ENABLE"] != "1" {
		t.Errorf("hatchling's switch: %v %+v", ok, r.Env)
	}
}
