package project

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/truewheel/truewheel/internal/build"
	"github.com/truewheel/truewheel/internal/store"
	"github.com/truewheel/truewheel/recipe/lock"
)

// A bundle is an uncompressed tar: truewheel.lock first, then every file that
// it names, as files/SHA256, in the lock's order. It depends on the lock alone.

// inputs are all files of a lock, each with a way to get it.
func (w *Workshop) inputs(ctx context.Context, l *lock.Lock) ([]string, error) {
	var sums []string
	locate := func(f lock.File) error {
		sums = append(sums, f.SHA256)
		_, err := w.Supply.Locate(ctx, project(f.PURL), f)
		return err
	}
	var errs []error
	if l.Source != nil {
		errs = append(errs, locate(*l.Source))
	}
	if l.UV != nil {
		errs = append(errs, locate(*l.UV))
	}
	for _, p := range l.Packages {
		errs = append(errs, locate(p.File))
	}
	if l.Environment.Kind == lock.OCI {
		image, err := w.Supply.Image(ctx, l.Environment)
		if errs = append(errs, err); err == nil {
			sums = append(sums, image.Blobs()...)
		}
	}
	for _, d := range l.Environment.Debs {
		sums = append(sums, d.SHA256)
		_, err := w.Supply.Deb(ctx, d)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	crates, err := w.crates(ctx, l)
	return append(sums, crates...), err
}

// crates are the sums of those that the source of a lock names: it is a
// source distribution, and its Cargo.lock has their sha256.
func (w *Workshop) crates(ctx context.Context, l *lock.Lock) ([]string, error) {
	rust := slices.ContainsFunc(l.Environment.Debs, func(d lock.Deb) bool { return d.Name == "cargo" }) || l.Environment.Kind == lock.OCI
	if l.Source == nil || !rust {
		return nil, nil
	}
	at, err := w.Supply.Locate(ctx, project(l.Source.PURL), *l.Source)
	if err != nil {
		return nil, err
	}
	source, err := build.OpenSource(ctx, l.Source.Filename, "", at, w.Sdist)
	if err != nil {
		return nil, err
	}
	defer source.Close()
	root, err := w.Supply.Root(ctx, l.Environment)
	if err != nil {
		return nil, err
	}
	named, err := build.Crates(ctx, w.Supply, root, source)
	var sums []string
	for _, k := range named {
		sums = append(sums, k.SHA256)
	}
	return sums, err
}

// Fetch brings everything that a lock names into the store and says how many files.
func (w *Workshop) Fetch(ctx context.Context, l *lock.Lock) (int, error) {
	sums, err := w.inputs(ctx, l)
	return len(sums), err
}

// Bundle packs a lock and all it names into the file name. The interpreter of
// a host environment and the checkout that a lock lies in are not in it.
func (w *Workshop) Bundle(ctx context.Context, l *lock.Lock, name string) error {
	sums, err := w.inputs(ctx, l)
	if err != nil {
		return err
	}
	data, err := l.Marshal()
	if err != nil {
		return err
	}
	r, out := io.Pipe()
	go func() { out.CloseWithError(w.writeBundle(ctx, out, data, sums)) }()
	return errors.Join(store.WriteFrom(name, r), r.Close())
}

func (w *Workshop) writeBundle(ctx context.Context, out io.Writer, data []byte, sums []string) error {
	t := tar.NewWriter(out)
	header := func(name string, size int64) error {
		return t.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatPAX})
	}
	if err := header(LockFile, int64(len(data))); err != nil {
		return err
	}
	if _, err := t.Write(data); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, sum := range sums {
		if seen[sum] {
			continue
		}
		seen[sum] = true
		if err := ctx.Err(); err != nil {
			return err
		}
		at, ok := w.Supply.Client.Store.Path(sum)
		if !ok {
			return fmt.Errorf("%s is no longer in the store", sum)
		}
		f, err := os.Open(at)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		if err == nil {
			err = header("files/"+sum, info.Size())
		}
		if err == nil {
			_, err = io.Copy(t, f)
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return t.Close()
}

// Unbundle brings a bundle's files into the store, each checked against its
// name, and returns the lock. Every file that the lock names has to be there.
func Unbundle(ctx context.Context, st *store.Store, name string) (*lock.Lock, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t := tar.NewReader(f)
	h, err := t.Next()
	if err != nil || h.Name != LockFile || h.Size > 16<<20 {
		return nil, errors.New("it does not begin with a lock: it is no bundle")
	}
	data, err := io.ReadAll(t)
	if err != nil {
		return nil, err
	}
	l, err := lock.Parse(data)
	if err != nil {
		return nil, err
	}
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("it is damaged: %w", err)
		}
		sum := filepath.Base(h.Name)
		if h.Name != "files/"+sum || !lock.IsSum(sum) || h.Typeflag != tar.TypeReg {
			return nil, fmt.Errorf("member %q is not one of a bundle", h.Name)
		}
		if _, ok := st.Path(sum); ok {
			continue
		}
		if _, _, err := st.Put(ctx, sum, t); err != nil {
			return nil, fmt.Errorf("member %s: %w", h.Name, err)
		}
	}
	if again, err := l.Marshal(); err != nil || !bytes.Equal(again, data) {
		return nil, errors.Join(errors.New("its lock was edited by hand"), err)
	}
	return l, nil
}
