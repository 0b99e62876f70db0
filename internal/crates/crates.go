// Package crates brings the crates that a Cargo.lock names here, each checked
// against the sha256 that stands there, and lays them out for a cargo without
// network (a directory source, "Source Replacement" in the Cargo Book).
package crates

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"golang.org/x/sync/errgroup"

	"github.com/truewheel/truewheel/internal/index"
	"github.com/truewheel/truewheel/recipe/lock"
)

// A Crate is a package of a registry.
type Crate struct{ Name, Version, SHA256 string }

var (
	crateName    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,63}$`)
	crateVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]{0,64}$`)
)

// maxCrate bounds what one crate unpacks to; maxCrates counts those of a lock.
const (
	maxCrate  = 512 << 20
	maxCrates = 5000
)

// Parse reads a Cargo.lock: the crates that come from a registry. Crates of
// the project itself have no source; those of a repository are an error,
// since nothing there names their bytes.
func Parse(data []byte) ([]Crate, error) {
	var doc struct {
		Package []struct{ Name, Version, Source, Checksum string }
	}
	if err := toml.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("read Cargo.lock: %w", err)
	}
	if len(doc.Package) > maxCrates {
		return nil, fmt.Errorf("read Cargo.lock: %d crates", len(doc.Package))
	}
	var out []Crate
	for _, p := range doc.Package {
		switch {
		case p.Source == "":
		case strings.HasPrefix(p.Source, "git+"):
			return nil, fmt.Errorf("read Cargo.lock: %s comes from a repository, by no sha256", p.Name)
		case !strings.HasPrefix(p.Source, "registry+") && !strings.HasPrefix(p.Source, "sparse+"):
			return nil, fmt.Errorf("read Cargo.lock: %s comes from %q", p.Name, p.Source)
		case !crateName.MatchString(p.Name) || !crateVersion.MatchString(p.Version) || !lock.IsSum(p.Checksum):
			return nil, fmt.Errorf("read Cargo.lock: %q %q with checksum %q is no crate", p.Name, p.Version, p.Checksum)
		default:
			out = append(out, Crate{p.Name, p.Version, p.Checksum})
		}
	}
	return out, nil
}

var builtin = regexp.MustCompile(`sparse\+(https://[A-Za-z0-9.-]+/)`)

// FindIndex is the URL of the registry's sparse index: where the user's cargo
// is told to look by source replacement (config.toml in home), else the one
// built into the program cargo.
func FindIndex(home, cargo string) (string, error) {
	for _, name := range []string{"config.toml", "config"} {
		data, err := os.ReadFile(filepath.Join(home, name))
		if err != nil {
			continue
		}
		var doc struct {
			Source map[string]struct {
				Registry    string
				ReplaceWith string `toml:"replace-with"`
			}
		}
		if err := toml.Unmarshal(data, &doc); err != nil {
			return "", fmt.Errorf("read %s of cargo: %w", name, err)
		}
		for at := doc.Source["crates-io"].ReplaceWith; at != ""; at = doc.Source[at].ReplaceWith {
			if u, ok := strings.CutPrefix(doc.Source[at].Registry, "sparse+"); ok {
				return u, nil
			}
			if doc.Source[at].ReplaceWith == at {
				break
			}
		}
	}
	f, err := os.Open(cargo)
	if err != nil {
		return "", fmt.Errorf("find the registry of crates: %w", err)
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<20)
	at := builtin.FindReaderSubmatchIndex(r)
	if at == nil {
		return "", errors.New("find the registry of crates: cargo names none")
	}
	text := make([]byte, at[3]-at[2])
	if _, err := f.ReadAt(text, int64(at[2])); err != nil {
		return "", err
	}
	return string(text), nil
}

