package env

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/truewheel/truewheel/internal/debian"
	"github.com/truewheel/truewheel/internal/index"
	"github.com/truewheel/truewheel/internal/oci"
	"github.com/truewheel/truewheel/internal/rootfs"
	"github.com/truewheel/truewheel/internal/sandbox"
	"github.com/truewheel/truewheel/internal/store"
	"github.com/truewheel/truewheel/internal/uv"
	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/recipe/lock"
)

// Supply brings what environments are made of to this machine: from the
// store, else from the index and the mirrors. It is safe for concurrent use.
type Supply struct {
	Client  *index.Client
	UV      func(context.Context) (*uv.UV, error) // asked for when first needed
	Archive *debian.Archive
	Images  *oci.Fetcher
	From    *oci.Reference // where the images of locks are; nil: registries are asked
	Pythons []Python       // of this machine
	// CargoHome is the directory of the user's cargo configuration; it need not be there.
	CargoHome string

	mu     sync.Mutex // guards what follows
	suites map[string]lock.Environment
}

// Resolve asks uv, or the store when it was asked within a day: what was
// uploaded before a past moment changes no more, but for what is withdrawn.
// The wheels are in the store then.
func (s *Supply) Resolve(ctx context.Context, req uv.Request) ([]lock.Package, error) {
	if req.Python == "" {
		if len(s.Pythons) == 0 {
			return nil, &uv.ResolveError{Detail: "no Python is found here; uv needs one, of any version, to resolve (uv python install gets one)"}
		}
		req.Python = s.Pythons[0].Path
	}
	resolved, err := s.resolution(ctx, req)
	if err != nil {
		return nil, err
	}
	out := make([]lock.Package, len(resolved))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for i, p := range resolved {
		g.Go(func() error {
			at, err := s.Client.Fetch(ctx, pypi.File{Filename: p.Filename, URL: p.URL, SHA256: p.SHA256})
			if err != nil {
				return err
			}
			info, err := os.Stat(at)
			if err != nil {
				return err
			}
			out[i] = lock.Package{
				Name: p.Name, Version: p.Version,
				File: lock.File{PURL: lock.PyPIURL(p.Name, p.Version), Filename: p.Filename, Size: info.Size(), SHA256: p.SHA256},
			}
			return nil
		})
	}
	return out, g.Wait()
}

func (s *Supply) resolution(ctx context.Context, req uv.Request) ([]uv.Resolved, error) {
	key := s.Client.Settings.Redacted() + " " + req.Key()
	req.Offline = s.Client.Settings.Offline
	var kept []uv.Resolved
	if at, ok := s.Client.Store.Cached("resolutions", key, &kept); ok && (req.Offline || !req.Fresh && time.Since(at) < 24*time.Hour) {
		return kept, nil
	}
	tool, err := s.UV(ctx)
	if err != nil {
		return nil, err
	}
	resolved, err := tool.Resolve(ctx, req)
	if err != nil {
		return nil, err
	}
	return resolved, s.Client.Store.Cache("resolutions", key, resolved)
}

// Locate brings a file of a lock into the store: by its hash, from the
// project's page.
func (s *Supply) Locate(ctx context.Context, project string, f lock.File) (string, error) {
	if at, ok := s.Client.Store.Path(f.SHA256); ok {
		return at, nil
	}
	name, err := pypi.ParseName(project)
	if err != nil {
		return "", err
	}
	page, err := s.Client.Page(ctx, name)
	if err != nil {
		return "", err
	}
	for _, have := range page.Files {
		if have.SHA256 == f.SHA256 {
			return s.Client.Fetch(ctx, have)
		}
	}
	return "", fmt.Errorf("the index has no %s with sha256 %s", f.Filename, f.SHA256)
}

// Install installs packages, which are in the store, into e.
//
// On the host uv does it from outside, so that no code of theirs runs before
// the cage is closed. In a root directory uv runs in a cage of its own, with
// the root's interpreter: it writes to e.Dir and sees nothing else.
func (s *Supply) Install(ctx context.Context, e *Environment, rt *sandbox.Runtime, packages []lock.Package) error {
	if len(packages) == 0 {
		return nil
	}
	tool, err := s.UV(ctx)
	if err != nil {
		return err
	}
	var wheels []uv.Wheel
	for _, p := range packages {
		at, err := s.Client.Store.Link(p.SHA256, p.Filename)
		if err != nil {
			return err
		}
		wheels = append(wheels, uv.Wheel{Name: p.Name, Path: at, SHA256: p.SHA256})
	}
	if e.Root != "" {
		return s.installInside(ctx, e, rt, tool, wheels)
	}
	if err := tool.Install(ctx, e.Python.Path, e.Dir, wheels, rt == nil); err != nil {
		return err
	}
	return e.AdoptScripts()
}

