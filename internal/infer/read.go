package infer

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/sdist"
	"github.com/truewheel/truewheel/wheel"
)

const (
	maxMetadata = 8 << 20
	maxText     = 512 << 10 // of a member that is searched for paths
)

// Read collects the evidence. source may be nil: then nothing is known of it.
func Read(ctx context.Context, subject *wheel.Archive, source *sdist.Tree, uploaded time.Time) (*Evidence, error) {
	e := &Evidence{Uploaded: uploaded, Texts: map[string]string{}}
	var err error
	if e.Filename, err = pypi.ParseWheelFilename(subject.Filename); err != nil {
		return nil, err
	}
	dir, err := subject.DistInfo()
	if err != nil {
		return nil, err
	}
	if e.Generator, e.Texts["WHEEL"], err = Generator(subject); err != nil {
		return nil, err
	}
	text, err := subject.ReadFile(dir+"/METADATA", maxMetadata)
	if err != nil {
		return nil, err
	}
	e.Metadata = string(text)
	if i := subject.Find(dir + "/entry_points.txt"); i >= 0 {
		if text, err = subject.ReadFile(dir+"/entry_points.txt", maxMetadata); err != nil {
			return nil, err
		}
		e.Texts["entry_points.txt"] = string(text)
	}
	sums, err := subject.Sums(ctx)
	if err != nil {
		return nil, err
	}
	bySum := map[[32]byte][]SourceFile{}
	if source != nil {
		bySum = e.readSource(source)
	}
	for i, entry := range subject.Entries {
		if entry.IsDir() {
			continue
		}
		m := Member{
			Name: entry.Name, Time: entry.Modified(), Mode: entry.Mode(), System: entry.System(),
			Size: entry.Size, SHA256: sums[i], Sources: nearestNames(entry.Name, bySum[sums[i]]),
		}
		e.Members = append(e.Members, m)
		if source != nil && len(m.Sources) == 0 && !m.InDistInfo() && entry.Size <= maxText && strings.HasSuffix(entry.Name, ".py") {
			data, err := subject.ReadFile(entry.Name, maxText)
			if err != nil {
				return nil, err
			}
			e.Texts[entry.Name] = string(data)
		}
	}
	if e.Native, err = readNative(subject, e); err != nil {
		return nil, err
	}
	e.Place = nearest(e)
	return e, nil
}

// Generator is what WHEEL says made a wheel, "" when it does not, and all its text.
func Generator(subject *wheel.Archive) (name, text string, err error) {
	dir, err := subject.DistInfo()
	if err != nil {
		return "", "", err
	}
	data, err := subject.ReadFile(dir+"/WHEEL", maxMetadata)
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(string(data)) {
		if v, ok := strings.CutPrefix(line, "Generator:"); ok {
			name = strings.TrimSpace(v)
		}
	}
	return name, string(data), nil
}

// readSource fills e.Source and maps contents to files.
func (e *Evidence) readSource(t *sdist.Tree) map[[32]byte][]SourceFile {
	bySum := map[[32]byte][]SourceFile{}
	s := &e.Source
	s.Top, s.Zip, s.SameTime = t.Top, t.Zip, true
	var first time.Time
	for _, f := range t.Entries {
		if f.Dir || f.Symlink != "" {
			continue
		}
		if f.Name == ".git/HEAD" {
			s.Git = true
		}
		bySum[f.SHA256] = append(bySum[f.SHA256], SourceFile{strings.TrimPrefix(f.Name, t.Project+"/"), f.ModTime, f.Mode})
		if first.IsZero() {
			first = f.ModTime
		}
		s.SameTime = s.SameTime && f.ModTime.Equal(first)
		if f.ModTime.After(s.NewestTime) {
			s.NewestTime = f.ModTime
		}
	}
	read := func(name string) string {
		data, err := t.ReadFile(name)
		if err != nil {
			return "" // not there
		}
		return string(data)
	}
	s.SetupPy, s.SetupCfg, s.Pyproject = read("setup.py"), read("setup.cfg"), read("pyproject.toml")
	for line := range strings.Lines(read("PKG-INFO")) {
		if v, ok := strings.CutPrefix(line, "Requires-Python:"); ok {
			s.RequiresPy = strings.TrimSpace(v)
		}
	}
	if b, err := t.BuildSystem(); err == nil {
		s.Declared, s.Requires, s.Backend = b.Declared, b.Requires, b.Backend
	}
	return bySum
}

// nearestNames puts the files first whose paths end most like name.
func nearestNames(name string, files []SourceFile) []SourceFile {
	if len(files) < 2 {
		return files
	}
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b SourceFile) int { return commonEnd(name, b.Name) - commonEnd(name, a.Name) })
	n := 1
	for n < len(files) && commonEnd(name, files[n].Name) == commonEnd(name, files[0].Name) {
		n++
	}
	return files[:n]
}

// commonEnd counts the path elements that two names end in alike.
func commonEnd(a, b string) int {
	x, y := strings.Split(a, "/"), strings.Split(b, "/")
	n := 0
	for n < len(x) && n < len(y) && x[len(x)-1-n] == y[len(y)-1-n] {
		n++
	}
	return n
}

// lessVersion compares two versions that are known to be ones; what can't be
// read is the oldest.
func lessVersion(a, b string) bool {
	x, err := pypi.ParseVersion(a)
	if err != nil {
		return true
	}
	y, err := pypi.ParseVersion(b)
	if err != nil {
		return false
	}
	return x.Compare(y) < 0
}

// Binaries lists compiled code that the source carries along.
func Binaries(t *sdist.Tree) []string {
	var out []string
	for _, f := range t.Entries {
		if f.Dir || f.Symlink != "" {
			continue
		}
		for _, suffix := range []string{".so", ".pyd", ".dll", ".dylib", ".exe", ".a", ".lib", ".o", ".obj", ".pyc", ".jar", ".class", ".wasm", ".whl", ".egg"} {
			if strings.HasSuffix(strings.ToLower(f.Name), suffix) {
				out = append(out, f.Name)
				break
			}
		}
	}
	return out
}
