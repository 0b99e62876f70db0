package cli

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/truewheel/truewheel/compare"
	"github.com/truewheel/truewheel/compare/cause"
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
		what := "the zip"
		if !strings.HasSuffix(rep.Subject.Filename, ".whl") {
			what = "the container"
		}
		return line + "  same contents; same sha256 after replaying of " + what + ": " + strings.Join(rep.Replayed, ", ")
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

// nativeLine says where compiled members were made, and what is near to it.
func nativeLine(n *report.Native) string {
	parts := []string{count(n.Modules, "module")}
	if n.Image != "" {
		parts = append(parts, "made in "+n.Image+", it seems")
	}
	switch {
	case n.Needs != "":
		parts = append(parts, "built on "+n.Needs)
	case n.Suite != "":
		parts = append(parts, "nearest here: Debian "+n.Suite+", "+n.Near)
	case n.Near != "":
		parts = append(parts, n.Near)
	}
	return strings.Join(parts, "; ")
}

// causes groups the differences that have one.
func causes(rep *report.Report) []compare.Group { return compare.Causes(rep.Differences) }

// printReport is the human report: at most a screen.
func (a *app) printReport(rep *report.Report, v *view) {
	w := a.stdout
	if v.quiet {
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
		fmt.Fprintf(w, "  source    %s\n", printable(sourceLine(s)))
		if c := s.Commit; c != nil && c.Found != nil && c.Found.Identity != nil {
			fmt.Fprintf(w, "            %s\n", printable(identityLine(c.Found.Identity)))
		}
		if n := len(s.Binaries); n > 0 {
			fmt.Fprintf(w, "            it carries %s of compiled code along: %s\n", count(n, "file"), printable(list(s.Binaries)))
		}
	}
	if rep.Source != nil && rep.Source.Sdist != nil {
		printSource(w, rep.Source, v.full)
	}
	if len(rep.Recipe) > 0 && !v.explain {
		fmt.Fprintf(w, "  inputs    %s\n", printable(inputs(rep.Recipe)))
	}
	if v.explain {
		for i, in := range rep.Recipe {
			label := ""
			if i == 0 {
				label = "inputs"
			}
			fmt.Fprintf(w, "  %-9s %s = %s   (%s)\n", label, printable(in.Input), printable(in.Value), printable(in.Why))
		}
	}
	if n := rep.Native; n != nil {
		fmt.Fprintf(w, "  native    %s\n", printable(nativeLine(n)))
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
	if n := rep.Native; n != nil && n.Functions > 0 {
		fmt.Fprintf(w, "  code      %d of %s are the same, instruction by instruction; %d of the others are the C library's start files\n", n.Same, count(n.Functions, "function"), n.Start)
	}
	if rep.Failure != nil && rep.Failure.Log != "" {
		fmt.Fprintln(w, indent(printable(rep.Failure.Log)))
	} else if rep.Failure != nil && strings.Contains(rep.Failure.Detail, "\n") {
		fmt.Fprintln(w, indent(printable(rep.Failure.Detail)))
	}
	printCauses(w, rep.Differences, v.full, func(c cause.Cause) string {
		if c.Name == "compiler" && rep.Native != nil && rep.Native.Pinned != "" {
			return "--env oci, the image " + rep.Native.Pinned
		}
		return c.Try
	})
	printRest(w, rep.Differences, v.full)
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

// sourceLine says what a wheel was built from.
func sourceLine(s *report.Source) string {
	c := s.Commit
	if c == nil {
		return s.Filename + "   sha256 " + short(s.SHA256)
	}
	line := c.Repository + "   commit " + c.ID[:12]
	if c.Tag != "" {
		line += "   tag " + c.Tag
	}
	if c.Subdirectory != "" {
		line += "   in " + c.Subdirectory
	}
	if f := c.Found; f != nil && f.Identity != nil {
		line += "   attested"
	} else if f != nil {
		line += "   found by " + f.Label + " in METADATA"
	}
	if c.Signature != "" {
		return line + "   signed (" + c.Signature + ", not verified)"
	}
	return line + "   not signed"
}

// identityLine says whose attestation named the commit.
func identityLine(id *report.Identity) string {
	line := "attested by " + id.Workflow + ", by the word of " + id.Issuer
	if id.Verified {
		return line + ": verified"
	}
	return line + ": NOT VERIFIED: " + id.Unverified
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

// printCauses lists causes with what they touch.
// try says what would bring a rebuilder nearer; nil where nothing is rebuilt.
func printCauses(w io.Writer, differences []compare.Difference, full bool, try func(cause.Cause) string) {
	causes := compare.Causes(differences)
	most := 3
	if len(causes) > 4 {
		most = 1
	}
	for _, g := range causes {
		fmt.Fprintf(w, "  %-20s %s: %s   (%s)\n", g.Cause.Name, touched(g), oneLine(clipped(g.Evidence(), full)), likely(g.Sure))
		if g.Cause.Fix != "" && !strings.HasPrefix(g.Cause.Fix, "none: ") {
			fmt.Fprintf(w, "  %-20s fix in the project: %s\n", "", g.Cause.Fix)
		}
		if try != nil && try(g.Cause) != "" {
			fmt.Fprintf(w, "  %-20s to rebuild it: %s\n", "", printable(try(g.Cause)))
		}
		if g.Differences[0].Member != "" || len(g.Differences) > 1 || full {
			printMembers(w, g.Differences, full, most)
		}
	}
}

// printRest lists what has no cause; consequences are folded.
func printRest(w io.Writer, differences []compare.Difference, full bool) {
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
		printMembers(w, rest, full, maxListed)
	}
	if len(consequences) > 0 {
		fmt.Fprintf(w, "  %-20s %s\n", "consequences", printable(folded(consequences)))
		if full {
			printMembers(w, consequences, true, 0)
		}
	}
}

// touched says what a cause touches.
func touched(g compare.Group) string {
	if g.Members == 1 && g.Differences[0].Member == "" {
		return "the archive"
	}
	return count(g.Members, "member")
}

// folded says of consequences how many there are of each kind.
func folded(ds []compare.Difference) string {
	var names []string
	n := map[string]int{}
	for _, d := range ds {
		name := d.Where
		switch {
		case d.Kind == "renamed":
			name = "names with the version"
		case strings.HasSuffix(d.Member, ".dist-info/RECORD"):
			name = "RECORD (" + d.Detail + ")"
		case name == "":
			name = d.Member
		}
		if n[name] == 0 {
			names = append(names, name)
		}
		n[name]++
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(n[b], n[a]) })
	for i, s := range names {
		if n[s] > 1 {
			names[i] = fmt.Sprintf("%s (%d)", s, n[s])
		}
	}
	if k := len(names); k > 10 {
		names = append(names[:10], fmt.Sprintf("and %d more kinds", k-10))
	}
	return strings.Join(names, ", ")
}

func clipped(s string, full bool) string {
	if r := []rune(s); len(r) > 160 && !full {
		return string(r[:160]) + "…"
	}
	return s
}

func printMembers(w io.Writer, differences []compare.Difference, full bool, most int) {
	for i, d := range differences {
		if i == most && !full {
			fmt.Fprintf(w, "      …and %d more: --full lists all\n", len(differences)-i)
			return
		}
		member := d.Member
		if member == "" {
			member = "(the archive)"
		}
		where := ""
		if d.Where != "" {
			where = d.Where + ": "
		}
		fmt.Fprintf(w, "      %-9s %s   %s\n", d.Kind, oneLine(member), oneLine(clipped(where+d.Detail, full)))
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
	inWheels := map[string]int{}
	for _, r := range reports {
		for _, g := range causes(r) {
			inWheels[g.Cause.Name]++
		}
	}
	names := slices.Sorted(maps.Keys(inWheels))
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(inWheels[b], inWheels[a]) })
	for _, name := range names {
		fmt.Fprintf(a.stdout, "  %-20s in %s\n", name, count(inWheels[name], "wheel"))
	}
}
