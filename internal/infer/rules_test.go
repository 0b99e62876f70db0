package infer

import (
	"slices"
	"testing"
	"time"

	"github.com/truewheel/truewheel/compare"
	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/recipe"
)

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02T15:04:05", text)
	if err != nil {
		panic(err)
	}
	return t
}

// evidence is a wheel of setuptools as most are, for the rules to look at.
func evidence(change func(*Evidence)) *Evidence {
	name, err := pypi.ParseWheelFilename("demo-1.0-py3-none-any.whl")
	if err != nil {
		panic(err)
	}
	built, source := at("2023-05-01T10:00:00"), at("2023-04-30T09:00:00")
	carried := func(name string) Member {
		return Member{Name: name, Time: source, Mode: 0o100644, System: 3, Size: 5, Sources: []SourceFile{{name, source, 0o644}}}
	}
	generated := func(base string, mode uint32) Member {
		return Member{Name: "demo-1.0.dist-info/" + base, Time: built, Mode: mode, System: 3, Size: 5}
	}
	e := &Evidence{
		Filename: name, Uploaded: at("2023-05-01T10:05:00"), Generator: "bdist_wheel (0.40.0)",
		Members: []Member{
			carried("demo/__init__.py"), carried("demo/a.py"),
			generated("METADATA", 0o100644), generated("WHEEL", 0o100644), generated("top_level.txt", 0o100644), generated("RECORD", 0o100664),
		},
		Metadata: "Metadata-Version: 2.1\nName: demo\nLicense-File: LICENSE\nDescription-Content-Type: text/plain\n\ntext\n",
		Texts:    map[string]string{"WHEEL": "Wheel-Version: 1.0\n"},
		Source:   Source{Top: "demo-1.0", Requires: []string{"setuptools>=40.8.0", "wheel"}, SetupPy: "setup()\n"},
	}
	if change != nil {
		change(e)
	}
	return e
}

// each changes all members that keep says.
func (e *Evidence) each(keep func(Member) bool, change func(*Member)) {
	for i := range e.Members {
		if keep(e.Members[i]) {
			change(&e.Members[i])
		}
	}
}

func all(Member) bool                  { return true }
func isCarried(m Member) bool          { return !m.generated() }
func named(b string) func(Member) bool { return func(m Member) bool { return m.Base() == b } }

func hasPin(r recipe.Recipe, name, version string) bool {
	return slices.Contains(r.Pins, recipe.Pin{Name: name, Version: version})
}