// Fetch brings crates into the store. find says where the registry is, and is
// only asked when one is not there yet.
func Fetch(ctx context.Context, c *index.Client, find func() (string, error), crates []Crate) error {
	var missing []Crate
	for _, k := range crates {
		if _, ok := c.Store.Path(k.SHA256); !ok {
			missing = append(missing, k)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if c.Settings.Offline {
		return fmt.Errorf("fetch: %w", &index.OfflineError{What: missing[0].Name + "-" + missing[0].Version + ".crate"})
	}
	at, err := find()
	if err != nil {
		return err
	}
	download, err := downloads(ctx, c, at)
	if err != nil {
		return fmt.Errorf("ask the registry of crates: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(6)
	for _, k := range missing {
		g.Go(func() error {
			_, _, err := c.FetchURL(ctx, place(download, k), k.SHA256)
			return err
		})
	}
	return g.Wait()
}

// downloads is the template of URLs that a sparse index gives in config.json.
func downloads(ctx context.Context, c *index.Client, at string) (string, error) {
	file, _, err := c.FetchURL(ctx, strings.TrimSuffix(at, "/")+"/config.json", "")
	if err != nil {
		return "", err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	var doc struct{ DL string }
	if err := json.Unmarshal(data, &doc); err != nil {
		return "", err
	}
	if u, err := url.Parse(doc.DL); err != nil || u.Scheme != "https" && u.Scheme != "http" {
		return "", fmt.Errorf("it says %q for downloads", doc.DL)
	}
	return doc.DL, nil
}

// place is the URL of a crate ("Index Format" in the Cargo Book).
func place(template string, k Crate) string {
	if !strings.Contains(template, "{") {
		return template + "/" + k.Name + "/" + k.Version + "/download"
	}
	prefix := map[int]string{1: "1", 2: "2", 3: "3/" + k.Name[:1]}[len(k.Name)]
	if prefix == "" {
		prefix = k.Name[:2] + "/" + k.Name[2:4]
	}
	return strings.NewReplacer("{crate}", k.Name, "{version}", k.Version, "{prefix}", prefix, "{lowerprefix}", strings.ToLower(prefix), "{sha256-checksum}", k.SHA256).Replace(template)
}

// Config is cargo's configuration for crates that lie in dir.
func Config(dir string) string {
	return fmt.Sprintf("[source.crates-io]\nreplace-with = \"locked\"\n\n[source.locked]\ndirectory = %q\n\n[net]\noffline = true\n", dir)
}

// Unpack lays crates out in dir, which it makes; open opens one by its sha256.
func Unpack(ctx context.Context, crates []Crate, dir string, open func(sha256 string) (*os.File, error)) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, k := range crates {
		if err := ctx.Err(); err != nil {
			return err
		}
		f, err := open(k.SHA256)
		if err == nil {
			err = errors.Join(unpack(k, f, filepath.Join(dir, k.Name+"-"+k.Version)), f.Close())
		}
		if err != nil {
			return fmt.Errorf("unpack crate %s %s: %w", k.Name, k.Version, err)
		}
	}
	return nil
}

func unpack(k Crate, r io.Reader, dir string) error {
	if err := os.Mkdir(dir, 0o755); errors.Is(err, os.ErrExist) {
		return nil // named by two Cargo.locks
	} else if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	z, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	t := tar.NewReader(io.LimitReader(z, maxCrate))
	top := k.Name + "-" + k.Version + "/"
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		name, ok := strings.CutPrefix(path.Clean(h.Name), top)
		if !ok || !filepath.IsLocal(name) {
			return fmt.Errorf("member %q lies outside of %s", h.Name, top)
		}
		if h.Typeflag == tar.TypeDir {
			continue
		}
		if h.Typeflag != tar.TypeReg {
			return fmt.Errorf("member %q is no file", h.Name)
		}
		if err := write(root, name, h, t); err != nil {
			return err
		}
	}
	sums, err := json.Marshal(map[string]any{"files": map[string]string{}, "package": k.SHA256})
	if err != nil {
		return err
	}
	return root.WriteFile(".cargo-checksum.json", sums, 0o644)
}

// write makes a file of a crate. cargo writes one time for all; so do we.
func write(root *os.Root, name string, h *tar.Header, r io.Reader) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644|os.FileMode(h.Mode)&0o111)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	at := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)
	return root.Chtimes(name, at, at)
}
