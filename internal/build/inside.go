package build

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Inside is the name of the hidden verb under which truewheel runs itself
// as the first program of a cage.
const Inside = "__inside"

// A job is what the first program of a cage is told on standard input, one
// JSON line. After the hook that asks for requirements it waits for a line
// "go" there.
type job struct {
	Source   string            `json:"source"`            // the unpacked tree, read-only
	Path     string            `json:"path"`              // where it is copied to and built
	Project  string            `json:"project,omitempty"` // directory below path that the hooks run in
	Work     string            `json:"work"`              // a writable directory for home, results and the wheel
	Python   string            `json:"python"`
	Hook     string            `json:"hook"` // hook.py
	Env      []string          `json:"env"`
	Umask    uint32            `json:"umask"`
	Call     call              `json:"call"`
	Repair   string            `json:"repair,omitempty"`   // module that makes the wheel portable
	Platform string            `json:"platform,omitempty"` // the tag it is to give, where the wheel can have it
	PureToo  bool              `json:"pure_too,omitempty"` // a wheel for every platform needs no repair; else it is a failure
	Settings *surroundings     `json:"surroundings"`
	Home     map[string]string `json:"home,omitempty"` // files of the build's home directory
}

// call is what hook.py reads.
type call struct {
	Hook         string   `json:"hook"`
	Sdist        bool     `json:"sdist,omitempty"` // make an sdist, and no wheel
	Mode         string   `json:"mode"`
	Backend      string   `json:"backend"`
	BackendPath  []string `json:"backend_path"`
	Out          string   `json:"out"`
	NoExtensions bool     `json:"no_extensions"`
	Args         []string `json:"args"`

	ConfigSettings map[string][]string `json:"config_settings"`
}

// surroundings is what surroundings.py reads.
type surroundings struct {
	Start      int64  `json:"start"`
	BoundaryNS int64  `json:"boundary_ns"`
	Step       int64  `json:"step"`
	StepAt     string `json:"step_at"`
	LineEnds   string `json:"line_ends"`
}

// variable is the environment variable for surroundings.py.
func (s surroundings) variable() string {
	return fmt.Sprintf("TRUEWHEEL_SURROUNDINGS=%d %d %d %s %s", s.Start, s.BoundaryNS, s.Step, cmp.Or(s.LineEnds, "-"), s.StepAt)
}

// A message is a JSON line from inside; after kind "wheel" Size bytes of it follow.
type message struct {
	Kind     string   `json:"kind"` // requires | wheel | failed
	Requires []string `json:"requires,omitempty"`
	Name     string   `json:"name,omitempty"`
	Size     int64    `json:"size,omitempty"`
	Step     string   `json:"step,omitempty"`
	Detail   string   `json:"detail,omitempty"`

	Used map[string]string `json:"used,omitempty"`
}

// RunInside does one job inside a cage (or beside one, without isolation):
// copies the source to its build path, runs the two hooks and sends what
// they say to out. What hooks print goes to log.
func RunInside(in io.Reader, out io.Writer, log io.Writer) error {
	lines := bufio.NewReader(in)
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	var j job
	if err := json.Unmarshal(line, &j); err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	send := func(m message) error { return json.NewEncoder(out).Encode(m) }
	fail := func(step string, err error) error {
		return send(message{Kind: "failed", Step: step, Detail: err.Error()})
	}

	setUmask(0)
	if err := copyTree(j.Source, j.Path); err != nil {
		return fail("source", err)
	}
	setUmask(int(j.Umask))
	j.Call.Out = filepath.Join(j.Work, "dist")
	for _, dir := range []string{"dist", "home", "tmp"} {
		if err := os.MkdirAll(filepath.Join(j.Work, dir), 0o755); err != nil {
			return fail("source", err)
		}
	}
	for name, text := range j.Home {
		at := filepath.Join(j.Work, "home", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o644)); err != nil {
			return fail("source", err)
		}
	}
	if j.Settings != nil {
		// A file system's clock may lag behind by a tick of its own.
		j.Settings.BoundaryNS = time.Now().Add(-20 * time.Millisecond).UnixNano()
		j.Env = append(j.Env, j.Settings.variable())
	}

	requires, err := j.run("requires", log)
	if err != nil {
		return fail("requires", err)
	}
	if err := send(message{Kind: "requires", Requires: requires.Requires}); err != nil {
		return err
	}
	if answer, err := lines.ReadString('\n'); err != nil || strings.TrimSpace(answer) != "go" {
		return errors.New("nobody waits for the wheel")
	}
	hook := "wheel"
	if j.Call.Sdist {
		hook = "sdist"
	}
	built, err := j.run(hook, log)
	if err != nil {
		return fail(hook, err)
	}
	name := filepath.Join(j.Call.Out, filepath.Base(built.Wheel))
	if j.Repair != "" {
		if name, err = j.repair(name, log); err != nil {
			return fail("repair", err)
		}
	}
	return j.sendWheel(name, built.Used, out, send, fail)
}

