package index

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jdx/go-netrc"

	"github.com/truewheel/truewheel/internal/store"
	"github.com/truewheel/truewheel/pypi"
)

// Client asks the index of its settings. What it fetches goes to the store,
// checked, before anybody reads it.
type Client struct {
	Settings *Settings
	Store    *store.Store
	MaxFile  int64 // bytes; 0: 4 GiB

	http  *http.Client
	netrc *netrc.Netrc
}

const (
	maxPage  = 128 << 20
	maxTries = 4
	agent    = "truewheel (a rebuilder of wheels)"
)

// NotFoundError says that the index has no such project.
type NotFoundError struct{ Project pypi.Name }

func (e *NotFoundError) Error() string { return fmt.Sprintf("the index has no project %s", e.Project) }

// OfflineError says what would have to be fetched.
type OfflineError struct{ What string }

func (e *OfflineError) Error() string {
	return e.What + " is not in the store, and --offline forbids to fetch it"
}

// New makes a client. environ tells proxies and where .netrc lies.
func New(s *Settings, st *store.Store, environ []string) (*Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 60 * time.Second
	if s.Proxy != "" {
		u, err := url.Parse(s.Proxy)
		if err != nil || u.Host == "" {
			u, err = url.Parse("http://" + s.Proxy)
		}
		if err != nil {
			return nil, fmt.Errorf("proxy (from %s) is not a URL", s.Origin["proxy"])
		}
		transport.Proxy = http.ProxyURL(u)
	}
	if s.Cert != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		pem, err := os.ReadFile(s.Cert)
		if err != nil {
			return nil, fmt.Errorf("certificates (from %s): %w", s.Origin["certificates"], err)
		}
		pool.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	c := &Client{Settings: s, Store: st, http: &http.Client{Transport: transport}}
	env := environment(environ)
	name := env["NETRC"]
	if name == "" {
		name = filepath.Join(env["HOME"], ".netrc")
	}
	if n, err := netrc.Parse(name); err == nil {
		c.netrc = n
	}
	return c, nil
}

// cachedPage is what the store keeps of a page.
type cachedPage struct {
	Page  *pypi.Page `json:"page"`
	ETag  string     `json:"etag"`
	Fresh time.Time  `json:"fresh"` // no need to ask again before
}

// Page is the project's page: of the first extra index that knows it, else of the index.
func (c *Client) Page(ctx context.Context, project pypi.Name) (*pypi.Page, error) {
	for _, base := range append(append([]string{}, c.Settings.Extra...), c.Settings.Index) {
		page, err := c.page(ctx, base, project)
		var missing *NotFoundError
		if errors.As(err, &missing) && base != c.Settings.Index {
			continue
		}
		if err != nil {
			return nil, err
		}
		return c.withLinks(page, project), nil
	}
	return nil, &NotFoundError{project}
}

// withLinks adds files of find-links directories that no index names.
func (c *Client) withLinks(page *pypi.Page, project pypi.Name) *pypi.Page {
	for _, dir := range c.Settings.FindLinks {
		entries, err := os.ReadDir(strings.TrimPrefix(dir, "file://"))
		if err != nil {
			continue
		}
		for _, e := range entries {
			w, err := pypi.ParseWheelFilename(e.Name())
			if err != nil || w.Name != project || contains(page, e.Name()) {
				continue
			}
			path, err := filepath.Abs(filepath.Join(strings.TrimPrefix(dir, "file://"), e.Name()))
			if err == nil {
				page.Files = append(page.Files, pypi.File{Filename: e.Name(), URL: "file://" + filepath.ToSlash(path), Size: -1})
			}
		}
	}
	return page
}

func contains(page *pypi.Page, filename string) bool {
	for _, f := range page.Files {
		if f.Filename == filename {
			return true
		}
	}
	return false
}

func (c *Client) page(ctx context.Context, base string, project pypi.Name) (*pypi.Page, error) {
	u, err := url.Parse(strings.TrimRight(base, "/") + "/" + string(project) + "/")
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %s is not a URL", project, redact(base))
	}
	key := redact(u.String())
	var cached cachedPage
	_, have := c.Store.Cached("pages", key, &cached)
	if have && (c.Settings.Offline || time.Now().Before(cached.Fresh)) {
		return cached.Page, nil
	}
	if c.Settings.Offline {
		return nil, &OfflineError{fmt.Sprintf("the index page of %s", project)}
	}
	header := http.Header{"Accept": {pypi.Accept}, "Accept-Encoding": {"gzip"}}
	if have && cached.ETag != "" {
		header.Set("If-None-Match", cached.ETag)
	}
	resp, err := c.get(ctx, u, header)
	if err != nil {
		return nil, fmt.Errorf("ask for %s: %w", project, err)
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && have:
	case resp.StatusCode == http.StatusNotFound:
		return nil, &NotFoundError{project}
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("ask for %s: %s answered %s", project, redact(u.String()), resp.Status)
	default:
		body, err := readBody(resp)
		if err != nil {
			return nil, fmt.Errorf("ask for %s: %w", project, err)
		}
		final := *resp.Request.URL
		final.User = nil
		if cached.Page, err = pypi.ParsePage(&final, resp.Header.Get("Content-Type"), body); err != nil {
			return nil, fmt.Errorf("ask for %s: %w", project, err)
		}
		cached.ETag = resp.Header.Get("ETag")
	}
	cached.Fresh = time.Now().Add(maxAge(resp.Header.Get("Cache-Control")))
	// A cache that can't be written costs time, nothing else.
	_ = c.Store.Cache("pages", key, cached)
	return cached.Page, nil
}

