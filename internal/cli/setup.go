package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/truewheel/truewheel/internal/debian"
	"github.com/truewheel/truewheel/internal/env"
	"github.com/truewheel/truewheel/internal/git"
	"github.com/truewheel/truewheel/internal/index"
	"github.com/truewheel/truewheel/internal/oci"
	"github.com/truewheel/truewheel/internal/provenance"
	"github.com/truewheel/truewheel/internal/rebuild"
	"github.com/truewheel/truewheel/internal/sandbox"
	"github.com/truewheel/truewheel/internal/store"
	"github.com/truewheel/truewheel/internal/uv"
	"github.com/truewheel/truewheel/recipe/lock"
	"github.com/truewheel/truewheel/sdist"
	"github.com/truewheel/truewheel/wheel"
	"github.com/truewheel/truewheel/wheel/deflate"
)

// common are the flags that most verbs have.
type common struct {
	index    string
	offline  bool
	cacheDir string
	maxSize  int64
	maxRatio int64
}

func (c *common) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&c.index, "index", "", "`URL` of the package index (default: the one your installer uses)")
	f.BoolVar(&c.offline, "offline", false, "fetch nothing: use what is in the store")
	c.registerStore(cmd)
	c.registerLimits(cmd)
}

func (c *common) registerLimits(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Int64Var(&c.maxSize, "max-size", 4<<30, "refuse archives whose contents are larger, in `bytes`")
	f.Int64Var(&c.maxRatio, "max-ratio", 0, "refuse members and archives compressed more than `N` times (default 1032 for wheels, 200 for sources)")
}

func (c *common) registerStore(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.cacheDir, "cache-dir", "", "`directory` of the store (default: $XDG_CACHE_HOME/truewheel)")
}

func (c *common) wheelLimits() wheel.Limits {
	return wheel.Limits{MaxSize: c.maxSize, MaxRatio: c.maxRatio}
}

func (c *common) sdistLimits() sdist.Limits {
	return sdist.Limits{MaxSize: c.maxSize, MaxRatio: c.maxRatio}
}

func (c *common) openStore() (*store.Store, error) {
	dir := c.cacheDir
	if dir == "" {
		var err error
		if dir, err = store.DefaultDir(); err != nil {
			return nil, err
		}
	}
	return store.Open(dir)
}

// client opens the store and the index.
func (a *app) client(ctx context.Context, c *common) (*index.Client, error) {
	st, err := c.openStore()
	if err != nil {
		return nil, err
	}
	// Asking an installer for its default takes a moment: remembered for a day.
	var builtin string
	if at, ok := st.Cached("settings", "builtin", &builtin); !ok || time.Since(at) > 24*time.Hour {
		builtin = ""
	}
	settings, err := index.Discover(ctx, index.Config{Index: c.index, Offline: c.offline, Environ: a.environ, Builtin: builtin})
	if err != nil {
		return nil, err
	}
	if settings.Builtin && builtin == "" {
		if err := st.Cache("settings", "builtin", settings.Index); err != nil {
			return nil, err
		}
	}
	return index.New(settings, st, a.environ)
}

// rootFlags say what attestations are verified with.
type rootFlags struct{ file string }

func (r *rootFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.file, "trusted-root", "", "verify attestations with this trusted_root.json, a `file` (default: $TRUEWHEEL_TRUSTED_ROOT, then that of an installed sigstore)")
}

// trustedRoot reads the root that was given, or the one that the package
// sigstore of an interpreter here carries; nil when there is none.
func (a *app) trustedRoot(r *rootFlags, pythons []env.Python) (*provenance.TrustedRoot, error) {
	name := r.file
	if name == "" {
		name, _ = a.lookup("TRUEWHEEL_TRUSTED_ROOT")
	}
	if name == "" {
		name = installedRoot(pythons)
		if data, err := os.ReadFile(name); err == nil {
			// One that can't be read is as good as none: nobody asked for it.
			root, _ := provenance.ParseRoot(data)
			return root, nil
		}
		return nil, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read trusted root: %w", err)
	}
	return provenance.ParseRoot(data)
}

// installedRoot is where the package sigstore keeps its root, "" for nowhere.
// What it keeps for staging is no root to trust.
func installedRoot(pythons []env.Python) string {
	for _, p := range pythons {
		for _, lib := range []string{"lib/python*/site-packages", "Lib/site-packages"} {
			names, err := filepath.Glob(filepath.Join(p.Base, lib, "sigstore/_store/*/trusted_root.json"))
			if err != nil {
				continue // no pattern of ours is malformed, but a directory's name may look like one
			}
			for _, name := range names {
				if !strings.Contains(filepath.Base(filepath.Dir(name)), "stag") {
					return name
				}
			}
		}
	}
	return ""
}

// cageFlags are the flags of verbs that build.
type cageFlags struct {
	runtime   string
	noCage    bool
	timeout   time.Duration
	memory    int64
	disk      int64
	processes int64
}

// register adds the flags; native builds get more by default.
func (c *cageFlags) register(cmd *cobra.Command, native bool) {
	f := cmd.Flags()
	timeout, memory, disk := 30*time.Minute, int64(4<<30), int64(2<<30)
	if native {
		timeout, memory, disk = 3*time.Hour, 12<<30, 10<<30
	}
	f.StringVar(&c.runtime, "runtime", "", "OCI runtime to build with, a `program` (default: runc, then crun)")
	f.BoolVar(&c.noCage, "no-cage", false, "build without isolation: the report says so, and the build can do what you can")
	f.DurationVar(&c.timeout, "timeout", timeout, "time for one build")
	f.Int64Var(&c.memory, "max-memory", memory, "memory for one build, in `bytes`")
	f.Int64Var(&c.disk, "max-disk", disk, "disk for one build, in `bytes`")
	f.Int64Var(&c.processes, "max-processes", 512, "processes of one build")
}

