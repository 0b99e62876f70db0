package debian

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Mirrors are the archives to ask, as URLs.
type Mirrors struct {
	Main     []string
	Security []string // may be empty: then there is no security archive
}

// ErrNoMirror says that no mirror is known.
var ErrNoMirror = errors.New("no Debian mirror is known: apt's sources name none, and there is no --mirror")

// FindMirrors are the mirrors of an apt installation, whose sources lie below
// dir (/etc/apt), or those of the URLs given, which win. A URL that ends in
// "-security" is one of a security archive; given one without, the mirror's
// "debian-security" beside its "debian" is asked too.
func FindMirrors(dir string, given []string) (Mirrors, error) {
	var m Mirrors
	for _, raw := range given {
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "file" {
			return m, fmt.Errorf("mirror %q is not an http, https or file URL", raw)
		}
		raw = strings.TrimRight(raw, "/")
		if strings.HasSuffix(raw, "-security") {
			m.Security = append(m.Security, raw)
		} else {
			m.Main = append(m.Main, raw)
		}
	}
	if len(given) > 0 {
		for _, main := range m.Main {
			if len(m.Security) == 0 && strings.HasSuffix(main, "/debian") {
				m.Security = append(m.Security, main+"-security")
			}
		}
		if len(m.Main) == 0 {
			return m, errors.New("the mirrors given are all of the security archive: name a main one too")
		}
		return m, nil
	}
	names := []string{filepath.Join(dir, "sources.list")}
	for _, pattern := range []string{"*.list", "*.sources"} {
		more, err := filepath.Glob(filepath.Join(dir, "sources.list.d", pattern))
		if err != nil {
			return m, err
		}
		names = append(names, more...)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			continue // it need not be there, and need not be ours to read
		}
		parse := oneLine
		if strings.HasSuffix(name, ".sources") {
			parse = deb822
		}
		for _, s := range parse(data) {
			s.add(&m)
		}
	}
	if len(m.Main) == 0 {
		return m, ErrNoMirror
	}
	return m, nil
}

// source is an entry of apt's sources (sources.list(5)).
type source struct {
	types, uris, suites, components []string
}

// release is a name under which Debian's own archive is published.
var release = regexp.MustCompile(`^(bullseye|bookworm|trixie|forky|sid|oldoldstable|oldstable|stable|testing|unstable)(-updates|-security|/updates)?$`)

// add takes the mirrors of a source that is Debian's own.
func (s source) add(m *Mirrors) {
	if !slices.Contains(s.types, "deb") || !slices.Contains(s.components, "main") {
		return
	}
	for _, suite := range s.suites {
		if !release.MatchString(suite) {
			continue
		}
		to := &m.Main
		if strings.HasSuffix(suite, "-security") || strings.HasSuffix(suite, "/updates") {
			to = &m.Security
		}
		for _, uri := range s.uris {
			uri = strings.TrimRight(uri, "/")
			if strings.HasPrefix(uri, "http") && !slices.Contains(*to, uri) {
				*to = append(*to, uri)
			}
		}
	}
}

var options = regexp.MustCompile(`\[[^]]*\]`)

func oneLine(data []byte) []source {
	var out []source
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(options.ReplaceAllString(line, " "))
		if len(f) >= 4 {
			out = append(out, source{f[:1], f[1:2], f[2:3], f[3:]})
		}
	}
	return out
}

func deb822(data []byte) []source {
	var out []source
	for s := range stanzas(bufio.NewScanner(bytes.NewReader(data))) {
		if strings.EqualFold(s["Enabled"], "no") {
			continue
		}
		out = append(out, source{strings.Fields(s["Types"]), strings.Fields(s["URIs"]), strings.Fields(s["Suites"]), strings.Fields(s["Components"])})
	}
	return out
}
