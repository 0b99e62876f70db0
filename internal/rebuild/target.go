package rebuild

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/truewheel/truewheel/compare"
	"github.com/truewheel/truewheel/internal/debian"
	"github.com/truewheel/truewheel/internal/git"
	"github.com/truewheel/truewheel/internal/index"
	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/recipe/lock"
	"github.com/truewheel/truewheel/report"
)

// Choice says which files of a release are meant.
type Choice struct {
	File   string   // this file name; "" leaves it to the rules
	All    bool     // all wheels
	Hashes []string // sha256, of which a file has to have one; empty: any
}

// A NoFileError says that a release has no file that was asked for.
type NoFileError struct{ Reason string }

func (e *NoFileError) Error() string { return e.Reason }

// Targets finds what text means: NAME==VERSION, a purl, a URL of a wheel, or
// the path of one.
func Targets(ctx context.Context, c *index.Client, text string, choice Choice) ([]Target, error) {
	switch {
	case strings.HasPrefix(text, "pkg:"):
		name, version, file, err := parsePURL(text)
		if err != nil {
			return nil, err
		}
		if file != "" {
			choice.File = file
		}
		return release(ctx, c, name, version, choice)
	case strings.HasPrefix(text, "https://"), strings.HasPrefix(text, "http://"):
		return fromURL(ctx, c, text)
	case strings.HasSuffix(text, ".whl"):
		return fromFile(ctx, c, text)
	}
	name, version, err := ParseRelease(text)
	if err != nil {
		return nil, err
	}
	return release(ctx, c, name, version, choice)
}

// ParseRelease parses NAME==VERSION.
func ParseRelease(text string) (pypi.Name, pypi.Version, error) {
	left, right, ok := strings.Cut(text, "==")
	if !ok {
		return "", pypi.Version{}, fmt.Errorf("%q is not NAME==VERSION, a purl, a URL or a wheel file", text)
	}
	left, _, _ = strings.Cut(left, "[") // extras change nothing
	name, err := pypi.ParseName(strings.TrimSpace(left))
	if err != nil {
		return "", pypi.Version{}, err
	}
	version, err := pypi.ParseVersion(strings.TrimSpace(right))
	return name, version, err
}

// parsePURL reads pkg:pypi/NAME@VERSION?file_name=FILE.
func parsePURL(text string) (name pypi.Name, version pypi.Version, file string, err error) {
	rest, ok := strings.CutPrefix(text, "pkg:pypi/")
	if !ok {
		return "", version, "", fmt.Errorf("%q is not a purl of type pypi", text)
	}
	rest, query, _ := strings.Cut(rest, "?")
	left, right, _ := strings.Cut(rest, "@")
	if name, err = pypi.ParseName(left); err != nil {
		return
	}
	if right, err = url.PathUnescape(right); err != nil {
		return
	}
	if version, err = pypi.ParseVersion(right); err != nil {
		return
	}
	values, err := url.ParseQuery(query)
	return name, version, values.Get("file_name"), err
}

// release picks the wheels of a release.
func release(ctx context.Context, c *index.Client, name pypi.Name, version pypi.Version, choice Choice) ([]Target, error) {
	page, err := c.Page(ctx, name)
	if err != nil {
		return nil, err
	}
	wheels, sdists := page.Release(name, version)
	if len(wheels)+len(sdists) == 0 {
		return nil, &NoFileError{fmt.Sprintf("the index has no release %s==%s", name, version)}
	}
	if len(choice.Hashes) > 0 {
		wheels = slices.DeleteFunc(wheels, func(f pypi.File) bool { return !slices.Contains(choice.Hashes, f.SHA256) })
		if len(wheels) == 0 {
			return nil, &NoFileError{fmt.Sprintf("no wheel of %s==%s has one of the hashes that were given", name, version)}
		}
	}
	if len(wheels) == 0 {
		return nil, &NoFileError{fmt.Sprintf("%s==%s has no wheel: there is nothing to compare with", name, version)}
	}
	var notes []string
	switch {
	case choice.File != "":
		wheels = slices.DeleteFunc(wheels, func(f pypi.File) bool { return f.Filename != choice.File })
		if len(wheels) == 0 {
			return nil, &NoFileError{fmt.Sprintf("%s==%s has no file %s", name, version, choice.File)}
		}
	case !choice.All && len(wheels) > 1:
		n := len(wheels)
		slices.SortStableFunc(wheels, func(a, b pypi.File) int { return rank(b.Filename) - rank(a.Filename) })
		wheels = wheels[:1]
		notes = append(notes, fmt.Sprintf("one of %d wheels of this release: the one that is best rebuilt here (--file NAME or --all for others)", n))
	}
	var out []Target
	for _, f := range wheels {
		t := Target{Name: name, Wheel: f, Notes: notes}
		t.describe(page, sdists)
		out = append(out, t)
	}
	return out, nil
}

