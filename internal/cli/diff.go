package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/truewheel/truewheel/compare"
	"github.com/truewheel/truewheel/compare/tree"
	"github.com/truewheel/truewheel/internal/rebuild"
	"github.com/truewheel/truewheel/internal/store"
	"github.com/truewheel/truewheel/report"
	"github.com/truewheel/truewheel/wheel"
	"github.com/truewheel/truewheel/wheel/deflate"
)

type diffOptions struct {
	common
	envelope      string
	writeEnvelope string
	file          string
	sdist         bool
	json          bool
	markdown      bool
	html          string
	full          bool
	member        string
	depth         int
	memory        int64
	timeout       time.Duration
}

func (a *app) newDiffCommand() *cobra.Command {
	var o diffOptions
	cmd := &cobra.Command{
		Use:   "diff PUBLISHED REBUILT",
		Short: "Say in what two wheels, archives or directories differ, and why",
		Long: `diff compares two wheels, sdists, zip or tar archives, directories or files. Each
side is a path, a URL, or NAME==VERSION. It names the causes first, each with
its evidence and the fix, then what has no cause; what follows from other
differences is folded. Nothing is normalised: equal means equal bytes.

Compiled code (ELF, Mach-O, PE) is compared by sections, symbols, libraries,
notes, and by function, so that code that only moved is not a change.

When only the container of two wheels differs, diff says whether an inert
envelope turns REBUILT into PUBLISHED. With --envelope it proves what a
published envelope claims: the contents of one file packed in it are the other,
byte for byte. The two files may be given in any order then.

Exit codes: 0 equal, or equal after replaying the envelope; 3 differs; 1 could
not tell; 2 wrong usage.`,
		Example: `  truewheel diff demo-1.0-py3-none-any.whl dist/demo-1.0-py3-none-any.whl
  truewheel diff numpy==2.3.4 numpy==2.3.5
  truewheel diff --html diff.html A.whl B.whl
  truewheel diff --full --member '*_umath*' A.whl B.whl
  truewheel diff --envelope E.json rebuilt.whl published.whl`,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.diff(cmd.Context(), &o, given[0], given[1])
		},
	}
	o.common.register(cmd)
	f := cmd.Flags()
	f.StringVar(&o.envelope, "envelope", "", "prove the published file by this envelope `file`")
	f.StringVar(&o.writeEnvelope, "write-envelope", "", "write the envelope that turns REBUILT into PUBLISHED to `file`")
	f.StringVar(&o.file, "file", "", "of a release with several wheels the one whose name fits this `pattern`")
	f.BoolVar(&o.sdist, "sdist", false, "of a release the sdist, not a wheel")
	f.BoolVar(&o.json, "json", false, "print JSON (truewheel.diff/1)")
	f.BoolVar(&o.markdown, "markdown", false, "print Markdown, for an issue or a step summary")
	f.StringVar(&o.html, "html", "", "write a page to `file`")
	f.BoolVar(&o.full, "full", false, "everything: all differences, unified diffs, all changed functions")
	f.StringVar(&o.member, "member", "", "look only into members that fit this `pattern`, and with --full show all of them")
	f.IntVar(&o.depth, "depth", 4, "how deep archives within archives are read")
	f.Int64Var(&o.memory, "max-memory", 512<<20, "memory to use, in `bytes`; what is too large for it is compared as bytes")
	f.DurationVar(&o.timeout, "timeout", 30*time.Minute, "give up after this time")
	return cmd
}

// codeCache is where compiled encoders are kept; "" when there is no store.
func (c *common) codeCache() string {
	dir := c.cacheDir
	if dir == "" {
		var err error
		if dir, err = store.DefaultDir(); err != nil {
			return ""
		}
	}
	return filepath.Join(dir, "tools", "encoders")
}

// wheelFile is an opened wheel.
type wheelFile struct {
	*wheel.Archive
	sha256 string
	file   *os.File
}

