package compare

import (
	"bytes"
	stdflate "compress/flate"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/flate"

	"github.com/truewheel/truewheel/compare/cause"
	"github.com/truewheel/truewheel/compare/tree"
)

// container speaks of what the archives say beside names and contents.
func (c *comparison) container(ctx context.Context) []Difference {
	a, b := c.a.Tree, c.b.Tree
	var out []Difference
	add := func(where, name string, sure bool, format string, args ...any) {
		out = append(out, Difference{Kind: "container", Where: where, Cause: name, Sure: sure, Detail: fmt.Sprintf(format, args...)})
	}
	if a.Kind != b.Kind && a.Kind != "directory" && b.Kind != "directory" {
		add("format", "zip-writer", true, "%s against %s", a.Kind, b.Kind)
	}
	var both []pair
	for _, p := range c.pairs {
		if p.a != nil && p.b != nil && (c.o.Member == "" || c.wanted(p.name)) {
			both = append(both, p)
		}
	}
	c.times(both, add)
	modes(both, add)
	if c.o.Member != "" {
		return out
	}
	if a.Kind != "directory" && b.Kind != "directory" {
		c.order(add)
		c.directories(add)
	}
	if a.Kind == b.Kind {
		c.writers(both, add)
	}
	c.streams(ctx, add)
	return out
}

type adder func(where, name string, sure bool, format string, args ...any)

