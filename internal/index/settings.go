// Package index asks a package index: the one that the user's installer uses.
package index

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// Settings say which index to ask and how.
type Settings struct {
	Index     string   // URL of the simple API, may hold credentials
	Extra     []string // further indexes: the first that knows a project wins, Index last, as uv does
	FindLinks []string // directories of files
	Cert      string   // file of certificates, "" for the system's
	Proxy     string   // "" for what the environment says
	Keyring   bool     // ask the keyring program for credentials
	Origin    map[string]string
	Offline   bool
	Builtin   bool // Index is the installers' default
}

// Config says what the user asked for; the zero value asks the installers' settings.
type Config struct {
	Index   string // --index
	Offline bool
	Environ []string
	Dirs    Dirs   // where settings lie; the zero value: the usual places
	Builtin string // the installers' default, when it was asked before
}

// Dirs are directories that settings are read from.
type Dirs struct{ Home, Config, System string }

// ErrNoIndex says that no installer told which index to use.
var ErrNoIndex = errors.New("no index: neither uv's nor pip's settings name one and no pip was found; name one with --index URL")

type getenv map[string]string

func environment(environ []string) getenv {
	m := getenv{}
	for _, kv := range environ {
		k, v, _ := strings.Cut(kv, "=")
		m[k] = v
	}
	return m
}

// Discover finds the settings: --index, then uv's variables and uv.toml,
// then pip's variables and pip.conf, then the default that the pip found on
// this machine has built in. Credentials may come with them: print
// [Settings.Redacted], never the URL itself.
func Discover(ctx context.Context, c Config) (*Settings, error) {
	env := environment(c.Environ)
	if c.Dirs.Home == "" {
		c.Dirs.Home = env["HOME"]
	}
	if c.Dirs.Config == "" {
		c.Dirs.Config = env["XDG_CONFIG_HOME"]
	}
	if c.Dirs.Config == "" && c.Dirs.Home != "" {
		c.Dirs.Config = filepath.Join(c.Dirs.Home, ".config")
	}
	if c.Dirs.System == "" && runtime.GOOS != "windows" {
		c.Dirs.System = "/etc"
	}
	s := &Settings{Origin: map[string]string{}, Offline: c.Offline}
	s.set("index", &s.Index, c.Index, "--index")
	s.uv(env, c.Dirs)
	s.pip(env, c.Dirs)
	for _, k := range []string{"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"} {
		s.set("certificates", &s.Cert, env[k], k)
	}
	if s.Index == "" {
		found, origin := c.Builtin, "the default of the pip or uv found before"
		if found == "" {
			found, origin = builtin(ctx, env)
		}
		s.set("index", &s.Index, found, origin)
		s.Builtin = true
	}
	if s.Index == "" {
		return s, ErrNoIndex
	}
	u, err := url.Parse(s.Index)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return s, fmt.Errorf("index %s (from %s) is not an http URL", redact(s.Index), s.Origin["index"])
	}
	return s, nil
}

// set takes a value unless one of more authority was taken before.
func (s *Settings) set(what string, to *string, value, origin string) {
	if *to == "" && strings.TrimSpace(value) != "" {
		*to, s.Origin[what] = strings.TrimSpace(value), origin
	}
}

func (s *Settings) add(what string, to *[]string, values []string, origin string) {
	if len(*to) == 0 && len(values) > 0 {
		*to, s.Origin[what] = values, origin
	}
}