func readBody(resp *http.Response) ([]byte, error) {
	var r io.Reader = resp.Body
	if resp.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		r = z
	}
	body, err := io.ReadAll(io.LimitReader(r, maxPage+1))
	if err == nil && len(body) > maxPage {
		err = fmt.Errorf("the page has more than %d bytes", maxPage)
	}
	return body, err
}

func maxAge(cacheControl string) time.Duration {
	for part := range strings.SplitSeq(cacheControl, ",") {
		if v, ok := strings.CutPrefix(strings.TrimSpace(part), "max-age="); ok {
			if n, err := strconv.Atoi(v); err == nil && n > 0 {
				return min(time.Duration(n)*time.Second, 24*time.Hour)
			}
		}
	}
	return 0
}

// get asks up to four times, waiting longer each time, while the answer is
// that of a server in trouble.
func (c *Client) get(ctx context.Context, u *url.URL, header http.Header) (*http.Response, error) {
	wait := 500 * time.Millisecond
	for try := 1; ; try++ {
		resp, err := c.once(ctx, u, header)
		retry := err != nil || resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500
		if !retry || try == maxTries || ctx.Err() != nil {
			return resp, hideURL(err)
		}
		pause := wait + rand.N(wait/2)
		if resp != nil {
			if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n >= 0 {
				pause = min(time.Duration(n)*time.Second, time.Minute)
			}
			resp.Body.Close()
		}
		wait *= 2
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// hideURL: net/http's errors repeat the URL; ours are redacted.
func hideURL(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return fmt.Errorf("%s: %w", redact(e.URL), e.Err)
	}
	return err
}

func (c *Client) once(ctx context.Context, u *url.URL, header http.Header) (*http.Response, error) {
	bare := *u
	bare.User = nil
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, bare.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header = header.Clone()
	req.Header.Set("User-Agent", agent)
	// net/http drops this header when a redirect leads to another host.
	if user, password, ok := c.credentials(ctx, u); ok {
		req.SetBasicAuth(user, password)
	}
	return c.http.Do(req)
}

// credentials for u: in itself, in an index URL of the same host, in .netrc, in the keyring.
func (c *Client) credentials(ctx context.Context, u *url.URL) (user, password string, ok bool) {
	for _, raw := range append([]string{u.String(), c.Settings.Index}, c.Settings.Extra...) {
		if v, err := url.Parse(raw); err == nil && v.Host == u.Host && v.Scheme == u.Scheme && v.User != nil {
			password, _ := v.User.Password()
			return v.User.Username(), password, true
		}
	}
	if c.netrc != nil {
		if m := c.netrc.Machine(u.Hostname()); m != nil && !m.IsDefault {
			return m.Get("login"), m.Get("password"), true
		}
	}
	if c.Settings.Keyring {
		out, err := exec.CommandContext(ctx, "keyring", "get", u.Scheme+"://"+u.Host, "oauth2accesstoken").Output()
		if err == nil {
			return "oauth2accesstoken", strings.TrimSpace(string(out)), true
		}
	}
	return "", "", false
}

// Fetch brings a file into the store and says where it is. It is checked
// against f.SHA256, which has to be there, before it has a name.
func (c *Client) Fetch(ctx context.Context, f pypi.File) (string, error) {
	if f.SHA256 == "" {
		return "", fmt.Errorf("fetch %s: the index gives no sha256: it can't be checked", f.Filename)
	}
	if path, ok := c.Store.Path(f.SHA256); ok {
		return path, nil
	}
	if c.Settings.Offline {
		return "", fmt.Errorf("fetch: %w", &OfflineError{f.Filename})
	}
	var err error
	for range maxTries {
		var path string
		if path, err = c.fetch(ctx, f.URL, f.SHA256); err == nil {
			return path, nil
		}
		var wrong *store.MismatchError
		if ctx.Err() != nil || !errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &wrong) {
			break
		}
	}
	return "", fmt.Errorf("fetch %s: %w", f.Filename, err)
}

// FetchURL brings any file into the store; sum may be "" to take what comes.
func (c *Client) FetchURL(ctx context.Context, raw, sum string) (path, got string, err error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", "", fmt.Errorf("fetch: %s is not a URL", redact(raw))
	}
	if c.Settings.Offline {
		return "", "", fmt.Errorf("fetch: %w", &OfflineError{redact(raw)})
	}
	body, err := c.open(ctx, u)
	if err != nil {
		return "", "", fmt.Errorf("fetch %s: %w", redact(raw), err)
	}
	defer body.Close()
	path, got, err = c.Store.Put(ctx, sum, c.limit(body))
	if err != nil {
		return "", "", fmt.Errorf("fetch %s: %w", redact(raw), hideURL(err))
	}
	return path, got, nil
}

func (c *Client) fetch(ctx context.Context, raw, sum string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", fmt.Errorf("%s is not a URL", redact(raw))
	}
	body, err := c.open(ctx, u)
	if err != nil {
		return "", err
	}
	defer body.Close()
	path, _, err := c.Store.Put(ctx, sum, c.limit(body))
	return path, hideURL(err)
}

func (c *Client) open(ctx context.Context, u *url.URL) (io.ReadCloser, error) {
	if u.Scheme == "file" {
		return os.Open(filepath.FromSlash(u.Path))
	}
	resp, err := c.get(ctx, u, http.Header{"Accept-Encoding": {"identity"}})
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("%s answered %s", redact(u.String()), resp.Status)
	}
	return resp.Body, nil
}

func (c *Client) limit(r io.Reader) io.Reader {
	n := c.MaxFile
	if n == 0 {
		n = 4 << 30
	}
	return &limited{r, n}
}

type limited struct {
	r io.Reader
	n int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	if l.n -= int64(n); l.n < 0 {
		return n, errors.New("the file is larger than the limit")
	}
	return n, err
}
