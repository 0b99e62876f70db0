package compare

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/truewheel/truewheel/compare/native"
	"github.com/truewheel/truewheel/compare/tree"
)

// A pair is a member of both sides, or of one.
type pair struct {
	a, b    *tree.Member
	name    string // for people: the published one
	renamed bool
}

// comparison of two trees.
type comparison struct {
	o     Options
	a, b  Side
	pairs []pair
	wheel bool
	// what was found, by index of pairs
	found [][]Difference
	notes [][]string
	made  [][]Native
	equal []bool // contents
	alike []bool // streams as stored, too
}

func trees(ctx context.Context, a, b Side, o Options) (*Result, error) {
	if o.Depth == 0 {
		o.Depth = 4
	}
	if o.MaxMemory == 0 {
		o.MaxMemory = 512 << 20
	}
	c := &comparison{o: o, a: a, b: b}
	return c.run(ctx)
}

func (c *comparison) run(ctx context.Context) (*Result, error) {
	c.wheel = strings.HasSuffix(c.a.Name, ".whl") || c.a.Tree.Kind == "wheel"
	c.pairs = align(c.a.Tree, c.b.Tree)
	n := len(c.pairs)
	c.found, c.notes, c.made, c.equal = make([][]Difference, n), make([][]string, n), make([][]Native, n), make([]bool, n)
	c.alike = make([]bool, n)
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(max(1, c.o.Workers))
	for i := range c.pairs {
		g.Go(func() error { return c.pair(within, i) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	r := &Result{}
	for i, p := range c.pairs {
		if p.a != nil && !p.a.IsDir() {
			r.Members++
			// A directory that holds the version makes no file another one.
			if c.equal[i] && (!p.renamed || renamed(p, true).Cause == Consequence) {
				r.Equal++
			}
		}
		r.Differences = append(r.Differences, c.found[i]...)
		r.Notes = append(r.Notes, c.notes[i]...)
		r.Native = append(r.Native, c.made[i]...)
	}
	for _, s := range []Side{c.a, c.b} {
		for _, odd := range s.Tree.Odd {
			r.Notes = append(r.Notes, s.Name+": "+odd)
		}
	}
	r.Differences = append(r.Differences, c.container(ctx)...)
	c.together(r)
	return r, nil
}

// align pairs members: by name; then by names that differ in a version, a
// hash or a Python tag only; then by contents.
func align(a, b *tree.Tree) []pair {
	if a.Single() && b.Single() { // two files are compared whatever their names
		return []pair{{a: &a.Members[0], b: &b.Members[0], name: a.Members[0].Name}}
	}
	at := map[string]int{}
	taken := make([]bool, len(b.Members))
	for j := range b.Members {
		at[b.Members[j].Name] = j
	}
	var out []pair
	var left []*tree.Member
	for i := range a.Members {
		m := &a.Members[i]
		if j, ok := at[m.Name]; ok {
			taken[j] = true
			out = append(out, pair{a: m, b: &b.Members[j], name: m.Name})
			continue
		}
		left = append(left, m)
	}
	for _, key := range []func(*tree.Member) string{likeName, likeContents} {
		byKey := map[string][]int{}
		for j := range b.Members {
			if k := key(&b.Members[j]); !taken[j] && k != "" {
				byKey[k] = append(byKey[k], j)
			}
		}
		ours := map[string]int{}
		for _, m := range left {
			ours[key(m)]++
		}
		var still []*tree.Member
		for _, m := range left {
			k := key(m)
			if js := byKey[k]; k != "" && len(js) == 1 && ours[k] == 1 {
				taken[js[0]] = true
				out = append(out, pair{a: m, b: &b.Members[js[0]], name: m.Name, renamed: true})
				continue
			}
			still = append(still, m)
		}
		left = still
	}
	for _, m := range left {
		out = append(out, pair{a: m, name: m.Name})
	}
	for j := range b.Members {
		if !taken[j] {
			out = append(out, pair{b: &b.Members[j], name: b.Members[j].Name})
		}
	}
	slices.SortStableFunc(out, func(x, y pair) int { return cmp.Compare(x.name, y.name) })
	return out
}

var (
	versioned = regexp.MustCompile(`^[A-Za-z0-9_.]+-[A-Za-z0-9_.!+]+(\.(dist-info|data|egg-info)/)`)
	extension = regexp.MustCompile(`\.(cpython-\d+[a-z]*|cp\d+|pypy\d+-[a-z0-9]+|abi3)([-.][^/]*)?\.(so|pyd)$`)
	cached    = regexp.MustCompile(`\.(cpython|pypy)-?\d+(\.opt-\d)?\.pyc$`)
	topDir    = regexp.MustCompile(`^[A-Za-z0-9_.-]+-\d[A-Za-z0-9_.!+]*/`)
)

// likeName is a name without versions, hashes and tags; "" when it has none.
func likeName(m *tree.Member) string {
	name := versioned.ReplaceAllString(m.Name, "*$1")
	if name == m.Name {
		name = topDir.ReplaceAllString(name, "*/")
	}
	name = extension.ReplaceAllString(name, ".*.$3")
	name = cached.ReplaceAllString(name, ".*.pyc")
	if dir, base := path.Split(name); strings.Contains(base, ".so") || strings.HasSuffix(base, ".dylib") || strings.HasSuffix(base, ".dll") {
		name = dir + native.Plain(base)
	}
	return name
}

// likeContents is what tells equal contents, where the archive says it.
func likeContents(m *tree.Member) string {
	if m.CRC32 == 0 || m.Size < 32 {
		return ""
	}
	return fmt.Sprintf("%08x %d", m.CRC32, m.Size)
}

// wanted reports whether a member is to be looked into.
func (c *comparison) wanted(name string) bool {
	if c.o.Member == "" || name == c.o.Member {
		return true
	}
	ok, err := path.Match(c.o.Member, name)
	if err == nil && !ok && !strings.Contains(c.o.Member, "/") {
		ok, err = path.Match(c.o.Member, path.Base(name))
	}
	return ok && err == nil
}

// pair compares one member.
func (c *comparison) pair(ctx context.Context, i int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	p := c.pairs[i]
	if p.a != nil && p.b != nil && p.a.IsDir() || p.a == nil && p.b.IsDir() || p.b == nil && p.a.IsDir() {
		c.equal[i] = p.a != nil && p.b != nil
		return nil // directories are the container's affair
	}
	if !c.wanted(p.name) {
		c.equal[i] = true
		return nil
	}
	add := func(d Difference) {
		d.Member = p.name
		c.found[i] = append(c.found[i], d)
	}
	switch {
	case p.b == nil:
		add(c.onlyPublished(p.a))
		return nil
	case p.a == nil:
		add(onlyRebuilt(p.b))
		return nil
	}
	same, alike, err := equal(p.a, p.b)
	c.alike[i] = alike
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.notes[i] = append(c.notes[i], err.Error())
		add(Difference{Kind: "content", Detail: "it can't be read: " + err.Error()})
		return nil
	}
	if p.renamed {
		add(renamed(p, same))
	}
	c.equal[i] = same
	if !same {
		c.lookInto(ctx, i, add)
	}
	return ctx.Err()
}

// lookInto looks into a member that differs. A defect in a reader of hostile
// files costs that member's explanation, and is said.
func (c *comparison) lookInto(ctx context.Context, i int, add func(Difference)) {
	defer func() {
		if p := recover(); p != nil {
			c.notes[i] = append(c.notes[i], fmt.Sprintf("%s could not be looked into: %v", c.pairs[i].name, p))
			add(Difference{Kind: "content", Where: "bytes", Detail: "contents differ; they could not be looked into"})
		}
	}()
	c.contents(ctx, i, add)
}

// equal compares contents: by streams as stored where that tells (alike), else
// by reading both.
func equal(a, b *tree.Member) (same, alike bool, err error) {
	if a.Link != b.Link || a.Size != b.Size || a.CRC32 != 0 && b.CRC32 != 0 && a.CRC32 != b.CRC32 {
		return false, false, nil
	}
	if a.Stored == b.Stored {
		if x, ok := a.Raw(); ok {
			if y, ok := b.Raw(); ok {
				if same, err := sameBytes(x, y); err == nil && same {
					return true, true, nil
				}
			}
		}
	}
	x, err := a.Open()
	if err != nil {
		return false, false, fmt.Errorf("read %q: %w", a.Name, err)
	}
	defer x.Close()
	y, err := b.Open()
	if err != nil {
		return false, false, fmt.Errorf("read %q: %w", b.Name, err)
	}
	defer y.Close()
	if same, err = sameBytes(x, y); err != nil {
		return false, false, fmt.Errorf("read %q: %w", a.Name, err)
	}
	return same, false, nil
}

// buffers are two of 32 KiB.
var buffers = sync.Pool{New: func() any { return new([2][32 << 10]byte) }}

func sameBytes(a, b io.Reader) (bool, error) {
	both, _ := buffers.Get().(*[2][32 << 10]byte)
	defer buffers.Put(both)
	p, q := both[0][:], both[1][:]
	for {
		n, err := io.ReadFull(a, p)
		m, err2 := io.ReadFull(b, q)
		if n != m || !bytes.Equal(p[:n], q[:m]) {
			return false, nil
		}
		end := func(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
		switch {
		case err != nil && !end(err):
			return false, err
		case err2 != nil && !end(err2):
			return false, err2
		case err != nil || err2 != nil:
			return (err != nil) == (err2 != nil), nil
		}
	}
}

// sum is the sha256 of a member.
func sum(m *tree.Member) (out [32]byte, err error) {
	r, err := m.Open()
	if err != nil {
		return out, err
	}
	defer r.Close()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return out, err
	}
	h.Sum(out[:0])
	return out, nil
}

// inSource asks whether the source has the contents; known is false when there is none at hand.
func (c *comparison) inSource(m *tree.Member) (has, known bool) {
	if c.o.InSource == nil {
		return false, false
	}
	s, err := sum(m)
	if err != nil {
		return false, false
	}
	return c.o.InSource(s), true
}

// onlyPublished speaks of a member that the rebuilt side lacks.
func (c *comparison) onlyPublished(m *tree.Member) Difference {
	d := Difference{Kind: "missing", Detail: "only in the published one"}
	d.Cause = oneSided(m.Name)
	if d.Cause != "" || !c.wheel || inDistInfo(m.Name) {
		return d
	}
	switch has, known := c.inSource(m); {
	case known && !has:
		d.Cause, d.Sure, d.Detail = "missing-from-sdist", true, "only in the published one; the source has no file with these contents"
	case !known:
		d.Cause, d.Detail = "missing-from-sdist", "only in the published one"
	}
	return d
}

func onlyRebuilt(m *tree.Member) Difference {
	return Difference{Kind: "extra", Detail: "only in the rebuilt one", Cause: oneSided(m.Name)}
}

var (
	isCheckout = regexp.MustCompile(`(^|/)(\.git[a-z]*|\.hg[a-z]*|\.svn|\.github|\.gitlab-ci\.yml|\.circleci|\.travis\.yml|\.appveyor\.yml|\.idea|\.vscode|\.tox|\.nox|\.DS_Store|Thumbs\.db|\.pre-commit-config\.yaml|\.coverage[a-z]*|\.editorconfig|\.mypy_cache|\.pytest_cache|\.ruff_cache|node_modules|tests?|testing|conftest\.py|tox\.ini|noxfile\.py)(/|$)|\.(orig|rej|bak|swp|swo|tmp)$|~$|(^|/)#[^/]*#$`)
	isLicence  = regexp.MustCompile(`(?i)(^|/)(LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*$`)
	isSigned   = regexp.MustCompile(`\.dist-info/RECORD\.(jws|p7s|asc|sig)$|\.(asc|sig|sigstore|sigstore\.json)$`)
	isBOM      = regexp.MustCompile(`\.dist-info/sboms/|\.(cdx|spdx)\.(json|xml)$`)
	isVendored = regexp.MustCompile(`\.(libs|dylibs)/`)
)

// oneSided names the cause of a file that one side has alone, by its name.
func oneSided(name string) string {
	switch {
	case isSigned.MatchString(name):
		return "signature"
	case isBOM.MatchString(name):
		return "sbom"
	case isVendored.MatchString(name):
		return "vendored-library"
	case strings.HasSuffix(name, ".pyc"), strings.HasSuffix(name, ".pyo"):
		return "pyc"
	case isCheckout.MatchString(name):
		return "extra-from-checkout"
	case inDistInfo(name) && isLicence.MatchString(name):
		return "license-files"
	}
	return ""
}

// renamed speaks of a member that has another name.
func renamed(p pair, same bool) Difference {
	d := Difference{Kind: "renamed", Where: "name", Sure: true, Published: p.a.Name, Rebuilt: p.b.Name, Detail: p.a.Name + " is " + p.b.Name}
	base := func(s string) string { return s[strings.LastIndexByte(s, '/')+1:] }
	x, y := versioned.FindString(p.a.Name), versioned.FindString(p.b.Name)
	switch {
	case x != y && x != "" && y != "":
		d.Cause = Consequence
	case topDir.MatchString(p.a.Name) && topDir.FindString(p.a.Name) != topDir.FindString(p.b.Name):
		d.Cause = Consequence
	case inDistInfo(p.a.Name) && inDistInfo(p.b.Name) && (isLicence.MatchString(p.a.Name) || isLicence.MatchString(p.b.Name)):
		d.Cause = "license-files"
	case extension.MatchString(p.a.Name) || cached.MatchString(p.a.Name):
		d.Cause = "python-version"
	case native.Plain(base(p.a.Name)) == native.Plain(base(p.b.Name)):
		d.Cause, d.Sure = "vendored-library", same
	}
	return d
}

func inDistInfo(name string) bool {
	dir, _, ok := strings.Cut(name, "/")
	return ok && strings.HasSuffix(dir, ".dist-info")
}
