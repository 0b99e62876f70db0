// Package build turns a recipe, an unpacked source and an environment into a wheel.
//
// The build runs in a cage of package sandbox where there is one: without
// network, as another user, seeing the source, the environment, the
// interpreter and the system's read-only files, and nothing else. The first
// program in there is this program itself ([RunInside]); it calls the two
// hooks of PEP 517 in processes of their own and streams the wheel out.
package build

import (
	"bufio"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/truewheel/truewheel/internal/crates"
	"github.com/truewheel/truewheel/internal/env"
	"github.com/truewheel/truewheel/internal/sandbox"
	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/recipe"
)

//go:embed hook.py
var hookPy []byte

//go:embed surroundings.py
var surroundingsPy []byte

// cratesInCage is where a build sees Spec.Crates.
const cratesInCage = "/truewheel/crates"

// maxMessage bounds a line that comes out of a cage.
const maxMessage = 1 << 20

// Spec is one build.
type Spec struct {
	Recipe  recipe.Recipe
	Source  string // directory of the unpacked source
	Project string // names the default build path, "attrs-25.4.0"
	// Subdirectory is the project's in the source, where its backend is run; "" is the top.
	Subdirectory string
	Sdist        bool   // an sdist is made, and no wheel
	Backend      string // build-backend; "" is setuptools' legacy one
	BackendPath  []string
	Crates       string // directory of crates for cargo, as package crates lays them out; "" is none
	Environment  *env.Environment
	Runtime      *sandbox.Runtime // nil: no cage
	Limits       sandbox.Limits
	// Requires installs what the backend asks for on top of the environment.
	Requires func(ctx context.Context, requirements []string) error
	Log      io.Writer
	Work     string // a private directory for this build; the wheel ends up in it
	MaxSize  int64  // of the wheel; 0: 4 GiB
	Self     string // this program; "" is os.Executable
}

// Result is a wheel that was built.
type Result struct {
	Path      string // in Spec.Work
	Filename  string
	SHA256    string // lower-case hex
	Isolation string // "caged" or "none"
	BuildPath string
	MaxRSS    int64 // bytes, 0 when unknown
	// Used are names, as written, and versions of the packages that the
	// backend could import; nil where the interpreter can't tell.
	Used map[string]string
}

// Failure is a build that gave no wheel.
type Failure struct {
	Class  string // build | timeout | environment | resolve
	Detail string
}

func (f *Failure) Error() string { return f.Class + ": " + f.Detail }

// Run builds the wheel of s. An error of type *Failure is the build's own; others are ours.
func Run(ctx context.Context, s Spec) (Result, error) {
	caged := s.Runtime != nil
	r := Result{Isolation: "none"}
	if caged {
		r.Isolation = "caged"
	}
	lib := filepath.Join(s.Work, "lib")
	if err := os.MkdirAll(lib, 0o755); err != nil {
		return r, fmt.Errorf("prepare build: %w", err)
	}
	if err := os.WriteFile(filepath.Join(lib, "hook.py"), hookPy, 0o644); err != nil {
		return r, fmt.Errorf("prepare build: %w", err)
	}
	if err := s.Environment.Add("truewheel_surroundings.py", surroundingsPy); err != nil {
		return r, err
	}
	if err := s.Environment.Add("truewheel.pth", []byte("import truewheel_surroundings\n")); err != nil {
		return r, err
	}
	self := s.Self
	if self == "" {
		var err error
		if self, err = os.Executable(); err != nil {
			return r, fmt.Errorf("prepare build: %w", err)
		}
	}

	in := insidePaths{self: self, source: s.Source, work: filepath.Join(s.Work, "inside"), hook: filepath.Join(lib, "hook.py"), tmp: os.TempDir()}
	if caged {
		in = insidePaths{self: "/truewheel/bin/truewheel", source: "/truewheel/source", work: "/build/.work", hook: "/truewheel/lib/hook.py", tmp: "/tmp"}
	}
	in.path = s.Recipe.Path
	if in.path == "" {
		in.path = "/build/" + s.Project
	}
	if !caged {
		in.path = filepath.Join(s.Work, "build", filepath.Base(in.path))
		in.tmp = filepath.Join(in.work, "tmp")
	}
	r.BuildPath = in.path

	spec := sandbox.Spec{
		Argv: []string{in.self, Inside}, Env: []string{"PATH=/usr/bin:/bin"},
		Umask: s.Recipe.Umask, Limits: s.Limits, Stdout: s.Log, Stderr: s.Log,
	}
	if caged {
		spec.Dir = "/"
		spec.Root = s.Environment.Root
		spec.Tmpfs = []string{"/build", "/tmp"}
		if top := "/" + strings.Split(in.path, "/")[1]; !slices.Contains(spec.Tmpfs, top) {
			spec.Tmpfs = append(spec.Tmpfs, top)
		}
		spec.Mounts = append(spec.Mounts,
			sandbox.Mount{Source: self, Target: in.self},
			sandbox.Mount{Source: s.Source, Target: in.source},
			sandbox.Mount{Source: lib, Target: "/truewheel/lib"},
		)
		spec.Mounts = append(spec.Mounts, s.Environment.Mounts()...)
		if s.Crates != "" {
			spec.Mounts = append(spec.Mounts, sandbox.Mount{Source: s.Crates, Target: cratesInCage})
		}
	} else {
		if err := os.MkdirAll(in.work, 0o755); err != nil {
			return r, fmt.Errorf("prepare build: %w", err)
		}
		spec.Dir = in.work
	}
	return converse(ctx, s, spec, s.job(in), r)
}

