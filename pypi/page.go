package pypi

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	HasUploadTimes bool // of any file (PEP 700)
	Skipped        int  // files left out: their names are not safe on a disk, or their URLs can't be used
}

// File is a file of a page.
type File struct {
	Filename       string    `json:"filename"` // no directories, no control characters
	URL            string    `json:"url"`      // absolute, http or https (file on a page of a file), without credentials
	SHA256         string    `json:"sha256"`   // 64 digits of lower-case hex; "" when the index gives none
	Size           int64     `json:"size"`     // -1 when the index does not tell
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

// ParsePage reads a page served from base with the content type: JSON of API
// version 1.x (PEP 691) or HTML (PEP 503).
func ParsePage(base *url.URL, contentType string, body []byte) (*Page, error) {
	return ReadPage(base, contentType, bytes.NewReader(body))
}

// ReadPage is [ParsePage] for a page that need not be in memory. The caller limits r.
func ReadPage(base *url.URL, contentType string, r io.Reader) (*Page, error) {
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, fmt.Errorf("read index page: content type %q: %w", contentType, err)
	}
	p := &Page{}
	switch kind {
	case "application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.latest+json":
		err = p.readJSON(base, r)
	case "application/vnd.pypi.simple.v1+html", "application/vnd.pypi.simple.latest+html", "text/html", "application/xhtml+xml":
		err = p.readHTML(base, r)
	default:
		err = fmt.Errorf("content type %q is neither JSON nor HTML", kind)
	}
	if err != nil {
		return nil, fmt.Errorf("read index page: %w", err)
	}
	return p, nil
}

// add takes a file, unless its name or URL can't be used.
func (p *Page) add(base *url.URL, f File, ref string) {
	var err error
	if f.URL, err = resolve(base, ref); err != nil || !safeFilename(f.Filename) {
		p.Skipped++
		return
	}
	f.SHA256, f.MetadataSHA256 = sha256Hex(f.SHA256), sha256Hex(f.MetadataSHA256)
	if f.Provenance != "" {
		if f.Provenance, err = resolve(base, f.Provenance); err != nil {
			f.Provenance = ""
		}
	}
	p.HasUploadTimes = p.HasUploadTimes || !f.UploadTime.IsZero()
	p.Files = append(p.Files, f)
}

// sha256Hex is s in lower case, or "" when it is no sha256.
func sha256Hex(s string) string {
	if _, err := hex.DecodeString(s); err != nil || len(s) != 64 {
		return ""
	}
	return strings.ToLower(s)
}

type jsonFile struct {
	Filename       string            `json:"filename"`
	URL            string            `json:"url"`
	Hashes         map[string]string `json:"hashes"`
	Size           *int64            `json:"size"`
	UploadTime     string            `json:"upload-time"`
	Yanked         json.RawMessage   `json:"yanked"`
	RequiresPython string            `json:"requires-python"`
	CoreMetadata   json.RawMessage   `json:"core-metadata"`
	DistMetadata   json.RawMessage   `json:"dist-info-metadata"`
	Provenance     string            `json:"provenance"`
}

// readJSON reads one file after the other: a page can have tens of thousands.
func (p *Page) readJSON(base *url.URL, r io.Reader) error {
	d := json.NewDecoder(r)
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.Join(errors.New("it is not a JSON object"), err)
	}
	var meta struct {
		Version string `json:"api-version"`
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		switch key {
		case "meta":
			err = d.Decode(&meta)
		case "files":
			err = p.readFiles(base, d)
		default:
			err = d.Decode(&json.RawMessage{})
		}
		if err != nil {
			return fmt.Errorf("%v: %w", key, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return err // it is cut off
	}
	if !strings.HasPrefix(meta.Version, "1.") {
		return fmt.Errorf("API version %q is not 1.x", meta.Version)
	}
	return nil
}

func (p *Page) readFiles(base *url.URL, d *json.Decoder) error {
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return errors.Join(errors.New("not a list"), err)
	}
	for d.More() {
		var f jsonFile
		if err := d.Decode(&f); err != nil {
			return err
		}
		out := File{
			Filename: f.Filename, SHA256: f.Hashes["sha256"], Size: -1,
			RequiresPython: f.RequiresPython, Provenance: f.Provenance,
		}
		if f.Size != nil && *f.Size >= 0 {
			out.Size = *f.Size
		}
		if t, err := time.Parse(time.RFC3339, f.UploadTime); err == nil {
			out.UploadTime = t.UTC()
		}
		if json.Unmarshal(f.Yanked, &out.Yanked) != nil && json.Unmarshal(f.Yanked, &out.YankedReason) == nil {
			out.Yanked = true
		}
		out.Metadata, out.MetadataSHA256 = metadataHash(f.CoreMetadata)
		if !out.Metadata {
			out.Metadata, out.MetadataSHA256 = metadataHash(f.DistMetadata)
		}
		p.add(base, out, f.URL)
	}
	_, err := d.Token()
	return err
}

