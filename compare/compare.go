// Package compare says in what two wheels differ and what was proved by it.
//
// [Wheels] never normalises: two wheels are equal when their bytes are. When
// only the container differs, it looks for an envelope (package wheel) that
// turns one into the other, byte for byte. A difference is data; an error
// means that it could not be told.
package compare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/truewheel/truewheel/wheel"
)

// Verdict is what was proved.
type Verdict string

const (
	Reproduced Verdict = "reproduced" // same name, same bytes, by inputs a publisher could have set
	Replayed   Verdict = "replayed"   // same names and contents, and an inert envelope gives the same bytes
	Differs    Verdict = "differs"
	Failed     Verdict = "failed" // there is no file to compare
)

// Difference is one thing in which the rebuilt wheel is not the subject.
type Difference struct {
	Member string `json:"member"` // "" for the container as a whole
	Kind   string `json:"kind"`   // missing | extra | content | container
	Cause  string `json:"cause"`  // a name of the catalogue; "" when unexplained; "consequence" of the others
	Detail string `json:"detail"`
	// Published and Rebuilt are the first lines that differ, when there are any.
	Published string `json:"-"`
	Rebuilt   string `json:"-"`
}

// Result is what comparing found.
type Result struct {
	Verdict     Verdict
	Differences []Difference
	Envelope    *wheel.Envelope // for Replayed
	Replayed    []string        // kinds of container fields that the envelope replays
	Members     int             // files of the subject
	Equal       int             // of them equal in name and contents
}

// Unexplained counts the differences without a cause.
func (r *Result) Unexplained() int {
	n := 0
	for _, d := range r.Differences {
		if d.Cause == "" {
			n++
		}
	}
	return n
}

// Causes are the distinct causes in the order of how much they touch.
func (r *Result) Causes() []string {
	count := map[string]int{}
	var names []string
	for _, d := range r.Differences {
		if d.Cause == "" || d.Cause == Consequence {
			continue
		}
		if count[d.Cause] == 0 {
			names = append(names, d.Cause)
		}
		count[d.Cause]++
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(count[b], count[a]) })
	return names
}

// Consequence marks a difference that follows from others: RECORD lines.
const Consequence = "consequence"

// maxText bounds a member that is looked into for a cause.
const maxText = 4 << 20

// Options of a comparison.
type Options struct {
	// Scalar: every input of the build was one that a publisher could have
	// set. Without it equal bytes are Replayed, not Reproduced.
	Scalar bool
	// InSource tells whether the source holds a file with these contents; nil when there is none at hand.
	InSource func(sum [32]byte) bool
	// SubjectSHA256 and RebuiltSHA256 are of the two files, lower-case hex.
	SubjectSHA256, RebuiltSHA256 string
	// Encoders find out how streams were made; nil: only the rebuilt file's own serve.
	Encoders wheel.Encoders
}

// Wheels compares the subject, a published wheel, with a rebuilt one.
func Wheels(ctx context.Context, subject, rebuilt *wheel.Archive, o Options) (*Result, error) {
	a, err := files(ctx, subject)
	if err != nil {
		return nil, err
	}
	b, err := files(ctx, rebuilt)
	if err != nil {
		return nil, err
	}
	r := &Result{Members: len(a.names)}
	for _, name := range a.names {
		if sum, ok := b.sums[name]; ok && sum == a.sums[name] {
			r.Equal++
		}
	}
	sameName := subject.Filename == rebuilt.Filename
	if o.SubjectSHA256 == o.RebuiltSHA256 && sameName {
		r.Verdict = Reproduced
		if !o.Scalar {
			r.Verdict = Replayed
			if r.Envelope, err = wheel.NewEnvelope(ctx, subject, rebuilt, o.SubjectSHA256, o.Encoders); err != nil {
				return nil, err
			}
		}
		return r, nil
	}
	r.Differences = members(subject, rebuilt, a, b, o)
	if !sameName {
		r.Differences = append(r.Differences, fileName(subject, rebuilt))
	}
	if len(r.Differences) > 0 {
		r.Verdict = Differs
		return r, nil
	}
	return r, r.replay(ctx, subject, rebuilt, o)
}

