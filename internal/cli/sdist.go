package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/truewheel/truewheel/compare/source"
	"github.com/truewheel/truewheel/internal/git"
	"github.com/truewheel/truewheel/internal/rebuild"
	"github.com/truewheel/truewheel/report"
)

// sdistOptions are the flags of sdist.
type sdistOptions struct {
	common
	cageFlags
	mirrorFlags
	rootFlags
	view
	env    string
	source string
	out    string
}

func (a *app) newSdistCommand() *cobra.Command {
	var o sdistOptions
	cmd := &cobra.Command{
		Use:   "sdist NAME==VERSION",
		Short: "Compare a published sdist with its repository, and rebuild it from there",
		Long: `sdist finds the commit that a published source distribution was made from, lists
every file that the sdist has and the commit has not, or otherwise, with what it
is (generated, vendored, unexplained), builds the sdist again from the commit in
a cage, and compares byte for byte.

Verdicts: reproduced (same name and sha256), replayed (the same tar, and another
gzip of it gives the same sha256), differs, failed.
Exit codes: 0 reproduced or replayed, 3 differs, 1 failed, 2 wrong usage.`,
		Example: `  truewheel sdist attrs==25.4.0
  truewheel sdist attrs==25.4.0 --source git+https://host.example/attrs@25.4.0`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error { return a.sdist(cmd.Context(), &o, given[0]) },
	}
	o.common.register(cmd)
	o.cageFlags.register(cmd, false)
	o.mirrorFlags.register(cmd)
	o.rootFlags.register(cmd)
	f := cmd.Flags()
	f.StringVar(&o.env, "env", "", "`kind` of environment: host, or debian, a root of packages locked by sha256 (default: host, and debian where no Python here fits)")
	f.StringVar(&o.source, "source", "", "the commit, `git+URL@REV`[#subdirectory=DIR] (default: it is looked for)")
	f.StringVarP(&o.out, "out", "o", "", "keep sdist, report and log in `directory`")
	o.view.register(cmd)
	return cmd
}

func (a *app) sdist(ctx context.Context, o *sdistOptions, text string) error {
	_, version, err := rebuild.ParseRelease(text)
	if err != nil {
		return &usageError{err}
	}
	var given *git.Source
	if o.source != "" {
		s, err := git.Parse(o.source)
		if err != nil {
			return &usageError{err}
		}
		given = &s
	}
	b, err := a.rebuilder(ctx, &o.common, &o.cageFlags, &o.mirrorFlags)
	if err != nil {
		return err
	}
	if b.Root, err = a.trustedRoot(&o.rootFlags, b.Supply.Pythons); err != nil {
		return err
	}
	b.Environment = o.env
	if b.Runtime == nil && !o.json {
		fmt.Fprintf(a.stderr, "truewheel: builds are not caged: %s\n", printable(b.Uncaged))
	}
	t, err := rebuild.SdistTarget(ctx, b.Supply.Client, text)
	if err != nil {
		return err
	}
	t.Git = given
	p := newProgress(a.stderr, 1, o.quiet || o.json)
	outcome, err := b.RebuildSdist(ctx, t, version.String(), a.events(&o.view, p, t))
	p.clear()
	if err != nil {
		return err
	}
	defer outcome.Close()
	rep := outcome.Report
	if o.out != "" {
		if err := writeOut(o.out, outcome); err != nil {
			return fmt.Errorf("write results: %w", err)
		}
	}
	rep.Rerun = "truewheel sdist " + text
	if o.source != "" {
		rep.Rerun += " --source '" + o.source + "'"
	}
	if err := a.print1(&o.view, rep); err != nil {
		return err
	}
	return exit(exitCode(rep.Verdict))
}

// printSource says what the sdist has that the commit has not. Of what is
// explained there is one line for each class.
func printSource(w io.Writer, s *report.Source, full bool) {
	r := s.Sdist
	fmt.Fprintf(w, "  sdist     %s: %d of %s as in the commit\n", printable(s.Sdist.Filename), r.Equal, count(r.Files, "file"))
	line := func(label, text string) { fmt.Fprintf(w, "            %-12s %s\n", label, printable(text)) }
	var looks []source.Difference
	by := map[string][]source.Difference{}
	for _, d := range r.Differences {
		switch {
		case d.Class == source.Unexplained || !d.Sure:
			looks = append(looks, d)
		default:
			by[string(d.Class)] = append(by[string(d.Class)], d)
		}
	}
	for i, d := range looks {
		if i == maxListed && !full {
			line("", fmt.Sprintf("…and %d more: --full lists all", len(looks)-i))
			break
		}
		label := string(d.Class)
		if !d.Sure {
			label += "?"
		}
		text := d.Kind + "  " + oneLine(d.Name)
		if d.By != "" {
			text += "   " + oneLine(d.By)
		}
		if len(d.Flags) > 0 {
			text += "   (" + strings.Join(d.Flags, ", ") + ")"
		}
		line(label, text)
	}
	for _, class := range slices.Sorted(maps.Keys(by)) {
		line(class, count(len(by[class]), "file")+": "+kinds(by[class]))
		for _, d := range by[class] {
			if full {
				line("", d.Kind+"  "+oneLine(d.Name)+"   "+oneLine(d.By))
			}
		}
	}
	if len(r.Missing) > 0 {
		line("left out", count(len(r.Missing), "file")+" of the commit: "+oneLine(tops(r.Missing)))
		for _, name := range r.Missing {
			if full {
				line("", oneLine(name))
			}
		}
	}
}

// kinds counts differences by what made them.
func kinds(ds []source.Difference) string {
	n := map[string]int{}
	for _, d := range ds {
		n[oneLine(d.By)]++
	}
	return most(n)
}

// tops counts names by their first directories.
func tops(names []string) string {
	n := map[string]int{}
	for _, name := range names {
		top, _, ok := strings.Cut(name, "/")
		if ok {
			top += "/"
		}
		n[top]++
	}
	return most(n)
}

// most lists what there is most of.
func most(n map[string]int) string {
	names := slices.SortedFunc(maps.Keys(n), func(a, b string) int { return cmp.Or(cmp.Compare(n[b], n[a]), cmp.Compare(a, b)) })
	var parts []string
	for i, name := range names {
		if i == 6 {
			parts = append(parts, fmt.Sprintf("and %d more kinds", len(names)-i))
			break
		}
		if n[name] > 1 {
			name = fmt.Sprintf("%s (%d)", name, n[name])
		}
		parts = append(parts, name)
	}
	return strings.Join(parts, ", ")
}