// mirrorFlags say where Debian's packages, and images, are.
type mirrorFlags struct {
	mirrors []string
	image   string
}

func (m *mirrorFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&m.mirrors, "mirror", nil, "`URL` of a Debian mirror or snapshot archive (default: apt's sources); again for more")
	cmd.Flags().StringVar(&m.image, "image", "", "where the `image` of an oci environment is: HOST/NAME[:TAG][@DIGEST], oci:DIRECTORY[:TAG] or docker-archive:FILE (default: by name, where registries.conf says)")
}

// reference is --image, nil without.
func (m *mirrorFlags) reference() (*oci.Reference, error) {
	if m.image == "" {
		return nil, nil
	}
	r, err := oci.ParseReference(m.image)
	if err != nil {
		return nil, &usageError{err}
	}
	return &r, nil
}

func (m *mirrorFlags) archive(client *index.Client) *debian.Archive {
	return &debian.Archive{Client: client, Mirrors: func() (debian.Mirrors, error) { return debian.FindMirrors("/etc/apt", m.mirrors) }}
}

// rebuilder sets up everything that a rebuild needs.
func (a *app) rebuilder(ctx context.Context, c *common, cage *cageFlags, m *mirrorFlags) (*rebuild.Rebuilder, error) {
	client, err := a.client(ctx, c)
	if err != nil {
		return nil, err
	}
	st := client.Store
	from, err := m.reference()
	if err != nil {
		return nil, err
	}
	b := &rebuild.Rebuilder{
		Supply: &env.Supply{Client: client, UV: a.lazyUV(client), Archive: m.archive(client), From: from, Images: &oci.Fetcher{Store: st, Offline: c.offline, Environ: a.environ}},
		Limits: sandbox.Limits{Time: cage.timeout, Memory: cage.memory, Processes: cage.processes, Disk: cage.disk},
		Wheel:  c.wheelLimits(), Sdist: c.sdistLimits(),
	}
	if b.Supply.CargoHome, _ = a.lookup("CARGO_HOME"); b.Supply.CargoHome == "" {
		if home, ok := a.lookup("HOME"); ok {
			b.Supply.CargoHome = filepath.Join(home, ".cargo")
		}
	}
	b.Git = &git.Fetcher{Store: st, Environ: a.environ, MaxSize: c.maxSize, Offline: c.offline}
	// It lives as long as the process.
	if b.Encoders, err = deflate.NewCached(ctx, c.codeCache()); err != nil {
		return nil, err
	}
	if b.Supply.Pythons, err = env.Pythons(ctx, a.environ, st); err != nil {
		return nil, err
	}
	if cage.noCage {
		b.Uncaged = "--no-cage"
		return b, nil
	}
	b.Runtime, err = sandbox.Find(ctx, cage.runtime, filepath.Join(st.Dir(), "cages"))
	var unavailable *sandbox.UnavailableError
	switch {
	case errors.As(err, &unavailable) && cage.runtime == "":
		b.Uncaged = unavailable.Reason
	case err != nil:
		return nil, err
	}
	return b, nil
}

// lazyUV gets uv once, when it is first needed; a failure is tried again.
func (a *app) lazyUV(client *index.Client) func(context.Context) (*uv.UV, error) {
	var mu sync.Mutex // guards found
	var found *uv.UV
	return func(ctx context.Context) (*uv.UV, error) {
		mu.Lock()
		defer mu.Unlock()
		if found != nil {
			return found, nil
		}
		var err error
		found, err = a.uv(ctx, client)
		return found, err
	}
}

// uvFile is the uv that is used here, as a lock names it.
func uvFile() (lock.File, error) {
	r, err := uv.For()
	return lock.File{PURL: lock.PyPIURL("uv", uv.Version), Filename: r.Filename, Size: r.Size, SHA256: r.SHA256}, err
}

// uv makes the pinned uv available.
func (a *app) uv(ctx context.Context, client *index.Client) (*uv.UV, error) {
	release, err := uv.For()
	if err != nil {
		return nil, err
	}
	path, ok := client.Store.Path(release.SHA256)
	if !ok {
		page, err := client.Page(ctx, "uv")
		if err != nil {
			return nil, fmt.Errorf("get uv %s: %w", uv.Version, err)
		}
		for _, f := range page.Files {
			if f.SHA256 == release.SHA256 {
				if path, err = client.Fetch(ctx, f); err != nil {
					return nil, fmt.Errorf("get uv %s: %w", uv.Version, err)
				}
			}
		}
		if path == "" {
			return nil, fmt.Errorf("get uv %s: the index has no %s with the sha256 that is known", uv.Version, release.Filename)
		}
	}
	exe, err := uv.Unpack(ctx, path, release, filepath.Join(client.Store.Dir(), "tools"))
	if err != nil {
		return nil, err
	}
	return &uv.UV{Path: exe, Cache: filepath.Join(client.Store.Dir(), "uv"), Env: client.Settings.UVEnv(a.environ)}, nil
}
