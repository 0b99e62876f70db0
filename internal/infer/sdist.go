package infer

import (
	"fmt"
	"time"

	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/recipe"
	"github.com/truewheel/truewheel/sdist"
)

// ReadSdist collects the evidence of an sdist that is to be made again from
// the source, a commit.
func ReadSdist(name pypi.Name, version pypi.Version, subject, source *sdist.Tree, uploaded time.Time) *Evidence {
	e := &Evidence{Uploaded: uploaded, Texts: map[string]string{}, Filename: pypi.WheelFilename{Name: name, Version: version}}
	bySum := e.readSource(source)
	if text, err := subject.ReadFile("PKG-INFO"); err == nil {
		e.Metadata = string(text)
	}
	e.Source.NewestTime = time.Time{} // of the subject: the commit says nothing of when it was packed
	for _, f := range subject.Entries {
		if f.Dir || f.Symlink != "" {
			continue
		}
		if f.ModTime.After(e.Source.NewestTime) {
			e.Source.NewestTime = f.ModTime
		}
		e.Members = append(e.Members, Member{Name: f.Name, Time: f.ModTime, Mode: f.Mode, Size: f.Size, SHA256: f.SHA256, Sources: bySum[f.SHA256]})
	}
	return e
}

// sdistRules are the rules for sdists, in order.
var sdistRules = []rule{
	{"resolution date", resolutionDate},
	{"backend", backendPin},
	{"setuptools by what METADATA tells", setuptoolsPin},
	{"python", pythonVersion},
	{"front end", frontEnd},
	{"times", sdistTimes},
	{"umask", sdistUmask},
}

// SdistRecipe infers the inputs of the build that made the sdist of e.
func SdistRecipe(e *Evidence) (recipe.Recipe, []Reason) {
	r := recipe.Recipe{Requires: append([]string{}, e.Source.Requires...)}
	var why []Reason
	for _, rule := range sdistRules {
		why = append(why, rule.apply(e, &r)...)
	}
	return r, why
}

// written reports whether the build wrote a file, and did not take it from the commit.
func (m Member) written() bool { return len(m.Sources) == 0 }

// sdistTimes: one time for all is an epoch, or a backend's constant; else the
// files of the commit tell the checkout, and the others the build.
func sdistTimes(e *Evidence, r *recipe.Recipe) []Reason {
	all := e.times(func(Member) bool { return true })
	if len(all) == 0 {
		r.Clock.Start = r.Before
		return nil
	}
	if len(all) == 1 {
		r.Clock.Start = all[0].UTC().Truncate(time.Second)
		if constant(all[0]) {
			r.Clock.Start = r.Before
			return nil
		}
		epoch := all[0].Unix()
		r.SourceDateEpoch = &epoch
		return reason("epoch", r.Clock.Start.Format(time.RFC3339), "one time of all files")
	}
	var why []Reason
	if taken := e.times(func(m Member) bool { return !m.written() }); len(taken) == 1 {
		r.SourceTime = taken[0]
		why = reason("checkout", taken[0].UTC().Format(time.RFC3339), "one time of the files of the commit")
	}
	r.Clock.Start = all[len(all)-1].UTC().Truncate(time.Second)
	return append(why, reason("clock", r.Clock.Start.Format(time.RFC3339), "the newest file")...)
}

// sdistUmask: modes of the files that the build wrote.
func sdistUmask(e *Evidence, r *recipe.Recipe) []Reason {
	r.Umask = 0o022
	for _, m := range e.Members {
		if !m.written() || m.Mode == 0 {
			continue
		}
		if umask, ok := map[uint32]uint32{0o664: 0o002, 0o666: 0, 0o600: 0o077, 0o640: 0o027}[m.Mode]; ok {
			r.Umask = umask
			return reason("umask", fmt.Sprintf("%04o", umask), "the mode of %s", m.Name)
		}
	}
	return nil
}
