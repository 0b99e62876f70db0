package compare

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/truewheel/truewheel/compare/cause"
	"github.com/truewheel/truewheel/compare/native"
	"github.com/truewheel/truewheel/compare/text"
	"github.com/truewheel/truewheel/compare/tree"
)

// maxText bounds a text that is looked into line by line, and maxDiff a
// unified diff that is kept.
const (
	maxText = 8 << 20
	maxDiff = 1 << 20
)

// contents looks into a member that differs.
func (c *comparison) contents(ctx context.Context, i int, add func(Difference)) {
	p := c.pairs[i]
	content := func(f cause.Finding) Difference {
		return Difference{Kind: "content", Where: f.Where, Cause: f.Cause, Sure: f.Sure, Detail: f.Detail, Published: f.A, Rebuilt: f.B}
	}
	// Both sides and what is made of them have to fit in a part of the memory.
	limit := c.o.MaxMemory / 12 // whatever the number of workers: the outcome must not depend on it
	if big := max(p.a.Size, p.b.Size); big > limit {
		at, err := firstByte(p.a, p.b)
		detail := fmt.Sprintf("compared as bytes: %d bytes are more than is looked into (--max-memory); they differ from byte %d on", big, at)
		if err != nil {
			detail = "it can't be read: " + err.Error()
		}
		add(Difference{Kind: "content", Where: "bytes", Detail: detail})
		c.notes[i] = append(c.notes[i], fmt.Sprintf("%s is too large to look into", p.name))
		return
	}
	a, err := p.a.Read(limit)
	if err != nil {
		add(Difference{Kind: "content", Detail: "it can't be read: " + err.Error()})
		return
	}
	b, err := p.b.Read(limit)
	if err != nil {
		add(Difference{Kind: "content", Detail: "it can't be read: " + err.Error()})
		return
	}
	base := path.Base(p.name)
	isText := len(a) <= maxText && len(b) <= maxText && text.Is(a) && text.Is(b)
	before := len(c.found[i])
	switch {
	case inDistInfo(p.name) && base == "RECORD":
		c.record(a, b, func(f cause.Finding) { add(content(f)) })
	case isSigned.MatchString(p.name):
		add(Difference{Kind: "content", Cause: "signature", Sure: true, Detail: "another signature"})
	case isBOM.MatchString(p.name):
		for _, f := range bom(a, b) {
			if f.Cause == "" && base == "auditwheel.cdx.json" {
				f.Cause, f.Detail = "vendored-library", "it lists other libraries, or other versions of them: "+f.Detail
			}
			add(content(f))
		}
	case inDistInfo(p.name) && base == "WHEEL":
		for _, f := range explainWheel(a, b) {
			add(content(f))
		}
	case inDistInfo(p.name) && base == "METADATA", base == "PKG-INFO":
		for _, f := range explainMetadata(a, b) {
			add(content(f))
		}
	case strings.HasSuffix(base, ".pyc"), strings.HasSuffix(base, ".pyo"):
		for _, f := range explainPyc(a, b) {
			add(content(f))
		}
	case native.Is(a) && native.Is(b) && !isText:
		c.native(i, a, b, add)
	case !isText && c.nested(ctx, i, a, b, add):
	case isText && inDistInfo(p.name) && isLicence.MatchString(base) && inserted(a, b):
		lines := bytes.Count(a, []byte("\n")) - bytes.Count(b, []byte("\n"))
		add(Difference{Kind: "content", Where: "text", Cause: "license-files", Detail: fmt.Sprintf("%+d lines in the published one, all of the rest is the same", lines)})
	case isText:
		for _, f := range text.Explain(p.name, a, b) {
			add(content(c.told(f, p)))
		}
	default:
		add(Difference{Kind: "content", Where: "bytes", Cause: c.fromAnotherTree(p), Detail: fmt.Sprintf("%d bytes against %d, which differ from byte %d on", len(a), len(b), commonPrefix(a, b))})
	}
	if len(c.found[i]) == before {
		add(Difference{Kind: "content", Where: "bytes", Detail: fmt.Sprintf("%d bytes against %d, which differ from byte %d on", len(a), len(b), commonPrefix(a, b))})
	}
	if c.o.Full && isText {
		d := &c.found[i][before]
		if text.Ends(a) == text.Ends(b) {
			a, b = text.LF(a), text.LF(b) // what is alike is not shown on every line
		}
		d.Diff = text.Unified(a, b)
		if len(d.Diff) > maxDiff && c.o.Member == "" {
			d.Left = fmt.Sprintf("%d of %d bytes of the diff are left out; --member %s shows all", len(d.Diff)-maxDiff, len(d.Diff), p.name)
			d.Diff = d.Diff[:maxDiff]
		}
	}
}

