package lock

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/pelletier/go-toml/v2"
)

// Constraints are the build requirements as a constraints file with hashes,
// for pip's --build-constraint and uv's --build-constraints: NAME==VERSION
// and the sha256 of the one file that the lock has.
func (l Lock) Constraints() []byte {
	var b bytes.Buffer
	for _, p := range l.Packages {
		fmt.Fprintf(&b, "%s==%s --hash=sha256:%s\n", p.Name, p.Version, p.SHA256)
	}
	return b.Bytes()
}

// Pylock is the build environment as a pylock.toml (PEP 751). A lock names no
// host, and the format wants a place for each file: url gives it, of a file
// of the lock.
func (l Lock) Pylock(url func(Package) (string, error)) ([]byte, error) {
	type wheel struct {
		Name   string            `toml:"name"`
		URL    string            `toml:"url"`
		Size   int64             `toml:"size"`
		Hashes map[string]string `toml:"hashes,inline"`
	}
	type pack struct {
		Name    string  `toml:"name"`
		Version string  `toml:"version"`
		Wheels  []wheel `toml:"wheels,inline,multiline"`
	}
	doc := struct {
		LockVersion    string `toml:"lock-version"`
		CreatedBy      string `toml:"created-by"`
		RequiresPython string `toml:"requires-python"`
		Packages       []pack `toml:"packages"`
	}{"1.0", "truewheel", "==" + minor(l.Python) + ".*", []pack{}}
	for _, p := range l.Packages {
		at, err := url(p)
		if err != nil {
			return nil, err
		}
		doc.Packages = append(doc.Packages, pack{p.Name, p.Version, []wheel{{p.Filename, at, p.Size, map[string]string{"sha256": p.SHA256}}}})
	}
	data, err := toml.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("write pylock: %w", err)
	}
	return data, nil
}

// SBOM is everything the build is made from, as CycloneDX 1.6 JSON: source,
// uv, wheels and Debian packages, with purls and sha256. Equal locks give
// equal bytes.
func (l Lock) SBOM() ([]byte, error) {
	digest, err := l.Digest()
	if err != nil {
		return nil, err
	}
	bom := cyclonedx.NewBOM()
	bom.JSONSchema = "http://cyclonedx.org/schema/bom-1.6.schema.json"
	bom.SpecVersion = cyclonedx.SpecVersion1_6
	// A UUID as version 8 (RFC 9562) has them: its bits are the lock's digest.
	bom.SerialNumber = "urn:uuid:" + strings.Join([]string{digest[:8], digest[8:12], "8" + digest[13:16], "8" + digest[17:20], digest[20:32]}, "-")
	components := []cyclonedx.Component{}
	add := func(kind cyclonedx.ComponentType, name, version, purl, sum string) {
		components = append(components, cyclonedx.Component{
			BOMRef: purl, Type: kind, Name: name, Version: version, PackageURL: purl,
			Hashes: &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: sum}},
		})
	}
	if f := l.Source; f != nil {
		name, version := split(f.PURL)
		bom.Metadata = &cyclonedx.Metadata{Component: &cyclonedx.Component{
			BOMRef: "source", Type: cyclonedx.ComponentTypeLibrary, Name: name, Version: version, PackageURL: f.PURL,
			Hashes: &[]cyclonedx.Hash{{Algorithm: cyclonedx.HashAlgoSHA256, Value: f.SHA256}},
		}}
	}
	if f := l.UV; f != nil {
		name, version := split(f.PURL)
		add(cyclonedx.ComponentTypeApplication, name, version, f.PURL, f.SHA256)
	}
	for _, p := range l.Packages {
		add(cyclonedx.ComponentTypeLibrary, p.Name, p.Version, p.PURL, p.SHA256)
	}
	if e := l.Environment; e.Kind == OCI {
		add(cyclonedx.ComponentTypeContainer, e.Image, e.Digest, OCIPURL(e.Image, e.Digest), strings.TrimPrefix(e.Digest, "sha256:"))
	}
	for _, d := range l.Environment.Debs {
		add(cyclonedx.ComponentTypeLibrary, d.Name, d.Version, d.PURL, d.SHA256)
	}
	bom.Components = &components
	var b bytes.Buffer
	if err := cyclonedx.NewBOMEncoder(&b, cyclonedx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).Encode(bom); err != nil {
		return nil, fmt.Errorf("write SBOM: %w", err)
	}
	return b.Bytes(), nil
}

// split is name and version of a purl of type pypi.
func split(purl string) (name, version string) {
	name, version, _ = strings.Cut(strings.TrimPrefix(purl, "pkg:pypi/"), "@")
	return name, version
}
