package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/truewheel/truewheel/compare"
	"github.com/truewheel/truewheel/report"
)

// maxListed bounds what a report lists of one kind before it says how to see the rest.
const maxListed = 8

func short(sum string) string {
	if len(sum) > 8 {
		return sum[:8] + "…"
	}
	return sum
}

// verdictLine is the one line that answers.
func (a *app) verdictLine(rep *report.Report) string {
	word := strings.ToUpper(string(rep.Verdict))
	color := map[compare.Verdict]string{compare.Reproduced: green, compare.Replayed: green, compare.Differs: yellow, compare.Failed: red}[rep.Verdict]
	line := a.paint(bold+";"+color, word)
	if rep.Isolation == "none" && rep.Verdict != compare.Failed {
		line += "  " + a.paint(red, "UNCAGED")
	}
	switch rep.Verdict {
	case compare.Reproduced:
		return line + "  same sha256"
	case compare.Replayed:
		if len(rep.Replayed) == 0 {
			return line + "  same sha256, by an input that no publisher sets (extensions dropped from setup())"
		}
		return line + "  same contents; same sha256 after replaying of the zip: " + strings.Join(rep.Replayed, ", ")
	case compare.Failed:
		return line + "  " + rep.Failure.Class + ": " + printable(firstLine(rep.Failure.Detail))
	}
	touched := map[string]bool{}
	for _, d := range rep.Differences {
		if d.Cause != compare.Consequence {
			touched[d.Member] = true
		}
	}
	return fmt.Sprintf("%s  %s of %s, %s, %s", line, count(len(touched), "member"), number(rep.Members), count(len(causes(rep)), "cause"), unexplained(rep.Unexplained))
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func number(n int) string { return fmt.Sprint(n) }

func unexplained(n int) string {
	if n == 0 {
		return "nothing unexplained"
	}
	return fmt.Sprintf("%d unexplained", n)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

// A causeGroup is a cause with the differences it has.
type causeGroup struct {
	name        string
	differences []compare.Difference
}

// causes groups the differences that have one, those that touch most first.
func causes(rep *report.Report) []causeGroup { return groups(rep.Differences) }

func groups(differences []compare.Difference) []causeGroup {
	var out []causeGroup
	for _, d := range differences {
		if d.Cause == "" || d.Cause == compare.Consequence {
			continue
		}
		i := slices.IndexFunc(out, func(g causeGroup) bool { return g.name == d.Cause })
		if i < 0 {
			i = len(out)
			out = append(out, causeGroup{name: d.Cause})
		}
		out[i].differences = append(out[i].differences, d)
	}
	slices.SortStableFunc(out, func(a, b causeGroup) int { return cmp.Compare(len(b.differences), len(a.differences)) })
	return out
}

// printReport is the human report: at most a screen.
func (a *app) printReport(rep *report.Report, o *rebuildOptions) {
	w := a.stdout
	if o.quiet {
		fmt.Fprintf(w, "%s  %s\n", printable(rep.Subject.Filename), a.verdictLine(rep))
		return
	}
	head := fmt.Sprintf("%s   sha256 %s", printable(rep.Subject.Filename), short(rep.Subject.SHA256))
	if t, err := time.Parse(time.RFC3339Nano, rep.Subject.UploadTime); err == nil {
		head += "   uploaded " + t.Format(time.DateOnly)
	}
	fmt.Fprintln(w, head)
	for _, n := range rep.Notes {
		fmt.Fprintf(w, "  note      %s\n", printable(n))
	}
	if s := rep.Source; s != nil {
		fmt.Fprintf(w, "  source    %s   sha256 %s\n", printable(s.Filename), short(s.SHA256))
		if n := len(s.Binaries); n > 0 {
			fmt.Fprintf(w, "            it carries %s of compiled code along: %s\n", count(n, "file"), printable(list(s.Binaries)))
		}
	}
	if len(rep.Recipe) > 0 && !o.explain {
		fmt.Fprintf(w, "  inputs    %s\n", printable(inputs(rep.Recipe)))
	}
	if o.explain {
		for i, in := range rep.Recipe {
			label := ""
			if i == 0 {
				label = "inputs"
			}
			fmt.Fprintf(w, "  %-9s %s = %s   (%s)\n", label, printable(in.Input), printable(in.Value), printable(in.Why))
		}
	}
	if len(rep.Tries) > 0 {
		cage := "caged, no network"
		if rep.Isolation == "none" {
			cage = "not caged"
		}
		if rep.Python != "" {
			cage += "   Python " + rep.Python
		}
		fmt.Fprintf(w, "  build     %.1f s   %s   %s\n", rep.Timings.Build, cage, tries(len(rep.Tries)))
		for i, t := range rep.Tries[1:] {
			fmt.Fprintf(w, "            try %d: %s -> %s\n", i+2, printable(t.Change), t.Verdict)
		}
	}
	for i, s := range rep.Suspicions {
		if i == maxListed {
			fmt.Fprintf(w, "  suspicious …and %d more: truewheel inspect\n", len(rep.Suspicions)-i)
			break
		}
		fmt.Fprintf(w, "  suspicious %s\n", printable(s))
	}
	fmt.Fprintln(w, a.verdictLine(rep))
	if rep.Failure != nil && rep.Failure.Log != "" {
		fmt.Fprintln(w, indent(printable(rep.Failure.Log)))
	} else if rep.Failure != nil && strings.Contains(rep.Failure.Detail, "\n") {
		fmt.Fprintln(w, indent(printable(rep.Failure.Detail)))
	}
	printDifferences(w, rep.Differences, o.full)
	if rep.Rerun != "" {
		fmt.Fprintf(w, "  again: %s\n", rep.Rerun)
	}
}

func tries(n int) string {
	if n == 1 {
		return "1 try"
	}
	return fmt.Sprintf("%d tries", n)
}

func indent(s string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n    ")
}

func list(names []string) string {
	if len(names) <= 3 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:3], ", "), len(names)-3)
}