func commonPrefix(a, b []byte) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// inserted reports whether one of two texts is the other with a piece more.
func inserted(a, b []byte) bool {
	if len(a) < len(b) {
		a, b = b, a
	}
	start, end := commonPrefix(a, b), 0
	for end < len(b)-start && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	return len(b) > 0 && start+end == len(b)
}

// told adds what the source tells of a text that nothing else explains.
func (c *comparison) told(f cause.Finding, p pair) cause.Finding {
	if f.Cause != "" {
		return f
	}
	if name := c.fromAnotherTree(p); name != "" {
		f.Cause, f.Detail = name, "the published file is not the source's, the rebuilt one is: built from another tree than the sdist; "+f.Detail
	}
	return f
}

// fromAnotherTree tells a file that the source has as rebuilt, not as published.
func (c *comparison) fromAnotherTree(p pair) string {
	if !c.wheel || inDistInfo(p.name) {
		return ""
	}
	if has, known := c.inSource(p.a); !known || has {
		return ""
	}
	if has, _ := c.inSource(p.b); has {
		return "extra-from-checkout"
	}
	return ""
}

// firstByte is where two members differ first, from 0.
func firstByte(a, b *tree.Member) (int64, error) {
	x, err := a.Open()
	if err != nil {
		return 0, err
	}
	defer x.Close()
	y, err := b.Open()
	if err != nil {
		return 0, err
	}
	defer y.Close()
	p, q := make([]byte, 64<<10), make([]byte, 64<<10)
	for at := int64(0); ; {
		n, err := fill(x, p)
		if err != nil {
			return at, err
		}
		m, err := fill(y, q)
		if err != nil {
			return at, err
		}
		if k := commonPrefix(p[:n], q[:m]); k < max(n, m) || n == 0 {
			return at + int64(k), nil
		}
		at += int64(n)
	}
}

// native looks into compiled code.
func (c *comparison) native(i int, a, b []byte, add func(Difference)) {
	p := c.pairs[i]
	x, err := native.Parse(a, native.Limits{MaxDebug: c.o.MaxMemory / 8})
	y, err2 := native.Parse(b, native.Limits{MaxDebug: c.o.MaxMemory / 8})
	if err != nil || err2 != nil || len(x) != len(y) {
		why := "another number of architectures"
		if err != nil {
			why = err.Error()
		} else if err2 != nil {
			why = err2.Error()
		}
		c.notes[i] = append(c.notes[i], fmt.Sprintf("%s was compared as bytes: %s", p.name, why))
		add(Difference{Kind: "content", Where: "bytes", Detail: fmt.Sprintf("compared as bytes (%s); they differ from byte %d on", why, commonPrefix(a, b))})
		return
	}
	for k := range x {
		where := ""
		if len(x) > 1 {
			where = x[k].Machine + " "
		}
		r := native.Compare(x[k], y[k])
		for _, f := range r.Findings {
			d := Difference{Kind: "content", Where: where + f.Where, Cause: f.Cause, Sure: f.Sure, Detail: f.Detail, Published: clip(f.A), Rebuilt: clip(f.B)}
			if f.Where == "functions" {
				d.Functions = c.functions(i, x[k], y[k], r.Functions, &d)
			}
			add(d)
		}
		if len(r.Findings) > 0 {
			c.made[i] = append(c.made[i], Native{Published: x[k].MadeBy(), Rebuilt: y[k].MadeBy()})
		}
	}
	if len(c.found[i]) == 0 {
		// All that was read is the same: bytes that no section holds.
		add(Difference{Kind: "content", Where: "bytes", Detail: fmt.Sprintf("headers or bytes between sections, from byte %d on", commonPrefix(a, b))})
	}
}

// maxShown bounds the functions that are disassembled without being asked for
// one by one, in bytes.
const maxShown = 2 << 10

