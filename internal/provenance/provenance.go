// Package provenance reads what an index serves of a file's origin (PEP 740):
// attestations, signed by a certificate that was made for one run of a
// publisher's workflow, which names repository, commit and workflow.
//
// An attestation counts only if its statement names the file by name and
// sha256, the certificate's key signed the statement, and the certificate's
// identity is the one that the index says it trusts for the project. Whether
// the certificate's issuer is one to trust is told by a [TrustedRoot]: then the
// certificate has to be of its authorities at the time that its transparency log
// signed, and the log's entry has to be of this very statement, signature and
// certificate. Without a root an [Identity] is not Verified, whatever it says.
// The certificate's own signed timestamps (RFC 6962) are not looked at.
package provenance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Subject is the file that an attestation has to be of.
type Subject struct{ Filename, SHA256 string }

// Identity is who attested, and of which commit.
type Identity struct {
	Issuer     string    // of the token that the certificate was given for
	Repository string    // URL
	Commit     string    // 40 hex digits
	Ref        string    // refs/tags/v1.0
	Workflow   string    // URL of the workflow's file, with its ref
	Predicate  string    // type of what is attested
	Time       time.Time // that the log signed; zero when it was not verified
	Verified   bool      // the certificate is of an authority of the root, and the log has the statement
	Unverified string    // why it is not
}

// A RefusedError says why an attestation proves nothing of the file.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return "attestation refused: " + e.Reason }

// ErrNoCommit says that an attestation is by somebody who builds from no
// repository, a person or a service: it may hold, and tells no source.
var ErrNoCommit = errors.New("the attestation's certificate names no repository or no commit")