func TestRules(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Evidence)
		holds  func(recipe.Recipe) bool
	}{
		{"resolution as of the upload", nil, func(r recipe.Recipe) bool { return r.Before.Equal(at("2023-05-01T10:05:00")) }},
		{"no upload time: the newest entry and a day", func(e *Evidence) { e.Uploaded = time.Time{} },
			func(r recipe.Recipe) bool { return r.Before.Equal(at("2023-05-02T10:00:00")) }},

		{"Generator bdist_wheel is wheel", nil, func(r recipe.Recipe) bool { return hasPin(r, "wheel", "0.40.0") }},
		{"Generator hatchling", func(e *Evidence) { e.Generator = "hatchling 1.21.0" }, func(r recipe.Recipe) bool { return hasPin(r, "hatchling", "1.21.0") }},
		{"Generator flit is flit-core", func(e *Evidence) { e.Generator = "flit 3.9.0" }, func(r recipe.Recipe) bool { return hasPin(r, "flit-core", "3.9.0") }},
		{"Generator uv is uv-build", func(e *Evidence) { e.Generator = "uv 0.9.1" }, func(r recipe.Recipe) bool { return hasPin(r, "uv-build", "0.9.1") }},
		{"Generator setuptools", func(e *Evidence) { e.Generator = "setuptools (75.1.0)" }, func(r recipe.Recipe) bool { return hasPin(r, "setuptools", "75.1.0") }},
		{"pin of a backend that nothing requires", func(e *Evidence) { e.Generator, e.Source.Requires = "pdm-backend (2.5.0)", nil },
			func(r recipe.Recipe) bool { return slices.Equal(r.Requires, []string{"pdm-backend"}) }},
		{"a backend that built itself", func(e *Evidence) { e.Generator, e.Filename.Name = "hatchling 1.33.0", "hatchling" }, func(r recipe.Recipe) bool { return len(r.Pins) == 0 }},
		{"unknown Generator", func(e *Evidence) { e.Generator = "by hand" }, func(r recipe.Recipe) bool { return len(r.Pins) == 0 }},

		{"setuptools before 70.1", nil, func(r recipe.Recipe) bool { return slices.Equal(r.Constraints, []string{"setuptools<70.1"}) }},
		{"licence without License-File", func(e *Evidence) {
			e.Metadata = "Name: demo\nDescription-Content-Type: x\n\n"
			e.Members = append(e.Members, Member{Name: "demo-1.0.dist-info/LICENSE", Mode: 0o100644, Time: at("2023-05-01T10:00:00")})
		}, func(r recipe.Recipe) bool { return slices.Equal(r.Constraints, []string{"setuptools<57.0"}) }},
		{"License: UNKNOWN", func(e *Evidence) { e.Metadata = "Name: demo\nLicense: UNKNOWN\n\n" },
			func(r recipe.Recipe) bool { return slices.Equal(r.Constraints, []string{"setuptools<62.2"}) }},
		{"Home-page: UNKNOWN", func(e *Evidence) { e.Metadata = "Name: demo\nHome-page: UNKNOWN\nLicense: UNKNOWN\n\n" },
			func(r recipe.Recipe) bool { return slices.Equal(r.Constraints, []string{"setuptools<60.6"}) }},
		{"entry points as written", func(e *Evidence) { e.Texts["entry_points.txt"] = "[x]\na=b:c\n" },
			func(r recipe.Recipe) bool { return slices.Equal(r.Constraints, []string{"setuptools<60.9"}) }},

		{"old wheel beside setuptools", func(e *Evidence) {
			e.Generator = "setuptools (75.1.0)"
			e.each(named("RECORD"), func(m *Member) { m.Mode = 0o664 })
		}, func(r recipe.Recipe) bool { return hasPin(r, "wheel", "0.37.1") && hasPin(r, "setuptools", "75.1.0") }},
		{"wheel 0.43 beside setuptools", func(e *Evidence) {
			e.Generator, e.Metadata = "setuptools (74.1.3)", "Name: demo\nRequires-Dist: azure-core >=1.31.0\n\n"
		}, func(r recipe.Recipe) bool { return hasPin(r, "wheel", "0.43.0") }},

		{"Python by date", nil, func(r recipe.Recipe) bool { return r.Python == "3.11" }},
		{"Python for an old wheel", func(e *Evidence) { e.Generator = "bdist_wheel (0.37.1)" }, func(r recipe.Recipe) bool { return r.Python == "3.9" }},
		{"Python by a .pth file", func(e *Evidence) {
			e.Members = append(e.Members, Member{Name: "demo-1.0-py3.6-nspkg.pth", Mode: 0o100644})
		}, func(r recipe.Recipe) bool { return r.Python == "3.6" }},

		{"hooks", nil, func(r recipe.Recipe) bool { return r.Mode == recipe.PEP517 }},
		{"setup.py before setuptools had hooks", func(e *Evidence) { e.Uploaded = at("2018-01-01T00:00:00") },
			func(r recipe.Recipe) bool {
				return r.Mode == recipe.SetupPy && slices.Equal(r.Requires, []string{"wheel", "setuptools"})
			}},
		{"another backend declared than used", func(e *Evidence) { e.Source.Declared, e.Source.Backend = true, "poetry.core.masonry.api" },
			func(r recipe.Recipe) bool { return r.Mode == recipe.SetupPy }},

		{"one time for all", func(e *Evidence) { e.each(all, func(m *Member) { m.Time = at("2022-01-02T03:04:06") }) },
			func(r recipe.Recipe) bool {
				return r.SourceDateEpoch != nil && *r.SourceDateEpoch == at("2022-01-02T03:04:06").Unix()
			}},
		{"a backend's constant is no epoch", func(e *Evidence) { e.each(all, func(m *Member) { m.Time = date(2020, 2, 2) }) },
			func(r recipe.Recipe) bool {
				return r.SourceDateEpoch == nil && r.Clock.Start.Equal(at("2023-05-01T10:05:00"))
			}},

		{"UTC", nil, func(r recipe.Recipe) bool { return r.TimeZone == "" && r.SourceZone == "" }},
		{"a zone east", func(e *Evidence) {
			e.each(isCarried, func(m *Member) { m.Time = m.Time.Add(9*time.Hour + 30*time.Minute) })
		},
			func(r recipe.Recipe) bool {
				return r.TimeZone == "LOC-9:30" && r.Clock.Start.Equal(at("2023-05-01T00:30:00"))
			}},
		{"a zone with summer time", func(e *Evidence) {
			e.each(isCarried, func(m *Member) { m.Time = m.Time.Add(-4 * time.Hour) })
			winter := at("2023-01-15T12:00:00")
			e.Members = append(e.Members, Member{Name: "demo/w.py", Size: 1, Mode: 0o100644, Time: winter.Add(-5 * time.Hour), Sources: []SourceFile{{"demo/w.py", winter, 0o644}}})
		}, func(r recipe.Recipe) bool { return r.TimeZone == "EST5EDT,M3.2.0,M11.1.0" }},
		{"a zip sdist's own zone", func(e *Evidence) {
			e.Source.Zip = true
			e.each(isCarried, func(m *Member) { m.Time = m.Time.Add(7 * time.Hour) })
		}, func(r recipe.Recipe) bool { return r.SourceZone == "LOC+7" && r.TimeZone == "" }},
		{"a fresh checkout", func(e *Evidence) { e.each(isCarried, func(m *Member) { m.Time = at("2023-05-01T09:59:58") }) },
			func(r recipe.Recipe) bool { return r.SourceTime.Equal(at("2023-05-01T09:59:58")) }},

		{"clock", nil, func(r recipe.Recipe) bool { return r.Clock == recipe.Clock{Start: at("2023-05-01T10:00:00")} }},
		{"clock with a step", func(e *Evidence) { e.each(named("RECORD"), func(m *Member) { m.Time = m.Time.Add(2 * time.Second) }) },
			func(r recipe.Recipe) bool {
				return r.Clock == recipe.Clock{Start: at("2023-05-01T10:00:00"), Step: 2 * time.Second, StepAt: "demo-1.0.dist-info/RECORD"}
			}},

		{"umask 022", nil, func(r recipe.Recipe) bool { return r.Umask == 0o022 }},
		{"umask 002", func(e *Evidence) { e.each(named("WHEEL"), func(m *Member) { m.Mode = 0o100664 }) }, func(r recipe.Recipe) bool { return r.Umask == 0o002 }},
		{"umask 027", func(e *Evidence) { e.each(named("WHEEL"), func(m *Member) { m.Mode = 0o100640 }) }, func(r recipe.Recipe) bool { return r.Umask == 0o026 }},
		{"raw modes", func(e *Evidence) {
			e.each(isCarried, func(m *Member) { m.Mode, m.Sources = 0o100664, []SourceFile{{m.Name, m.Time, 0o664}} })
		}, func(r recipe.Recipe) bool { return r.SourceModes == "raw" }},
		{"masked modes", func(e *Evidence) {
			e.each(isCarried, func(m *Member) { m.Sources = []SourceFile{{m.Name, m.Time, 0o664}} })
		}, func(r recipe.Recipe) bool { return r.SourceModes == "umask" }},

		{"Windows line ends", func(e *Evidence) { e.Texts["WHEEL"] = "Wheel-Version: 1.0\r\n" }, func(r recipe.Recipe) bool { return r.LineEnds == "crlf" }},
		{"universal from outside", func(e *Evidence) { e.Filename.Python = []string{"py2", "py3"} }, func(r recipe.Recipe) bool { return r.Switches.Universal }},
		{"universal in the source", func(e *Evidence) {
			e.Filename.Python, e.Source.SetupCfg = []string{"py2", "py3"}, "[bdist_wheel]\nuniversal = 1\n"
		}, func(r recipe.Recipe) bool { return !r.Switches.Universal }},
		{"python tag from outside", func(e *Evidence) { e.Filename.Python = []string{"py36"} }, func(r recipe.Recipe) bool { return r.Switches.PythonTag == "py36" }},

		{"extensions without a switch", func(e *Evidence) { e.Source.SetupPy = "setup(ext_modules=[x])" }, func(r recipe.Recipe) bool { return r.Switches.NoExtensions && !r.Scalar() }},
		{"extensions with the project's variable", func(e *Evidence) { e.Source.SetupPy = "os.environ.get('DISABLE_DEMO_CEXT')\nsetup(ext_modules=[x])" },
			func(r recipe.Recipe) bool { return r.Env["DISABLE_DEMO_CEXT"] == "1" && r.Scalar() }},
		{"extensions with the project's argument", func(e *Evidence) {
			e.Source.SetupPy = "if '--no-cython-compile' in sys.argv: pass\nsetup(ext_modules=[x])"
		},
			func(r recipe.Recipe) bool {
				return slices.Equal(r.Switches.Args, []string{"--no-cython-compile"}) && r.Scalar()
			}},
		{"version from the environment", func(e *Evidence) { e.Source.SetupPy = "v = os.environ['PACKAGE_VERSION']\n" },
			func(r recipe.Recipe) bool { return r.Env["PACKAGE_VERSION"] == "1.0" }},
		{"build path in a text", func(e *Evidence) { e.Texts["demo/gen.py"] = "# /tmp/build-via-sdist-ab12_xyz/demo-1.0/x.g4" },
			func(r recipe.Recipe) bool { return r.Path == "/tmp/build-via-sdist-ab12_xyz/demo-1.0" }},
	} {
		r, why := Recipe(evidence(test.change))
		if !test.holds(r) {
			t.Errorf("%s: %+v", test.name, r)
		}
		if err := r.Check(); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		for _, w := range why {
			if w.Input == "" || w.Value == "" || w.Why == "" {
				t.Errorf("%s: a reason without words: %+v", test.name, w)
			}
		}
	}
}

