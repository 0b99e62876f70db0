package cli

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/truewheel/truewheel/compare"
	"github.com/truewheel/truewheel/report"
)

//go:embed diff.html
var diffTemplate string

// maxPage bounds what a page shows of unified diffs and disassemblies, so that
// it opens at once.
const maxPage = 3 << 20

var diffHTML = template.Must(template.New("diff").Funcs(template.FuncMap{
	"short": short, "likely": likely, "lines": colored, "verdict": diffVerdict,
	"upper": strings.ToUpper,
	"word":  func(s string) string { return printable(s) },
}).Parse(diffTemplate))

// pageMember is a member with its differences, as a page shows it.
type pageMember struct {
	Name        string
	Differences []compare.Difference
	Hidden      int // bytes of diffs that are left out
}

// diffPage writes a page of its own: no script, nothing fetched.
func diffPage(w io.Writer, d *report.Diff) error {
	var members []*pageMember
	var consequences []compare.Difference
	shown := 0
	for _, x := range d.Differences {
		if x.Cause == compare.Consequence {
			consequences = append(consequences, x)
			continue
		}
		name := x.Member
		if name == "" {
			name = "(the archive)"
		}
		if n := len(members); n == 0 || members[n-1].Name != name {
			members = append(members, &pageMember{Name: name})
		}
		m := members[len(members)-1]
		if shown+len(x.Diff) > maxPage {
			m.Hidden += len(x.Diff)
			x.Diff = ""
		}
		shown += len(x.Diff)
		if x.Functions != nil {
			// A copy: the report itself keeps everything.
			fs := *x.Functions
			fs.Changes = append([]compare.FunctionChange{}, fs.Changes...)
			for i := range fs.Changes {
				if shown+len(fs.Changes[i].Disassembly) > maxPage {
					m.Hidden += len(fs.Changes[i].Disassembly)
					fs.Changes[i].Disassembly = ""
				}
				shown += len(fs.Changes[i].Disassembly) + len(fs.Changes[i].Name)
			}
			if len(fs.Changes) > 500 {
				m.Hidden += len(fs.Changes) - 500
				fs.Changes = fs.Changes[:500]
			}
			x.Functions = &fs
		}
		m.Differences = append(m.Differences, x)
	}
	return diffHTML.Execute(w, struct {
		*report.Diff
		ByMember     []*pageMember
		Consequences []compare.Difference
		Version      string
	}{d, members, consequences, Version})
}

// colored marks the lines of a unified diff.
func colored(s string) []struct{ Class, Text string } {
	var out []struct{ Class, Text string }
	for line := range strings.Lines(s) {
		class := ""
		switch {
		case strings.HasPrefix(line, "-"):
			class = "minus"
		case strings.HasPrefix(line, "+"):
			class = "plus"
		case strings.HasPrefix(line, "@@"):
			class = "at"
		}
		// Runs of one class are one element: a page of many lines stays small.
		if n := len(out); n > 0 && out[n-1].Class == class {
			out[n-1].Text += printable(line)
			continue
		}
		out = append(out, struct{ Class, Text string }{class, printable(line)})
	}
	return out
}

// diffMarkdown is a report for an issue or a step summary.
func diffMarkdown(d *report.Diff, full bool) string {
	var b strings.Builder
	text := func(s string) string {
		return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;", "`", "'").Replace(printable(s))
	}
	fmt.Fprintf(&b, "### %s: %s\n\n", strings.ToUpper(d.Verdict), text(diffVerdict(d)))
	fmt.Fprintf(&b, "| | file | sha256 |\n|---|---|---|\n| published | %s | `%s` |\n| rebuilt | %s | `%s` |\n\n", text(d.Published.Name), d.Published.SHA256, text(d.Rebuilt.Name), d.Rebuilt.SHA256)
	if len(d.Causes) > 0 {
		b.WriteString("| cause | | members | evidence | fix in the project |\n|---|---|---|---|---|\n")
		for _, c := range d.Causes {
			fmt.Fprintf(&b, "| **%s** | %s | %d | %s | %s |\n", c.Name, likely(c.Sure), c.Members, text(c.Evidence), text(c.Fix))
		}
		b.WriteString("\n")
	}
	if c := d.Code; c != nil && len(c.Modules) > 0 {
		fmt.Fprintf(&b, "Functions: %d changed, %d added, %d removed of %d.\n\n| module | changed | added | removed |\n|---|---|---|---|\n", c.Changed, c.Added, c.Removed, c.Published)
		for i, m := range c.Modules {
			if i == 20 && !full {
				fmt.Fprintf(&b, "| …and %d more (`--full`) | | | |\n", len(c.Modules)-i)
				break
			}
			fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", text(m.Member), m.Changed, m.Added, m.Removed)
		}
		b.WriteString("\n")
	}
	if d.Unexplained > 0 {
		fmt.Fprintf(&b, "Unexplained: %d\n\n", d.Unexplained)
		n := 0
		for _, x := range d.Differences {
			if x.Cause != "" {
				continue
			}
			if n++; n > 20 && !full {
				fmt.Fprintf(&b, "- …and %d more (`--full`)\n", d.Unexplained-n+1)
				break
			}
			fmt.Fprintf(&b, "- %s `%s` %s\n", x.Kind, text(x.Member), text(strings.TrimSpace(x.Where+": "+x.Detail)))
		}
	}
	for _, n := range d.Notes {
		fmt.Fprintf(&b, "> %s\n", text(n))
	}
	return b.String()
}