// insidePaths is where things are as the build sees them.
type insidePaths struct{ self, source, path, work, hook, tmp string }

// job is the order for the first program inside.
func (s Spec) job(in insidePaths) job {
	r := s.Recipe
	backend := s.Backend
	if backend == "" {
		backend = "setuptools.build_meta:__legacy__"
	}
	j := job{
		Source: in.source, Path: in.path, Project: s.Subdirectory, Work: in.work, Hook: in.hook,
		Python: s.Environment.Executable(), Umask: r.Umask,
		Env: buildEnv(r, s.Environment, filepath.Join(in.work, "home"), in.tmp),
		Call: call{
			Sdist: s.Sdist, Mode: string(r.Mode), Backend: backend, BackendPath: s.BackendPath,
			NoExtensions: r.Switches.NoExtensions, Args: append([]string{}, r.Switches.Args...),
			ConfigSettings: r.ConfigSettings,
		},
		Repair: r.Repair, Platform: platform(r.Target), PureToo: r.Target == "",
		Settings: &surroundings{
			Start: r.Clock.Start.Unix(), Step: int64(r.Clock.Step / time.Second),
			StepAt: r.Clock.StepAt, LineEnds: r.LineEnds,
		},
	}
	j.Home = map[string]string{}
	if config := distutilsConfig(r.Switches); config != "" {
		// distutils reads this file in the user's home directory.
		j.Home[".pydistutils.cfg"] = config
	}
	if s.Crates != "" && s.Runtime != nil {
		j.Home[".cargo/config.toml"] = crates.Config(cratesInCage)
	}
	return j
}

// platform is the platform tag of a target that names a C library's version.
func platform(target string) string {
	p := target[strings.LastIndexByte(target, '-')+1:]
	if pypi.PolicyVersion(p) == "" {
		return ""
	}
	return p
}

// buildEnv is the whole environment of the hooks, sorted.
func buildEnv(r recipe.Recipe, e *env.Environment, home, tmp string) []string {
	vars := map[string]string{
		"PATH":                    e.SearchPath(),
		"HOME":                    home,
		"TMPDIR":                  tmp,
		"LANG":                    "C.UTF-8",
		"LC_ALL":                  "C.UTF-8",
		"TZ":                      "UTC0",
		"PYTHONHASHSEED":          "0",
		"PYTHONDONTWRITEBYTECODE": "1",
		"PYTHONNOUSERSITE":        "1",
	}
	// An image's variables count where they are not those that a build is to
	// have the same everywhere. It may not have our language.
	for k, v := range e.Python.Vars {
		if _, ours := vars[k]; !ours || k == "LANG" || k == "LC_ALL" {
			vars[k] = v
		}
	}
	maps.Copy(vars, r.Env)
	if r.TimeZone != "" {
		vars["TZ"] = r.TimeZone
	}
	if r.HashSeed != "" {
		vars["PYTHONHASHSEED"] = r.HashSeed
	}
	if r.SourceDateEpoch != nil {
		vars["SOURCE_DATE_EPOCH"] = strconv.FormatInt(*r.SourceDateEpoch, 10)
	}
	var out []string
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		out = append(out, k+"="+vars[k])
	}
	return out
}

func distutilsConfig(s recipe.Switches) string {
	var lines string
	if s.Universal {
		lines += "universal = 1\n"
	}
	if s.PythonTag != "" {
		lines += "python_tag = " + s.PythonTag + "\n"
	}
	if s.LimitedAPI != "" {
		lines += "py_limited_api = " + s.LimitedAPI + "\n"
	}
	if lines == "" {
		return ""
	}
	return "[bdist_wheel]\n" + lines
}

