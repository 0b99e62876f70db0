package project

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/truewheel/truewheel/internal/store"
	"github.com/truewheel/truewheel/recipe/lock"
)

// ProvenanceDir is the directory beside the wheels that holds their provenance.
const ProvenanceDir = "provenance"

// Schemas of what Seal writes, beside SLSA's own.
const (
	RecordSchema = "truewheel.build/1"
	SealSchema   = "truewheel.seal/1"
)

// Beside is the path of a file that is sealed with a wheel: its provenance
// with that suffix, ".lock" or ".log".
func Beside(wheel, suffix string) string {
	return filepath.Join(filepath.Dir(wheel), ProvenanceDir, filepath.Base(wheel)+suffix)
}

// Manifest is the path of the manifest of an unpacked root.
func Manifest(root string) string { return filepath.Join(filepath.Dir(root), "manifest") }

// Digested is a file and its sha256, lower-case hex.
type Digested struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Record says what one build was given, and what it gave.
type Record struct {
	Schema      string   `json:"schema"`
	Wheel       Digested `json:"wheel"`
	Lock        Digested `json:"lock"`
	Source      Digested `json:"source"`
	Log         Digested `json:"log"`
	Isolation   string   `json:"isolation"` // caged | none
	Environment string   `json:"environment"`
	Root        string   `json:"root,omitempty"` // digest of the root's manifest
	Python      string   `json:"python"`
	// Used are the packages that the backend could import, with versions.
	Used       map[string]string `json:"used,omitempty"`
	Extensions []string          `json:"extensions"`
	Started    string            `json:"started"` // RFC 3339, UTC
	Finished   string            `json:"finished"`
	Ready      float64           `json:"ready_s"`           // seconds until the environment was there
	Build      float64           `json:"build_s"`           // seconds of hooks and repair
	MaxRSS     int64             `json:"max_rss,omitempty"` // bytes
	Builder    string            `json:"builder"`           // "truewheel 0.1.0"
}

// seal is the list of everything that belongs to a wheel, made before any
// test of it runs.
type seal struct {
	Schema string     `json:"schema"`
	Files  []Digested `json:"files"` // names below the output directory
}

// Seal puts a wheel into out, and into out/provenance its SLSA provenance, the
// record, the lock, the log, and last the seal: the sums of all of them.
func Seal(out string, l *lock.Lock, b *Built, version string) (*Record, error) {
	dir := filepath.Join(out, ProvenanceDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	at := func(suffix string) string { return filepath.Join(dir, b.Filename+suffix) }
	// An older seal would be of other bytes: it goes first.
	if err := os.Remove(at(".seal.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	data, err := l.Marshal()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(
		store.CopyFile(b.Path, filepath.Join(out, b.Filename)),
		store.CopyFile(b.Log, at(".log")),
		store.WriteFile(at(".lock"), data),
	); err != nil {
		return nil, err
	}
	r := &Record{
		Schema: RecordSchema, Source: Digested{b.Source.Filename, b.Source.Size, b.Source.SHA256},
		Isolation: b.Isolation, Environment: l.Environment.Kind, Root: l.Environment.Root, Python: l.Python,
		Used: b.Used, Extensions: append([]string{}, l.Recipe.Extensions...), MaxRSS: b.MaxRSS,
		Ready: b.Ready.Seconds(), Build: (b.Finished.Sub(b.Started) - b.Ready).Seconds(),
		Started: b.Started.Format(time.RFC3339), Finished: b.Finished.Format(time.RFC3339), Builder: "truewheel " + version,
	}
	for name, to := range map[string]*Digested{
		b.Filename: &r.Wheel,
		ProvenanceDir + "/" + b.Filename + ".lock": &r.Lock,
		ProvenanceDir + "/" + b.Filename + ".log":  &r.Log,
	} {
		if *to, err = digested(out, name); err != nil {
			return nil, err
		}
	}
	if r.Wheel.SHA256 != b.SHA256 {
		return nil, fmt.Errorf("%s was changed while it was sealed", b.Filename)
	}
	if err := errors.Join(
		writeJSON(at(".build.json"), r),
		writeJSON(at(".slsa.json"), provenance(l, b, r, version)),
	); err != nil {
		return nil, err
	}
	s := seal{Schema: SealSchema}
	for _, name := range []string{b.Filename, r.Lock.Name, r.Log.Name, ProvenanceDir + "/" + b.Filename + ".build.json", ProvenanceDir + "/" + b.Filename + ".slsa.json"} {
		d, err := digested(out, name)
		if err != nil {
			return nil, err
		}
		s.Files = append(s.Files, d)
	}
	slices.SortFunc(s.Files, func(a, b Digested) int { return strings.Compare(a.Name, b.Name) })
	return r, writeJSON(at(".seal.json"), s)
}

func digested(out, name string) (Digested, error) {
	sum, size, err := Sum(filepath.Join(out, filepath.FromSlash(name)))
	return Digested{name, size, sum}, err
}

func writeJSON(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return store.WriteFile(name, append(data, '\n'))
}

// A BrokenError says that something sealed is not what it was.
type BrokenError struct{ Detail string }

func (e *BrokenError) Error() string { return "the seal is broken: " + e.Detail }

// VerifySeal checks every file of the seal of a wheel, or of all wheels in an
// output directory, and returns how many files there are. What is not as it
// was sealed is a *BrokenError.
func VerifySeal(name string) (files int, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, err
	}
	out, pattern := name, "*.seal.json"
	if !info.IsDir() {
		out, pattern = filepath.Dir(name), filepath.Base(name)+".seal.json"
	}
	entries, err := os.ReadDir(filepath.Join(out, ProvenanceDir))
	if err != nil {
		return 0, fmt.Errorf("no seal: %w", err)
	}
	found := false
	for _, e := range entries {
		if ok, _ := filepath.Match(pattern, e.Name()); !ok && e.Name() != pattern {
			continue
		}
		found = true
		n, err := verifyOne(out, filepath.Join(out, ProvenanceDir, e.Name()))
		if err != nil {
			return files, err
		}
		files += n
	}
	if !found {
		return 0, fmt.Errorf("%s has no seal in %s", name, filepath.Join(out, ProvenanceDir))
	}
	return files, nil
}

func verifyOne(out, name string) (int, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	var s seal
	if err := json.Unmarshal(data, &s); err != nil {
		return 0, fmt.Errorf("read %s: %w", name, err)
	}
	if s.Schema != SealSchema || len(s.Files) == 0 {
		return 0, fmt.Errorf("read %s: its schema is %q, not %s", name, s.Schema, SealSchema)
	}
	for _, f := range s.Files {
		if !filepath.IsLocal(filepath.FromSlash(f.Name)) {
			return 0, fmt.Errorf("read %s: %q leaves the directory", name, f.Name)
		}
		have, err := digested(out, f.Name)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return 0, &BrokenError{f.Name + " is gone"}
		case err != nil:
			return 0, err
		case have.SHA256 != f.SHA256:
			return 0, &BrokenError{fmt.Sprintf("%s has sha256 %s, sealed was %s", f.Name, have.SHA256, f.SHA256)}
		}
	}
	return len(s.Files), nil
}