func (s *Supply) installInside(ctx context.Context, e *Environment, rt *sandbox.Runtime, tool *uv.UV, wheels []uv.Wheel) error {
	const program, files = "/truewheel/bin/uv", "/truewheel/wheels/"
	mounts := []sandbox.Mount{{Source: tool.Path, Target: program}, {Source: e.Dir, Target: e.Seen, Writable: true}}
	for i, w := range wheels {
		mounts = append(mounts, sandbox.Mount{Source: w.Path, Target: files + filepath.Base(w.Path)})
		wheels[i].Path = files + filepath.Base(w.Path)
	}
	if err := sandbox.Own(e.Dir); err != nil {
		return err
	}
	var said bytes.Buffer
	args, in := uv.InstallInto(e.Executable(), "/tmp/uv", wheels)
	result, err := rt.Run(ctx, sandbox.Spec{
		Argv: append([]string{program}, args...), Root: e.Root, Mounts: mounts, Tmpfs: []string{"/tmp", "/build"}, Umask: 0o022,
		Env:    []string{"PATH=/usr/bin:/bin", "HOME=/tmp", "UV_NO_CONFIG=1", "LC_ALL=C.UTF-8"},
		Limits: sandbox.Limits{Disk: 8 << 30, Memory: 8 << 30}, Stdin: strings.NewReader(in), Stdout: &said, Stderr: &said,
	})
	switch {
	case err != nil:
		return err
	case result.TimedOut || result.OutOfMemory || result.ExitCode != 0:
		return &uv.ResolveError{Detail: strings.TrimSpace(said.String())}
	}
	return nil
}

// Debian resolves an environment of a suite: the packages wanted, those they
// need and the essential ones, as the signed indexes have them now. Versions
// in keep stay as long as they go together with the rest. The root is
// unpacked. A Supply asks once: its environments are all of one moment.
func (s *Supply) Debian(ctx context.Context, suite, architecture string, wanted []string, keep map[string]string) (lock.Environment, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := fmt.Sprint(suite, architecture, wanted, keep)
	if e, ok := s.suites[key]; ok {
		return e, nil
	}
	e, err := s.debian(ctx, suite, architecture, wanted, keep)
	if err == nil {
		if s.suites == nil {
			s.suites = map[string]lock.Environment{}
		}
		s.suites[key] = e
	}
	return e, err
}

func (s *Supply) debian(ctx context.Context, suite, architecture string, wanted []string, keep map[string]string) (lock.Environment, error) {
	e := lock.Environment{Kind: lock.Debian, Suite: suite, Architecture: architecture}
	all, err := s.Archive.Packages(ctx, suite, architecture)
	if err != nil {
		return e, err
	}
	chosen, err := debian.Resolve(all, wanted, keep)
	var impossible *debian.ResolveError
	if errors.As(err, &impossible) && len(keep) > 0 {
		chosen, err = debian.Resolve(all, wanted, nil)
	}
	if err != nil {
		return e, err
	}
	for _, p := range chosen {
		e.Debs = append(e.Debs, lock.Deb{
			Name: p.Name, Version: p.Version, PURL: lock.DebPURL(p.Name, p.Version, p.Architecture), Pool: p.Pool, Size: p.Size, SHA256: p.SHA256,
		})
	}
	for _, name := range wanted {
		name, _, _ = strings.Cut(name, "=")
		e.Requested = append(e.Requested, name)
	}
	e.Root, err = s.MakeRoot(ctx, e.Debs)
	return e, err
}

// Enter is the interpreter of a debian or oci environment, and its root
// directory.
func (s *Supply) Enter(ctx context.Context, e lock.Environment) (Python, string, error) {
	have := debian.Machine()
	if e.Kind == lock.OCI {
		have = oci.Machine()
	}
	if e.Architecture != have {
		return Python{}, "", fmt.Errorf("the environment is for %s, this machine is %s", e.Architecture, have)
	}
	root, err := s.Root(ctx, e)
	if err != nil {
		return Python{}, "", err
	}
	if e.Kind == lock.OCI {
		python, err := s.ociPython(ctx, e)
		return python, root, err
	}
	python, err := DebianPython(e)
	return python, root, err
}

// Roots is the directory of the store that holds unpacked roots, each under
// the digest of its manifest.
const Roots = "roots"

// Root is the root directory of a debian or oci environment, unpacked once. It
// is an error when the packages or the image of e do not give the root that e
// names.
func (s *Supply) Root(ctx context.Context, e lock.Environment) (string, error) {
	made := func() (string, error) { return s.MakeRoot(ctx, e.Debs) }
	what := "packages"
	if e.Kind == lock.OCI {
		what = "image"
		made = func() (string, error) {
			image, err := s.Image(ctx, e)
			if err != nil {
				return "", err
			}
			return s.imageRoot(ctx, image)
		}
	}
	digest, err := made()
	if err != nil {
		return "", err
	}
	if digest != e.Root {
		return "", fmt.Errorf("the root directory made of the lock's %s has the digest %s, not %s: the lock was edited, or made by another version of truewheel", what, digest, e.Root)
	}
	return s.rootDir(digest), nil
}

