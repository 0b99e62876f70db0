package report

import (
	"cmp"
	"slices"
	"strings"

	"github.com/truewheel/truewheel/compare"
)

// DiffSchema names the format of [Diff] (docs/formats/diff.md).
const DiffSchema = "truewheel.diff/1"

// Diff is in what two files or directories differ, and why.
type Diff struct {
	Schema      string               `json:"schema"`
	Published   Side                 `json:"published"`
	Rebuilt     Side                 `json:"rebuilt"`
	Verdict     string               `json:"verdict"` // equal | replayable | differs
	Members     int                  `json:"members"` // files of the published side
	Equal       int                  `json:"equal"`
	Causes      []DiffCause          `json:"causes"`
	Unexplained int                  `json:"unexplained"`
	Code        *Code                `json:"code,omitempty"`
	Replayed    []string             `json:"replayed,omitempty"`
	Differences []compare.Difference `json:"differences"`
	Notes       []string             `json:"notes,omitempty"`
}

// Side is one of the two.
type Side struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`   // wheel, zip, tar.gz, directory, ...
	SHA256 string `json:"sha256"` // "" for a directory
	Size   int64  `json:"size"`
}

// DiffCause is a cause with what it touches.
type DiffCause struct {
	Name        string   `json:"name"`
	Sure        bool     `json:"sure"`
	Members     int      `json:"members"`
	Differences int      `json:"differences"`
	Evidence    string   `json:"evidence"`
	Input       string   `json:"input"`
	Fix         string   `json:"fix"`
	Try         string   `json:"try,omitempty"`
	See         []string `json:"see,omitempty"`
}

// Code is what changed in compiled code.
type Code struct {
	Modules   []Module `json:"modules"` // those that differ, most changes first
	Published int      `json:"published"`
	Changed   int      `json:"changed"` // functions, of all modules
	Added     int      `json:"added"`
	Removed   int      `json:"removed"`
	Tools     []Tool   `json:"tools"`
}

// Module is a member of compiled code that differs.
type Module struct {
	Member  string `json:"member"`
	Changed int    `json:"changed"`
	Added   int    `json:"added"`
	Removed int    `json:"removed"`
}

// Tool is a compiler, linker or generator that modules name.
type Tool struct {
	Published string `json:"published"` // "" when only the rebuilt side names it
	Rebuilt   string `json:"rebuilt"`
	Modules   int    `json:"modules"`
}

// NewDiff makes a report of a result.
func NewDiff(published, rebuilt Side, r *compare.Result) *Diff {
	d := &Diff{Schema: DiffSchema, Published: published, Rebuilt: rebuilt, Verdict: "differs", Members: r.Members, Equal: r.Equal,
		Causes: []DiffCause{}, Unexplained: r.Unexplained(), Replayed: r.Replayed, Differences: r.Differences, Notes: r.Notes}
	switch r.Verdict {
	case compare.Reproduced:
		d.Verdict = "equal"
	case compare.Replayed:
		d.Verdict = "replayable"
	}
	if d.Differences == nil {
		d.Differences = []compare.Difference{}
	}
	for _, g := range compare.Causes(r.Differences) {
		d.Causes = append(d.Causes, DiffCause{Name: g.Cause.Name, Sure: g.Sure, Members: g.Members, Differences: len(g.Differences), Evidence: g.Evidence(),
			Input: g.Cause.Input, Fix: g.Cause.Fix, Try: g.Cause.Try, See: g.Cause.See})
	}
	d.Code = code(r)
	return d
}

func code(r *compare.Result) *Code {
	if len(r.Native) == 0 {
		return nil
	}
	c := &Code{Modules: []Module{}, Tools: []Tool{}}
	for _, d := range r.Differences {
		if f := d.Functions; f != nil {
			c.Modules = append(c.Modules, Module{d.Member, f.Changed, f.Added, f.Removed})
			c.Published += f.Published
			c.Changed, c.Added, c.Removed = c.Changed+f.Changed, c.Added+f.Added, c.Removed+f.Removed
		}
	}
	slices.SortStableFunc(c.Modules, func(a, b Module) int {
		return cmp.Or(cmp.Compare(b.Changed+b.Added+b.Removed, a.Changed+a.Added+a.Removed), strings.Compare(a.Member, b.Member))
	})
	count := map[[2]string]int{}
	for _, n := range r.Native {
		for _, t := range n.Published {
			if slices.Contains(n.Rebuilt, t) {
				count[[2]string{t, t}]++
			} else {
				count[[2]string{t, ""}]++
			}
		}
		for _, t := range n.Rebuilt {
			if !slices.Contains(n.Published, t) {
				count[[2]string{"", t}]++
			}
		}
	}
	for t, n := range count {
		c.Tools = append(c.Tools, Tool{t[0], t[1], n})
	}
	slices.SortFunc(c.Tools, func(a, b Tool) int {
		return cmp.Or(cmp.Compare(b.Modules, a.Modules), strings.Compare(a.Published, b.Published), strings.Compare(a.Rebuilt, b.Rebuilt))
	})
	return c
}