// describe adds the source and what is noteworthy.
func (t *Target) describe(page *pypi.Page, sdists []pypi.File) {
	if t.Wheel.Yanked {
		note := "this file was yanked"
		if t.Wheel.YankedReason != "" {
			note += ": " + t.Wheel.YankedReason
		}
		t.Notes = append(t.Notes, note)
	}
	if !page.HasUploadTimes {
		t.Notes = append(t.Notes, "the index tells no upload times: the date comes from the entries of the wheel")
	}
	if len(sdists) > 0 {
		best := pypi.BestSdist(sdists)
		t.Source = &best
	}
}

// rank says how well a wheel can be rebuilt on this machine: one for it
// before a pure one, a Python that an environment of packages has before
// others, glibc before musl, and a newer C library before an older one.
func rank(filename string) int {
	w, err := pypi.ParseWheelFilename(filename)
	if err != nil {
		return -1
	}
	if w.IsPure() {
		return 1
	}
	platform := strings.Join(w.Platform, ".")
	arch := map[string]string{"amd64": "x86_64", "arm64": "aarch64", "386": "i686"}[runtime.GOARCH]
	system := map[string]string{"linux": "linux", "darwin": "macosx", "windows": "win"}[runtime.GOOS]
	if runtime.GOOS != "linux" {
		arch = map[string]string{"amd64": "64", "arm64": "arm64"}[runtime.GOARCH]
	}
	if !strings.Contains(platform, system) || !strings.Contains(platform, arch) {
		return 0
	}
	rank := 2
	if !strings.Contains(platform, "musllinux") {
		rank += 100
	}
	for _, p := range w.Platform {
		if version := pypi.PolicyVersion(p); version != "" && strings.HasPrefix(p, "many") {
			_, minor, _ := strings.Cut(version, ".")
			if n, err := strconv.Atoi(minor); err == nil {
				rank += min(9, n/5)
			}
			break
		}
	}
	switch abi := w.ABI[0]; {
	case strings.HasSuffix(abi, "t"): // no free threads in those
	case abi == "abi3":
		rank += 25
	default:
		for i, s := range debian.Suites {
			if slices.Contains(w.Python, "cp"+strings.ReplaceAll(s.Python, ".", "")) {
				rank += 10 * (i + 1)
			}
		}
	}
	return rank
}

// fromFile is a wheel on disk, looked up in the index by its name.
func fromFile(ctx context.Context, c *index.Client, name string) ([]Target, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	h := sha256.New()
	size, err := io.Copy(h, f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	full, err := filepath.Abs(name)
	if err != nil {
		return nil, err
	}
	return fromSum(ctx, c, filepath.Base(name), full, "", hex.EncodeToString(h.Sum(nil)), size)
}

// fromURL is a wheel at a URL, which may end in #sha256=….
func fromURL(ctx context.Context, c *index.Client, text string) ([]Target, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%q is not a URL", text)
	}
	sum, _ := strings.CutPrefix(u.Fragment, "sha256=")
	u.Fragment = ""
	filename := path.Base(u.Path)
	if _, err := pypi.ParseWheelFilename(filename); err != nil {
		return nil, err
	}
	file, got, err := c.FetchURL(ctx, u.String(), sum)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	u.User = nil
	return fromSum(ctx, c, filename, file, u.String(), got, info.Size())
}

func fromSum(ctx context.Context, c *index.Client, filename, at, from, sum string, size int64) ([]Target, error) {
	w, err := pypi.ParseWheelFilename(filename)
	if err != nil {
		return nil, err
	}
	t := Target{Name: w.Name, Path: at, Wheel: pypi.File{Filename: filename, URL: from, SHA256: sum, Size: size}}
	page, err := c.Page(ctx, w.Name)
	var missing *index.NotFoundError
	if errors.As(err, &missing) {
		return []Target{t}, nil
	}
	if err != nil {
		return nil, err
	}
	wheels, sdists := page.Release(w.Name, w.Version)
	known := false
	for _, f := range wheels {
		if f.SHA256 == sum {
			t.Wheel, known = f, true
		}
	}
	if !known {
		t.Notes = append(t.Notes, "the index does not have this file")
	}
	t.describe(page, sdists)
	return []Target{t}, nil
}