func (c *common) open(name string) (*wheelFile, error) {
	s, err := openSide(name)
	if err != nil {
		return nil, err
	}
	w, err := wheel.Open(filepath.Base(name), s.file, s.Size, c.wheelLimits())
	if err != nil {
		return nil, errors.Join(err, s.file.Close())
	}
	return &wheelFile{w, s.SHA256, s.file}, nil
}

// a diffSide is one of the two things that are compared.
type diffSide struct {
	report.Side
	file *os.File // nil for a directory
	tree *tree.Tree
}

func openSide(name string) (*diffSide, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for ever
		return nil, fmt.Errorf("read %s: it is no regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	sum, size, err := sha256Of(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read %s: %w", name, err), f.Close())
	}
	return &diffSide{Side: report.Side{Name: filepath.Base(name), SHA256: sum, Size: size}, file: f}, nil
}

func (s *diffSide) close() {
	if s.tree != nil {
		_ = s.tree.Close()
	}
	if s.file != nil {
		_ = s.file.Close()
	}
}

// read opens what text names.
func (a *app) side(ctx context.Context, o *diffOptions, text, other string) (*diffSide, error) {
	local, name := text, filepath.Base(text)
	info, err := os.Stat(text)
	if err != nil && (strings.Contains(text, "==") || strings.Contains(text, "://") || strings.HasPrefix(text, "pkg:")) {
		if local, name, err = a.fetched(ctx, o, text, other); err != nil {
			return nil, err
		}
		info, err = os.Stat(local)
	}
	if err != nil {
		return nil, err
	}
	lim := tree.Limits{MaxSize: o.maxSize}
	if info.IsDir() {
		t, err := tree.Directory(ctx, local, lim)
		if err != nil {
			return nil, err
		}
		return &diffSide{Side: report.Side{Name: name, Kind: "directory"}, tree: t}, nil
	}
	s, err := openSide(local)
	if err != nil {
		return nil, err
	}
	s.Name = name
	s.tree, err = tree.Open(ctx, name, s.file, s.Size, lim)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", text, err), s.file.Close())
	}
	s.Kind = s.tree.Kind
	return s, nil
}

// fetched gets what a URL or NAME==VERSION names; of several wheels the one
// whose tags are those of the other side.
func (a *app) fetched(ctx context.Context, o *diffOptions, text, other string) (local, name string, err error) {
	client, err := a.client(ctx, &o.common)
	if err != nil {
		return "", "", err
	}
	if strings.Contains(text, "://") {
		local, _, err = client.FetchURL(ctx, text, "")
		return local, path.Base(strings.SplitN(text, "?", 2)[0]), err
	}
	f, err := rebuild.File(ctx, client, text, rebuild.Like{Pattern: o.file, Sdist: o.sdist, Name: path.Base(other)})
	var usage *rebuild.NoFileError
	if err != nil && !errors.As(err, &usage) {
		if _, _, bad := rebuild.ParseRelease(text); bad != nil {
			return "", "", &usageError{bad}
		}
	}
	if err != nil {
		return "", "", err
	}
	local, err = client.Fetch(ctx, f)
	return local, f.Filename, err
}

func (a *app) diff(ctx context.Context, o *diffOptions, publishedName, rebuiltName string) error {
	switch {
	case o.json && o.markdown:
		return usage("--json and --markdown are two forms of one output")
	case o.memory < 16<<20:
		return usage("--max-memory %d: at least 16 MiB are needed", o.memory)
	case o.depth < 1 || o.depth > 16:
		return usage("--depth %d is not between 1 and 16", o.depth)
	}
	if _, err := path.Match(o.member, ""); err != nil {
		return usage("--member %q is no pattern", o.member)
	}
	// Garbage is left lying while there is room: members are bounded to what
	// is left beside it.
	debug.SetMemoryLimit(o.memory * 2 / 5)
	debug.SetGCPercent(300)
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("not done after %s (--timeout)", o.timeout))
	defer cancel()
	err := a.diffSides(ctx, o, publishedName, rebuiltName)
	var told *exitError
	if cause := context.Cause(ctx); err != nil && !errors.As(err, &told) && cause != nil && !errors.Is(cause, context.Canceled) {
		return fmt.Errorf("compare %s with %s: %w", publishedName, rebuiltName, cause)
	}
	return err
}