func (s *Settings) uv(env getenv, dirs Dirs) {
	s.set("index", &s.Index, env["UV_DEFAULT_INDEX"], "UV_DEFAULT_INDEX")
	s.set("index", &s.Index, env["UV_INDEX_URL"], "UV_INDEX_URL")
	s.add("extra indexes", &s.Extra, strings.Fields(env["UV_INDEX"]), "UV_INDEX")
	s.add("extra indexes", &s.Extra, strings.Fields(env["UV_EXTRA_INDEX_URL"]), "UV_EXTRA_INDEX_URL")
	files := []string{env["UV_CONFIG_FILE"], filepath.Join(dirs.Config, "uv", "uv.toml"), filepath.Join(dirs.System, "uv", "uv.toml")}
	for _, name := range files {
		if name == "" {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		type options struct {
			IndexURL   string   `toml:"index-url"`
			Extra      []string `toml:"extra-index-url"`
			FindLinks  []string `toml:"find-links"`
			Keyring    string   `toml:"keyring-provider"`
			IndexTable []struct {
				URL     string `toml:"url"`
				Default bool   `toml:"default"`
			} `toml:"index"`
		}
		var doc struct {
			options
			Pip options `toml:"pip"`
		}
		if toml.Unmarshal(data, &doc) != nil {
			continue
		}
		for _, o := range []options{doc.options, doc.Pip} {
			var extra []string
			for _, t := range o.IndexTable {
				if t.Default {
					s.set("index", &s.Index, t.URL, name)
				} else {
					extra = append(extra, t.URL)
				}
			}
			s.set("index", &s.Index, o.IndexURL, name)
			s.add("extra indexes", &s.Extra, append(extra, o.Extra...), name)
			s.add("find-links", &s.FindLinks, o.FindLinks, name)
			s.Keyring = s.Keyring || o.Keyring == "subprocess"
		}
	}
}

func (s *Settings) pip(env getenv, dirs Dirs) {
	s.set("index", &s.Index, env["PIP_INDEX_URL"], "PIP_INDEX_URL")
	s.add("extra indexes", &s.Extra, strings.Fields(env["PIP_EXTRA_INDEX_URL"]), "PIP_EXTRA_INDEX_URL")
	s.add("find-links", &s.FindLinks, strings.Fields(env["PIP_FIND_LINKS"]), "PIP_FIND_LINKS")
	s.set("certificates", &s.Cert, env["PIP_CERT"], "PIP_CERT")
	s.set("proxy", &s.Proxy, env["PIP_PROXY"], "PIP_PROXY")
	s.Keyring = s.Keyring || env["PIP_KEYRING_PROVIDER"] == "subprocess"
	var files []string
	if name := env["PIP_CONFIG_FILE"]; name != "" {
		files = append(files, name)
	}
	if venv := env["VIRTUAL_ENV"]; venv != "" {
		files = append(files, filepath.Join(venv, "pip.conf"))
	}
	files = append(files,
		filepath.Join(dirs.Config, "pip", "pip.conf"),
		filepath.Join(dirs.Home, ".pip", "pip.conf"))
	switch runtime.GOOS {
	case "windows":
		files = append(files, filepath.Join(env["APPDATA"], "pip", "pip.ini"), filepath.Join(env["PROGRAMDATA"], "pip", "pip.ini"))
	case "darwin":
		files = append(files, filepath.Join(dirs.Home, "Library", "Application Support", "pip", "pip.conf"), "/Library/Application Support/pip/pip.conf")
	}
	for dir := range strings.SplitSeq(env["XDG_CONFIG_DIRS"], ":") {
		if dir != "" {
			files = append(files, filepath.Join(dir, "pip", "pip.conf"))
		}
	}
	files = append(files, filepath.Join(dirs.System, "pip.conf"))
	for _, name := range files {
		for key, value := range readINI(name) {
			switch key {
			case "global.index-url", "install.index-url":
				s.set("index", &s.Index, value, name)
			case "global.extra-index-url", "install.extra-index-url":
				s.add("extra indexes", &s.Extra, strings.Fields(value), name)
			case "global.find-links", "install.find-links":
				s.add("find-links", &s.FindLinks, strings.Fields(value), name)
			case "global.cert":
				s.set("certificates", &s.Cert, value, name)
			case "global.proxy":
				s.set("proxy", &s.Proxy, value, name)
			case "global.keyring-provider":
				s.Keyring = s.Keyring || value == "subprocess"
			}
		}
	}
}

// readINI reads pip's configuration: sections, "key = value", continuation by indent.
func readINI(name string) map[string]string {
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	out := map[string]string{}
	section, last := "", ""
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		text := strings.TrimSpace(line)
		switch {
		case text == "" || text[0] == '#' || text[0] == ';':
		case text[0] == '[':
			section, last = strings.Trim(text, "[]"), ""
		case (line[0] == ' ' || line[0] == '\t') && last != "":
			out[last] += "\n" + text
		default:
			i := strings.IndexAny(text, "=:")
			if i < 0 {
				continue
			}
			key := strings.ToLower(strings.ReplaceAll(strings.TrimSpace(text[:i]), "_", "-"))
			last = section + "." + key
			out[last] = strings.TrimSpace(text[i+1:])
		}
	}
	return out
}

// builtin asks the pip that is found for the index it was made with.
func builtin(ctx context.Context, env getenv) (value, origin string) {
	ctx, stop := context.WithTimeout(ctx, 20*time.Second)
	defer stop()
	for _, python := range []string{"python3", "python"} {
		path, err := exec.LookPath(python)
		if err != nil {
			continue
		}
		cmd := exec.CommandContext(ctx, path, "-I", "-c", "from pip._internal.models.index import PyPI; print(PyPI.simple_url)")
		cmd.Env = []string{"PATH=" + env["PATH"], "HOME=" + env["HOME"]}
		out, err := cmd.Output()
		if err == nil && strings.HasPrefix(string(out), "http") {
			return strings.TrimSpace(string(out)), "the default of the pip of " + path
		}
	}
	path, err := exec.LookPath("uv")
	if err != nil {
		return "", ""
	}
	cmd := exec.CommandContext(ctx, path, "pip", "compile", "--no-config", "--offline", "--emit-index-url", "--quiet", "-")
	cmd.Env = []string{"PATH=" + env["PATH"], "HOME=" + env["HOME"]}
	out, err := cmd.Output()
	if err != nil {
		return "", ""
	}
	for line := range strings.Lines(string(out)) {
		if v, ok := strings.CutPrefix(line, "--index-url "); ok {
			return strings.TrimSpace(v), "the default of " + path
		}
	}
	return "", ""
}

// Redacted is the index's URL without credentials.
func (s *Settings) Redacted() string { return redact(s.Index) }

// redact takes credentials out of a URL.
func redact(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "(a URL that can't be read)"
	}
	if u.User != nil {
		u.User = url.User("***")
	}
	return u.String()
}

// UVEnv is the environment that makes uv use the same settings.
func (s *Settings) UVEnv(environ []string) []string {
	env := environment(environ)
	out := []string{"UV_DEFAULT_INDEX=" + s.Index}
	if len(s.Extra) > 0 {
		out = append(out, "UV_INDEX="+strings.Join(s.Extra, " "))
	}
	if s.Cert != "" {
		out = append(out, "SSL_CERT_FILE="+s.Cert)
	}
	if s.Proxy != "" {
		out = append(out, "ALL_PROXY="+s.Proxy)
	}
	if s.Keyring {
		out = append(out, "UV_KEYRING_PROVIDER=subprocess")
	}
	for _, k := range []string{"NETRC", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "ALL_PROXY", "all_proxy", "SSL_CERT_DIR"} {
		if v := env[k]; v != "" && !(k == "ALL_PROXY" && s.Proxy != "") {
			out = append(out, k+"="+v)
		}
	}
	if _, ok := env["NETRC"]; !ok && env["HOME"] != "" {
		// uv runs with a home of its own: show it the user's netrc.
		out = append(out, "NETRC="+filepath.Join(env["HOME"], ".netrc"))
	}
	return out
}
