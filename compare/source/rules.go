package source

import (
	"bytes"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/truewheel/truewheel/pypi"
)

// A rule says what generated a file; sure when its contents show that.
type rule func(c *comparison, name string, text, was []byte, there bool) (by string, sure, ok bool)

// rules in order; the first that knows a file counts.
var rules = []rule{pkgInfo, eggInfo, setupCfg, versionFile, versioneer, literalSetup, pbr, cython, autotools, gettext}

// pkgInfo is the metadata of this release, at the top.
func pkgInfo(c *comparison, name string, text, _ []byte, there bool) (by string, sure, ok bool) {
	return "the build backend: metadata", true, name == "PKG-INFO" && !there && c.metadata(text)
}

// metadata reports whether a text is metadata of the release that is compared.
func (c *comparison) metadata(text []byte) bool {
	if !plain(text) {
		return false
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(unix(text))) {
		if line == "\n" {
			break
		}
		key, value, ok := strings.Cut(line, ":")
		if ok && fields[key] == "" {
			fields[key] = strings.TrimSpace(value)
		}
	}
	name, err := pypi.ParseName(fields["Name"])
	return err == nil && name == c.name && fields["Metadata-Version"] != "" && pypi.SameVersion(fields["Version"], c.version.String())
}

var (
	identifierPath = regexp.MustCompile(`^[\pL_][\pL\pN_./-]*$`)
	requirement    = regexp.MustCompile(`^(\[[^\]]*\]|[A-Za-z0-9][^;]*(;.*)?)$`)
	entryPoint     = regexp.MustCompile(`^(\[[^\]]+\]|[^=\[]+=\s*[\pL_][\pL\pN_.]*(\s*:\s*[\pL_][\pL\pN_.]*)?(\s*\[[^\]]*\])?)$`)
)

// eggInfo are the files of setuptools' *.egg-info directories.
func eggInfo(c *comparison, name string, text, _ []byte, there bool) (by string, sure, ok bool) {
	dir, base := path.Split(name)
	if there || !strings.HasSuffix(dir, ".egg-info/") || !plain(text) {
		return "", false, false
	}
	lines := func(fits func(string) bool) bool {
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !fits(line) {
				return false
			}
		}
		return true
	}
	switch base {
	case "PKG-INFO":
		ok = c.metadata(text)
	case "SOURCES.txt":
		ok = lines(func(s string) bool { return len(s) < 1024 })
	case "dependency_links.txt":
		ok = lines(func(s string) bool { return strings.Contains(s, "://") })
	case "not-zip-safe", "zip-safe":
		ok = lines(func(string) bool { return false })
	case "top_level.txt", "namespace_packages.txt", "native_libs.txt":
		ok = lines(identifierPath.MatchString)
	case "requires.txt":
		ok = lines(requirement.MatchString)
	case "entry_points.txt":
		ok = lines(func(s string) bool {
			return strings.HasPrefix(s, "#") || strings.HasPrefix(s, ";") || entryPoint.MatchString(s)
		})
	case "pbr.json":
		ok = bytes.HasPrefix(text, []byte("{")) && len(text) < 1024
	}
	return "setuptools: egg-info", true, ok
}

// setupCfg: setuptools writes the file anew, without comments, with the tags
// of [egg_info] at its end.
func setupCfg(_ *comparison, name string, text, was []byte, _ bool) (by string, sure, ok bool) {
	if name != "setup.cfg" || !plain(text) {
		return "", false, false
	}
	now, before := ini(string(text)), ini(string(was))
	for _, key := range []string{"tag_build", "tag_date", "tag_svn_revision"} {
		if v := now["egg_info\x00"+key]; v == "" || v == "0" {
			delete(now, "egg_info\x00"+key)
			delete(before, "egg_info\x00"+key)
		}
	}
	return "setuptools: setup.cfg", true, maps.Equal(now, before)
}

// ini is an ini file by section and key; spaces and comments do not count.
func ini(text string) map[string]string {
	out := map[string]string{}
	section, key := "", ""
	for line := range strings.Lines(text) {
		bare := strings.TrimSpace(line)
		switch {
		case bare == "" || bare[0] == '#' || bare[0] == ';':
		case bare[0] == '[' && bare[len(bare)-1] == ']' && line[0] == '[':
			section, key = bare[1:len(bare)-1], ""
		case (line[0] == ' ' || line[0] == '\t') && key != "":
			out[key] += "\n" + bare
		default:
			i := strings.IndexAny(bare, "=:")
			if i < 0 {
				i = len(bare)
			}
			key = section + "\x00" + strings.TrimSpace(bare[:i])
			out[key] += strings.TrimLeft(bare[i:], "=: \t")
		}
	}
	for k, v := range out {
		out[k] = strings.TrimPrefix(v, "\n")
	}
	return out
}

