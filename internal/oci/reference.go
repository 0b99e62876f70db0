package oci

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// Transports of a [Reference].
const (
	Registry = "docker"         // asked over the network
	Layout   = "oci"            // a directory in the OCI image layout
	Archive  = "docker-archive" // a file as docker save writes it
)

// Reference says where an image is.
type Reference struct {
	Transport string // Registry, Layout, Archive
	Path      string // of a layout's directory, or an archive's file
	Host      string // of a registry, with its port; "" of a short name
	Name      string // of the repository, "pypa/manylinux_2_28_x86_64"; of a layout or archive the base name of its path
	Tag       string // of an archive NAME:TAG; "": latest in a registry, the only one elsewhere
	Digest    string // "sha256:…" wins over Tag; "": none
}

var (
	repository = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	hostName   = regexp.MustCompile(`^([A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*|\[[0-9a-fA-F:]+\])(:[0-9]{1,5})?$`)
	tagName    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	sha256Name = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// maxName is how long a repository's name may be.
const maxName = 255

// ParseReference reads docker://HOST/NAME[:TAG][@sha256:…], the same without
// "docker://" or without HOST, oci:DIRECTORY[:TAG][@sha256:…] or
// docker-archive:FILE[:NAME:TAG].
func ParseReference(s string) (Reference, error) {
	bad := func(why string) (Reference, error) {
		return Reference{}, fmt.Errorf("image %q: %s", s, why)
	}
	rest, digest, hasDigest := s, "", false
	if i := strings.LastIndex(s, "@sha256:"); i >= 0 {
		rest, digest, hasDigest = s[:i], s[i+1:], true
		if !sha256Name.MatchString(digest) {
			return bad("its digest is not sha256: and 64 hex digits")
		}
	}
	switch {
	case strings.HasPrefix(rest, Layout+":"):
		return parseLayout(strings.TrimPrefix(rest, Layout+":"), digest, bad)
	case strings.HasPrefix(rest, Archive+":"):
		if hasDigest {
			return bad("an archive has tags only")
		}
		return parseArchive(strings.TrimPrefix(rest, Archive+":"), bad)
	}
	rest = strings.TrimPrefix(rest, Registry+"://")
	r := Reference{Transport: Registry, Digest: digest}
	if first, more, ok := strings.Cut(rest, "/"); ok && (strings.ContainsAny(first, ".:[") || first == "localhost") {
		r.Host, rest = first, more
		if !hostName.MatchString(r.Host) {
			return bad(fmt.Sprintf("%q is no host", r.Host))
		}
	}
	var tagged bool
	if r.Name, r.Tag, tagged = strings.Cut(rest, ":"); tagged && !tagName.MatchString(r.Tag) {
		return bad(fmt.Sprintf("%q is no tag", r.Tag))
	}
	if !IsName(r.Name) {
		return bad(fmt.Sprintf("%q is no name of a repository (HOST/NAME[:TAG], oci:DIRECTORY, docker-archive:FILE)", r.Name))
	}
	if !tagged && !hasDigest {
		r.Tag = "latest"
	}
	return r, nil
}

func parseLayout(rest, digest string, bad func(string) (Reference, error)) (Reference, error) {
	r := Reference{Transport: Layout, Path: rest, Digest: digest}
	if i := strings.LastIndexByte(rest, ':'); i > 1 && tagName.MatchString(rest[i+1:]) {
		r.Path, r.Tag = rest[:i], rest[i+1:]
	}
	return r.local(bad)
}

func parseArchive(rest string, bad func(string) (Reference, error)) (Reference, error) {
	r := Reference{Transport: Archive, Path: rest}
	if i := strings.IndexByte(rest, ':'); i > 1 { // not the drive of Windows
		r.Path, r.Tag = rest[:i], rest[i+1:]
		if r.Tag == "" {
			return bad("it has no tag after the file")
		}
	}
	return r.local(bad)
}

// unnamed are characters that a repository's name can't have.
var unnamed = regexp.MustCompile(`[^a-z0-9]+`)

func (r Reference) local(bad func(string) (Reference, error)) (Reference, error) {
	if r.Path == "" || strings.ContainsRune(r.Path, 0) {
		return bad("it has no path")
	}
	base := filepath.Base(filepath.Clean(r.Path))
	r.Name = strings.Trim(unnamed.ReplaceAllString(strings.ToLower(strings.TrimSuffix(base, ".tar")), "-"), "-")
	if len(r.Name) > maxName || r.Name == "" {
		r.Name = "local"
	}
	return r, nil
}

// IsName reports whether s is the name of a repository, without host and tag.
func IsName(s string) bool { return len(s) <= maxName && repository.MatchString(s) }

// IsDigest reports whether s is "sha256:" and 64 hex digits.
func IsDigest(s string) bool { return sha256Name.MatchString(s) }

// String is the reference as ParseReference reads it.
func (r Reference) String() string {
	s := r.Name
	switch {
	case r.Transport != Registry:
		s = r.Transport + ":" + r.Path
	case r.Host != "":
		s = r.Host + "/" + r.Name
	case r.Name == Layout || r.Name == Archive:
		s = Registry + "://" + r.Name // with its tag it would be a path
	}
	if r.Tag != "" {
		s += ":" + r.Tag
	}
	if r.Digest != "" {
		s += "@" + r.Digest
	}
	return s
}

// ErrShortName says that a name has no host, and nothing here says where to
// look it up.
var ErrShortName = errors.New("it names no registry, and registries.conf has no unqualified-search-registries: give --image HOST/NAME")