// What follows is SLSA provenance v1 in an in-toto Statement v1, as far as it
// is used (slsa.dev/spec/v1.0/provenance).
type statement struct {
	Type          string       `json:"_type"`
	Subject       []descriptor `json:"subject"`
	PredicateType string       `json:"predicateType"`
	Predicate     predicate    `json:"predicate"`
}

type descriptor struct {
	Name   string            `json:"name,omitempty"`
	URI    string            `json:"uri,omitempty"`
	Digest map[string]string `json:"digest"`
}

type predicate struct {
	BuildDefinition struct {
		BuildType            string         `json:"buildType"`
		ExternalParameters   map[string]any `json:"externalParameters"`
		InternalParameters   map[string]any `json:"internalParameters"`
		ResolvedDependencies []descriptor   `json:"resolvedDependencies"`
	} `json:"buildDefinition"`
	RunDetails struct {
		Builder struct {
			ID      string            `json:"id"`
			Version map[string]string `json:"version"`
		} `json:"builder"`
		Metadata struct {
			StartedOn  string `json:"startedOn"`
			FinishedOn string `json:"finishedOn"`
		} `json:"metadata"`
		Byproducts []descriptor `json:"byproducts"`
	} `json:"runDetails"`
}

func sha256Of(sum string) map[string]string { return map[string]string{"sha256": sum} }

func provenance(l *lock.Lock, b *Built, r *Record, version string) statement {
	s := statement{
		Type: "https://in-toto.io/Statement/v1", Subject: []descriptor{{Name: b.Filename, Digest: sha256Of(b.SHA256)}},
		PredicateType: "https://slsa.dev/provenance/v1",
	}
	def := &s.Predicate.BuildDefinition
	def.BuildType = "https://truewheel.dev/build/v1"
	def.ExternalParameters = map[string]any{
		"lock":   descriptor{Name: LockFile, Digest: sha256Of(r.Lock.SHA256)},
		"source": descriptor{Name: b.Source.Filename, URI: b.Source.PURL, Digest: sha256Of(b.Source.SHA256)},
		"target": l.Recipe.Target,
	}
	def.InternalParameters = map[string]any{"environment": l.Environment.Kind, "python": l.Python, "isolation": b.Isolation}
	if l.Environment.Kind == lock.Debian {
		def.InternalParameters["root"] = descriptor{Name: l.Environment.Suite, Digest: sha256Of(l.Environment.Root)}
	}
	if l.Environment.Kind == lock.OCI {
		def.InternalParameters["root"] = descriptor{Name: l.Environment.Image, Digest: sha256Of(l.Environment.Root)}
	}
	add := func(name, uri, sum string) {
		def.ResolvedDependencies = append(def.ResolvedDependencies, descriptor{Name: name, URI: uri, Digest: sha256Of(sum)})
	}
	add(b.Source.Filename, b.Source.PURL, b.Source.SHA256)
	if l.UV != nil {
		add(l.UV.Filename, l.UV.PURL, l.UV.SHA256)
	}
	for _, p := range l.Packages {
		add(p.Filename, p.PURL, p.SHA256)
	}
	if e := l.Environment; e.Kind == lock.OCI {
		add(e.Image, lock.OCIPURL(e.Image, e.Digest), strings.TrimPrefix(e.Digest, "sha256:"))
	}
	for _, d := range l.Environment.Debs {
		add(filepath.Base(d.Pool), d.PURL, d.SHA256)
	}
	run := &s.Predicate.RunDetails
	run.Builder.ID, run.Builder.Version = "https://truewheel.dev/builder/v1", map[string]string{"truewheel": version}
	run.Metadata.StartedOn, run.Metadata.FinishedOn = r.Started, r.Finished
	run.Byproducts = []descriptor{{Name: r.Log.Name, Digest: sha256Of(r.Log.SHA256)}}
	return s
}