// inputs is a recipe in one line.
func inputs(recipe []report.Input) string {
	var parts []string
	for _, in := range recipe {
		if in.Input == "before" {
			continue
		}
		parts = append(parts, in.Input+" "+in.Value)
	}
	return strings.Join(parts, "   ")
}

// printDifferences lists causes, then what has none, then consequences.
func printDifferences(w io.Writer, differences []compare.Difference, full bool) {
	for _, g := range groups(differences) {
		fmt.Fprintf(w, "  %-20s %s: %s\n", g.name, count(len(g.differences), "difference"), printable(g.differences[0].Detail))
		if fix := compare.Fix(g.name); fix != "" {
			fmt.Fprintf(w, "  %-20s fix in the project: %s\n", "", fix)
		}
		printMembers(w, g.differences, full)
	}
	var rest, consequences []compare.Difference
	for _, d := range differences {
		switch d.Cause {
		case "":
			rest = append(rest, d)
		case compare.Consequence:
			consequences = append(consequences, d)
		}
	}
	if len(rest) > 0 {
		fmt.Fprintf(w, "  %-20s %s\n", "unexplained", count(len(rest), "difference"))
		printMembers(w, rest, full)
	}
	for _, d := range consequences {
		fmt.Fprintf(w, "  %-20s %s\n", d.Cause, printable(d.Detail))
	}
}

func printMembers(w io.Writer, differences []compare.Difference, full bool) {
	for i, d := range differences {
		if i == maxListed && !full {
			fmt.Fprintf(w, "      …and %d more: --full lists all\n", len(differences)-i)
			return
		}
		member := d.Member
		if member == "" {
			member = "(the archive)"
		}
		fmt.Fprintf(w, "      %-9s %s   %s\n", d.Kind, printable(member), printable(d.Detail))
	}
}

// summary is the table at the end of many.
func (a *app) summary(reports []*report.Report) {
	counts := map[compare.Verdict]int{}
	for _, r := range reports {
		counts[r.Verdict]++
	}
	fmt.Fprintf(a.stdout, "\n%s: ", count(len(reports), "wheel"))
	var parts []string
	for _, v := range []compare.Verdict{compare.Reproduced, compare.Replayed, compare.Differs, compare.Failed} {
		if counts[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[v], v))
		}
	}
	proven := counts[compare.Reproduced] + counts[compare.Replayed]
	fmt.Fprintf(a.stdout, "%s. Proven: %.1f %%\n", strings.Join(parts, ", "), 100*float64(proven)/float64(max(1, len(reports))))
	var causeCount []causeGroup
	for _, r := range reports {
		for _, g := range causes(r) {
			i := slices.IndexFunc(causeCount, func(c causeGroup) bool { return c.name == g.name })
			if i < 0 {
				i = len(causeCount)
				causeCount = append(causeCount, causeGroup{name: g.name})
			}
			causeCount[i].differences = append(causeCount[i].differences, g.differences[0])
		}
	}
	for _, g := range causeCount {
		fmt.Fprintf(a.stdout, "  %-20s in %s\n", g.name, count(len(g.differences), "wheel"))
	}
}
