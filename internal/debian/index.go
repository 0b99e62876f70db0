package debian

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ulikunitz/xz"
	"golang.org/x/sync/errgroup"
	"pault.ag/go/debian/version"

	"github.com/truewheel/truewheel/internal/index"
	"github.com/truewheel/truewheel/recipe/lock"
)

//go:embed keyring.pgp
var keyringPGP []byte

// maxIndex bounds the contents of an index; Debian's largest has 60 MB.
const maxIndex = 512 << 20

// Archive asks mirrors. It is safe for concurrent use.
type Archive struct {
	Client  *index.Client // how to fetch, and the store
	Mirrors func() (Mirrors, error)
	Now     func() time.Time // nil: time.Now
	Keyring []byte           // OpenPGP keys that may sign; nil: Debian's
}

// A SignatureError says why an index does not count.
type SignatureError struct{ What, Why string }

func (e *SignatureError) Error() string { return e.What + ": " + e.Why }

// Packages are all packages of a suite with its updates and security
// updates, for one architecture.
func (a *Archive) Packages(ctx context.Context, suite, arch string) ([]Package, error) {
	mirrors, err := a.Mirrors()
	if err != nil {
		return nil, err
	}
	type part struct {
		mirrors []string
		dist    string
	}
	parts := []part{{mirrors.Main, suite}, {mirrors.Main, suite + "-updates"}}
	if len(mirrors.Security) > 0 {
		parts = append(parts, part{mirrors.Security, suite + "-security"})
	}
	found := make([][]Package, len(parts))
	g, ctx := errgroup.WithContext(ctx)
	for i, p := range parts {
		g.Go(func() error {
			return a.ask(ctx, p.mirrors, p.dist, func(mirror string) (err error) {
				found[i], err = a.packages(ctx, mirror, p.dist, arch)
				return err
			})
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var out []Package
	for _, f := range found {
		out = append(out, f...)
	}
	return out, nil
}

// ask asks one mirror after the other, until one answers; a forged index ends it.
func (a *Archive) ask(ctx context.Context, mirrors []string, dist string, one func(mirror string) error) error {
	var err error
	for _, mirror := range mirrors {
		var forged *SignatureError
		if err = one(mirror); err == nil || ctx.Err() != nil || errors.As(err, &forged) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("index of %s: %w", dist, err)
	}
	return nil
}

// packages reads one index.
func (a *Archive) packages(ctx context.Context, mirror, dist, arch string) ([]Package, error) {
	base := mirror + "/dists/" + dist
	text, err := a.inRelease(ctx, base+"/InRelease")
	if err != nil {
		return nil, err
	}
	r, err := a.verify(text, dist)
	if err != nil {
		return nil, err
	}
	name := "main/binary-" + arch + "/Packages.xz"
	entry, ok := r.files[name]
	if !ok {
		return nil, fmt.Errorf("%s names no %s", dist, name)
	}
	file, ok := a.Client.Store.Path(entry.sha256)
	if !ok {
		at := base + "/" + name
		if r.byHash {
			at = base + "/" + path.Dir(name) + "/by-hash/SHA256/" + entry.sha256
		}
		if file, _, err = a.Client.FetchURL(ctx, at, entry.sha256); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := xz.NewReader(bufio.NewReaderSize(f, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	out, err := ParsePackages(io.LimitReader(z, maxIndex))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return out, nil
}

// inRelease asks for the signed list, or takes the kept one when offline.
func (a *Archive) inRelease(ctx context.Context, at string) ([]byte, error) {
	st := a.Client.Store
	if a.Client.Settings.Offline {
		if data, _, ok := st.CachedBytes("debian", at); ok {
			return data, nil
		}
	}
	file, _, err := a.Client.FetchURL(ctx, at, "")
	if err != nil {
		return nil, err
	}
	data, err := readLimited(file, 8<<20)
	if err != nil {
		return nil, err
	}
	return data, st.CacheBytes("debian", at, data)
}

func readLimited(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", path.Base(name), limit)
	}
	return data, err
}

// inRelease is what an InRelease file says.
type inRelease struct {
	files  map[string]entry // by path below the dist
	byHash bool
}

type entry struct {
	sha256 string
	size   int64
}

// verify checks signature, name and dates of an InRelease file.
func (a *Archive) verify(text []byte, dist string) (*inRelease, error) {
	refuse := func(format string, args ...any) error {
		return &SignatureError{"InRelease of " + dist, fmt.Sprintf(format, args...)}
	}
	now := time.Now
	if a.Now != nil {
		now = a.Now
	}
	keys := a.Keyring
	if keys == nil {
		keys = keyringPGP
	}
	ring, err := openpgp.ReadKeyRing(bytes.NewReader(keys))
	if err != nil {
		return nil, fmt.Errorf("read keyring: %w", err)
	}
	block, rest := clearsign.Decode(text)
	if block == nil {
		return nil, refuse("it is not signed")
	}
	if len(bytes.TrimSpace(rest)) > 0 || !bytes.HasPrefix(text, []byte("-----BEGIN PGP SIGNED MESSAGE-----")) {
		return nil, refuse("there is text outside of what is signed")
	}
	// As of the release's own date keys are judged by OpenPGP; the dates that
	// it states are judged below.
	if _, err := block.VerifySignature(ring, nil); err != nil {
		return nil, refuse("the signature is not good: %v", err)
	}
	fields, err := oneStanza(block.Bytes)
	if err != nil {
		return nil, refuse("%v", err)
	}
	// Old security suites call themselves SUITE/updates.
	if fields["Codename"] != dist && fields["Suite"] != dist {
		return nil, refuse("it is for %s", fields["Codename"])
	}
	if until := fields["Valid-Until"]; until != "" {
		t, err := time.Parse(time.RFC1123, until)
		if err != nil {
			return nil, refuse("Valid-Until %q is not a date", until)
		}
		if now().After(t) {
			return nil, refuse("it expired on %s: the mirror is stale, or somebody replays an old index", t.Format(time.DateOnly))
		}
	}
	r := &inRelease{files: map[string]entry{}, byHash: fields["Acquire-By-Hash"] == "yes"}
	for line := range strings.Lines(fields["SHA256"]) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		size, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil || !lock.IsSum(f[0]) {
			return nil, refuse("line %q is no sum, size and name", strings.TrimSpace(line))
		}
		r.files[f[2]] = entry{f[0], size}
	}
	return r, nil
}

func oneStanza(data []byte) (map[string]string, error) {
	sc := bufio.NewScanner(bytes.NewReader(data))
	for s := range stanzas(sc) {
		return s, nil
	}
	return nil, errors.New("it is empty")
}

// stanzas yields the paragraphs of a control file (Debian Policy 5.1): field
// names as they are written, values with their continuation lines, each of
// which keeps its line break. A line that is too long ends it: see sc.Err.
func stanzas(sc *bufio.Scanner) iter.Seq[map[string]string] {
	sc.Buffer(nil, 4<<20)
	return func(yield func(map[string]string) bool) {
		fields, last := map[string]string{}, ""
		for sc.Scan() {
			line := sc.Text()
			switch {
			case strings.TrimSpace(line) == "":
				if len(fields) > 0 && !yield(fields) {
					return
				}
				fields, last = map[string]string{}, ""
			case strings.HasPrefix(line, "#"):
			case line[0] == ' ' || line[0] == '\t':
				if last != "" {
					fields[last] += "\n" + strings.TrimSpace(line)
				}
			default:
				name, value, ok := strings.Cut(line, ":")
				if !ok {
					continue
				}
				last = name
				fields[name] = strings.TrimSpace(value)
			}
		}
		if len(fields) > 0 {
			yield(fields)
		}
	}
}

var packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`)

// ParsePackages reads a Packages file. A stanza that names no file, or one
// outside of the pool, is an error.
func ParsePackages(r io.Reader) ([]Package, error) {
	var out []Package
	sc := bufio.NewScanner(r)
	for s := range stanzas(sc) {
		p := Package{
			Name: s["Package"], Version: s["Version"], Architecture: s["Architecture"], Pool: s["Filename"], SHA256: s["SHA256"],
			Essential: s["Essential"] == "yes", Required: s["Priority"] == "required" || s["Priority"] == "important", Depends: s["Depends"], PreDepends: s["Pre-Depends"],
			Provides: s["Provides"], Conflicts: s["Conflicts"], Breaks: s["Breaks"],
		}
		var err error
		p.Size, err = strconv.ParseInt(s["Size"], 10, 64)
		switch {
		case !packageName.MatchString(p.Name):
			return nil, fmt.Errorf("%q is not a package's name", p.Name)
		case err != nil || p.Size <= 0:
			return nil, fmt.Errorf("package %s: size %q", p.Name, s["Size"])
		case !lock.IsSum(p.SHA256):
			return nil, fmt.Errorf("package %s: %q is not a sha256", p.Name, p.SHA256)
		case !lock.IsPool(p.Pool):
			return nil, fmt.Errorf("package %s: %q is not a file of the pool", p.Name, p.Pool)
		}
		if p.version, err = version.Parse(p.Version); err != nil {
			return nil, fmt.Errorf("package %s: %w", p.Name, err)
		}
		out = append(out, p)
	}
	return out, sc.Err()
}