// times: one for all, all shifted alike, or one by one.
func (c *comparison) times(both []pair, add adder) {
	if c.a.Tree.Kind == "directory" || c.b.Tree.Kind == "directory" || len(both) == 0 {
		return // a directory's times are of when it was unpacked
	}
	var differ []pair
	shifts := map[time.Duration]int{}
	starts, ends := map[time.Time]int{}, map[time.Time]int{}
	for _, p := range both {
		if p.a.Time.IsZero() || p.b.Time.IsZero() {
			continue
		}
		if !p.a.Time.Equal(p.b.Time) {
			differ = append(differ, p)
			shifts[p.b.Time.Sub(p.a.Time)]++
			starts[p.a.Time]++
			ends[p.b.Time]++
		}
	}
	if len(differ) == 0 {
		return
	}
	first := differ[0]
	shift := first.b.Time.Sub(first.a.Time)
	const stamp = "2006-01-02 15:04:05"
	switch one := len(starts) == 1 && len(ends) == 1; {
	case len(shifts) == 1 && len(differ) == len(both) && shift%(15*time.Minute) == 0 && shift.Abs() <= 26*time.Hour:
		add("times", "time-zone", true, "all %s are later by %s: %s against %s", count(len(differ), "time"), shift, first.a.Time.Format(stamp), first.b.Time.Format(stamp))
	case one && (len(differ) == len(both) || c.generatedOnly(differ)):
		add("times", "source-date", true, "%s: %s against %s", count(len(differ), "time"), first.a.Time.Format(stamp), first.b.Time.Format(stamp))
	case len(starts) == 1 && len(differ) > 1 && len(differ) == len(both):
		add("times", "file-mtime", true, "%s: one (%s) against %d", count(len(differ), "time"), first.a.Time.Format(stamp), len(ends))
	case c.generatedOnly(differ):
		add("times", "source-date", true, "times of %s: %s against %s", count(len(differ), "generated file"), first.a.Time.Format(stamp), first.b.Time.Format(stamp))
	default:
		add("times", "file-mtime", true, "%s, such as %s: %s against %s", count(len(differ), "time"), first.name, first.a.Time.Format(stamp), first.b.Time.Format(stamp))
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// ofReleases: two releases have other files, another commit and another
// version in them, and say other things of themselves.
func (c *comparison) ofReleases(d *Difference) {
	switch d.Cause {
	case "missing-from-sdist", "extra-from-checkout":
		if !d.Sure {
			d.Cause = ""
		}
	case "scm-version", "metadata-description", "metadata-requires":
		d.Cause = "another-release"
	case "numpy-version":
		if c.betweenReleases(d.Published, d.Rebuilt) {
			d.Cause = "another-release"
		}
	case "metadata-writer":
		if d.Where == "Classifier" {
			d.Cause = "another-release"
		}
	}
}

// betweenReleases reports whether two values hold the versions of the two releases.
func (c *comparison) betweenReleases(a, b string) bool {
	version := func(t *tree.Tree) string {
		for i := range t.Members {
			if dir, _, ok := strings.Cut(t.Members[i].Name, ".dist-info/"); ok {
				_, v, _ := strings.Cut(dir, "-")
				return v
			}
		}
		return ""
	}
	v, w := version(c.a.Tree), version(c.b.Tree)
	return v != "" && w != "" && strings.Contains(a, v) && strings.Contains(b, w)
}

// follows reports whether a difference is one that another backend makes.
func follows(d *Difference) bool {
	switch d.Cause {
	case "metadata-writer", "metadata-version", "zip-writer":
		return true
	case "umask": // RECORD's own mode is a constant of the writer
		return strings.HasPrefix(d.Detail, "1 mode, such as ") && strings.Contains(d.Detail, "/RECORD: ")
	}
	return false
}

// generatedOnly reports whether all are files that a backend writes.
func (c *comparison) generatedOnly(ps []pair) bool {
	return c.wheel && !slices.ContainsFunc(ps, func(p pair) bool { return !inDistInfo(p.name) })
}

// modes: by a umask, an x bit, or otherwise.
func modes(both []pair, add adder) {
	var exec, mask, other []pair
	for _, p := range both {
		x, y := p.a.Mode, p.b.Mode
		switch {
		case x.Perm() == y.Perm() && x.Type() == y.Type() || x.Perm() == 0 || y.Perm() == 0:
		case x.Type() != y.Type():
			other = append(other, p)
		case !p.a.IsDir() && (x^y)&0o100 != 0:
			exec = append(exec, p)
		default:
			mask = append(mask, p)
		}
	}
	say := func(where, name string, sure bool, ps []pair) {
		if len(ps) > 0 {
			add(where, name, sure, "%s, such as %s: %04o against %04o", count(len(ps), "mode"), ps[0].name, ps[0].a.Mode.Perm(), ps[0].b.Mode.Perm())
		}
	}
	say("modes", "exec-bit", true, exec)
	// A umask takes the same bits off everything: 0666 and 0777 less the bits
	// give all modes of a side.
	if umaskOf(mask, true) >= 0 && umaskOf(mask, false) >= 0 {
		say("modes", "umask", true, mask)
	} else {
		say("modes", "umask", false, mask)
	}
	say("file types", "zip-writer", true, other)
}

// umaskOf is the umask that gives the modes of one side, -1 when none does.
func umaskOf(ps []pair, first bool) int {
	off := -1
	for _, p := range ps {
		m := p.b.Mode.Perm()
		if first {
			m = p.a.Mode.Perm()
		}
		full := fs.FileMode(0o666)
		if m&0o111 != 0 {
			full = 0o777
		}
		if u := int(full&^m) &^ 0o111; off >= 0 && u != off {
			return -1
		} else {
			off = u
		}
	}
	return off
}

// common are the names of x that y has too, in x's order.
func common(x, y *tree.Tree) []string {
	has := make(map[string]bool, len(y.Members))
	for i := range y.Members {
		has[likeName(&y.Members[i])] = true
	}
	var out []string
	for i := range x.Members {
		if k := likeName(&x.Members[i]); has[k] && !strings.HasSuffix(k, "/") {
			out = append(out, k)
		}
	}
	return out
}

func (c *comparison) order(add adder) {
	x, y := common(c.a.Tree, c.b.Tree), common(c.b.Tree, c.a.Tree)
	if slices.Equal(x, y) {
		return
	}
	moved := 0
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			moved++
		}
	}
	name := "entry-order"
	if c.wheel && walked(x) && walked(y) && (unsorted(x) || unsorted(y)) {
		name = "readdir"
	}
	add("order", name, name != "readdir", "%d of %d entries stand elsewhere; the first is %s against %s", moved, len(x), first(x), first(y))
}

func first(s []string) string {
	if len(s) == 0 {
		return "none"
	}
	return s[0]
}

// walked reports whether names come directory by directory, as a walk gives them.
func walked(names []string) bool {
	done := map[string]bool{}
	last := ""
	for _, n := range names {
		dir := path.Dir(n)
		if inDistInfo(n) { // backends write those one by one
			dir, _, _ = strings.Cut(n, "/")
		}
		if dir == last {
			continue
		}
		if done[dir] {
			return false
		}
		done[dir], last = true, dir
	}
	return true
}

