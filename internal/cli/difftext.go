package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/truewheel/truewheel/compare"
	"github.com/truewheel/truewheel/report"
)

func sha256Of(r io.Reader) (sum string, size int64, err error) {
	h := sha256.New()
	size, err = io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// diffVerdict is the verdict in words.
func diffVerdict(d *report.Diff) string {
	switch d.Verdict {
	case "equal":
		if d.Published.SHA256 == "" || d.Published.SHA256 != d.Rebuilt.SHA256 {
			return "same names, contents and modes"
		}
		return "same sha256"
	case "replayable":
		return "same names and contents; an inert envelope makes the same bytes: " + strings.Join(d.Replayed, ", ")
	}
	return fmt.Sprintf("%d of %s equal, %s, %s", d.Equal, count(d.Members, "member"), count(len(d.Causes), "cause"), unexplained(d.Unexplained))
}

func likely(sure bool) string {
	if sure {
		return "sure"
	}
	return "likely"
}

// printDiff is the first screen, or with --full everything.
func (a *app) printDiff(d *report.Diff, o *diffOptions) {
	w := a.stdout
	color := map[string]string{"equal": green, "replayable": green, "differs": yellow}[d.Verdict]
	fmt.Fprintf(w, "%s  %s\n", a.paint(bold+";"+color, strings.ToUpper(d.Verdict)), diffVerdict(d))
	if d.Verdict == "equal" {
		if o.member != "" && d.Published.SHA256 != d.Rebuilt.SHA256 {
			fmt.Fprintf(w, "  note       only members that fit %s were looked into; the files are not the same\n", oneLine(o.member))
		}
		return
	}
	for _, s := range []struct {
		word string
		side report.Side
	}{{"published", d.Published}, {"rebuilt", d.Rebuilt}} {
		fmt.Fprintf(w, "  %-10s %s", s.word, oneLine(s.side.Name))
		if s.side.SHA256 != "" {
			fmt.Fprintf(w, "   sha256 %s", short(s.side.SHA256))
		}
		fmt.Fprintln(w)
	}
	printCauses(w, d.Differences, o.full, nil)
	if d.Code != nil {
		printCode(w, d.Code, o.full)
	}
	printRest(w, d.Differences, o.full)
	if o.full {
		printDetails(w, d.Differences)
	}
	for i, n := range d.Notes {
		if i == maxListed && !o.full {
			fmt.Fprintf(w, "  note       …and %d more: --full\n", len(d.Notes)-i)
			break
		}
		fmt.Fprintf(w, "  note       %s\n", oneLine(n))
	}
	if !o.full && d.Verdict == "differs" {
		fmt.Fprintln(w, "  more: --full, --member PATTERN, --html FILE, --json")
	}
}

// printCode says what changed in compiled code.
func printCode(w io.Writer, c *report.Code, full bool) {
	var same, other []string
	for _, t := range c.Tools {
		switch {
		case t.Published == t.Rebuilt:
			same = append(same, fmt.Sprintf("%s (%d)", t.Published, t.Modules))
		case t.Published == "":
			other = append(other, fmt.Sprintf("+ %s (%d)", t.Rebuilt, t.Modules))
		default:
			other = append(other, fmt.Sprintf("- %s (%d)", t.Published, t.Modules))
		}
	}
	label := "tools"
	line := func(format string, args ...any) {
		fmt.Fprintf(w, "  %-20s %s\n", label, printable(fmt.Sprintf(format, args...)))
		label = ""
	}
	if len(other) > 0 {
		line("changed: %s", strings.Join(other, ", "))
	}
	if len(same) > 0 {
		n := len(same)
		if !full {
			n = min(n, 6)
		}
		line("the same on both sides, by modules that differ: %s%s", strings.Join(same[:n], ", "), andMore(len(same)-n))
	}
	if len(c.Modules) == 0 {
		return
	}
	label = "functions"
	line("%d changed, %d added, %d removed of %d, in %s", c.Changed, c.Added, c.Removed, c.Published, count(len(c.Modules), "module"))
	for i, m := range c.Modules {
		if i == maxListed && !full {
			line("…and %d more modules: --full", len(c.Modules)-i)
			break
		}
		line("  %4d changed %4d added %4d removed   %s", m.Changed, m.Added, m.Removed, m.Member)
	}
}

func andMore(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" and %d more", n)
}

// printDetails is all that there is: unified diffs, functions, disassemblies.
func printDetails(w io.Writer, differences []compare.Difference) {
	for _, d := range differences {
		if d.Diff == "" && (d.Functions == nil || len(d.Functions.Changes) == 0) {
			continue
		}
		fmt.Fprintf(w, "\n--- %s\n", oneLine(d.Member+" "+d.Where))
		if d.Diff != "" {
			fmt.Fprint(w, printable(d.Diff))
		}
		if d.Functions != nil {
			for _, f := range d.Functions.Changes {
				fmt.Fprintf(w, "%s %s   %s\n", f.Kind, printable(f.Name), printable(strings.Join(slices.DeleteFunc([]string{f.Published, f.Rebuilt, f.Why}, func(s string) bool { return s == "" }), "   ")))
				if f.Disassembly != "" {
					fmt.Fprintln(w, indent(printable(f.Disassembly)))
				}
			}
		}
		if d.Left != "" {
			fmt.Fprintf(w, "… %s\n", printable(d.Left))
		}
	}
}
