// Package compare says in what two wheels, archives, directories or files
// differ, why, and what was proved by it.
//
// Nothing is normalised: two things are equal when their bytes are. [Wheels]
// also looks, when only the container differs, for an envelope (package
// wheel) that turns one into the other, byte for byte. [Trees] compares
// anything that package tree reads.
//
// A difference is data; an error means that it could not be told. Each
// difference has a cause of the catalogue (package cause), or none. The
// outcome depends on nothing but the two sides and the options.
package compare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/truewheel/truewheel/compare/cause"
	"github.com/truewheel/truewheel/compare/tree"
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

// Consequence marks a difference that follows from others: RECORD lines, addresses.
const Consequence = cause.Consequence

// Difference is one thing in which the rebuilt side is not the published one.
type Difference struct {
	Member string `json:"member"`          // "" for the container as a whole; "lib.a!/x.o" within another archive
	Kind   string `json:"kind"`            // missing | extra | renamed | content | container
	Where  string `json:"where,omitempty"` // what in the member: "line 3", "functions", "times"
	Cause  string `json:"cause"`           // a name of the catalogue; "" when unexplained; "consequence" of the others
	Sure   bool   `json:"sure"`            // undoing the cause makes the bytes equal; otherwise it is likely
	Detail string `json:"detail"`
	// Published and Rebuilt are what stands on both sides, when it is short.
	Published string     `json:"published,omitempty"`
	Rebuilt   string     `json:"rebuilt,omitempty"`
	Functions *Functions `json:"functions,omitempty"`
	Diff      string     `json:"diff,omitempty"` // unified, when asked for
	Left      string     `json:"left,omitempty"` // what is not shown here, and how to see it
}

// Functions is what became of a member's functions.
type Functions struct {
	Published int              `json:"published"` // how many there are
	Rebuilt   int              `json:"rebuilt"`
	Changed   int              `json:"changed"`
	Added     int              `json:"added"`
	Removed   int              `json:"removed"`
	Same      int              `json:"same"`            // instruction by instruction, wherever they lie
	Start     int              `json:"start,omitempty"` // of the changes those in the C library's start files
	Changes   []FunctionChange `json:"changes,omitempty"`
}

// FunctionChange is one function that is not the same.
type FunctionChange struct {
	Kind        string `json:"kind"`                // changed | added | removed
	Name        string `json:"name"`                // demangled; the address where nothing names it
	Published   string `json:"published,omitempty"` // address and size
	Rebuilt     string `json:"rebuilt,omitempty"`
	Why         string `json:"why,omitempty"`
	Disassembly string `json:"disassembly,omitempty"` // unified diff of both
}

// Result is what comparing found.
type Result struct {
	Verdict     Verdict
	Differences []Difference
	Envelope    *wheel.Envelope // for Replayed
	Replayed    []string        // kinds of container fields that the envelope replays
	Members     int             // files of the subject
	Equal       int             // of them equal in name and contents
	// Native says of each member of compiled code that differs what made it.
	Native []Native
	Notes  []string // what could not be looked into, and why
}

// Native is what compiled code says of its making, on both sides.
type Native struct{ Published, Rebuilt []string } // compilers and tools, with versions

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

// A Group is a cause with the differences it has.
type Group struct {
	Cause       cause.Cause
	Sure        bool // of all of them
	Members     int  // that it touches
	Differences []Difference
}

// Causes groups differences by cause. What explains most stands first: the
// heavier cause, then the one with more members.
func Causes(differences []Difference) []Group {
	var out []Group
	type touched struct{ cause, member string }
	seen := map[touched]bool{}
	for _, d := range differences {
		if d.Cause == "" || d.Cause == Consequence {
			continue
		}
		i := slices.IndexFunc(out, func(g Group) bool { return g.Cause.Name == d.Cause })
		if i < 0 {
			i = len(out)
			c, ok := cause.Find(d.Cause)
			if !ok {
				c.Name = d.Cause
			}
			out = append(out, Group{Cause: c, Sure: true})
		}
		g := &out[i]
		g.Sure = g.Sure && d.Sure
		if t := (touched{d.Cause, d.Member}); !seen[t] {
			seen[t] = true
			g.Members++
		}
		g.Differences = append(g.Differences, d)
	}
	slices.SortStableFunc(out, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Cause.Weight, a.Cause.Weight), cmp.Compare(b.Members, a.Members), strings.Compare(a.Cause.Name, b.Cause.Name))
	})
	return out
}

// Causes are the names of the causes, in the order of [Causes].
func (r *Result) Causes() []string {
	var names []string
	for _, g := range Causes(r.Differences) {
		names = append(names, g.Cause.Name)
	}
	return names
}

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
	// Full asks for unified diffs and for the names of all functions.
	Full bool
	// Disassemble is for how many changed functions of a member both sides are
	// disassembled; 0 none, -1 all.
	Disassemble int
	// Member is a pattern (path.Match, or a whole name); only members that it
	// fits are looked into.
	Member string
	// Depth is how deep archives within archives are read; 0: 4.
	Depth int
	// MaxMemory bounds what is read into memory at a time, in bytes; 0: 512 MiB.
	// A larger member is compared as bytes.
	MaxMemory int64
	// Workers is how many members are looked into at a time; 0: one. The
	// outcome does not depend on it.
	Workers int
}

