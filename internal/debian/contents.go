package debian

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Want is a file that a build looked for in vain.
type Want struct {
	What string // as the build names it: "yaml.h", "-lz", "openblas", "cmake"
	// Paths are where it would lie, below the root, the likeliest first. A
	// path that ends in "/**/" and a name is that name in any directory below.
	Paths []string
}

// Providers says which package of a suite has what is wanted, by Want.What; of
// several the first by the want's paths, then one for development, then the
// one with the shortest name. What none has is left out. It reads Debian's
// Contents indices, which name the files of all packages, as the mirror has
// them: many mirrors lag behind with these, so that the signed sums do not fit.
// An answer is a hint, and no more: the package comes from the signed index.
func (a *Archive) Providers(ctx context.Context, suite, arch string, wants []Want) (map[string]string, error) {
	mirrors, err := a.Mirrors()
	if err != nil {
		return nil, err
	}
	names := []string{"main/Contents-" + arch + ".gz", "main/Contents-all.gz"}
	found := make([]map[string]provision, len(names))
	g, ctx := errgroup.WithContext(ctx)
	for i, name := range names {
		g.Go(func() error {
			return a.ask(ctx, mirrors.Main, suite, func(mirror string) error {
				f, err := a.contents(ctx, mirror+"/dists/"+suite+"/"+name)
				if err != nil {
					return err
				}
				defer f.Close()
				z, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<20))
				if err == nil {
					found[i], err = findProviders(io.LimitReader(z, 4*maxIndex), wants)
				}
				if err != nil {
					return fmt.Errorf("read %s: %w", name, err)
				}
				return nil
			})
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, w := range wants {
		best := found[0][w.What].better(found[1][w.What])
		if best.pkg != "" {
			out[w.What] = best.pkg
		}
	}
	return out, nil
}

// contents opens a Contents file, fetched anew after a week.
func (a *Archive) contents(ctx context.Context, at string) (*os.File, error) {
	st := a.Client.Store
	var sum string
	kept, ok := st.Cached("contents", at, &sum)
	file, there := st.Path(sum)
	if !ok || !there || time.Since(kept) > 7*24*time.Hour && !a.Client.Settings.Offline {
		var err error
		if file, sum, err = a.Client.FetchURL(ctx, at, ""); err != nil {
			return nil, err
		}
		if err := st.Cache("contents", at, sum); err != nil {
			return nil, err
		}
	}
	return os.Open(file)
}

// provision is a package that has a file that is wanted.
type provision struct {
	pkg  string
	rank int // of its path among those wanted
	dev  bool
}

func (p provision) better(q provision) provision {
	switch {
	case q.pkg == "":
		return p
	case p.pkg == "" || q.rank < p.rank:
		return q
	case q.rank > p.rank:
		return p
	case p.dev != q.dev:
		if q.dev {
			return q
		}
		return p
	case len(q.pkg) < len(p.pkg) || len(q.pkg) == len(p.pkg) && q.pkg < p.pkg:
		return q
	}
	return p
}

// findProviders reads a Contents file: lines of a path and, after white space,
// SECTION/PACKAGE, of several with commas between.
func findProviders(r io.Reader, wants []Want) (map[string]provision, error) {
	type place struct {
		what, below, end string // the path itself, or a directory and how the path ends
		rank             int
	}
	byBase := map[string][]place{}
	for _, w := range wants {
		for i, p := range w.Paths {
			below, base, deep := strings.Cut(p, "/**/")
			if !deep {
				base = p
			} else {
				below, base = below+"/", "/"+base
			}
			byBase[path.Base(base)] = append(byBase[path.Base(base)], place{w.What, below, base, i})
		}
	}
	out := map[string]provision{}
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 4<<20)
	for sc.Scan() {
		line := sc.Text()
		i := strings.LastIndexAny(line, " \t")
		if i < 0 {
			continue
		}
		file := strings.TrimRight(line[:i], " \t")
		base := file[strings.LastIndexByte(file, '/')+1:]
		for _, want := range byBase[base] {
			if file != want.below && !(strings.HasSuffix(want.below, "/") && strings.HasPrefix(file, want.below) && strings.HasSuffix(file, want.end)) {
				continue
			}
			for _, qualified := range strings.Split(line[i+1:], ",") {
				pkg := path.Base(qualified)
				if !packageName.MatchString(pkg) {
					continue
				}
				p := provision{pkg, 100*want.rank + strings.Count(file, "/"), strings.HasPrefix(qualified, "libdevel/")}
				out[want.what] = p.better(out[want.what])
			}
		}
	}
	return out, sc.Err()
}
