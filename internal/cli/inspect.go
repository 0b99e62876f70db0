package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/truewheel/truewheel/internal/index"
	"github.com/truewheel/truewheel/internal/infer"
	"github.com/truewheel/truewheel/internal/rebuild"
	"github.com/truewheel/truewheel/report"
	"github.com/truewheel/truewheel/sdist"
	"github.com/truewheel/truewheel/wheel"
)

type inspectOptions struct {
	common
	file     string
	noSource bool
	json     bool
}

func (a *app) newInspectCommand() *cobra.Command {
	var o inspectOptions
	cmd := &cobra.Command{
		Use:   "inspect NAME==VERSION | purl | URL | WHEEL",
		Short: "Show what a wheel tells about how it was made, and what is suspicious in it",
		Long: `inspect reads a wheel, and its source when the index has one, and shows the
evidence: who made it, with which times, modes and line ends, what of it is not
in the source, what is suspicious, and the recipe that truewheel would try.`,
		Example: "  truewheel inspect attrs==25.4.0\n  truewheel inspect --no-source ./demo-1.0-py3-none-any.whl",
		Args:    args(cobra.ExactArgs(1)),
		RunE:    func(cmd *cobra.Command, given []string) error { return a.inspect(cmd.Context(), &o, given[0]) },
	}
	o.common.register(cmd)
	f := cmd.Flags()
	f.StringVar(&o.file, "file", "", "the `name` of the file, of a release with several")
	f.BoolVar(&o.noSource, "no-source", false, "look at the wheel alone; a local file then needs no index")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

// inspection is what inspect prints.
type inspection struct {
	Schema     string            `json:"schema"`
	Filename   string            `json:"filename"`
	SHA256     string            `json:"sha256"`
	Size       int64             `json:"size"`
	Uploaded   string            `json:"upload_time"`
	Generator  string            `json:"generator"`
	Members    int               `json:"members"`
	Times      map[string]int    `json:"times"`
	Modes      map[string]int    `json:"modes"`
	Systems    map[string]int    `json:"systems"`
	Methods    map[string]int    `json:"methods"`
	Source     string            `json:"source"`
	NotInSrc   []string          `json:"not_in_source"`
	Suspicions []wheel.Suspicion `json:"suspicions"`
	Recipe     []infer.Reason    `json:"recipe"`
	Notes      []string          `json:"notes"`
	Native     []infer.Mark      `json:"native,omitempty"` // what compiled members tell
	Place      *infer.Place      `json:"place,omitempty"`  // where they were made, and what is near to it
	archive    *wheel.Archive
	modules    int
}

func (a *app) inspect(ctx context.Context, o *inspectOptions, text string) error {
	if _, err := os.Stat(text); err != nil && !strings.Contains(text, "://") && !strings.HasPrefix(text, "pkg:") && !strings.HasSuffix(text, ".whl") {
		if _, _, err := rebuild.ParseRelease(text); err != nil {
			return &usageError{err}
		}
	}
	var t rebuild.Target
	var client *index.Client
	if o.noSource && strings.HasSuffix(text, ".whl") && !strings.Contains(text, "://") {
		t.Path, t.Wheel.Filename = text, filepath.Base(text)
	} else {
		var err error
		if client, err = a.client(ctx, &o.common); err != nil {
			return err
		}
		targets, err := rebuild.Targets(ctx, client, text, rebuild.Choice{File: o.file})
		if err != nil {
			return err
		}
		t = targets[0]
		if t.Path == "" {
			if t.Path, err = client.Fetch(ctx, t.Wheel); err != nil {
				return err
			}
		}
	}
	w, err := o.open(t.Path)
	if err != nil {
		return err
	}
	defer w.file.Close()
	w.Filename = t.Wheel.Filename
	in := &inspection{
		Schema: "truewheel.inspect/1", Filename: t.Wheel.Filename, SHA256: w.sha256, Size: w.Size, Notes: t.Notes,
		Times: map[string]int{}, Modes: map[string]int{}, Systems: map[string]int{}, Methods: map[string]int{}, archive: w.Archive,
	}
	if !t.Wheel.UploadTime.IsZero() {
		in.Uploaded = t.Wheel.UploadTime.Format(time.RFC3339)
	}
	if in.Suspicions, err = w.CheckRecord(ctx); err != nil {
		return err
	}
	in.Suspicions = append(in.Suspicions, w.Archive.Suspicions()...)
	var tree *sdist.Tree
	if t.Source != nil && !o.noSource && client != nil {
		if tree, err = o.readSource(ctx, client, t); err != nil {
			return err
		}
		in.Source = t.Source.Filename
	}
	e, err := infer.Read(ctx, w.Archive, tree, t.Wheel.UploadTime)
	if err != nil {
		return err
	}
	in.fill(e, tree != nil)
	if o.json {
		return json.NewEncoder(a.stdout).Encode(in)
	}
	a.printInspection(in)
	return nil
}

func (c *common) readSource(ctx context.Context, client *index.Client, t rebuild.Target) (*sdist.Tree, error) {
	path, err := client.Fetch(ctx, *t.Source)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return sdist.Open(ctx, t.Source.Filename, f, info.Size(), c.sdistLimits())
}

func (in *inspection) fill(e *infer.Evidence, haveSource bool) {
	in.Generator = e.Generator
	for _, entry := range in.archive.Entries {
		in.Modes[fmt.Sprintf("%06o", entry.Mode())]++
		in.Systems[map[uint8]string{0: "Windows", 3: "Unix"}[entry.System()]]++
		in.Methods[map[uint16]string{0: "stored", 8: "deflated"}[entry.Method]]++
		in.Times[entry.Modified().Format(time.DateTime)]++
	}
	in.Members = len(e.Members)
	if e.Native != nil {
		in.modules = len(e.Native.Modules)
		in.Native, in.Place = e.Native.Marks, e.Place
	}
	if haveSource {
		_, in.Recipe = infer.Recipe(e)
		for _, m := range e.Members {
			if len(m.Sources) == 0 && !m.InDistInfo() {
				in.NotInSrc = append(in.NotInSrc, m.Name)
			}
		}
	}
}

func (a *app) printInspection(in *inspection) {
	w := a.stdout
	fmt.Fprintf(w, "%s   sha256 %s   %d bytes\n", printable(in.Filename), in.SHA256, in.Size)
	for _, n := range in.Notes {
		fmt.Fprintf(w, "  note        %s\n", printable(n))
	}
	if in.Uploaded != "" {
		fmt.Fprintf(w, "  uploaded    %s\n", in.Uploaded)
	}
	fmt.Fprintf(w, "  generator   %s\n", printable(in.Generator))
	fmt.Fprintf(w, "  members     %d, %s, made on %s\n", in.Members, counts(in.Methods, 3), counts(in.Systems, 3))
	fmt.Fprintf(w, "  times       %s\n", counts(in.Times, 3))
	fmt.Fprintf(w, "  modes       %s\n", counts(in.Modes, 4))
	if in.Source != "" {
		fmt.Fprintf(w, "  source      %s\n", printable(in.Source))
		if n := len(in.NotInSrc); n > 0 {
			fmt.Fprintf(w, "              %s not in it: %s\n", count(n, "member"), printable(list(in.NotInSrc)))
		}
	}
	printNative(w, in)
	for _, r := range in.Recipe {
		fmt.Fprintf(w, "  recipe      %s = %s   (%s)\n", printable(r.Input), printable(r.Value), printable(r.Why))
	}
	for i, s := range in.Suspicions {
		if i == 2*maxListed {
			fmt.Fprintf(w, "  suspicious …and %d more: --json has all\n", len(in.Suspicions)-i)
			break
		}
		fmt.Fprintf(w, "  %s  %s %s\n", a.paint(red, "suspicious"), printable(s.Member), printable(s.Detail))
	}
	if len(in.Suspicions) == 0 {
		fmt.Fprintln(w, "  suspicious  nothing: the archive is plain, RECORD agrees with it")
	}
}

// maxMarks bounds what is printed of one kind of marks; JSON has all.
const maxMarks = 4

// printNative tells what compiled members say, each with where it was read.
func printNative(w io.Writer, in *inspection) {
	shown := map[string]int{}
	for i, m := range in.Native {
		shown[m.Kind]++
		last := i+1 == len(in.Native) || in.Native[i+1].Kind != m.Kind
		if shown[m.Kind] > maxMarks {
			if last {
				fmt.Fprintf(w, "  %-11s …and %d more: --json has all\n", "", shown[m.Kind]-maxMarks)
			}
			continue
		}
		label := m.Kind
		if shown[m.Kind] > 1 {
			label = ""
		}
		where := m.Where
		if m.More > 0 {
			where += fmt.Sprintf(" and %d more", m.More)
		}
		fmt.Fprintf(w, "  %-11s %s   (%s)\n", label, printable(m.Value), printable(where))
	}
	if in.Place == nil {
		return
	}
	line := nativeLine(&report.Native{Modules: in.modules, Image: in.Place.Image, Suite: in.Place.Suite, Near: in.Place.Near, Needs: in.Place.Needs})
	fmt.Fprintf(w, "  place       %s\n", printable(line))
	if in.Place.Pinned != "" {
		fmt.Fprintf(w, "              that image then: %s\n", printable(in.Place.Pinned))
	}
}

// counts lists values with their numbers, most frequent first.
func counts(m map[string]int, most int) string {
	var names []string
	for k := range m {
		names = append(names, k)
	}
	sort.Slice(names, func(i, j int) bool {
		if m[names[i]] != m[names[j]] {
			return m[names[i]] > m[names[j]]
		}
		return names[i] < names[j]
	})
	var parts []string
	for i, k := range names {
		if i == most {
			parts = append(parts, fmt.Sprintf("and %d others", len(names)-i))
			break
		}
		parts = append(parts, fmt.Sprintf("%s (%d)", k, m[k]))
	}
	return strings.Join(parts, ", ")
}