// repair makes a portable wheel of one that was built and says where it is.
func (j *job) repair(built string, log io.Writer) (string, error) {
	pure := strings.HasSuffix(built, "-none-any.whl")
	if pure && j.PureToo {
		return built, nil
	}
	if pure {
		return "", fmt.Errorf("%s holds no extension module: there is nothing to repair, and the target is not pure", filepath.Base(built))
	}
	dir := filepath.Join(j.Work, "repaired")
	repair := func(args ...string) error {
		cmd := exec.Command(j.Python, append(append([]string{"-m", j.Repair, "repair", "--wheel-dir", dir}, args...), built)...)
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = j.Path, append([]string{}, j.Env...), log, log
		return cmd.Run()
	}
	err := errors.New("no platform")
	if j.Platform != "" {
		err = repair("--plat", j.Platform)
	}
	if err != nil {
		// Newer libraries than the platform has: whoever asked sees it by the name.
		err = repair()
	}
	if err != nil {
		return "", fmt.Errorf("%s repair: %w", j.Repair, err)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(names) != 1 {
		return "", fmt.Errorf("%s repair left %d wheels", j.Repair, len(names))
	}
	return names[0], nil
}

func (j *job) sendWheel(path string, used map[string]string, out io.Writer, send func(message) error, fail func(string, error) error) error {
	name := filepath.Base(path)
	f, err := open(path)
	if err != nil {
		return fail("wheel", fmt.Errorf("the backend named %q, which is not there: %w", name, err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return fail("wheel", fmt.Errorf("the backend named %q, which is not a file", name))
	}
	if err := send(message{Kind: "wheel", Name: name, Size: info.Size(), Used: used}); err != nil {
		return err
	}
	_, err = io.CopyN(out, f, info.Size())
	return err
}

type result struct {
	Requires []string          `json:"requires"`
	Wheel    string            `json:"wheel"`
	Used     map[string]string `json:"used"`
}

// run calls one hook in a process of its own, as PEP 517 front ends do.
func (j *job) run(hook string, log io.Writer) (result, error) {
	var r result
	j.Call.Hook = hook
	text, err := json.Marshal(j.Call)
	if err != nil {
		return r, err
	}
	in, to := filepath.Join(j.Work, hook+".in.json"), filepath.Join(j.Work, hook+".json")
	if err := os.WriteFile(in, text, 0o600); err != nil {
		return r, err
	}
	cmd := exec.Command(j.Python, j.Hook, in, to)
	cmd.Dir = filepath.Join(j.Path, filepath.FromSlash(j.Project))
	cmd.Env = append([]string{}, j.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		return r, fmt.Errorf("%s hook: %w", hook, err)
	}
	data, err := os.ReadFile(to)
	if err != nil {
		return r, fmt.Errorf("%s hook gave no result: %w", hook, err)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("result of %s hook: %w", hook, err)
	}
	return r, nil
}

// copyTree copies a directory, times and modes as they are.
func copyTree(from, to string) error {
	type stamp struct {
		path string
		time time.Time
	}
	var dirs []stamp
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			// The top may be a file system of its own.
			if err := os.Mkdir(target, 0o700); err != nil && (rel != "." || !errors.Is(err, fs.ErrExist)) {
				return err
			}
			if err := os.Chmod(target, info.Mode().Perm()|0o700); err != nil {
				return err
			}
			dirs = append(dirs, stamp{target, info.ModTime()})
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(link, target)
		}
		return copyFile(path, target, info)
	})
	for i := len(dirs) - 1; i >= 0 && err == nil; i-- {
		err = os.Chtimes(dirs[i].path, dirs[i].time, dirs[i].time)
	}
	return err
}

func copyFile(from, to string, info fs.FileInfo) error {
	r, err := os.Open(from)
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	if err = errors.Join(err, w.Chmod(info.Mode().Perm()), w.Close()); err != nil {
		return err
	}
	return os.Chtimes(to, info.ModTime(), info.ModTime())
}