// functions counts the changes, names them when asked to, and disassembles some.
func (c *comparison) functions(i int, a, b *native.Image, fs *native.Functions, d *Difference) *Functions {
	if fs == nil {
		return nil
	}
	out := &Functions{Published: fs.A, Rebuilt: fs.B, Changed: fs.Count("changed"), Added: fs.Count("added"), Removed: fs.Count("removed"), Same: fs.Same, Start: fs.Start}
	if !c.o.Full {
		return out
	}
	shown, left := 0, 0
	for _, ch := range fs.Changes {
		f := FunctionChange{Kind: ch.Kind, Name: ch.Name, Why: ch.Why}
		if ch.Kind != "added" {
			f.Published = fmt.Sprintf("%#x, %d bytes", ch.A.Addr, ch.A.Size)
		}
		if ch.Kind != "removed" {
			f.Rebuilt = fmt.Sprintf("%#x, %d bytes", ch.B.Addr, ch.B.Size)
		}
		if ch.Kind == "changed" {
			if c.o.Disassemble < 0 || shown < c.o.Disassemble && max(ch.A.Size, ch.B.Size) <= maxShown {
				shown++
				f.Disassembly = text.Unified([]byte(a.Disassemble(ch.A)), []byte(b.Disassemble(ch.B)))
			} else {
				left++
			}
		}
		out.Changes = append(out.Changes, f)
	}
	if left > 0 {
		d.Left = fmt.Sprintf("%d of %d changed functions are not disassembled here; --full --member %s does all", left, out.Changed, c.pairs[i].name)
	}
	return out
}

// nested looks into archives within archives.
func (c *comparison) nested(ctx context.Context, i int, a, b []byte, add func(Difference)) bool {
	p := c.pairs[i]
	if c.o.Depth <= 1 {
		return false
	}
	lim := tree.Limits{MaxInner: c.o.MaxMemory / 8, MaxMembers: 20_000, MaxSize: c.o.MaxMemory * 4}
	x, ok, err := tree.Inner(ctx, p.a.Name, a, lim)
	if !ok {
		if err != nil {
			c.notes[i] = append(c.notes[i], fmt.Sprintf("%s was compared as bytes: %v", p.name, err))
		}
		return false
	}
	defer x.Close()
	y, ok, err := tree.Inner(ctx, p.b.Name, b, lim)
	if !ok {
		if err != nil {
			c.notes[i] = append(c.notes[i], fmt.Sprintf("%s was compared as bytes: %v", p.name, err))
		}
		return false
	}
	defer y.Close()
	o := c.o
	o.Member, o.InSource, o.Workers, o.Depth = "", nil, 1, o.Depth-1
	r, err := trees(ctx, Side{p.a.Name, x}, Side{p.b.Name, y}, o)
	if err != nil {
		return false
	}
	for _, d := range r.Differences {
		if d.Member == "(symbols)" && d.Cause == "" && len(r.Differences) > 1 {
			d.Cause = Consequence // the table of what the other members define
		}
		if d.Member != "" {
			d.Where = strings.TrimSpace("!/" + d.Member + " " + d.Where)
		} else {
			d.Where = "archive " + d.Where
		}
		if d.Kind == "container" {
			d.Kind = "content" // of the member that holds it
		}
		add(d)
	}
	c.notes[i] = append(c.notes[i], r.Notes...)
	c.made[i] = append(c.made[i], r.Native...)
	return len(r.Differences) > 0
}

func clip(s string) string {
	if r := []rune(s); len(r) > 200 {
		return string(r[:200]) + "…"
	}
	return s
}

// bom speaks of two software bills of materials: what names the document
// (serial number, time) is one cause, what it lists is none.
func bom(a, b []byte) []cause.Finding {
	out := text.Explain("sbom.json", a, b)
	for i := range out {
		if out[i].Cause != "" {
			out[i].Cause = "sbom"
		}
	}
	return out
}