func TestRemedies(t *testing.T) {
	differs := func(causes ...string) *compare.Result {
		r := &compare.Result{Verdict: compare.Differs}
		for _, c := range causes {
			r.Differences = append(r.Differences, compare.Difference{Member: "demo-1.0.dist-info/METADATA", Kind: "content", Cause: c})
		}
		return r
	}
	for _, test := range []struct {
		name    string
		change  func(*Evidence)
		attempt Attempt
		holds   func(recipe.Recipe) bool
	}{
		{"another Python after a failure", nil, Attempt{Class: "build"}, func(r recipe.Recipe) bool { return r.Python != "3.11" }},
		{"pure after all", nil, Attempt{Result: differs(""), Name: "demo-1.0-cp311-cp311-linux_x86_64.whl"}, func(r recipe.Recipe) bool { return r.Switches.NoExtensions }},
		{"the tag of the name", func(e *Evidence) {
			e.Filename.Filename, e.Filename.Python = "demo-1.0-py2.py3-none-any.whl", []string{"py2", "py3"}
		},
			Attempt{Result: differs("python-tag"), Name: "demo-1.0-py3-none-any.whl"}, func(r recipe.Recipe) bool { return r.Switches.Universal }},
		{"other line ends", nil, Attempt{Result: differs("line-endings"), Name: "demo-1.0-py3-none-any.whl"}, func(r recipe.Recipe) bool { return r.LineEnds == "crlf" }},
		{"a hash seed", func(e *Evidence) {
			e.Metadata = "Name: demo\nRequires-Dist: b\nRequires-Dist: c\nRequires-Dist: a\n\n"
			e.Source.SetupPy = "setup(install_requires=list({'a', 'b', 'c'}))"
		}, Attempt{Result: differs("hash-seed"), Rebuilt: "Name: demo\nRequires-Dist: a\nRequires-Dist: b\nRequires-Dist: c\n\n", Name: "demo-1.0-py3-none-any.whl"},
			func(r recipe.Recipe) bool { return r.HashSeed != "" }},
		{"older setuptools by a normalised name", func(e *Evidence) { e.Metadata = "Name: de-mo\n\n" },
			Attempt{Result: differs("metadata-writer"), Rebuilt: "Name: de_mo\n\n", Name: "demo-1.0-py3-none-any.whl"},
			func(r recipe.Recipe) bool { return slices.Contains(r.Constraints, "setuptools<69.0.3") }},
		{"Python by a text", nil, Attempt{Result: &compare.Result{Verdict: compare.Differs, Differences: []compare.Difference{{Kind: "content", Published: "pip3.8 = x", Rebuilt: "pip3.11 = x"}}}, Name: "demo-1.0-py3-none-any.whl"},
			func(r recipe.Recipe) bool { return r.Python == "3.8" }},
	} {
		e := evidence(test.change)
		test.attempt.Recipe, _ = Recipe(e)
		r, why, ok := Retry(e, []Attempt{test.attempt})
		if !ok || why == "" || !test.holds(r) {
			t.Errorf("%s: %v %q %+v", test.name, ok, why, r)
		}
	}
}

// What was tried is not tried again, and the best stays the best.
func TestRetryEnds(t *testing.T) {
	e := evidence(nil)
	r, _ := Recipe(e)
	tried := []Attempt{{Recipe: r, Class: "build"}}
	for range 20 {
		next, _, ok := Retry(e, tried)
		if !ok {
			break
		}
		for _, a := range tried {
			if a.Recipe.Python == next.Python && a.Recipe.Mode == next.Mode && len(a.Recipe.Constraints) == len(next.Constraints) {
				t.Fatalf("tried twice: %+v", next)
			}
		}
		tried = append(tried, Attempt{Recipe: next, Class: "build"})
	}
	if len(tried) == 21 {
		t.Error("no end")
	}
	tried = append(tried, Attempt{Result: &compare.Result{Verdict: compare.Replayed}}, Attempt{Class: "build"})
	if best := Best(tried); tried[best].Result == nil {
		t.Errorf("best is %d", best)
	}
}
