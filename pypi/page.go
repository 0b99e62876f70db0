package pypi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/html"
)

// Page is a project's page of an index, the files in the index's order.
type Page struct {
	Files          []File
	HasUploadTimes bool // PEP 700
}

// File is a file of a page.
type File struct {
	Filename       string    `json:"filename"`
	URL            string    `json:"url"`
	SHA256         string    `json:"sha256"` // lower-case hex; "" when the index gives none
	Size           int64     `json:"size"`   // -1 when the index does not tell
	UploadTime     time.Time `json:"upload_time"`
	Yanked         bool      `json:"yanked"`
	YankedReason   string    `json:"yanked_reason"`
	RequiresPython string    `json:"requires_python"`
	Metadata       bool      `json:"metadata"`        // METADATA is served beside the file (PEP 658, 714)
	MetadataSHA256 string    `json:"metadata_sha256"` // "" when only its presence is told
	Provenance     string    `json:"provenance"`      // URL (PEP 740), "" when there is none
}

// Accept is what to ask an index for: JSON, then HTML.
const Accept = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"

// ParsePage reads a page served for base with the content type.
func ParsePage(base *url.URL, contentType string, body []byte) (*Page, error) {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, fmt.Errorf("read index page: content type %q: %w", contentType, err)
	}
	switch kind {
	case "application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.latest+json":
		return parseJSON(base, body)
	case "application/vnd.pypi.simple.v1+html", "application/vnd.pypi.simple.latest+html", "text/html", "application/xhtml+xml":
		return parseHTML(base, body)
	}
	return nil, fmt.Errorf("read index page: content type %q is neither JSON nor HTML", kind)
}

type jsonFile struct {
	Filename       string            `json:"filename"`
	URL            string            `json:"url"`
	Hashes         map[string]string `json:"hashes"`
	Size           *int64            `json:"size"`
	UploadTime     *time.Time        `json:"upload-time"`
	Yanked         json.RawMessage   `json:"yanked"`
	RequiresPython string            `json:"requires-python"`
	CoreMetadata   json.RawMessage   `json:"core-metadata"`
	DistMetadata   json.RawMessage   `json:"dist-info-metadata"`
	Provenance     string            `json:"provenance"`
}

func parseJSON(base *url.URL, body []byte) (*Page, error) {
	var doc struct {
		Meta struct {
			Version string `json:"api-version"`
		} `json:"meta"`
		Files []jsonFile `json:"files"`
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return nil, fmt.Errorf("read index page: %w", err)
	}
	if !strings.HasPrefix(doc.Meta.Version, "1.") {
		return nil, fmt.Errorf("read index page: API version %q is not 1.x", doc.Meta.Version)
	}
	p := &Page{}
	for _, f := range doc.Files {
		out := File{
			Filename: f.Filename, SHA256: strings.ToLower(f.Hashes["sha256"]), Size: -1,
			RequiresPython: f.RequiresPython, Provenance: f.Provenance,
		}
		var err error
		if out.URL, err = resolve(base, f.URL); err != nil {
			return nil, fmt.Errorf("read index page: %s: %w", f.Filename, err)
		}
		if f.Size != nil && *f.Size >= 0 {
			out.Size = *f.Size
		}
		if f.UploadTime != nil {
			out.UploadTime = f.UploadTime.UTC()
			p.HasUploadTimes = true
		}
		if json.Unmarshal(f.Yanked, &out.Yanked) != nil && json.Unmarshal(f.Yanked, &out.YankedReason) == nil {
			out.Yanked = true
		}
		out.Metadata, out.MetadataSHA256 = metadataHash(f.CoreMetadata)
		if !out.Metadata {
			out.Metadata, out.MetadataSHA256 = metadataHash(f.DistMetadata)
		}
		if safeFilename(out.Filename) {
			p.Files = append(p.Files, out)
		}
	}
	return p, nil
}

func metadataHash(raw json.RawMessage) (bool, string) {
	var yes bool
	if json.Unmarshal(raw, &yes) == nil {
		return yes, ""
	}
	var hashes map[string]string
	if json.Unmarshal(raw, &hashes) == nil && hashes != nil {
		return true, strings.ToLower(hashes["sha256"])
	}
	return false, ""
}

// safeFilename: what an index calls a file becomes a name on our disk.
func safeFilename(s string) bool {
	return s != "" && len(s) < 256 && s[0] != '.' && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f || strings.ContainsRune(`/\:`, r) })
}

func resolve(base *url.URL, ref string) (string, error) {
	u, err := url.Parse(ref)
	if err != nil {
		return "", err
	}
	u = base.ResolveReference(u)
	if u.Scheme != "https" && u.Scheme != "http" && u.Scheme != "file" {
		return "", fmt.Errorf("URL scheme %q", u.Scheme)
	}
	return u.String(), nil
}

func parseHTML(base *url.URL, body []byte) (*Page, error) {
	p := &Page{}
	z := html.NewTokenizer(bytes.NewReader(body))
	for {
		switch z.Next() {
		case html.ErrorToken:
			return p, nil // the end: the tokenizer reads any bytes
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			attrs := map[string]string{}
			has := map[string]bool{}
			for _, a := range token.Attr {
				attrs[a.Key], has[a.Key] = a.Val, true
			}
			switch {
			case token.Data == "base" && attrs["href"] != "":
				if u, err := base.Parse(attrs["href"]); err == nil {
					base = u
				}
			case token.Data == "a" && attrs["href"] != "":
				if f, ok := anchor(base, attrs, has); ok {
					p.Files = append(p.Files, f)
				}
			}
		}
	}
}

// anchor is the file that a link of an HTML page names.
func anchor(base *url.URL, attrs map[string]string, has map[string]bool) (File, bool) {
	full, err := resolve(base, attrs["href"])
	if err != nil {
		return File{}, false
	}
	u, err := url.Parse(full)
	if err != nil {
		return File{}, false
	}
	f := File{Filename: path.Base(u.Path), Size: -1, RequiresPython: attrs["data-requires-python"]}
	if sum, ok := strings.CutPrefix(u.Fragment, "sha256="); ok {
		f.SHA256 = strings.ToLower(sum)
	}
	u.Fragment = ""
	f.URL = u.String()
	f.Yanked, f.YankedReason = has["data-yanked"], attrs["data-yanked"]
	for _, key := range []string{"data-core-metadata", "data-dist-info-metadata"} {
		if v := attrs[key]; v != "" && v != "false" {
			f.Metadata = true
			f.MetadataSHA256, _ = strings.CutPrefix(v, "sha256=")
			if f.MetadataSHA256 == "true" {
				f.MetadataSHA256 = ""
			}
			break
		}
	}
	f.Provenance = attrs["data-provenance"]
	wheelOrSdist := strings.HasSuffix(f.Filename, ".whl") || slices.ContainsFunc(sdistSuffixes, func(s string) bool { return strings.HasSuffix(f.Filename, s) })
	return f, wheelOrSdist && safeFilename(f.Filename)
}

// Release are the files of version v of the project.
func (p *Page) Release(project Name, v Version) (wheels, sdists []File) {
	for _, f := range p.Files {
		if strings.HasSuffix(f.Filename, ".whl") {
			if w, err := ParseWheelFilename(f.Filename); err == nil && w.Name == project && w.Version.Compare(v) == 0 {
				wheels = append(wheels, f)
			}
			continue
		}
		if s, err := ParseSdistFilename(f.Filename, project); err == nil && s.Version.Compare(v) == 0 {
			sdists = append(sdists, f)
		}
	}
	return wheels, sdists
}