// explainPyc speaks of compiled Python (PEP 552): magic, flags, then the time
// and size of the source or its hash, then code.
func explainPyc(a, b []byte) (out []cause.Finding) {
	if len(a) < 16 || len(b) < 16 {
		return []cause.Finding{{Detail: "no byte code that could be read"}}
	}
	if !bytes.Equal(a[:4], b[:4]) {
		f := cause.Finding{Where: "magic number", Cause: "python-version", A: pycPython(a), B: pycPython(b)}
		f.Detail = "byte code of " + f.A + " against " + f.B
		return []cause.Finding{f}
	}
	if !bytes.Equal(a[4:16], b[4:16]) {
		f := cause.Finding{Where: "header", Cause: "pyc", Sure: true, Detail: "the time or size of the source"}
		if a[4] != b[4] {
			f.Where, f.Detail = "flags", "checked by time against checked by hash"
		}
		out = append(out, f)
	}
	if x, y := a[16:], b[16:]; !bytes.Equal(x, y) {
		out = append(out, explainCode(x, y))
	}
	return out
}

// explainCode speaks of marshalled code: of texts in the place of others, and
// of the same bytes in another order.
func explainCode(a, b []byte) cause.Finding {
	x, y := marshalTexts(a), marshalTexts(b)
	minus, plus := text.Without(x, y), text.Without(y, x)
	f := cause.Finding{Where: "code", Detail: fmt.Sprintf("code of %d bytes against %d", len(a), len(b))}
	if len(minus) > 0 && len(minus) == len(plus) {
		undone := b
		for i := range minus {
			name := text.Classify(minus[i], plus[i], minus[i]+"\n"+plus[i], "")
			if name == "" || f.Cause != "" && name != f.Cause {
				return cause.Finding{Where: f.Where, Detail: f.Detail}
			}
			f.Cause, f.A, f.B = name, clip(minus[i]), clip(plus[i])
			undone = bytes.ReplaceAll(undone, marshalled(plus[i]), marshalled(minus[i]))
		}
		f.Detail = f.A + " against " + f.B
		if f.Sure = bytes.Equal(undone, a); !f.Sure {
			f.Cause = ""
		}
		return f
	}
	if p, q := slices.Clone(a), slices.Clone(b); len(minus)+len(plus) == 0 && !slices.Equal(x, y) {
		slices.Sort(p)
		slices.Sort(q)
		if bytes.Equal(p, q) {
			f.Cause, f.Detail = "hash-seed", "the same texts in another order"
		}
	}
	return f
}

// marshalTexts are the short texts of marshalled data (Python/marshal.c):
// a type, a length, characters.
func marshalTexts(b []byte) (out []string) {
	for i := 0; i < len(b); i++ {
		n, head := 0, 0
		switch b[i] &^ 0x80 {
		case 'z', 'Z':
			if i+1 < len(b) {
				n, head = int(b[i+1]), 2
			}
		case 'a', 'A', 'u', 't':
			if i+4 < len(b) && b[i+3] == 0 && b[i+4] == 0 {
				n, head = int(b[i+1])|int(b[i+2])<<8, 5
			}
		}
		if n < 2 || i+head+n > len(b) {
			continue
		}
		s := b[i+head : i+head+n]
		if !bytes.ContainsFunc(s, func(r rune) bool { return r < 0x20 && r != '\n' && r != '\t' || r == '\ufffd' || r == 0x7f }) {
			out = append(out, string(s))
			i += head + n - 1
		}
	}
	return out
}

// marshalled is a text with its length before it.
func marshalled(s string) []byte {
	if len(s) < 256 {
		return append([]byte{byte(len(s))}, s...)
	}
	return append([]byte{byte(len(s)), byte(len(s) >> 8), 0, 0}, s...)
}

// pycPython names the version by the magic number (importlib's table).
func pycPython(b []byte) string {
	n := int(b[0]) | int(b[1])<<8
	for _, v := range []struct {
		from int
		name string
	}{{3650, "Python 3.15"}, {3600, "Python 3.14"}, {3550, "Python 3.13"}, {3500, "Python 3.12"}, {3450, "Python 3.11"}, {3430, "Python 3.10"}, {3420, "Python 3.9"}, {3400, "Python 3.8"}, {3390, "Python 3.7"}, {3360, "Python 3.6"}} {
		if n >= v.from && n < 3700 {
			return v.name
		}
	}
	return fmt.Sprintf("magic number %d", n)
}

// fill reads until b is full or r ends; the end is no error.
func fill(r io.Reader, b []byte) (int, error) {
	n, err := io.ReadFull(r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}