// versionFile holds the version and nothing that does anything: assignments of
// literals, as setuptools-scm, hatch-vcs and others write them.
func versionFile(c *comparison, name string, text, _ []byte, _ bool) (by string, sure, ok bool) {
	base := strings.ToLower(path.Base(name))
	if !plain(text) || !strings.Contains(base, "version") && !strings.Contains(base, "about") || len(text) > 16<<10 {
		return "", false, false
	}
	holds := strings.Contains(string(text), c.version.String()) || strings.Contains(string(text), c.version.Original())
	switch path.Ext(base) {
	case ".py", ".pyi":
		p, whole := scan(string(text))
		ok = whole && holds && p.literal(nil)
	case ".txt", "", ".in":
		ok = holds && len(bytes.Fields(text)) == 1
	}
	return "a version file", true, ok
}

// versionJSON is what versioneer puts in place of its code.
var versionJSON = regexp.MustCompile(`^import json\s+(?:import sys\s+)?version_json = '''\s*\{[^'\\]*\}\s*'''\s+def get_versions\(\):\s+return json\.loads\(version_json\)\s*$`)

var commentLine = regexp.MustCompile(`(?m)[ \t]*#.*$`)

func versioneer(_ *comparison, _ string, text, _ []byte, _ bool) (by string, sure, ok bool) {
	return "versioneer", true, plain(text) && len(text) < 16<<10 && versionJSON.MatchString(strings.TrimSpace(commentLine.ReplaceAllString(string(unix(text)), "")))
}

// literalSetup is a setup.py of literals and one call of setup(), as poetry and flit write one.
func literalSetup(_ *comparison, name string, text, _ []byte, there bool) (by string, sure, ok bool) {
	if name != "setup.py" || there || !plain(text) {
		return "", false, false
	}
	p, whole := scan(string(text))
	imports := slices.DeleteFunc(slices.Clone(p.imports), func(s string) bool { return s == "setuptools" || s == "distutils.core" })
	return "the build backend: a setup.py of literals", true, whole && len(imports) == 0 && slices.Equal(p.calls, []string{"setup"}) && p.literal(p.calls)
}

// pbr writes names and messages of commits.
func pbr(c *comparison, name string, text, _ []byte, there bool) (by string, sure, ok bool) {
	if there || name != "AUTHORS" && name != "ChangeLog" || !plain(text) {
		return "", false, false
	}
	for _, file := range []string{"setup.py", "pyproject.toml"} {
		if data, err := c.commit.Tree.ReadFile(file); err == nil && bytes.Contains(data, []byte("pbr")) {
			return "pbr", false, true
		}
	}
	return "", false, false
}

func cython(c *comparison, name string, text, _ []byte, there bool) (by string, sure, ok bool) {
	ext := path.Ext(name)
	if there || !slices.Contains([]string{".c", ".cpp", ".cxx", ".h"}, ext) || !bytes.HasPrefix(text, []byte("/* Generated by Cython ")) {
		return "", false, false
	}
	version, _, _ := strings.Cut(string(text[len("/* Generated by Cython "):]), " ")
	stem := strings.TrimSuffix(name, ext)
	for _, source := range []string{stem + ".pyx", stem + ".py"} {
		if c.has(source) {
			return "Cython " + version + " of " + source + ", it says", false, true
		}
	}
	return "", false, false
}

func (c *comparison) has(name string) bool {
	_, ok := c.there[path.Join(c.commit.Tree.Project, name)]
	return ok
}

// autotools: each is of a file that has to be in the commit.
var autotools rule = func(c *comparison, name string, text, _ []byte, there bool) (by string, sure, ok bool) {
	if there {
		return "", false, false
	}
	dir, base := path.Split(name)
	head := text[:min(len(text), 4096)]
	for _, t := range []struct{ base, says, tool, from string }{
		{"configure", "Generated by GNU Autoconf", "Autoconf", "configure.ac"},
		{"configure", "Generated by GNU Autoconf", "Autoconf", "configure.in"},
		{"Makefile.in", "generated by automake", "Automake", "Makefile.am"},
		{"aclocal.m4", "generated automatically by aclocal", "aclocal", "configure.ac"},
		{"config.h.in", "Generated from configure.ac by autoheader", "autoheader", "configure.ac"},
	} {
		if base == t.base && bytes.Contains(head, []byte(t.says)) && c.has(dir+t.from) {
			return t.tool + " of " + dir + t.from + ", it says", false, true
		}
	}
	return "", false, false
}

// gettext: a .mo file of a .po file.
func gettext(c *comparison, name string, text, _ []byte, there bool) (by string, sure, ok bool) {
	stem, mo := strings.CutSuffix(name, ".mo")
	magic := bytes.HasPrefix(text, []byte("\xde\x12\x04\x95")) || bytes.HasPrefix(text, []byte("\x95\x04\x12\xde"))
	if there || !mo || !magic || !c.has(stem+".po") {
		return "", false, false
	}
	return "gettext of " + stem + ".po", false, true
}

// expanded: the texts are equal but where $Format:…$ was.
func expanded(was, now string) bool {
	if !strings.Contains(was, "$Format:") {
		return false
	}
	pattern := regexp.QuoteMeta(was)
	pattern = formatField.ReplaceAllString(pattern, `[^'"\n]*`)
	re, err := regexp.Compile(`^` + pattern + `$`)
	return err == nil && len(was) < 64<<10 && re.MatchString(now)
}

// formatField is a field of export-subst, as QuoteMeta writes it.
var formatField = regexp.MustCompile(`\\\$Format:[^$\n]*\\\$`)