// converse runs the cage and answers what comes out of it.
func converse(ctx context.Context, s Spec, spec sandbox.Spec, j job, r Result) (Result, error) {
	order, err := json.Marshal(j)
	if err != nil {
		return r, fmt.Errorf("prepare build: %w", err)
	}
	stdin, toStdin, err := os.Pipe()
	if err != nil {
		return r, fmt.Errorf("prepare build: %w", err)
	}
	fromOut, out, err := os.Pipe()
	if err != nil {
		return r, errors.Join(fmt.Errorf("prepare build: %w", err), stdin.Close(), toStdin.Close())
	}
	spec.Stdin, spec.ExtraFiles = stdin, []*os.File{out}

	ctx, stop := context.WithCancel(ctx)
	defer stop()
	type ended struct {
		result sandbox.Result
		err    error
	}
	done := make(chan ended, 1)
	go func() {
		var e ended
		if s.Runtime != nil {
			e.result, e.err = s.Runtime.Run(ctx, spec)
		} else {
			e.result, e.err = sandbox.RunUncaged(ctx, spec)
		}
		out.Close() // the other end sees the end of the stream
		stdin.Close()
		done <- e
	}()

	told := s.listen(ctx, bufio.NewReaderSize(fromOut, 64<<10), toStdin, append(order, '\n'), &r)
	toStdin.Close()
	if told != nil {
		stop()
	}
	fromOut.Close()
	end := <-done
	r.MaxRSS = end.result.MaxRSS
	var failure *Failure
	switch {
	case end.result.TimedOut:
		return r, &Failure{"timeout", "the build ran out of time"}
	case end.result.OutOfMemory:
		return r, &Failure{"build", "the build ran out of memory"}
	case told == nil:
		return r, nil
	case errors.As(told, &failure):
		return r, told
	case end.err != nil && !errors.Is(end.err, context.Canceled):
		return r, fmt.Errorf("build: %w", end.err)
	case errors.Is(told, io.EOF) || errors.Is(told, io.ErrUnexpectedEOF):
		return r, &Failure{"build", fmt.Sprintf("the build ended without a wheel (exit %d %s)", end.result.ExitCode, end.result.Signal)}
	}
	return r, told
}

// listen is our side of the talk with RunInside.
func (s Spec) listen(ctx context.Context, from *bufio.Reader, to io.Writer, order []byte, r *Result) error {
	if _, err := to.Write(order); err != nil {
		return io.ErrUnexpectedEOF // it ended before it read: its exit says why
	}
	for {
		line, err := readLine(from)
		if err != nil {
			return err
		}
		var m message
		if err := json.Unmarshal(line, &m); err != nil {
			return &Failure{"build", "the build wrote into our channel"}
		}
		switch m.Kind {
		case "requires":
			if err := s.Requires(ctx, m.Requires); err != nil {
				return err
			}
			if _, err := io.WriteString(to, "go\n"); err != nil {
				return io.ErrUnexpectedEOF
			}
		case "failed":
			return &Failure{"build", m.Detail}
		case "wheel":
			r.Used = m.Used
			return s.receive(from, m, r)
		default:
			return &Failure{"build", "the build wrote into our channel"}
		}
	}
}

func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxMessage {
			return nil, &Failure{"build", "the build wrote into our channel"}
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
	}
}

// suffix of what is made.
func (s Spec) suffix() string {
	if s.Sdist {
		return ".tar.gz"
	}
	return ".whl"
}

// receive writes the wheel that follows into s.Work.
func (s Spec) receive(from io.Reader, m message, r *Result) error {
	limit := s.MaxSize
	if limit == 0 {
		limit = 4 << 30
	}
	if m.Name == "" || m.Name != filepath.Base(m.Name) || strings.HasPrefix(m.Name, ".") || !strings.HasSuffix(m.Name, s.suffix()) || strings.ContainsAny(m.Name, "/\\\x00\n") {
		return &Failure{"build", fmt.Sprintf("the backend named what it made %q", m.Name)}
	}
	if m.Size < 0 || m.Size > limit {
		return &Failure{"build", fmt.Sprintf("the wheel has %d bytes; at most %d are allowed", m.Size, limit)}
	}
	dir := filepath.Join(s.Work, "wheel")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("receive wheel: %w", err)
	}
	r.Filename, r.Path = m.Name, filepath.Join(dir, m.Name)
	f, err := os.Create(r.Path)
	if err != nil {
		return fmt.Errorf("receive wheel: %w", err)
	}
	h := sha256.New()
	_, err = io.CopyN(io.MultiWriter(f, h), from, m.Size)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("receive wheel: %w", err)
	}
	r.SHA256 = hex.EncodeToString(h.Sum(nil))
	return nil
}
