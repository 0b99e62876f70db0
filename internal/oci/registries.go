package oci

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// registries is what is used of containers-registries.conf(5).
type registries struct {
	Search  []string          `toml:"unqualified-search-registries"`
	Aliases map[string]string `toml:"aliases"` // short name to HOST/NAME
}

const systemConf = "/etc/containers/registries.conf"

// confFiles are the files to read, the later the stronger. A variable, or the
// user's own file, replaces that of the system; the .d directories add.
func confFiles(environ []string) []string {
	lookup := func(name string) string {
		for _, kv := range slices.Backward(environ) {
			if v, ok := strings.CutPrefix(kv, name+"="); ok {
				return v
			}
		}
		return ""
	}
	if file := lookup("CONTAINERS_REGISTRIES_CONF"); file != "" {
		return []string{file}
	}
	user := lookup("XDG_CONFIG_HOME")
	if user == "" {
		if home := lookup("HOME"); home != "" {
			user = filepath.Join(home, ".config")
		}
	}
	files := []string{systemConf}
	drop := []string{systemConf + ".d"}
	if user != "" {
		file := filepath.Join(user, "containers", "registries.conf")
		if _, err := os.Stat(file); err == nil {
			files = []string{file}
		}
		drop = append(drop, file+".d")
	}
	for _, dir := range drop {
		more, err := filepath.Glob(filepath.Join(dir, "*.conf"))
		if err == nil { // else the directory's name has a bracket
			slices.Sort(more)
			files = append(files, more...)
		}
	}
	return files
}

func readRegistries(environ []string) (registries, error) {
	out := registries{Aliases: map[string]string{}}
	for _, name := range confFiles(environ) {
		data, err := os.ReadFile(name)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return out, err
		}
		var one registries
		if err := toml.Unmarshal(data, &one); err != nil {
			return out, fmt.Errorf("read %s: %w", name, err)
		}
		if one.Search != nil {
			out.Search = one.Search
		}
		for k, v := range one.Aliases {
			out.Aliases[k] = v
		}
	}
	return out, nil
}

// qualify gives a short name its hosts, in the order to ask them.
func qualify(r Reference, environ []string) ([]Reference, error) {
	if r.Host != "" {
		return []Reference{r}, nil
	}
	conf, err := readRegistries(environ)
	if err != nil {
		return nil, err
	}
	with := func(full string) (Reference, error) {
		q, err := ParseReference(full)
		if err == nil && (q.Transport != Registry || q.Host == "") {
			err = fmt.Errorf("registries.conf says %q, which names no registry", full)
		}
		q.Tag, q.Digest = r.Tag, r.Digest
		return q, err
	}
	if alias := conf.Aliases[r.Name]; alias != "" {
		q, err := with(alias)
		return []Reference{q}, err
	}
	var out []Reference
	for _, host := range conf.Search {
		q, err := with(host + "/" + r.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, q)
	}
	if len(out) == 0 {
		return nil, ErrShortName
	}
	return out, nil
}