// FromLock is the target of a lock that names its subject. A lock of a commit
// needs to be told where the repository is, or that it is to be looked for.
func (b *Rebuilder) FromLock(ctx context.Context, l *lock.Lock, from *git.Source, find Find) (Target, error) {
	if l.Subject == nil {
		return Target{}, errors.New("the lock names no published wheel to compare with: give NAME==VERSION beside it")
	}
	w, err := pypi.ParseWheelFilename(l.Subject.Filename)
	if err != nil {
		return Target{}, err
	}
	t := Target{Name: w.Name, Git: from, Find: find}
	if t.Path, err = b.Supply.Locate(ctx, string(w.Name), *l.Subject); err != nil {
		return t, err
	}
	t.Wheel = pypi.File{Filename: l.Subject.Filename, SHA256: l.Subject.SHA256, Size: l.Subject.Size}
	if l.Source != nil {
		t.Source = &pypi.File{Filename: l.Source.Filename, SHA256: l.Source.SHA256, Size: l.Source.Size}
	}
	return b.WithLock(ctx, t, l)
}

// WithLock is t, built as a lock says. The lock has to be of t's own source.
func (b *Rebuilder) WithLock(ctx context.Context, t Target, l *lock.Lock) (Target, error) {
	t.Lock = l
	switch {
	case l.Commit != nil && t.Git == nil && t.Find != FindAlways:
		return t, fmt.Errorf("the lock is of commit %s: say where it is with --source git+URL@%s", l.Commit.ID[:12], l.Commit.ID)
	case l.Commit != nil:
		return t, nil // compared when it was fetched
	case t.Git != nil || t.Find == FindAlways:
		return t, errors.New("the lock is not of a commit: leave --source out")
	case l.Source == nil:
		return t, errors.New("the lock is of a checkout, which only `truewheel build` can build")
	case t.Source == nil || t.Source.SHA256 != l.Source.SHA256:
		return t, fmt.Errorf("the lock is of %s, sha256 %s…, which is not the source of %s", l.Source.Filename, l.Source.SHA256[:8], t.Wheel.Filename)
	}
	_, err := b.Supply.Locate(ctx, string(t.Name), *l.Source)
	return t, err
}

// Unfound is the report of a release that could not even be looked for.
func Unfound(text string, err error) *report.Report {
	name, version, _ := strings.Cut(text, "==")
	return &report.Report{
		Schema: report.Schema, Subject: report.Subject{Name: name, Version: version, Filename: text},
		Verdict: compare.Failed, Failure: &report.Failure{Class: "fetch", Detail: err.Error()}, Isolation: "none",
		Recipe: []report.Input{}, Tries: []report.Try{}, Differences: []compare.Difference{},
	}
}

// Like says which file of a release is meant by what it is to be like.
type Like struct {
	Pattern string // path.Match against the file name; "" any
	Sdist   bool
	Name    string // of another file: of several wheels the one with its tags
}

// File picks one file of NAME==VERSION.
func File(ctx context.Context, c *index.Client, text string, like Like) (pypi.File, error) {
	name, version, err := ParseRelease(text)
	if err != nil {
		return pypi.File{}, err
	}
	page, err := c.Page(ctx, name)
	if err != nil {
		return pypi.File{}, err
	}
	files, sdists := page.Release(name, version)
	if like.Sdist || len(files) == 0 || strings.HasSuffix(like.Name, ".tar.gz") {
		files = sdists
	}
	if like.Pattern != "" {
		files = slices.DeleteFunc(files, func(f pypi.File) bool { ok, err := path.Match(like.Pattern, f.Filename); return !ok || err != nil })
	}
	if len(files) == 0 {
		return pypi.File{}, &NoFileError{fmt.Sprintf("the index has no such file of %s==%s", name, version)}
	}
	tags := func(name string) string {
		parts := strings.Split(strings.TrimSuffix(name, ".whl"), "-")
		return strings.Join(parts[max(0, len(parts)-3):], "-")
	}
	// Of those alike the newest Python that has no free threads or the like.
	slices.SortStableFunc(files, func(a, b pypi.File) int {
		return cmp.Or(cmp.Compare(rank(b.Filename), rank(a.Filename)), cmp.Compare(b.Filename, a.Filename))
	})
	for _, f := range files {
		if tags(f.Filename) == tags(like.Name) {
			return f, nil
		}
	}
	return files[0], nil
}