// Wheels compares the subject, a published wheel, with a rebuilt one.
func Wheels(ctx context.Context, subject, rebuilt *wheel.Archive, o Options) (*Result, error) {
	sameName := subject.Filename == rebuilt.Filename
	if o.SubjectSHA256 == o.RebuiltSHA256 && sameName {
		r := &Result{Verdict: Reproduced}
		for _, e := range subject.Entries {
			if !e.IsDir() {
				r.Members++
			}
		}
		r.Equal = r.Members
		if !o.Scalar {
			return r, r.replay(ctx, subject, rebuilt, o)
		}
		return r, nil
	}
	a, err := tree.Open(ctx, subject.Filename, subject.Bytes(), subject.Size, tree.Limits{})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", subject.Filename, err)
	}
	defer a.Close()
	b, err := tree.Open(ctx, rebuilt.Filename, rebuilt.Bytes(), rebuilt.Size, tree.Limits{})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", rebuilt.Filename, err)
	}
	defer b.Close()
	r, err := trees(ctx, Side{subject.Filename, a}, Side{rebuilt.Filename, b}, o)
	if err != nil {
		return nil, err
	}
	if !sameName {
		r.Differences = append(r.Differences, fileName(subject.Filename, rebuilt.Filename))
	}
	if r.Verdict = Differs; slices.ContainsFunc(r.Differences, func(d Difference) bool { return d.Kind != "container" || d.Where == "name" }) {
		return r, nil
	}
	return r, r.replay(ctx, subject, rebuilt, o)
}

// Side is one of two things that are compared.
type Side struct {
	Name string // of the file
	Tree *tree.Tree
}

// Trees compares two trees. The verdict is Differs, or Reproduced when there
// is no difference; equal trees in different archives are told by package wheel only.
func Trees(ctx context.Context, a, b Side, o Options) (*Result, error) {
	r, err := trees(ctx, a, b, o)
	if err != nil {
		return nil, err
	}
	r.Verdict = Differs
	if len(r.Differences) == 0 {
		r.Verdict = Reproduced
	}
	return r, nil
}

// replay decides what equal contents in another container are worth.
func (r *Result) replay(ctx context.Context, subject, rebuilt *wheel.Archive, o Options) error {
	envelope, err := wheel.NewEnvelope(ctx, subject, rebuilt, o.SubjectSHA256, o.Encoders)
	var inert *wheel.NotInertError
	var encoder *wheel.EncoderError
	switch {
	case errors.As(err, &inert):
		r.Verdict = Differs
		name := inertCause(inert.Field)
		if !slices.ContainsFunc(r.Differences, func(d Difference) bool { return d.Cause == name }) {
			r.Differences = append(r.Differences, Difference{Member: inert.Member, Kind: "container", Where: inert.Field, Cause: name, Sure: true, Detail: err.Error()})
		}
		r.Notes = append(r.Notes, "no envelope: "+err.Error())
		return nil
	case errors.As(err, &encoder):
		r.Verdict = Differs
		if !slices.ContainsFunc(r.Differences, func(d Difference) bool { return d.Cause == "deflate-encoder" }) {
			r.Differences = append(r.Differences, Difference{Member: encoder.Member, Kind: "container", Where: "streams", Cause: "deflate-encoder", Detail: err.Error()})
		}
		r.Notes = append(r.Notes, "no envelope: "+err.Error())
		return nil
	case err != nil:
		return err
	}
	r.Verdict, r.Envelope, r.Replayed = Replayed, envelope, envelope.Fields(rebuilt)
	r.name()
	return nil
}

// name says which encoder the envelope found for streams that differ.
func (r *Result) name() {
	for _, f := range r.Replayed {
		encoder, ok := strings.CutPrefix(f, "deflate ")
		for i := range r.Differences {
			if d := &r.Differences[i]; ok && d.Cause == "deflate-encoder" {
				d.Sure = true
				d.Detail += "; published by " + encoder
			}
		}
	}
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

func fileName(subject, rebuilt string) Difference {
	d := Difference{Kind: "container", Where: "name", Sure: true, Published: subject, Rebuilt: rebuilt, Detail: fmt.Sprintf("the file is named %s, not %s", rebuilt, subject)}
	x, y := strings.Split(strings.TrimSuffix(subject, ".whl"), "-"), strings.Split(strings.TrimSuffix(rebuilt, ".whl"), "-")
	if len(x) < 5 || len(y) < 5 {
		return d
	}
	switch {
	case x[0] == y[0] && x[1] != y[1]:
		d.Cause = versionCause(x[1], y[1])
	case !slices.Equal(x[len(x)-3:], y[len(y)-3:]):
		d.Cause = "python-tag"
		if strings.HasPrefix(x[len(x)-3], "cp") && strings.HasPrefix(y[len(y)-3], "cp") && x[len(x)-3] != y[len(y)-3] {
			d.Cause = "python-version"
		}
	}
	return d
}

// Evidence is what shows the cause, in one line: that of the first member,
// and of how many more.
func (g Group) Evidence() string {
	best := g.Differences[0]
	for _, d := range g.Differences { // the one that is sure tells most
		if d.Sure && !best.Sure {
			best = d
		}
	}
	return best.Detail
}