// unsorted reports whether a directory's files stand in no order that a sort gives.
func unsorted(names []string) bool {
	byDir := map[string][]string{}
	for _, n := range names {
		if !inDistInfo(n) {
			byDir[path.Dir(n)] = append(byDir[path.Dir(n)], path.Base(n))
		}
	}
	for _, l := range byDir {
		caseless := func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) }
		if len(l) > 2 && !slices.IsSorted(l) && !slices.IsSortedFunc(l, caseless) {
			return true
		}
	}
	return false
}

func (c *comparison) directories(add adder) {
	var x, y []string
	for _, p := range c.pairs {
		switch {
		case p.b == nil && p.a.IsDir():
			x = append(x, p.name)
		case p.a == nil && p.b.IsDir():
			y = append(y, p.name)
		}
	}
	if len(x)+len(y) > 0 {
		add("directory entries", "directory-entries", true, "%d only in the published one, %d only in the rebuilt one, such as %s", len(x), len(y), first(slices.Concat(x, y)))
	}
}

// writers: all other fields tell who packed the archive.
func (c *comparison) writers(both []pair, add adder) {
	type change struct{ name, a, b string }
	var found []change // of each name the first
	note := func(name, a, b string) {
		if !slices.ContainsFunc(found, func(f change) bool { return f.name == name }) {
			found = append(found, change{name, a, b})
		}
	}
	for _, p := range both {
		for i, f := range p.a.Fields {
			if i < len(p.b.Fields) && f != p.b.Fields[i] && f.Name == p.b.Fields[i].Name {
				if f.Name == "external attributes" && p.a.IsDir() != p.b.IsDir() {
					continue
				}
				note(f.Name, f.Value, p.b.Fields[i].Value)
			}
		}
	}
	value := func(fs []tree.Field, name string) string {
		for _, f := range fs {
			if f.Name == name {
				return f.Value
			}
		}
		return ""
	}
	for _, f := range slices.Concat(c.a.Tree.Fields, c.b.Tree.Fields) {
		if v, w := value(c.a.Tree.Fields, f.Name), value(c.b.Tree.Fields, f.Name); v != w {
			note(f.Name, v, w)
		}
	}
	if len(found) == 0 {
		return
	}
	var parts []string
	for _, f := range found {
		parts = append(parts, fmt.Sprintf("%s %s against %s", f.name, orNothing(clip(f.a)), orNothing(clip(f.b))))
	}
	name := "zip-writer"
	if strings.HasPrefix(c.a.Tree.Kind, "tar") && strings.HasPrefix(c.b.Tree.Kind, "tar") {
		name = "tar-writer"
	}
	if len(found) == 1 && found[0].name == "gzip time" {
		name = "source-date"
		if c.a.Tree.Kind == "gz" { // a file of its own holds its own time
			name = "file-mtime"
		}
	}
	if w, v := writer(c.a.Tree), writer(c.b.Tree); w != v {
		add("fields", name, true, "packed by %s against %s: %s", w, v, strings.Join(parts, ", "))
		return
	}
	add("fields", name, true, "%s", strings.Join(parts, ", "))
}

// writer guesses who packed a zip archive by what its entries say.
func writer(t *tree.Tree) string {
	if t.Kind != "wheel" && t.Kind != "zip" || len(t.Members) == 0 {
		return "another program"
	}
	f := map[string]string{}
	for _, x := range t.Members[0].Fields {
		f[x.Name] = x.Value
	}
	extra := f["extra field"]
	switch {
	case strings.HasPrefix(extra, "5554") && strings.Contains(extra, "7578"): // UT, ux
		return "Info-ZIP"
	case f["system"] == "0" && f["creator version"] == "63":
		return "7-Zip"
	case strings.HasPrefix(extra, "0a00"):
		return "7-Zip"
	case f["system"] == "3" && f["creator version"] == "20" && f["reader version"] == "20" && f["flags"] == "0x0":
		return "Python's zipfile"
	case f["system"] == "3" && f["creator version"] == "20" && f["flags"] == "0x8":
		return "Go's archive/zip, or a stream"
	case f["system"] == "0" && f["creator version"] == "20":
		return "Python's zipfile on Windows"
	case f["system"] == "3" && f["creator version"] == "46":
		return "Rust's zip"
	}
	return fmt.Sprintf("system %s, version %s, flags %s", f["system"], f["creator version"], f["flags"])
}