func refuse(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

// the object that an index serves
type object struct {
	Version int      `json:"version"`
	Bundles []bundle `json:"attestation_bundles"`
}

type bundle struct {
	Publisher struct {
		Kind             string `json:"kind"`
		Repository       string `json:"repository"`
		Workflow         string `json:"workflow"`
		WorkflowFilepath string `json:"workflow_filepath"`
	} `json:"publisher"`
	Attestations []attestation `json:"attestations"`
}

type attestation struct {
	Version  int `json:"version"`
	Material struct {
		Certificate []byte  `json:"certificate"`
		Entries     []entry `json:"transparency_entries"`
	} `json:"verification_material"`
	Envelope struct {
		Statement []byte `json:"statement"`
		Signature []byte `json:"signature"`
	} `json:"envelope"`
}

// statement is what is signed (in-toto Statement v1).
type statement struct {
	Type    string `json:"_type"`
	Subject []struct {
		Name   string            `json:"name"`
		Digest map[string]string `json:"digest"`
	} `json:"subject"`
	PredicateType string `json:"predicateType"`
}

const (
	statementType = "https://in-toto.io/Statement/v1"
	payloadType   = "application/vnd.in-toto+json"
	maxObject     = 8 << 20
	maxAttested   = 32 // attestations of one file
)

// Read reads a provenance object and gives the identities of its attestations,
// in their order. Any that does not hold is a *RefusedError, and one that names
// no commit ErrNoCommit. root may be nil.
func Read(data []byte, s Subject, root *TrustedRoot) ([]Identity, error) {
	if len(data) > maxObject {
		return nil, fmt.Errorf("read provenance: more than %d bytes", maxObject)
	}
	var o object
	if err := json.Unmarshal(data, &o); err != nil {
		return nil, fmt.Errorf("read provenance: %w", err)
	}
	if o.Version != 1 {
		return nil, fmt.Errorf("read provenance: version %d is not known", o.Version)
	}
	var out []Identity
	for _, b := range o.Bundles {
		for _, a := range b.Attestations {
			if len(out) == maxAttested {
				return nil, fmt.Errorf("read provenance: more than %d attestations", maxAttested)
			}
			id, err := a.check(s, root)
			if err == nil {
				err = b.fits(id)
			}
			if err != nil {
				return nil, err
			}
			out = append(out, id)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("read provenance: it holds no attestation")
	}
	return out, nil
}

func (a attestation) check(s Subject, root *TrustedRoot) (Identity, error) {
	if a.Version != 1 {
		return Identity{}, refuse("version %d is not known", a.Version)
	}
	cert, err := x509.ParseCertificate(a.Material.Certificate)
	if err != nil {
		return Identity{}, refuse("its certificate can't be read: %v", err)
	}
	key, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return Identity{}, refuse("its certificate's key is %s, not ECDSA", cert.PublicKeyAlgorithm)
	}
	digest := sha256.Sum256(encoding(a.Envelope.Statement))
	if !ecdsa.VerifyASN1(key, digest[:], a.Envelope.Signature) {
		return Identity{}, refuse("the signature is not of this statement by this certificate")
	}
	var st statement
	if err := json.Unmarshal(a.Envelope.Statement, &st); err != nil {
		return Identity{}, refuse("its statement can't be read: %v", err)
	}
	if st.Type != statementType {
		return Identity{}, refuse("its statement is of type %q", st.Type)
	}
	if len(st.Subject) != 1 || st.Subject[0].Name != s.Filename || st.Subject[0].Digest["sha256"] != s.SHA256 {
		var of []string
		for _, x := range st.Subject {
			of = append(of, fmt.Sprintf("%s sha256 %.12s", x.Name, x.Digest["sha256"]))
		}
		return Identity{}, refuse("it is of another file: %s, not of %s sha256 %.12s", strings.Join(of, ", "), s.Filename, s.SHA256)
	}
	id, err := identity(cert)
	if err != nil {
		return id, err
	}
	id.Predicate = st.PredicateType
	if root == nil {
		id.Unverified = "the signature fits the file; the certificate's issuer is not verified: no trusted root was given"
		return id, nil
	}
	id.Time, err = root.verify(cert, a)
	id.Verified = err == nil
	return id, err
}

// encoding is what is signed of a statement (DSSE, pre-authentication encoding).
func encoding(payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

// fits: the index publishes whom it trusts for the project.
func (b bundle) fits(id Identity) error {
	p := b.Publisher
	if p.Repository == "" {
		return refuse("the index does not say of which repository the project's publisher is")
	}
	u, err := url.Parse(id.Repository)
	if err != nil || !strings.EqualFold(strings.Trim(u.Path, "/"), strings.Trim(p.Repository, "/")) {
		return refuse("it is by another identity: repository %s, and the index names %s", id.Repository, p.Repository)
	}
	file, _, _ := strings.Cut(id.Workflow, "@")
	for _, want := range []string{p.Workflow, p.WorkflowFilepath} {
		if want != "" && file != want && !strings.HasSuffix(file, "/"+want) {
			return refuse("it is by another identity: workflow %s, and the index names %s", id.Workflow, want)
		}
	}
	return nil
}

// oid of an extension that Fulcio writes.
func oid(n int) asn1.ObjectIdentifier {
	return asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, n}
}

var commitID = regexp.MustCompile(`^[0-9a-f]{40}$`)

// identity is what a certificate says of whom it was given to.
func identity(cert *x509.Certificate) (Identity, error) {
	var id Identity
	fields := map[int]*string{8: &id.Issuer, 12: &id.Repository, 13: &id.Commit, 14: &id.Ref, 18: &id.Workflow}
	for _, ext := range cert.Extensions {
		for n, field := range fields {
			if !ext.Id.Equal(oid(n)) {
				continue
			}
			if rest, err := asn1.UnmarshalWithParams(ext.Value, field, "utf8"); err != nil || len(rest) > 0 {
				return id, refuse("extension %s of its certificate is no text", ext.Id)
			}
		}
	}
	u, err := url.Parse(id.Repository)
	switch {
	case id.Repository == "" || id.Commit == "":
		return id, ErrNoCommit
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil:
		return id, refuse("its certificate names the repository %q, which is no https URL", id.Repository)
	case !commitID.MatchString(id.Commit):
		return id, refuse("its certificate names the commit %q, which is none", id.Commit)
	}
	return id, nil
}

// TrustedRoot is what certificates and log entries are verified with: a
// trusted_root.json of Sigstore.
type TrustedRoot struct {
	authorities []authority
	logs        map[string]log // by key id, hex
}

type authority struct {
	roots, intermediates *x509.CertPool
	from, to             time.Time
}

type log struct {
	key      *ecdsa.PublicKey
	from, to time.Time
}

type validity struct {
	Start time.Time  `json:"start"`
	End   *time.Time `json:"end"`
}

func (v validity) bounds() (from, to time.Time) {
	if v.End != nil {
		return v.Start, *v.End
	}
	return v.Start, time.Time{}
}

// during reports whether t lies between from and to; zero ends are open.
func during(t, from, to time.Time) bool {
	return (from.IsZero() || !t.Before(from)) && (to.IsZero() || !t.After(to))
}

// ParseRoot reads a trusted_root.json.
func ParseRoot(data []byte) (*TrustedRoot, error) {
	var doc struct {
		Logs []struct {
			Key struct {
				Raw      []byte   `json:"rawBytes"`
				ValidFor validity `json:"validFor"`
			} `json:"publicKey"`
			ID struct {
				Key []byte `json:"keyId"`
			} `json:"logId"`
		} `json:"tlogs"`
		Authorities []struct {
			Chain struct {
				Certificates []struct {
					Raw []byte `json:"rawBytes"`
				} `json:"certificates"`
			} `json:"certChain"`
			ValidFor validity `json:"validFor"`
		} `json:"certificateAuthorities"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("read trusted root: %w", err)
	}
	root := &TrustedRoot{logs: map[string]log{}}
	for _, l := range doc.Logs {
		key, err := x509.ParsePKIXPublicKey(l.Key.Raw)
		if err != nil {
			return nil, fmt.Errorf("read trusted root: key of a log: %w", err)
		}
		// Other keys are of logs whose entries are not read here.
		if k, ok := key.(*ecdsa.PublicKey); ok {
			from, to := l.Key.ValidFor.bounds()
			root.logs[hex.EncodeToString(l.ID.Key)] = log{k, from, to}
		}
	}
	for _, a := range doc.Authorities {
		one := authority{roots: x509.NewCertPool(), intermediates: x509.NewCertPool()}
		one.from, one.to = a.ValidFor.bounds()
		for i, c := range a.Chain.Certificates {
			cert, err := x509.ParseCertificate(c.Raw)
			if err != nil {
				return nil, fmt.Errorf("read trusted root: certificate of an authority: %w", err)
			}
			if i == len(a.Chain.Certificates)-1 {
				one.roots.AddCert(cert)
			} else {
				one.intermediates.AddCert(cert)
			}
		}
		root.authorities = append(root.authorities, one)
	}
	if len(root.authorities) == 0 || len(root.logs) == 0 {
		return nil, errors.New("read trusted root: it names no authority or no log")
	}
	return root, nil
}

// entry of a transparency log (Rekor).
type entry struct {
	LogIndex string `json:"logIndex"`
	LogID    struct {
		Key []byte `json:"keyId"`
	} `json:"logId"`
	IntegratedTime string `json:"integratedTime"`
	Promise        struct {
		Signed []byte `json:"signedEntryTimestamp"`
	} `json:"inclusionPromise"`
	Body []byte `json:"canonicalizedBody"`
}

// verify checks the certificate and the log's entry, and gives the time that the log signed.
func (t *TrustedRoot) verify(cert *x509.Certificate, a attestation) (time.Time, error) {
	if len(a.Material.Entries) == 0 {
		return time.Time{}, refuse("no transparency log has it")
	}
	at, err := t.logged(a.Material.Entries[0], cert, a)
	if err != nil {
		return at, err
	}
	last := errors.New("no authority of the root was valid then")
	for _, authority := range t.authorities {
		if !during(at, authority.from, authority.to) {
			continue
		}
		_, err := cert.Verify(x509.VerifyOptions{
			Roots: authority.roots, Intermediates: authority.intermediates, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		})
		if err == nil {
			return at, nil
		}
		last = err
	}
	return at, refuse("its certificate is of no authority that is trusted: %v", last)
}

// logged checks that a log has promised to hold this statement, with this
// signature and certificate.
func (t *TrustedRoot) logged(e entry, cert *x509.Certificate, a attestation) (time.Time, error) {
	id := hex.EncodeToString(e.LogID.Key)
	l, ok := t.logs[id]
	if !ok {
		return time.Time{}, refuse("its transparency log %.12s is not one that is trusted", id)
	}
	seconds, err := strconv.ParseInt(e.IntegratedTime, 10, 64)
	index, err2 := strconv.ParseInt(e.LogIndex, 10, 64)
	if err != nil || err2 != nil {
		return time.Time{}, refuse("its entry in the transparency log has no time or no index")
	}
	at := time.Unix(seconds, 0).UTC()
	// Canonical JSON: the keys in order, no spaces; nothing in it needs escaping.
	signed, err := json.Marshal(struct {
		Body  string `json:"body"`
		Time  int64  `json:"integratedTime"`
		ID    string `json:"logID"`
		Index int64  `json:"logIndex"`
	}{base64.StdEncoding.EncodeToString(e.Body), seconds, id, index})
	if err != nil {
		return at, err
	}
	digest := sha256.Sum256(signed)
	if !ecdsa.VerifyASN1(l.key, digest[:], e.Promise.Signed) || !during(at, l.from, l.to) {
		return at, refuse("the transparency log did not sign its entry")
	}
	var body struct {
		Kind string `json:"kind"`
		Spec struct {
			Payload struct {
				Algorithm string `json:"algorithm"`
				Value     string `json:"value"`
			} `json:"payloadHash"`
			Signatures []struct {
				Signature []byte `json:"signature"`
				Verifier  []byte `json:"verifier"`
			} `json:"signatures"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(e.Body, &body); err != nil {
		return at, refuse("its entry in the transparency log can't be read: %v", err)
	}
	sum := sha256.Sum256(a.Envelope.Statement)
	if body.Kind != "dsse" || body.Spec.Payload.Algorithm != "sha256" || body.Spec.Payload.Value != hex.EncodeToString(sum[:]) {
		return at, refuse("its entry in the transparency log is of another statement")
	}
	for _, s := range body.Spec.Signatures {
		block, _ := pem.Decode(s.Verifier)
		if block != nil && bytes.Equal(block.Bytes, cert.Raw) && bytes.Equal(s.Signature, a.Envelope.Signature) {
			return at, nil
		}
	}
	return at, refuse("its entry in the transparency log is of another signature")
}

// Best is the identity to build from: all have to name one repository and commit.
func Best(ids []Identity) (Identity, error) {
	for _, id := range ids[1:] {
		if id.Commit != ids[0].Commit || id.Repository != ids[0].Repository {
			return Identity{}, refuse("two attestations contradict each other: commit %.12s of %s, and %.12s of %s", ids[0].Commit, ids[0].Repository, id.Commit, id.Repository)
		}
	}
	return ids[0], nil
}

// Tag is the tag that the run was started for, "" for none.
func (id Identity) Tag() string {
	tag, _ := strings.CutPrefix(id.Ref, "refs/tags/")
	if tag == id.Ref {
		return ""
	}
	return tag
}