func metadataHash(raw json.RawMessage) (bool, string) {
	var yes bool
	if json.Unmarshal(raw, &yes) == nil {
		return yes, ""
	}
	var hashes map[string]string
	if json.Unmarshal(raw, &hashes) == nil && hashes != nil {
		return true, hashes["sha256"]
	}
	return false, ""
}

// safeFilename: what an index calls a file becomes a name on our disk.
func safeFilename(s string) bool {
	return s != "" && len(s) < 256 && s[0] != '.' && !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f || strings.ContainsRune(`/\:`, r) })
}

// resolve makes a URL of a page absolute. Only a page of a file may lead to
// files of this machine, and credentials are the settings' matter, not a page's.
func resolve(base *url.URL, ref string) (string, error) {
	u, err := base.Parse(ref)
	if err != nil {
		return "", err
	}
	web := (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
	if !web && (u.Scheme != "file" || base.Scheme != "file") {
		return "", fmt.Errorf("URL scheme %q", u.Scheme)
	}
	u.User, u.Fragment, u.RawFragment = nil, "", ""
	return u.String(), nil
}

func (p *Page) readHTML(base *url.URL, r io.Reader) error {
	z := html.NewTokenizer(r)
	z.SetMaxBuf(1 << 20)
	for {
		switch z.Next() {
		case html.ErrorToken:
			if errors.Is(z.Err(), io.EOF) {
				return nil // the tokenizer reads any bytes
			}
			return z.Err()
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			attrs := map[string]string{}
			for _, a := range token.Attr {
				if _, twice := attrs[a.Key]; !twice {
					attrs[a.Key] = a.Val
				}
			}
			switch token.Data {
			case "meta":
				if v := attrs["content"]; attrs["name"] == "pypi:repository-version" && !strings.HasPrefix(v, "1.") {
					return fmt.Errorf("API version %q is not 1.x", v)
				}
			case "base":
				if u, err := base.Parse(attrs["href"]); err == nil && (u.Scheme != "file" || base.Scheme == "file") {
					base = u
				}
			case "a":
				p.anchor(base, attrs)
			}
		}
	}
}

// anchor adds the file that a link of an HTML page names, if it names one.
func (p *Page) anchor(base *url.URL, attrs map[string]string) {
	u, err := base.Parse(attrs["href"])
	if err != nil {
		return
	}
	f := File{Filename: path.Base(u.Path), Size: -1, RequiresPython: attrs["data-requires-python"], Provenance: attrs["data-provenance"]}
	if !strings.HasSuffix(f.Filename, ".whl") && !slices.ContainsFunc(sdistSuffixes, func(s string) bool { return strings.HasSuffix(f.Filename, s) }) {
		return
	}
	for part := range strings.SplitSeq(u.Fragment, "&") {
		if sum, ok := strings.CutPrefix(part, "sha256="); ok {
			f.SHA256 = sum
		}
	}
	f.YankedReason, f.Yanked = attrs["data-yanked"]
	for _, key := range []string{"data-core-metadata", "data-dist-info-metadata"} {
		if v := attrs[key]; v != "" && v != "false" {
			f.Metadata = true
			f.MetadataSHA256, _ = strings.CutPrefix(v, "sha256=")
			break
		}
	}
	p.add(base, f, attrs["href"])
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