func (s *Supply) rootDir(digest string) string {
	return filepath.Join(s.Client.Store.Dir(), Roots, digest, "root")
}

// MakeRoot unpacks packages into the store, unless they are, and says with
// which digest.
func (s *Supply) MakeRoot(ctx context.Context, debs []lock.Deb) (string, error) {
	var key strings.Builder
	fmt.Fprintln(&key, rootfs.Version)
	for _, d := range debs {
		fmt.Fprintln(&key, d.Name, d.Version, d.SHA256)
	}
	return s.makeRoot(key.String(), func(dir string) ([]byte, error) {
		files, err := s.debs(ctx, debs)
		if err != nil {
			return nil, err
		}
		return debian.Unpack(ctx, files, dir)
	})
}

// makeRoot keeps what unpack makes of the inputs that key names, and says
// under which digest. It is made once.
func (s *Supply) makeRoot(key string, unpack func(dir string) (manifest []byte, err error)) (string, error) {
	var known string
	if _, ok := s.Client.Store.Cached(Roots, key, &known); ok && known != "" {
		if _, err := os.Stat(s.rootDir(known)); err == nil {
			return known, nil
		}
	}
	digest, err := s.unpackRoot(unpack)
	if err != nil {
		return "", err
	}
	return digest, s.Client.Store.Cache(Roots, key, digest)
}

func (s *Supply) unpackRoot(unpack func(dir string) (manifest []byte, err error)) (string, error) {
	st := s.Client.Store
	tmp, done, err := st.TempDir("root")
	if err != nil {
		return "", err
	}
	defer done()
	fresh := filepath.Join(tmp, "fresh")
	if err := os.MkdirAll(filepath.Join(fresh, "root"), 0o755); err != nil {
		return "", err
	}
	manifest, err := unpack(filepath.Join(fresh, "root"))
	if err != nil {
		return "", err
	}
	digest := rootfs.Digest(manifest)
	if err := errors.Join(
		os.WriteFile(filepath.Join(fresh, "manifest"), manifest, 0o444),
		os.MkdirAll(filepath.Join(st.Dir(), Roots), 0o755),
		store.SyncTree(fresh),
	); err != nil {
		return "", err
	}
	to := filepath.Join(st.Dir(), Roots, digest)
	if err := os.Rename(fresh, to); err != nil {
		if _, there := os.Stat(to); there != nil { // else another process was faster
			return "", err
		}
	}
	return digest, nil
}

// debs brings packages into the store.
func (s *Supply) debs(ctx context.Context, debs []lock.Deb) ([]debian.Deb, error) {
	out := make([]debian.Deb, len(debs))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(6)
	for i, d := range debs {
		g.Go(func() error {
			at, err := s.Deb(ctx, d)
			out[i] = debian.Deb{Name: d.Name, Version: d.Version, Path: at}
			return err
		})
	}
	return out, g.Wait()
}

// Deb brings one package into the store: by its pool path, from the first
// mirror that has it with the lock's sha256.
func (s *Supply) Deb(ctx context.Context, d lock.Deb) (string, error) {
	if at, ok := s.Client.Store.Path(d.SHA256); ok {
		return at, nil
	}
	name := path.Base(d.Pool)
	if s.Client.Settings.Offline {
		return "", fmt.Errorf("fetch: %w", &index.OfflineError{What: name})
	}
	mirrors, err := s.Archive.Mirrors()
	if err != nil {
		return "", fmt.Errorf("fetch %s: %w", name, err)
	}
	var errs []error
	for _, mirror := range append(append([]string{}, mirrors.Main...), mirrors.Security...) {
		at, _, err := s.Client.FetchURL(ctx, mirror+"/"+d.Pool, d.SHA256)
		if err == nil {
			return at, nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if errors.Is(err, syscall.ENOSPC) {
			return "", err // it is not the mirrors' fault
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("no mirror has %s %s with the lock's sha256 (a bundle or a snapshot archive given as --mirror would): %w", d.Name, d.Version, errors.Join(errs...))
}

// DebianPython is the interpreter of a root directory made of debs.
func DebianPython(e lock.Environment) (Python, error) {
	suite, err := debian.ParseSuite(e.Suite)
	if err != nil {
		return Python{}, err
	}
	for _, d := range e.Debs {
		if d.Name != "python"+suite.Python+"-minimal" {
			continue
		}
		version := d.Version
		if i := strings.LastIndexByte(version, '-'); i >= 0 {
			version = version[:i]
		}
		p := Python{Path: "/usr/bin/python" + suite.Python, Base: "/usr", Version: version, Platform: uv.Platform(debian.Machines[e.Architecture], suite.Glibc)}
		if _, err := fmt.Sscanf(suite.Python, "%d.%d", &p.Minor[0], &p.Minor[1]); err != nil {
			return Python{}, err
		}
		return p, nil
	}
	return Python{}, fmt.Errorf("the environment has no python%s-minimal", suite.Python)
}
