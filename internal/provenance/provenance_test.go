package provenance_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/truewheel/truewheel/internal/provenance"
	"github.com/truewheel/truewheel/internal/provenance/provenancetest"
)

func world(t testing.TB) (*provenancetest.World, *provenance.TrustedRoot) {
	t.Helper()
	w, err := provenancetest.New()
	if err != nil {
		t.Fatal(err)
	}
	root, err := provenance.ParseRoot(w.Root)
	if err != nil {
		t.Fatal(err)
	}
	return w, root
}

var claim = provenancetest.Claim{
	Filename: "demo-1.0-py3-none-any.whl", SHA256: strings.Repeat("ab", 32), Repository: "https://forge.test/o/demo", Commit: strings.Repeat("cd", 20),
	Ref: "refs/tags/v1.0", Time: time.Unix(1700000000, 0),
}

func TestRead(t *testing.T) {
	w, root := world(t)
	_, other := world(t)
	subject := provenance.Subject{Filename: claim.Filename, SHA256: claim.SHA256}
	for _, c := range []struct {
		name   string
		change func(*provenancetest.Claim)
		root   *provenance.TrustedRoot
		want   string
	}{
		{"good", func(*provenancetest.Claim) {}, root, ""},
		{"no root", func(*provenancetest.Claim) {}, nil, ""},
		{"another world", func(*provenancetest.Claim) {}, other, "is not one that is trusted"},
		{"another name", func(c *provenancetest.Claim) { c.Filename = "x.whl" }, root, "it is of another file: x.whl"},
		{"another sum", func(c *provenancetest.Claim) { c.SHA256 = strings.Repeat("00", 32) }, nil, "it is of another file"},
		{"another repository", func(c *provenancetest.Claim) { c.Publisher = "o/other" }, nil, "by another identity: repository https://forge.test/o/demo, and the index names o/other"},
		{"signature", func(c *provenancetest.Claim) { c.Break = "signature" }, nil, "the signature is not of this statement"},
		{"entry of another statement", func(c *provenancetest.Claim) { c.Break = "entry" }, root, "of another statement"},
		{"time that was not signed", func(c *provenancetest.Claim) { c.Break = "time" }, root, "did not sign its entry"},
		{"after the certificate's end", func(c *provenancetest.Claim) { c.Break = "late" }, root, "of no authority that is trusted"},
		{"file URL", func(c *provenancetest.Claim) { c.Repository = "file:///srv/x" }, root, "no https URL"},
		{"no commit", func(c *provenancetest.Claim) { c.Commit = "main" }, root, "which is none"},
		{"no publisher", func(c *provenancetest.Claim) { c.Publisher = "-" }, nil, "the index does not say"},
	} {
		claim := claim
		c.change(&claim)
		data, err := w.Attest(claim)
		if err != nil {
			t.Fatal(err)
		}
		ids, err := provenance.Read(data, subject, c.root)
		var refused *provenance.RefusedError
		if c.want != "" {
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v, not %q", c.name, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		id, err := provenance.Best(ids)
		if err != nil || id.Commit != claim.Commit || id.Repository != claim.Repository || id.Tag() != "v1.0" || id.Issuer != "https://token.issuer.test" {
			t.Errorf("%s: %+v %v", c.name, id, err)
		}
		if id.Verified != (c.root != nil) || (id.Unverified == "") != id.Verified || id.Verified && !id.Time.Equal(claim.Time) {
			t.Errorf("%s: %+v", c.name, id)
		}
	}
}

func TestNoCommit(t *testing.T) {
	w, root := world(t)
	claim := claim
	claim.Commit = ""
	data, err := w.Attest(claim)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provenance.Read(data, provenance.Subject{Filename: claim.Filename, SHA256: claim.SHA256}, root); !errors.Is(err, provenance.ErrNoCommit) {
		t.Error(err)
	}
}

func FuzzRead(f *testing.F) {
	w, root := world(f)
	data, err := w.Attest(claim)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		ids, err := provenance.Read(data, provenance.Subject{Filename: claim.Filename, SHA256: claim.SHA256}, root)
		if err != nil {
			return
		}
		for _, id := range ids {
			if !id.Verified || id.Commit != claim.Commit {
				t.Errorf("%+v", id)
			}
		}
	})
}
