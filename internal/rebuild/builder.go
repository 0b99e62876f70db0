package rebuild

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/truewheel/truewheel/internal/build"
	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/recipe/lock"
	"github.com/truewheel/truewheel/wheel"
)

// checkSelf refuses a build that is given what it shall prove: the subject's
// own release as a wheel, or a package that carries the subject's bytes.
func (r *run) checkSelf(_ context.Context, packages []lock.Package) error {
	for _, p := range packages {
		if p.SHA256 == r.target.Wheel.SHA256 || p.Name == string(r.target.Name) && pypi.SameVersion(p.Version, r.report.Subject.Version) {
			return &build.Failure{Class: "self-input", Detail: fmt.Sprintf("%s %s is needed to build itself: as a wheel it can't prove anything", p.Name, p.Version)}
		}
		path, ok := r.Supply.Client.Store.Path(p.SHA256)
		if !ok {
			return fmt.Errorf("%s is no longer in the store", p.Filename)
		}
		carries, err := r.carriesSubject(p.Filename, path)
		if err != nil {
			return &build.Failure{Class: "environment", Detail: err.Error()}
		}
		if carries != "" {
			return &build.Failure{Class: "self-input", Detail: fmt.Sprintf("%s %s carries the published wheel as %s", p.Name, p.Version, carries)}
		}
	}
	return nil
}

// carriesSubject looks for the subject's bytes among the members of a wheel.
func (r *run) carriesSubject(filename, path string) (member string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	a, err := wheel.Open(filename, f, info.Size(), r.Wheel)
	if err != nil {
		// Older wheels of tools may be odd; uv decides whether it installs them.
		return "", nil
	}
	for i, e := range a.Entries {
		if e.Size != r.report.Subject.Size {
			continue
		}
		c, err := a.Contents(i)
		if err != nil {
			return "", err
		}
		h := sha256.New()
		_, err = io.Copy(h, c)
		if err := errors.Join(err, c.Close()); err != nil {
			return "", err
		}
		if hex.EncodeToString(h.Sum(nil)) == r.target.Wheel.SHA256 {
			return e.Name, nil
		}
	}
	return "", nil
}

// lock is the recipe of a job with everything pinned.
func (r *run) lock(j *build.Job) *lock.Lock {
	s := r.report.Subject
	id := lock.PyPIURL(s.Name, s.Version)
	l := &lock.Lock{
		Subject:     &lock.File{PURL: id, Filename: s.Filename, Size: s.Size, SHA256: s.SHA256},
		Python:      j.Python.Version,
		Environment: r.environment(),
		Packages:    j.Packages,
		Recipe:      j.Recipe,
	}
	if c := r.report.Source.Commit; c != nil {
		l.Commit = &lock.Commit{ID: c.ID, Subdirectory: c.Subdirectory}
	} else {
		l.Source = &lock.File{PURL: id, Filename: r.report.Source.Filename, Size: r.source.Size, SHA256: r.report.Source.SHA256}
	}
	return l
}
