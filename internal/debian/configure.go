package debian

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/truewheel/truewheel/internal/rootfs"
)

// BuildUser is the user of builds in every root; root's cages run as it.
const BuildUser = "build:x:65533:65533:build:/build:/bin/sh\n"

// configure makes what a build needs of the effects of maintainer scripts,
// which are never run: users and groups, alternatives, /bin/sh, dpkg's list
// of what is installed, the loader's cache, and files of /etc that tell
// nothing of the machine.
func (t *tree) configure(packages []installed) error {
	passwd, group := t.Text("usr/share/base-passwd/passwd.master"), t.Text("usr/share/base-passwd/group.master")
	if passwd == "" || group == "" {
		passwd, group = "root:*:0:0:root:/root:/bin/sh\n", "root:*:0:\n"
	}
	var list strings.Builder
	var errs []error
	for _, p := range packages {
		name := p.fields["Package"]
		if p.fields["Multi-Arch"] == "same" {
			name += ":" + p.fields["Architecture"]
		}
		fmt.Fprintf(&list, "%s\n\n", statusStanza(p.stanza))
		errs = append(errs, t.Make("var/lib/dpkg/info/"+name+".list", strings.Join(p.files, "\n")+"\n"))
	}
	errs = append(errs,
		t.Make("var/lib/dpkg/info/format", "1\n"),
		t.Make("var/lib/dpkg/status", list.String()),
		t.Make("etc/passwd", passwd+BuildUser),
		t.Make("etc/group", group+"build:x:65533:\n"),
		t.Make("etc/hosts", "127.0.0.1 localhost build\n::1 localhost\n"),
		t.Make("etc/hostname", "build\n"),
		t.Make("etc/resolv.conf", ""),
		t.Make("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
	)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := t.alternatives(packages); err != nil {
		return err
	}
	if _, n := t.Real("usr/bin/sh"); n == nil {
		if _, dash := t.Real("usr/bin/dash"); dash != nil {
			if err := t.Symlink("usr/bin/sh", &rootfs.Node{Kind: rootfs.Link, Mode: 0o777, Target: "dash"}); err != nil {
				return err
			}
		}
	}
	cache, err := t.loaderCache()
	if err != nil || cache == "" {
		return err
	}
	return t.Make("etc/ld.so.cache", cache)
}

// statusStanza is a control file as /var/lib/dpkg/status has it.
func statusStanza(stanza string) string {
	first, rest, _ := strings.Cut(strings.TrimSpace(stanza), "\n")
	return first + "\nStatus: install ok installed\n" + rest
}

// alternative is one offer for a generic name (update-alternatives(1)).
type alternative struct {
	link, name, path string
	priority         int
	slaves           []alternative
}

var install = regexp.MustCompile(`update-alternatives\s[^;&|\n]*--install[^;&|\n]*`)

// offers are the alternatives that a postinst installs, of those written out:
// one whose words hold variables can't be known without running it.
func offers(postinst string) []alternative {
	postinst = strings.ReplaceAll(postinst, "\\\n", " ")
	var out []alternative
	for _, command := range install.FindAllString(postinst, -1) {
		words := strings.Fields(command)
		i := slices.Index(words, "--install")
		if strings.ContainsAny(command, "$`\"'") || len(words) < i+5 {
			continue
		}
		a := alternative{link: words[i+1], name: words[i+2], path: words[i+3]}
		var err error
		if a.priority, err = strconv.Atoi(words[i+4]); err != nil {
			continue
		}
		for w := words[i+5:]; len(w) >= 4; w = w[1:] {
			if w[0] == "--slave" {
				a.slaves = append(a.slaves, alternative{link: w[1], name: w[2], path: w[3]})
			}
		}
		out = append(out, a)
	}
	return out
}

// alternatives links each generic name to the offer with the highest
// priority; of equal ones to the path that comes first.
func (t *tree) alternatives(packages []installed) error {
	best := map[string]alternative{}
	for _, p := range packages {
		for _, a := range offers(p.postinst) {
			if _, n := t.Real(a.path); n == nil || !path.IsAbs(a.link) || strings.ContainsAny(a.name, "/\x00") || a.name == "" {
				continue
			}
			have, ok := best[a.name]
			if !ok || a.priority > have.priority || a.priority == have.priority && a.path < have.path {
				best[a.name] = a
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(best)) {
		for _, a := range append([]alternative{best[name]}, best[name].slaves...) {
			if err := t.alternative(a); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tree) alternative(a alternative) error {
	target, n := t.Real(a.path)
	if n == nil || target == "" || !path.IsAbs(a.link) || strings.ContainsAny(a.name, "/\x00") {
		return nil // a manual page that is not there
	}
	at, err := t.Resolve(strings.Trim(path.Clean(a.link), "/"))
	if err != nil || t.Get(at) != nil {
		return err // a package has the file itself
	}
	generic := "etc/alternatives/" + a.name
	if t.Get(generic) != nil {
		return nil
	}
	return errors.Join(
		t.Symlink(generic, &rootfs.Node{Kind: rootfs.Link, Mode: 0o777, Target: a.path}),
		t.Parents(at),
		t.Symlink(at, &rootfs.Node{Kind: rootfs.Link, Mode: 0o777, Target: "/" + generic}),
	)
}
