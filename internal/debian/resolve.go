package debian

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pault.ag/go/debian/dependency"
	"pault.ag/go/debian/version"
)

// A ResolveError says what can't be had.
type ResolveError struct{ Detail string }

func (e *ResolveError) Error() string { return "resolve Debian packages: " + e.Detail }

func unresolved(format string, args ...any) error {
	return &ResolveError{fmt.Sprintf(format, args...)}
}

// Resolve picks the packages of a root: the essential ones, those wanted, and
// all they depend on, sorted by name. The newest version of a package wins,
// or the one in keep (name to version), while an index still has it. A wanted
// NAME=VERSION is taken at its word. The result depends on nothing but its
// arguments.
func Resolve(all []Package, wanted []string, keep map[string]string) ([]Package, error) {
	r := &resolver{byName: map[string]*Package{}, providers: map[string][]provider{}, chosen: map[string]*Package{}}
	keep = maps.Clone(keep)
	if keep == nil {
		keep = map[string]string{}
	}
	for i, w := range wanted {
		if name, v, ok := strings.Cut(w, "="); ok {
			wanted = slices.Clone(wanted)
			wanted[i], keep[name] = name, v
			if !slices.ContainsFunc(all, func(p Package) bool { return p.Name == name && p.Version == v }) {
				return nil, unresolved("there is no %s %s", name, v)
			}
		}
	}
	for i := range all {
		p := &all[i]
		have := r.byName[p.Name]
		switch {
		case have == nil, keep[p.Name] == p.Version:
			r.byName[p.Name] = p
		case keep[p.Name] == have.Version:
		case version.Compare(p.version, have.version) > 0:
			r.byName[p.Name] = p
		}
	}
	// Of several providers of one thing a required package is preferred.
	names := slices.SortedFunc(maps.Keys(r.byName), func(a, b string) int {
		x, y := r.byName[a], r.byName[b]
		if x.Required != y.Required {
			if x.Required {
				return -1
			}
			return 1
		}
		return cmp.Compare(a, b)
	})
	for _, name := range names {
		p := r.byName[name]
		if p.Provides != "" {
			if err := r.provide(p); err != nil {
				return nil, err
			}
		}
		if p.Essential {
			r.queue = append(r.queue, p)
		}
	}
	for _, w := range slices.Sorted(slices.Values(wanted)) {
		p := r.byName[w]
		if p == nil {
			return nil, unresolved("there is no package %s", w)
		}
		r.queue = append(r.queue, p)
	}
	for _, p := range r.queue { // before their dependencies: alternatives prefer what is there
		r.chosen[p.Name] = p
	}
	for len(r.queue) > 0 {
		p := r.queue[0]
		r.queue = r.queue[1:]
		if err := r.follow(p); err != nil {
			return nil, err
		}
	}
	out := make([]Package, 0, len(r.chosen))
	for _, p := range r.chosen {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b Package) int { return cmp.Compare(a.Name, b.Name) })
	return out, r.conflicts(out)
}

type provider struct {
	p *Package
	v *version.Version // nil: no version is provided
}

type resolver struct {
	byName    map[string]*Package
	providers map[string][]provider
	chosen    map[string]*Package
	queue     []*Package
}

func (r *resolver) provide(p *Package) error {
	d, err := dependency.Parse(p.Provides)
	if err != nil {
		return unresolved("%s: Provides: %v", p.Name, err)
	}
	for _, q := range d.GetAllPossibilities() {
		pr := provider{p: p}
		if q.Version != nil {
			v, err := version.Parse(q.Version.Number)
			if err != nil {
				return unresolved("%s: Provides: %v", p.Name, err)
			}
			pr.v = &v
		}
		r.providers[q.Name] = append(r.providers[q.Name], pr)
	}
	return nil
}

// satisfies reports whether p is what q asks for.
func satisfies(p *Package, q dependency.Possibility) bool {
	return p.Name == q.Name && (q.Version == nil || q.Version.SatisfiedBy(p.version))
}

func (pr provider) satisfies(q dependency.Possibility) bool {
	return q.Version == nil || pr.v != nil && q.Version.SatisfiedBy(*pr.v)
}

// follow chooses what p depends on.
func (r *resolver) follow(p *Package) error {
	for _, field := range []string{p.PreDepends, p.Depends} {
		if field == "" {
			continue
		}
		d, err := dependency.Parse(field)
		if err != nil {
			return unresolved("%s: Depends: %v", p.Name, err)
		}
		for _, relation := range d.Relations {
			if r.met(relation) {
				continue
			}
			next := r.best(relation)
			if next == nil {
				return unresolved("%s needs %s, which is not to be had", p.Name, relation)
			}
			r.chosen[next.Name] = next
			r.queue = append(r.queue, next)
		}
	}
	return nil
}

func (r *resolver) met(relation dependency.Relation) bool {
	for _, q := range relation.Possibilities {
		if p := r.chosen[q.Name]; p != nil && satisfies(p, q) {
			return true
		}
		for _, pr := range r.providers[q.Name] {
			if r.chosen[pr.p.Name] == pr.p && pr.satisfies(q) {
				return true
			}
		}
	}
	return false
}

// best is the first alternative that is a package, else the first that one
// provides; of several providers a required one, and then the one whose name
// comes first.
func (r *resolver) best(relation dependency.Relation) *Package {
	for _, q := range relation.Possibilities {
		if p := r.byName[q.Name]; p != nil && satisfies(p, q) {
			return p
		}
		for _, pr := range r.providers[q.Name] { // they were added in that order
			if pr.satisfies(q) {
				return pr.p
			}
		}
	}
	return nil
}

// conflicts refuses packages that say they can't be together.
func (r *resolver) conflicts(chosen []Package) error {
	for i := range chosen {
		p := &chosen[i]
		for _, field := range []string{p.Conflicts, p.Breaks} {
			if field == "" {
				continue
			}
			d, err := dependency.Parse(field)
			if err != nil {
				return unresolved("%s: Conflicts: %v", p.Name, err)
			}
			for _, q := range d.GetAllPossibilities() {
				if other := r.chosen[q.Name]; other != nil && other.Name != p.Name && satisfies(other, q) {
					return unresolved("%s and %s can't be installed together", p.Name, other.Name)
				}
				for _, pr := range r.providers[q.Name] {
					if r.chosen[pr.p.Name] == pr.p && pr.p.Name != p.Name && pr.satisfies(q) {
						return unresolved("%s and %s can't be installed together", p.Name, pr.p.Name)
					}
				}
			}
		}
	}
	return nil
}
