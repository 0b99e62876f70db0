// Package git is the only door to git: it fetches a commit and packs it as a
// source tree. Nothing of a repository is ever run or checked out: no hook, no
// filter, no configuration of its own; files are read as the objects have them.
package git

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/truewheel/truewheel/internal/store"
)

// Source names a commit of a repository: git+URL@REV#subdirectory=DIR, as pip
// writes it.
type Source struct {
	URL          string // https, ssh or file URL, or an absolute path; without credentials
	Rev          string // commit, tag or branch
	Subdirectory string // of the project in the repository; "" is its top
}

var (
	revision = regexp.MustCompile(`^[0-9A-Za-z_][0-9A-Za-z._/+-]*$`)
	commitID = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// Parse reads git+URL@REV#subdirectory=DIR.
func Parse(text string) (Source, error) {
	rest, ok := strings.CutPrefix(text, "git+")
	if !ok {
		return Source{}, fmt.Errorf("source %q is not git+URL@REV", text)
	}
	rest, fragment, _ := strings.Cut(rest, "#")
	var s Source
	for part := range strings.SplitSeq(fragment, "&") {
		if dir, ok := strings.CutPrefix(part, "subdirectory="); ok {
			s.Subdirectory = path.Clean(dir)
		}
	}
	if s.Subdirectory == "." {
		s.Subdirectory = ""
	}
	if !filepath.IsLocal(s.Subdirectory) && s.Subdirectory != "" {
		return s, fmt.Errorf("source %q: the subdirectory leaves the repository", text)
	}
	from := 0
	if _, after, ok := strings.Cut(rest, "://"); ok {
		from = len(rest) - len(after) + max(0, strings.IndexByte(after, '/')) // the host may hold an @ too
	}
	at := from + strings.LastIndexByte(rest[from:], '@')
	if at < from {
		return s, fmt.Errorf("source %q names no commit, tag or branch (git+URL@REV)", text)
	}
	s.URL, s.Rev = rest[:at], rest[at+1:]
	if !revision.MatchString(s.Rev) || strings.Contains(s.Rev, "..") {
		return s, fmt.Errorf("source %q: %q is not a commit, tag or branch", text, s.Rev)
	}
	return s, checkURL(s.URL)
}

// checkURL allows https, ssh and what lies on this machine.
func checkURL(raw string) error {
	if strings.HasPrefix(raw, "/") && path.Clean(raw) == raw {
		return nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("repository %q is not a URL", raw)
	}
	switch u.Scheme {
	case "https", "ssh":
		if u.Host == "" || strings.HasPrefix(u.Host, "-") {
			return fmt.Errorf("repository %q names no host", raw)
		}
		return nil
	case "file":
		return nil
	}
	return fmt.Errorf("repository %q: only https, ssh and local paths are read", raw)
}

// String is the source as Parse reads it.
func (s Source) String() string {
	out := "git+" + s.URL + "@" + s.Rev
	if s.Subdirectory != "" {
		out += "#subdirectory=" + s.Subdirectory
	}
	return out
}

// Commit is what a source turned out to be.
type Commit struct {
	ID        string    // 40 hex digits
	Time      time.Time // the committer's
	Tag       string    // the tag that was named, ""
	Signature string    // "OpenPGP", "SSH" or "X.509" of the tag or commit; "" when there is none. It is not verified.
}

// Fetcher fetches into a directory of the store.
type Fetcher struct {
	Store   *store.Store
	Environ []string // proxies, certificates and SSH's agent come from here
	MaxSize int64    // of one pack of objects, bytes; 0: 4 GiB
	Offline bool
}

// Repository is what was fetched of a repository: a bare one.
type Repository struct {
	url string
	dir string
	f   *Fetcher
}

// passed are the variables that git gets of the caller's.
var passed = []string{"PATH", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "http_proxy", "https_proxy", "all_proxy", "no_proxy", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}

// command is git in dir. Configuration is ours alone.
func (f *Fetcher) command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	limit := f.MaxSize
	if limit == 0 {
		limit = 4 << 30
	}
	config := []string{
		"-c", "core.hooksPath=" + os.DevNull, "-c", "core.fsmonitor=false", "-c", "core.attributesFile=" + os.DevNull, "-c", "safe.directory=*",
		"-c", "transfer.fsckObjects=true", "-c", "gc.auto=0", "-c", "protocol.allow=never",
		"-c", "protocol.https.allow=always", "-c", "protocol.ssh.allow=always", "-c", "protocol.file.allow=always", "-c", "credential.helper=",
	}
	// The shell's limit is in blocks of 512 bytes: a repository can't fill the disk with one pack.
	script := fmt.Sprintf(`ulimit -f %d 2>/dev/null; exec git "$@"`, limit/512)
	cmd := exec.CommandContext(ctx, "/bin/sh", append([]string{"-c", script, "git"}, append(config, args...)...)...)
	cmd.Dir = dir
	cmd.Env = []string{"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=true", "LC_ALL=C", "HOME=" + dir, "GIT_SSH_COMMAND=ssh -oBatchMode=yes"}
	for _, kv := range f.Environ {
		name, _, _ := strings.Cut(kv, "=")
		if slices.Contains(passed, name) {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run runs git in dir and returns what it prints.
func (f *Fetcher) run(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := f.command(ctx, dir, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		said := strings.TrimSpace(errs.String())
		if i := strings.LastIndexByte(said, '\n'); i >= 0 {
			said = said[i+1:]
		}
		if said == "" {
			said = err.Error()
		}
		return nil, fmt.Errorf("git %s: %s", args[0], said)
	}
	return out.Bytes(), nil
}

// A MovedError says that a tag names another commit than before.
type MovedError struct{ Tag, Was, Is string }

func (e *MovedError) Error() string {
	return fmt.Sprintf("tag %s has moved: it was %s, and is %s now", e.Tag, e.Was, e.Is)
}

// Fetch brings a commit here, once, and says what it is. A tag is fetched
// alone; for a commit everything is, so that versions can be counted from tags.
func (f *Fetcher) Fetch(ctx context.Context, s Source) (*Repository, Commit, error) {
	r, err := f.open(ctx, s.URL)
	if err != nil {
		return nil, Commit{}, fmt.Errorf("fetch %s: %w", s, err)
	}
	c, err := r.commit(ctx, s.Rev)
	if err != nil {
		return nil, c, fmt.Errorf("fetch %s: %w", s, err)
	}
	return r, c, nil
}

// open makes the bare repository that objects of url are kept in.
func (f *Fetcher) open(ctx context.Context, url string) (*Repository, error) {
	sum := sha256.Sum256([]byte(url))
	r := &Repository{url: url, dir: filepath.Join(f.Store.Dir(), "git", hex.EncodeToString(sum[:16])), f: f}
	if _, err := os.Stat(r.dir); err == nil {
		return r, nil
	}
	tmp, done, err := f.Store.TempDir("git")
	if err != nil {
		return nil, err
	}
	defer done()
	if _, err := f.run(ctx, tmp, "init", "--quiet", "--bare", "--template=", "new"); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(r.dir), 0o755); err != nil {
		return nil, err
	}
	if err := os.Rename(filepath.Join(tmp, "new"), r.dir); err != nil {
		if _, there := os.Stat(r.dir); there != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *Repository) git(ctx context.Context, args ...string) (string, error) {
	out, err := r.f.run(ctx, r.dir, args...)
	return strings.TrimSpace(string(out)), err
}

func (r *Repository) commit(ctx context.Context, rev string) (Commit, error) {
	var c Commit
	switch {
	case commitID.MatchString(rev):
		c.ID = rev
		if _, err := r.git(ctx, "cat-file", "-e", rev+"^{commit}"); err == nil {
			break
		}
		if r.f.Offline {
			return c, errors.New("it was not fetched before, and --offline forbids to fetch it")
		}
		if _, err := r.git(ctx, "fetch", "--quiet", "--no-write-fetch-head", r.url, "+refs/heads/*:refs/remotes/heads/*"); err != nil {
			return c, err
		}
		// A tag that moved stays where it was: it is a commit that is asked for.
		_, _ = r.git(ctx, "fetch", "--quiet", "--no-write-fetch-head", r.url, "refs/tags/*:refs/tags/*")
		if _, err := r.git(ctx, "cat-file", "-e", rev+"^{commit}"); err != nil {
			// No branch has it any more: some servers give it all the same.
			if _, err := r.git(ctx, "fetch", "--quiet", "--no-write-fetch-head", r.url, rev); err != nil {
				return c, fmt.Errorf("the repository has no commit %s", rev)
			}
		}
	default:
		if err := r.named(ctx, rev, &c); err != nil {
			return c, err
		}
	}
	text, err := r.git(ctx, "show", "--no-patch", "--no-show-signature", "--format=%ct", c.ID)
	if err != nil {
		return c, err
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return c, fmt.Errorf("its time %q is not one", text)
	}
	c.Time = time.Unix(seconds, 0).UTC()
	c.Signature = r.signature(ctx, c)
	return c, nil
}

// named finds a tag or branch. A tag that was fetched before has to be the same.
func (r *Repository) named(ctx context.Context, rev string, c *Commit) error {
	ref := "refs/tags/" + rev
	was, err := r.git(ctx, "rev-parse", "--verify", "--quiet", ref)
	if err != nil {
		was = ""
	}
	if !r.f.Offline {
		out, err := r.git(ctx, "ls-remote", r.url, ref, "refs/heads/"+rev)
		if err != nil {
			return err
		}
		is := ""
		for line := range strings.Lines(out) {
			id, name, _ := strings.Cut(strings.TrimSpace(line), "\t")
			if name == ref {
				is = id
			}
		}
		switch {
		case is == "" && out == "":
			return fmt.Errorf("the repository has no tag or branch %s", rev)
		case is == "":
			ref = "refs/heads/" + rev
			if _, err := r.git(ctx, "fetch", "--quiet", "--no-write-fetch-head", r.url, "+"+ref+":"+ref); err != nil {
				return err
			}
		case was != "" && was != is:
			return &MovedError{rev, was, is}
		case was == "":
			if _, err := r.git(ctx, "fetch", "--quiet", "--no-write-fetch-head", "--no-tags", "--depth=1", r.url, ref+":"+ref); err != nil {
				return err
			}
		}
	} else if was == "" {
		return errors.New("it was not fetched before, and --offline forbids to fetch it")
	}
	if strings.HasPrefix(ref, "refs/tags/") {
		c.Tag = rev
	}
	c.ID, err = r.git(ctx, "rev-parse", "--verify", "--quiet", ref+"^{commit}")
	return err
}

// signature says of which kind the tag's signature is, or the commit's.
func (r *Repository) signature(ctx context.Context, c Commit) string {
	var texts []string
	if c.Tag != "" {
		if text, err := r.git(ctx, "cat-file", "-p", "refs/tags/"+c.Tag); err == nil {
			texts = append(texts, text)
		}
	}
	if text, err := r.git(ctx, "cat-file", "commit", c.ID); err == nil {
		texts = append(texts, text)
	}
	for _, text := range texts {
		for mark, kind := range map[string]string{"-----BEGIN PGP SIGNATURE-----": "OpenPGP", "-----BEGIN SSH SIGNATURE-----": "SSH", "-----BEGIN SIGNED MESSAGE-----": "X.509"} {
			if strings.Contains(text, mark) {
				return kind
			}
		}
	}
	return ""
}