// streams: the same contents compressed otherwise.
func (c *comparison) streams(ctx context.Context, add adder) {
	n := 0
	var example *pair
	for i := range c.pairs {
		p := &c.pairs[i]
		if !c.equal[i] || c.alike[i] || p.a == nil || p.b == nil || p.a.Stored || p.b.Stored || p.a.IsDir() || !c.wanted(p.name) {
			continue
		}
		if _, ok := p.a.Raw(); !ok {
			continue
		}
		if _, ok := p.b.Raw(); !ok {
			continue
		}
		n++
		// A larger one tells encoders apart, and one of 16 KiB is soon made.
		if example == nil || better(p.a.Size, example.a.Size) {
			example = p
		}
	}
	if n == 0 {
		return
	}
	sure, detail := false, ""
	if c.o.Encoders != nil {
		// The published one last: it is what an envelope looks for next.
		w := c.encoder(ctx, example.b)
		v := c.encoder(ctx, example.a)
		sure = v != "" && w != ""
		detail = fmt.Sprintf(": %s against %s", encoderName(v), encoderName(w))
	}
	add("streams", "deflate-encoder", sure, "%s of equal contents, such as %s%s", count(n, "stream"), example.name, detail)
}

const telling = 16 << 10

func better(size, than int64) bool {
	return size <= telling && size > than || than > telling && size < than
}

func encoderName(s string) string {
	if s == "" {
		return "an encoder that is not known"
	}
	return s
}

// encoder finds who made the stream of a member.
func (c *comparison) encoder(ctx context.Context, m *tree.Member) string {
	stream := func() io.Reader {
		r, ok := m.Raw()
		if !ok {
			return strings.NewReader("")
		}
		return r
	}
	if name, ok, err := c.o.Encoders.Find(ctx, m.Open, stream); err == nil && ok {
		return name
	}
	plain, err := m.Read(maxText)
	if err != nil {
		return ""
	}
	packed, err := io.ReadAll(io.LimitReader(stream(), maxText))
	if err != nil {
		return ""
	}
	return goEncoder(plain, packed)
}

// goEncoder names a compressor written in Go, as the versions that are
// compiled in write streams; "" when it is none. An envelope does not use
// them: they change with the version.
func goEncoder(plain, packed []byte) string {
	var b bytes.Buffer
	for level := 1; level <= 9; level++ {
		for _, e := range []struct {
			name string
			new  func() (io.WriteCloser, error)
		}{
			{"Go compress/flate", func() (io.WriteCloser, error) { return stdflate.NewWriter(&b, level) }},
			{"Go klauspost/compress", func() (io.WriteCloser, error) { return flate.NewWriter(&b, level) }},
		} {
			b.Reset()
			w, err := e.new()
			if err != nil {
				continue
			}
			if _, err := w.Write(plain); err == nil && w.Close() == nil && bytes.Equal(b.Bytes(), packed) {
				return fmt.Sprintf("%s:%d", e.name, level)
			}
		}
	}
	return ""
}

// together gives causes that only show across members, and folds what follows
// from others.
func (c *comparison) together(r *Result) {
	named := map[string]bool{}
	for _, d := range r.Differences {
		named[d.Cause] = true
	}
	if named["another-release"] {
		for i := range r.Differences {
			c.ofReleases(&r.Differences[i])
		}
	}
	licences := map[string]bool{}
	for _, d := range r.Differences {
		if d.Cause == "license-files" {
			licences[path.Base(d.Member)] = true
		}
	}
	for i := range r.Differences {
		d := &r.Differences[i]
		switch {
		case d.Cause == "" && inDistInfo(d.Member) && d.Kind != "content" && licences[path.Base(d.Member)]:
			d.Cause = "license-files"
		case named["generator-version"] && follows(d):
			d.Detail += " (it follows from the generator)"
			d.Cause, d.Sure = cause.Consequence, false
		}
	}
	slices.SortStableFunc(r.Differences, func(a, b Difference) int { return strings.Compare(a.Member, b.Member) })
}