func (a *app) diffSides(ctx context.Context, o *diffOptions, publishedName, rebuiltName string) error {
	encoders, err := deflate.NewCached(ctx, o.codeCache())
	if err != nil {
		return err
	}
	defer encoders.Close(ctx)
	if o.envelope != "" {
		return a.prove(ctx, o, publishedName, rebuiltName, encoders)
	}
	published, err := a.side(ctx, o, publishedName, rebuiltName)
	if err != nil {
		return err
	}
	defer published.close()
	rebuilt, err := a.side(ctx, o, rebuiltName, published.Name)
	if err != nil {
		return err
	}
	defer rebuilt.close()
	options := compare.Options{
		Scalar: true, SubjectSHA256: published.SHA256, RebuiltSHA256: rebuilt.SHA256, Encoders: encoders,
		Full: o.full || o.html != "", Disassemble: 8, Member: o.member, Depth: o.depth, MaxMemory: o.memory, Workers: min(2, runtime.GOMAXPROCS(0)),
	}
	if o.member != "" {
		options.Disassemble = -1
	}
	if !o.full && o.html == "" {
		options.Disassemble = 0
	}
	res, err := within(ctx, func() (*compare.Result, error) { return o.compared(ctx, published, rebuilt, options) })
	if err != nil {
		return err
	}
	d := report.NewDiff(published.Side, rebuilt.Side, res)
	if o.html != "" {
		var page bytes.Buffer
		if err := diffPage(&page, d); err != nil {
			return err
		}
		if err := store.WriteFile(o.html, page.Bytes()); err != nil {
			return fmt.Errorf("write page: %w", err)
		}
	}
	switch {
	case o.json:
		enc := json.NewEncoder(a.stdout)
		enc.SetEscapeHTML(false)
		err = enc.Encode(d)
	case o.markdown:
		_, err = io.WriteString(a.stdout, diffMarkdown(d, o.full))
	default:
		a.printDiff(d, o)
	}
	if err == nil && o.writeEnvelope != "" {
		err = writeEnvelope(o.writeEnvelope, res)
	}
	if err != nil {
		return err
	}
	return exit(exitCode(res.Verdict))
}

