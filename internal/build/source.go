package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/truewheel/truewheel/internal/crates"
	"github.com/truewheel/truewheel/recipe"
	"github.com/truewheel/truewheel/sdist"
)

// Source is a source distribution that was read.
type Source struct {
	Filename string
	Tree     *sdist.Tree
	System   sdist.BuildSystem
	Size     int64

	file   *os.File
	limits sdist.Limits
}

// OpenSource reads the source distribution at path, of which the project is
// all, or a directory. The error is about what it holds, but for a cancelled
// context.
func OpenSource(ctx context.Context, filename, project, path string, limits sdist.Limits) (*Source, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	s := &Source{Filename: filename, file: f, limits: limits}
	info, err := f.Stat()
	if err == nil {
		s.Size = info.Size()
		s.Tree, err = sdist.OpenProject(ctx, filename, project, f, s.Size, limits)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return s, nil
}

// ReadSystem finds out which backend builds it.
func (s *Source) ReadSystem() (err error) {
	s.System, err = s.Tree.BuildSystem()
	return err
}

// crates are those that the source's Cargo.locks name. A source that says
// itself where cargo finds its crates needs none.
func (s *Source) crates() ([]crates.Crate, error) {
	var out []crates.Crate
	for _, e := range s.Tree.Entries {
		name := e.Name
		if p := s.Tree.Project; p != "" {
			var below bool
			if name, below = strings.CutPrefix(name, p+"/"); !below {
				continue
			}
		}
		switch base := path.Base(name); {
		case strings.HasSuffix(name, ".cargo/config.toml"):
			if data, err := s.Tree.ReadFile(name); err == nil && strings.Contains(string(data), "replace-with") {
				return nil, nil
			}
		case base == "Cargo.lock" && !e.Dir && e.Symlink == "":
			data, err := s.Tree.ReadFile(name)
			if err != nil {
				return nil, err
			}
			found, err := crates.Parse(data)
			if err != nil {
				return nil, &Failure{Class: "resolve", Detail: e.Name + ": " + err.Error()}
			}
			out = append(out, found...)
		}
	}
	return out, nil
}

// Close closes the file.
func (s *Source) Close() error { return s.file.Close() }

// Unpack writes the tree as the recipe says below dir, which it makes.
func (s *Source) Unpack(ctx context.Context, rec recipe.Recipe, dir string) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	zone, err := location(rec.SourceZone)
	if err != nil {
		return err
	}
	_, err = sdist.Unpack(ctx, s.Filename, s.file, s.Size, dir, s.limits, sdist.UnpackOptions{
		Mode: func(stored uint32, dir bool) uint32 { return sourceMode(rec, stored, dir) },
		Time: func(stored time.Time) time.Time { return sourceTime(rec, s.Tree.Zip, zone, stored) },
	})
	if err == nil && rec.SourceGit == recipe.Hidden {
		err = os.RemoveAll(filepath.Join(dir, s.Tree.Top, ".git"))
	}
	return err
}

// sourceMode is the mode a file of the source is unpacked with.
func sourceMode(r recipe.Recipe, stored uint32, dir bool) uint32 {
	switch {
	case dir:
		return (stored | 0o700) &^ r.Umask
	case r.SourceModes == "raw":
		return stored
	case r.SourceModes == "data":
		return sdist.DataFilter(r.Umask)(stored, dir)
	}
	return (stored | 0o600) &^ r.Umask
}

// sourceTime is the time a file of the source is unpacked with.
func sourceTime(r recipe.Recipe, zip bool, zone *time.Location, stored time.Time) time.Time {
	switch {
	case !r.SourceTime.IsZero():
		return r.SourceTime
	case zip:
		// Stored as local time and read as UTC: say which zone it was.
		y, m, d := stored.Date()
		return time.Date(y, m, d, stored.Hour(), stored.Minute(), stored.Second(), 0, zone)
	}
	return stored
}

// location is the zone that a POSIX TZ string names, of those that package
// infer writes: a fixed one ("LOC+7:30"), or one with summer time by the
// rules of the United States, the European Union or Sydney.
func location(tz string) (*time.Location, error) {
	if tz == "" {
		return time.UTC, nil
	}
	if rest, ok := strings.CutPrefix(tz, "LOC"); ok && len(rest) > 1 {
		hours, minutes, _ := strings.Cut(rest[1:], ":")
		h, err := strconv.Atoi(hours)
		m := 0
		if err == nil && minutes != "" {
			m, err = strconv.Atoi(minutes)
		}
		if err != nil {
			return nil, fmt.Errorf("time zone %q: %w", tz, err)
		}
		seconds := h*3600 + m*60
		if rest[0] == '+' {
			seconds = -seconds // POSIX counts westward
		}
		return time.FixedZone(tz, seconds), nil
	}
	return time.LoadLocationFromTZData(tz, tzFile(tz))
}

// tzFile is a zoneinfo file (RFC 8536, version 2) with one transition before
// all wheels: what comes after it follows the rule in its footer.
func tzFile(tz string) []byte {
	header := func(transitions byte) []byte {
		b := append([]byte("TZif2"), make([]byte, 15)...)
		return append(b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, transitions, 0, 0, 0, 1, 0, 0, 0, 4)
	}
	utc := []byte{0, 0, 0, 0, 0, 0, 'U', 'T', 'C', 0} // one local time type
	b := append(header(0), utc...)
	b = append(b, header(1)...)
	b = append(b, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0) // when, and to which type
	b = append(b, utc...)
	return append(b, []byte("\n"+tz+"\n")...)
}
