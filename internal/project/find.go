package project

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/truewheel/truewheel/pypi"
	"github.com/truewheel/truewheel/recipe/lock"
)

// Find says in r what text means: a directory with a checkout, the file of a
// source distribution, or a release of the index.
func (w *Workshop) Find(ctx context.Context, text string, r *Request) error {
	if strings.Contains(text, "==") {
		return w.findRelease(ctx, text, r)
	}
	info, err := os.Stat(text)
	if err != nil {
		return err
	}
	if info.IsDir() {
		_, errToml := os.Stat(filepath.Join(text, "pyproject.toml"))
		_, errSetup := os.Stat(filepath.Join(text, "setup.py"))
		if errToml != nil && errSetup != nil {
			return fmt.Errorf("%s has neither pyproject.toml nor setup.py: it is no project", text)
		}
		r.Dir = text
		return nil
	}
	f, err := os.Open(text)
	if err != nil {
		return err
	}
	_, sum, err := w.Supply.Client.Store.Put(ctx, "", f)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	name, version, err := sdistName(filepath.Base(text))
	if err != nil {
		return err
	}
	r.Source = &lock.File{PURL: lock.PyPIURL(name, version), Filename: filepath.Base(text), Size: info.Size(), SHA256: sum}
	return nil
}

// sdistName takes a file name apart that ends in NAME-VERSION.tar.gz or .zip.
func sdistName(filename string) (name, version string, err error) {
	stem := strings.TrimSuffix(strings.TrimSuffix(filename, ".tar.gz"), ".zip")
	left, right, ok := cutLast(stem, "-")
	if !ok || stem == filename {
		return "", "", fmt.Errorf("%s is not the file name of a source distribution (NAME-VERSION.tar.gz)", filename)
	}
	n, err := pypi.ParseName(left)
	if err != nil {
		return "", "", err
	}
	v, err := pypi.ParseVersion(right)
	return string(n), v.String(), err
}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func (w *Workshop) findRelease(ctx context.Context, text string, r *Request) error {
	left, right, _ := strings.Cut(text, "==")
	name, err := pypi.ParseName(strings.TrimSpace(left))
	if err != nil {
		return err
	}
	version, err := pypi.ParseVersion(strings.TrimSpace(right))
	if err != nil {
		return err
	}
	page, err := w.Supply.Client.Page(ctx, name)
	if err != nil {
		return err
	}
	_, sdists := page.Release(name, version)
	if len(sdists) == 0 {
		return fmt.Errorf("the index has no source distribution of %s==%s", name, version)
	}
	best := pypi.BestSdist(sdists)
	at, err := w.Supply.Client.Fetch(ctx, best)
	if err != nil {
		return err
	}
	info, err := os.Stat(at)
	if err != nil {
		return err
	}
	r.Source = &lock.File{PURL: lock.PyPIURL(string(name), version.String()), Filename: best.Filename, Size: info.Size(), SHA256: best.SHA256}
	return nil
}
