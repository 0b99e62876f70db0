package wheel

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// RecordLine is a line of RECORD (PEP 376, 427).
type RecordLine struct {
	Path      string
	Algorithm string // "sha256"; "" when there is no hash
	Digest    string // URL-safe base64 without padding
	Size      int64  // -1 when there is none
}

// ParseRecord reads RECORD: CSV of path, hash and size, in UTF-8.
func ParseRecord(data []byte) ([]RecordLine, error) {
	if !utf8.Valid(data) {
		return nil, errors.New("read RECORD: it is not UTF-8")
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.FieldsPerRecord = 3
	var out []RecordLine
	for {
		f, err := r.Read()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read RECORD: %w", err)
		}
		line := RecordLine{Path: f[0], Size: -1}
		if f[1] != "" {
			var ok bool
			if line.Algorithm, line.Digest, ok = strings.Cut(f[1], "="); !ok {
				return nil, fmt.Errorf("read RECORD: %q has hash %q", f[0], f[1])
			}
		}
		if f[2] != "" {
			if line.Size, err = strconv.ParseInt(f[2], 10, 64); err != nil || line.Size < 0 {
				return nil, fmt.Errorf("read RECORD: %q has size %q", f[0], f[2])
			}
		}
		out = append(out, line)
	}
}

// Suspicion is something in a readable wheel that deserves a look.
type Suspicion struct {
	Member string `json:"member"`
	Detail string `json:"detail"`
}

// maxRecord bounds RECORD: 65,535 lines of long names.
const maxRecord = 64 << 20

// CheckRecord says where RECORD and the archive disagree: a wrong hash or
// size, a member that is missing on one side, a name that stands twice, a
// hash weaker than sha256. Hashes of sha256, sha384 and sha512 are checked.
func (a *Archive) CheckRecord(ctx context.Context) ([]Suspicion, error) {
	dir, err := a.DistInfo()
	if err != nil {
		return nil, err
	}
	name := dir + "/RECORD"
	if a.Find(name) < 0 {
		return []Suspicion{{name, "is missing"}}, nil
	}
	data, err := a.ReadFile(name, maxRecord)
	if err != nil {
		return nil, err
	}
	lines, err := ParseRecord(data)
	if err != nil {
		return []Suspicion{{name, err.Error()}}, nil
	}
	sums, err := a.Sums(ctx)
	if err != nil {
		return nil, err
	}
	var out []Suspicion
	flag := func(member, format string, args ...any) {
		out = append(out, Suspicion{member, fmt.Sprintf(format, args...)})
	}
	listed := map[string]bool{}
	for _, l := range lines {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if listed[l.Path] {
			flag(l.Path, "stands twice in RECORD")
			continue // nor is it hashed again
		}
		listed[l.Path] = true
		i := a.Find(l.Path)
		if i < 0 {
			flag(l.Path, "stands in RECORD and is not in the archive")
			continue
		}
		signature := l.Path == name || l.Path == name+".jws" || l.Path == name+".p7s"
		switch {
		case l.Algorithm == "" && !signature:
			flag(l.Path, "has no hash in RECORD")
		case l.Algorithm != "" && !slices.Contains([]string{"sha256", "sha384", "sha512"}, l.Algorithm):
			flag(l.Path, "has a %s hash in RECORD, weaker than sha256", l.Algorithm)
		case l.Algorithm != "":
			sum, err := a.digest(i, l.Algorithm, sums[i])
			if err != nil {
				return nil, err
			}
			if l.Digest != base64.RawURLEncoding.EncodeToString(sum) {
				flag(l.Path, "has another hash in RECORD than in the archive")
			}
		}
		if l.Size >= 0 && l.Size != a.Entries[i].Size {
			flag(l.Path, "has size %d in RECORD and %d in the archive", l.Size, a.Entries[i].Size)
		}
	}
	for _, e := range a.Entries {
		if !e.IsDir() && !listed[e.Name] && e.Name != name && e.Name != name+".jws" && e.Name != name+".p7s" {
			flag(e.Name, "is not in RECORD")
		}
	}
	return out, nil
}

// digest is the hash of entry i, whose sha256 is known.
func (a *Archive) digest(i int, algorithm string, known [32]byte) ([]byte, error) {
	if algorithm == "sha256" {
		return known[:], nil
	}
	h := sha512.New()
	if algorithm == "sha384" {
		h = sha512.New384()
	}
	r, err := a.Contents(i)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(h, r)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", a.Filename, err)
	}
	return h.Sum(nil), nil
}
