package rebuild

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/truewheel/truewheel/internal/debian"
	"github.com/truewheel/truewheel/recipe/lock"
)

// looked are the words in which tools say that a file is missing, and where
// it would lie; %s is what the words name, ARCH the architecture's directory.
// Where the words name nothing the path has the name.
var looked = []struct {
	words *regexp.Regexp
	paths []string
}{
	{regexp.MustCompile(`fatal error: ([A-Za-z0-9_./+-]+\.(?:h|hpp|hh)): No such file`), []string{"usr/include/%s", "usr/include/ARCH/%s", "usr/include/**/%s"}},
	{regexp.MustCompile(`fatal error: ([A-Za-z0-9_./+-]+): No such file`), []string{"usr/include/%s", "usr/include/ARCH/%s"}},
	{regexp.MustCompile(`(?:headers|library files)[a-z ]* (?:could not be found for|not found for) ([A-Za-z0-9_.+-]+)`), []string{"usr/lib/ARCH/lib%s.so", "usr/include/%s.h", "usr/lib/ARCH/pkgconfig/%s.pc"}},
	{regexp.MustCompile(`the (lib[A-Za-z0-9_.+-]+)(?: and \S+)? development packages`), []string{"usr/lib/ARCH/%s.so"}},
	{regexp.MustCompile(`the \S+ and (lib[A-Za-z0-9_.+-]+) development packages`), []string{"usr/lib/ARCH/%s.so"}},
	{regexp.MustCompile(`cannot find -l([A-Za-z0-9_.+-]+)`), []string{"usr/lib/ARCH/lib%s.so", "usr/lib/lib%s.so"}},
	{regexp.MustCompile(`(?:Dependency "?|No package '|Package ')([A-Za-z0-9_.+-]+)(?:"|') ?(?:not )?(?:found|, required|was not)`), []string{"usr/lib/ARCH/pkgconfig/%s.pc", "usr/share/pkgconfig/%s.pc"}},
	{regexp.MustCompile(`Dependency ([A-Za-z0-9_.+-]+) found: NO`), []string{"usr/lib/ARCH/pkgconfig/%s.pc", "usr/share/pkgconfig/%s.pc"}},
	{regexp.MustCompile(`(?m)(?:^|[ /:])([a-z][a-z0-9_.+-]+): (?:command )?not found`), []string{"usr/bin/%s"}},
	{regexp.MustCompile(`No such file or directory: '([a-z][a-z0-9_.+-]+)'`), []string{"usr/bin/%s"}},
	{regexp.MustCompile(`Program '?([a-z][a-z0-9_.+-]+)'? (?:not found|found: NO)`), []string{"usr/bin/%s"}},
	{regexp.MustCompile(`command '([a-z][a-z0-9_.+-]+)' failed: No such file`), []string{"usr/bin/%s"}},
	{regexp.MustCompile(`Unknown compiler\(s\): \[\['([a-z][a-z0-9_.+-]+)'`), []string{"usr/bin/%s"}},
	{regexp.MustCompile(`can't find Rust compiler`), []string{"usr/bin/rustc"}},
	{regexp.MustCompile("The system library `([A-Za-z0-9_.+-]+)` required by crate"), []string{"usr/lib/ARCH/pkgconfig/%s.pc"}},
	{regexp.MustCompile(`(?:CM|cm)ake (?:is )?(?:unavailable|not found)`), []string{"usr/bin/cmake"}},
	{regexp.MustCompile(`(cargo)[,\w ]* is not installed or is not on PATH`), []string{"usr/bin/%s"}},
}

// wants are the files that a build's log says were looked for in vain.
func wants(log, triplet string) []debian.Want {
	var out []debian.Want
	for _, l := range looked {
		for _, m := range l.words.FindAllStringSubmatch(log, 64) {
			name := path.Base(l.paths[0])
			if len(m) > 1 {
				name = strings.TrimPrefix(m[1], "./")
			}
			if name == "" || strings.Contains(name, "..") || slices.ContainsFunc(out, func(w debian.Want) bool { return w.What == name }) || len(out) == 16 {
				continue
			}
			w := debian.Want{What: name}
			for _, p := range l.paths {
				w.Paths = append(w.Paths, strings.NewReplacer("ARCH", triplet, "%s", name).Replace(p))
			}
			out = append(out, w)
		}
	}
	return out
}

// supply adds the packages that a try missed to those that the next one gets,
// and says which; "" when none is known.
func (r *run) supply(ctx context.Context, a attempt) (string, error) {
	if r.used.Kind != lock.Debian || r.evidence.Native == nil || r.target.Lock != nil {
		return "", nil
	}
	missing := wants(string(a.log), debian.Machines[r.used.Architecture]+"-linux-gnu")
	if len(missing) == 0 {
		return "", nil
	}
	found, err := r.Supply.Archive.Providers(ctx, r.used.Suite, r.used.Architecture, missing)
	if err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		r.report.Notes = append(r.report.Notes, fmt.Sprintf("which package has %s can't be told: %v", missing[0].What, err))
		return "", nil
	}
	var why []string
	for _, w := range missing {
		if pkg := found[w.What]; pkg != "" && !slices.Contains(r.debs, pkg) && !r.have(pkg) {
			r.debs = append(r.debs, pkg)
			why = append(why, fmt.Sprintf("%s, which has %s", pkg, w.What))
		}
	}
	if len(why) == 0 {
		return "", nil
	}
	return "with " + strings.Join(why, "; "), nil
}

// have reports whether the environment has a package.
func (r *run) have(pkg string) bool {
	return slices.ContainsFunc(r.used.Debs, func(d lock.Deb) bool { return d.Name == pkg })
}