// replay decides what equal contents in another container are worth.
func (r *Result) replay(ctx context.Context, subject, rebuilt *wheel.Archive, o Options) error {
	envelope, err := wheel.NewEnvelope(ctx, subject, rebuilt, o.SubjectSHA256, o.Encoders)
	var inert *wheel.NotInertError
	var encoder *wheel.EncoderError
	switch {
	case errors.As(err, &inert):
		r.Verdict = Differs
		r.Differences = append(r.Differences, Difference{Member: inert.Member, Kind: "container", Cause: inertCause(inert.Field), Detail: err.Error()})
		return nil
	case errors.As(err, &encoder):
		r.Verdict = Differs
		r.Differences = append(r.Differences, Difference{Member: encoder.Member, Kind: "container", Cause: "deflate-encoder", Detail: err.Error()})
		return nil
	case err != nil:
		return err
	}
	r.Verdict, r.Envelope, r.Replayed = Replayed, envelope, envelope.Fields(rebuilt)
	return nil
}

func inertCause(field string) string {
	switch {
	case strings.Contains(field, "mode"), strings.Contains(field, "exec"):
		return "exec-bit"
	case strings.Contains(field, "time"):
		return "file-mtime"
	case strings.Contains(field, "dir"):
		return "directory-entries"
	}
	return "zip-writer"
}

// contents of a wheel by name, without directories.
type contents struct {
	names []string
	sums  map[string][32]byte
	index map[string]int
}

func files(ctx context.Context, a *wheel.Archive) (contents, error) {
	sums, err := a.Sums(ctx)
	if err != nil {
		return contents{}, fmt.Errorf("read %s: %w", a.Filename, err)
	}
	c := contents{sums: map[string][32]byte{}, index: map[string]int{}}
	for i, e := range a.Entries {
		if e.IsDir() {
			continue
		}
		c.names = append(c.names, e.Name)
		c.sums[e.Name], c.index[e.Name] = sums[i], i
	}
	slices.Sort(c.names)
	return c, nil
}

// members lists what differs by name and contents, sorted by name.
func members(subject, rebuilt *wheel.Archive, a, b contents, o Options) []Difference {
	var out []Difference
	for _, name := range a.names {
		sum, ok := b.sums[name]
		switch {
		case !ok:
			d := Difference{Member: name, Kind: "missing", Detail: "only in the published wheel"}
			if o.InSource != nil && !o.InSource(a.sums[name]) && !inDistInfo(name) {
				d.Cause, d.Detail = "missing-from-sdist", "only in the published wheel; the source has no file with these contents"
			}
			out = append(out, d)
		case sum != a.sums[name]:
			d := Difference{Member: name, Kind: "content"}
			x, y := text(subject, a.index[name]), text(rebuilt, b.index[name])
			d.Cause, d.Detail = explain(name, x, y)
			d.Published, d.Rebuilt, _ = firstDifference(x, y)
			if d.Cause == "" && o.InSource != nil && !inDistInfo(name) && !o.InSource(a.sums[name]) && o.InSource(sum) {
				d.Cause, d.Detail = "extra-from-checkout", "the published file is not the source's, the rebuilt one is: built from another tree than the sdist"
			}
			out = append(out, d)
		}
	}
	for _, name := range b.names {
		if _, ok := a.sums[name]; !ok {
			out = append(out, Difference{Member: name, Kind: "extra", Detail: "only in the rebuilt wheel"})
		}
	}
	explainTogether(out)
	slices.SortStableFunc(out, func(a, b Difference) int { return cmp.Compare(a.Member, b.Member) })
	return out
}

func inDistInfo(name string) bool {
	dir, _, ok := strings.Cut(name, "/")
	return ok && strings.HasSuffix(dir, ".dist-info")
}

// text reads a member to look into; nil when it is too large or can't be read.
func text(a *wheel.Archive, i int) []byte {
	if a.Entries[i].Size > maxText {
		return nil
	}
	r, err := a.Contents(i)
	if err != nil {
		return nil
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		return nil
	}
	return data
}

func fileName(subject, rebuilt *wheel.Archive) Difference {
	d := Difference{Kind: "container", Detail: fmt.Sprintf("the file is named %s, not %s", rebuilt.Filename, subject.Filename)}
	tags := func(s string) string {
		parts := strings.Split(strings.TrimSuffix(s, ".whl"), "-")
		return strings.Join(parts[max(0, len(parts)-3):], "-")
	}
	if tags(subject.Filename) != tags(rebuilt.Filename) {
		d.Cause = "python-tag"
	}
	return d
}
