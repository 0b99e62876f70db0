package pypi

import (
	"fmt"

	"github.com/package-url/packageurl-go"
)

// PURL is a package URL of type pypi: "pkg:pypi/attrs@25.4.0?file_name=attrs-25.4.0.tar.gz".
type PURL struct {
	Name     Name
	Version  Version // the zero Version when it names none
	Filename string  // qualifier file_name; "" for the whole release
}

// ParsePURL parses a package URL of type pypi.
func ParsePURL(s string) (PURL, error) {
	raw, err := packageurl.FromString(s)
	if err != nil {
		return PURL{}, fmt.Errorf("purl %s: %w", quote(s), err)
	}
	if raw.Type != packageurl.TypePyPi || raw.Namespace != "" || raw.Subpath != "" {
		return PURL{}, fmt.Errorf("purl %s: it is not pkg:pypi/NAME@VERSION", quote(s))
	}
	p := PURL{Filename: raw.Qualifiers.Map()["file_name"]}
	if p.Name, err = ParseName(raw.Name); err == nil && raw.Version != "" {
		p.Version, err = ParseVersion(raw.Version)
	}
	if err == nil && p.Filename != "" && !safeFilename(p.Filename) {
		err = fmt.Errorf("file_name %s is not a file name", quote(p.Filename))
	}
	if err != nil {
		return PURL{}, fmt.Errorf("purl %s: %w", quote(s), err)
	}
	return p, nil
}

// String is the package URL in its canonical form.
func (p PURL) String() string {
	var qualifiers packageurl.Qualifiers
	if p.Filename != "" {
		qualifiers = packageurl.Qualifiers{{Key: "file_name", Value: p.Filename}}
	}
	return packageurl.NewPackageURL(packageurl.TypePyPi, "", string(p.Name), p.Version.String(), qualifiers, "").String()
}