// within ends when ctx does, even where what it runs does not ask: the program
// ends then, too.
func within[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		v, err := do()
		done <- outcome{v, err}
	}()
	select {
	case o := <-done:
		return o.value, o.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

// compared compares two wheels as such when both are; else as trees.
func (o *diffOptions) compared(ctx context.Context, published, rebuilt *diffSide, options compare.Options) (*compare.Result, error) {
	x, y := compare.Side{Name: published.Name, Tree: published.tree}, compare.Side{Name: rebuilt.Name, Tree: rebuilt.tree}
	if published.SHA256 == rebuilt.SHA256 && published.SHA256 != "" {
		return &compare.Result{Verdict: compare.Reproduced, Members: len(published.tree.Members), Equal: len(published.tree.Members)}, nil
	}
	if published.Kind != "wheel" || rebuilt.Kind != "wheel" || o.member != "" {
		res, err := compare.Trees(ctx, x, y, options)
		if err == nil && res.Verdict == compare.Reproduced && published.SHA256 != rebuilt.SHA256 && published.SHA256 != "" && rebuilt.SHA256 != "" && o.member == "" {
			res.Verdict = compare.Differs
			res.Differences = append(res.Differences, compare.Difference{Kind: "container", Where: "bytes", Detail: "members are equal; the archives differ in what is not read here: compression or padding"})
		}
		return res, err
	}
	a, err := wheel.Open(published.Name, published.file, published.Size, o.wheelLimits())
	var b *wheel.Archive
	if err == nil {
		b, err = wheel.Open(rebuilt.Name, rebuilt.file, rebuilt.Size, o.wheelLimits())
	}
	if err != nil {
		// An unsafe wheel can be compared; it can't be replayed.
		res, err2 := compare.Trees(ctx, x, y, options)
		if err2 != nil {
			return nil, err2
		}
		if res.Verdict == compare.Reproduced && published.SHA256 != rebuilt.SHA256 {
			res.Verdict = compare.Differs
			res.Differences = append(res.Differences, compare.Difference{Kind: "container", Where: "bytes", Cause: "zip-writer", Detail: "members are equal, the archives are not"})
		}
		res.Notes = append(res.Notes, "not a safe wheel: "+err.Error())
		return res, nil
	}
	if published.Name != rebuilt.Name && sameRelease(published.Name, rebuilt.Name) {
		b.Filename = a.Filename // the names on disk are the caller's; what is compared is the wheels
	}
	return compare.Wheels(ctx, a, b, options)
}

// sameRelease reports whether a name on disk is no wheel's name that would tell of another release or tag.
func sameRelease(a, b string) bool {
	return strings.Count(strings.TrimSuffix(a, ".whl"), "-") < 4 || strings.Count(strings.TrimSuffix(b, ".whl"), "-") < 4
}

func writeEnvelope(name string, res *compare.Result) error {
	if res.Envelope == nil {
		return fmt.Errorf("write envelope %s: there is none: the files %s", name, map[bool]string{true: "are equal", false: "differ"}[res.Verdict == compare.Reproduced])
	}
	data, err := res.Envelope.Marshal()
	if err != nil {
		return err
	}
	if err := store.WriteFile(name, data); err != nil {
		return fmt.Errorf("write envelope: %w", err)
	}
	return nil
}

// prove replays an envelope and compares the result with the published file:
// the one whose sha256 the envelope names, in whichever place it was given.
func (a *app) prove(ctx context.Context, o *diffOptions, rebuiltName, subjectName string, enc wheel.Encoders) error {
	data, err := os.ReadFile(o.envelope)
	if err != nil {
		return err
	}
	e, err := wheel.ParseEnvelope(data)
	if err != nil {
		return fmt.Errorf("%s: %w", o.envelope, err)
	}
	if s, err := openSide(rebuiltName); err == nil {
		if s.SHA256 == e.SHA256 {
			rebuiltName, subjectName = subjectName, rebuiltName
		}
		s.close()
	}
	rebuilt, err := o.open(rebuiltName)
	if err != nil {
		return err
	}
	defer rebuilt.file.Close()
	subject, err := os.Open(subjectName)
	if err != nil {
		return err
	}
	defer subject.Close()
	same := &sameBytes{r: subject}
	if err := wheel.Replay(ctx, same, e, rebuilt.Archive, enc); err != nil && !errors.Is(err, errOther) {
		return fmt.Errorf("replay %s: %w", o.envelope, err)
	}
	if same.equal() {
		fmt.Fprintf(a.stdout, "%s  the contents of %s in this envelope are %s, byte for byte\n", a.paint(green, "REPLAYED"), filepath.Base(rebuilt.file.Name()), filepath.Base(subjectName))
		return nil
	}
	fmt.Fprintf(a.stdout, "%s  the contents of %s in this envelope are other bytes than %s from byte %d on\n", a.paint(yellow, "DIFFERS"), filepath.Base(rebuilt.file.Name()), filepath.Base(subjectName), same.n)
	return exit(exitDiffers)
}

var errOther = errors.New("other bytes")

// sameBytes takes bytes and compares them with those of r.
type sameBytes struct {
	r     io.Reader
	n     int64
	other bool
}

func (s *sameBytes) Write(p []byte) (int, error) {
	b := make([]byte, len(p))
	n, _ := io.ReadFull(s.r, b)
	if !bytes.Equal(b[:n], p) {
		s.other = true
		return 0, errOther
	}
	s.n += int64(n)
	return len(p), nil
}

// equal reports whether all was the same, to the end of both.
func (s *sameBytes) equal() bool {
	if s.other {
		return false
	}
	n, err := s.r.Read(make([]byte, 1))
	return n == 0 && errors.Is(err, io.EOF)
}
