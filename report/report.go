// Package report is what a rebuild found: the verdict, what it rests on, how
// to do it again. One report is one JSON object, schema [Schema]
// (docs/formats/report.md); renderers live with the command line.
package report

import (
	"time"

	"github.com/truewheel/truewheel/compare"
	"github.com/truewheel/truewheel/compare/source"
)

// Schema names the format that this package writes.
const Schema = "truewheel.report/1"

// Report of one subject.
type Report struct {
	Schema      string               `json:"schema"`
	Subject     Subject              `json:"subject"`
	Verdict     compare.Verdict      `json:"verdict"`
	Failure     *Failure             `json:"failure,omitempty"`
	Rebuilt     *Rebuilt             `json:"rebuilt"`
	Source      *Source              `json:"source"`
	Python      string               `json:"python"`    // full version of the interpreter
	Isolation   string               `json:"isolation"` // caged | none
	Runtime     string               `json:"runtime,omitempty"`
	Native      *Native              `json:"native,omitempty"` // of a wheel with compiled members
	Recipe      []Input              `json:"recipe"`
	Tries       []Try                `json:"tries"`
	Members     int                  `json:"members"`
	Equal       int                  `json:"equal"`
	Differences []compare.Difference `json:"differences"`
	Unexplained int                  `json:"unexplained"`
	Replayed    []string             `json:"replayed,omitempty"` // kinds of container fields that the envelope replays
	Envelope    *File                `json:"envelope"`
	Lock        *File                `json:"lock"`
	Notes       []string             `json:"notes,omitempty"`
	Suspicions  []string             `json:"suspicions,omitempty"`
	Timings     Timings              `json:"timings"`
	Rerun       string               `json:"rerun"`
}

// Subject is the published file.
type Subject struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	Filename   string `json:"filename"`
	SHA256     string `json:"sha256"`
	Size       int64  `json:"size"`
	URL        string `json:"url"`
	UploadTime string `json:"upload_time"` // RFC 3339, "" when the index does not tell
}

// Rebuilt is our file.
type Rebuilt struct {
	SHA256 string `json:"sha256"`
	Path   string `json:"path"` // "" when it was not kept
}

// Source is what the wheel was rebuilt from.
type Source struct {
	Kind     string   `json:"kind"` // sdist | git
	Filename string   `json:"filename"`
	SHA256   string   `json:"sha256,omitempty"` // of an sdist
	Commit   *Commit  `json:"commit,omitempty"`
	Binaries []string `json:"binaries,omitempty"` // compiled code carried along in the source
	Sdist    *Sdist   `json:"sdist,omitempty"`    // the release's, compared with the commit; nil when there is none
}

// Sdist is a release's source distribution, compared with the commit.
type Sdist struct {
	Filename    string              `json:"filename"`
	SHA256      string              `json:"sha256"`
	Files       int                 `json:"files"`       // of the sdist
	Equal       int                 `json:"equal"`       // of them as in the commit
	Differences []source.Difference `json:"differences"` // what deserves a look first
	Missing     []string            `json:"missing"`     // files of the commit that it lacks
}

// Commit is the state of a repository that was the source.
type Commit struct {
	Repository   string `json:"repository"` // URL, without credentials
	ID           string `json:"id"`         // 40 hex digits
	Tag          string `json:"tag,omitempty"`
	Subdirectory string `json:"subdirectory,omitempty"`
	Time         string `json:"time"`                // RFC 3339, UTC
	Signature    string `json:"signature,omitempty"` // OpenPGP, SSH or X.509: of the tag or commit, not verified
	Found        *Found `json:"found,omitempty"`     // nil when it was given
}

// Found says how a commit was found that was not given.
type Found struct {
	By       string    `json:"by"`              // attestation; project-url: a URL of METADATA, and the tag that fits the version
	Label    string    `json:"label,omitempty"` // of that URL
	Identity *Identity `json:"identity,omitempty"`
}

// Identity is who attested which commit a file was made from (PEP 740).
type Identity struct {
	Issuer     string `json:"issuer"`
	Repository string `json:"repository"`
	Commit     string `json:"commit"`
	Ref        string `json:"ref"`
	Workflow   string `json:"workflow"`
	Predicate  string `json:"predicate"`
	Verified   bool   `json:"verified"`             // by the trusted root and the transparency log
	Unverified string `json:"unverified,omitempty"` // why it is not
}

// Native is what compiled members tell, and what became of their code.
type Native struct {
	Modules   int    `json:"modules"`          // extension modules of the subject
	Image     string `json:"image,omitempty"`  // of PyPA, that they were most likely built in
	Pinned    string `json:"pinned,omitempty"` // that image as it was usual when the wheel was uploaded
	Suite     string `json:"suite,omitempty"`  // of Debian, that comes nearest
	Near      string `json:"near,omitempty"`   // how near, in words
	Needs     string `json:"needs,omitempty"`  // the machine, where it is none with Linux
	Functions int    `json:"functions"`        // of the members whose code differs
	Same      int    `json:"same"`             // of them the same on both sides
	Start     int    `json:"start"`            // of the others those in the C library's start files
}

// File is something published beside the report.
type File struct {
	SHA256 string `json:"sha256"`
	Path   string `json:"path"`
}

// Input is one input of the recipe, with the reason for it.
type Input struct {
	Input string `json:"input"`
	Value string `json:"value"`
	Why   string `json:"why"`
}

// Try is one build.
type Try struct {
	Change    string          `json:"change"` // what is other than in the try before, and why
	Verdict   compare.Verdict `json:"verdict"`
	Equal     int             `json:"equal"`
	Failure   *Failure        `json:"failure,omitempty"`
	Remaining []string        `json:"causes,omitempty"`
}

// Failure says why there is no file to compare.
type Failure struct {
	Class  string `json:"class"` // resolve | environment | build | timeout | source-missing | self-input | python-missing | fetch | unsafe-wheel | unsafe-source | machine
	Detail string `json:"detail"`
	Log    string `json:"log,omitempty"` // last lines of the build log
}

// Timings in seconds.
type Timings struct {
	Fetch       float64 `json:"fetch"`
	Resolve     float64 `json:"resolve"`
	Environment float64 `json:"environment"`
	Build       float64 `json:"build"`
	Compare     float64 `json:"compare"`
	Total       float64 `json:"total"`
}

// Since adds the seconds since start to *to.
func Since(start time.Time, to *float64) { *to += time.Since(start).Seconds() }
