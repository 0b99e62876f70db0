// Package provenancetest is an authority, a transparency log and a publisher
// for tests: it makes provenance objects that package provenance accepts, and
// such that it has to refuse.
package provenancetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"strings"
	"time"
)

// World is an authority and a log.
type World struct {
	Root []byte // trusted_root.json

	ca    *x509.Certificate
	caKey *ecdsa.PrivateKey
	log   *ecdsa.PrivateKey
	logID []byte
}

// Claim is what an attestation says.
type Claim struct {
	Filename, SHA256 string
	Repository       string // URL
	Commit, Ref      string
	Time             time.Time
	// Publisher is the repository that the index names; "" that of Repository, "-" none.
	Publisher string
	// Break changes an attestation after it was made; "" changes nothing.
	// signature | entry | time | late
	Break string
}

// New makes a world.
func New() (*World, error) {
	w := &World{}
	var err error
	if w.caKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	if w.log, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, w.caKey.Public(), w.caKey)
	if err != nil {
		return nil, err
	}
	if w.ca, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKIXPublicKey(w.log.Public())
	if err != nil {
		return nil, err
	}
	id := sha256.Sum256(key)
	w.logID = id[:]
	type object = map[string]any
	validFor := object{"start": "2000-01-01T00:00:00Z"}
	w.Root, err = json.Marshal(object{
		"tlogs":                  []any{object{"publicKey": object{"rawBytes": key, "validFor": validFor}, "logId": object{"keyId": w.logID}}},
		"certificateAuthorities": []any{object{"certChain": object{"certificates": []any{object{"rawBytes": der}}}, "validFor": validFor}},
	})
	return w, err
}

// Attest makes a provenance object.
func (w *World) Attest(c Claim) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	workflow := c.Repository + "/.forge/workflows/release.yml@" + c.Ref
	san, err := url.Parse(workflow)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: c.Time.Add(-time.Minute), NotAfter: c.Time.Add(9 * time.Minute), URIs: []*url.URL{san},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	for n, text := range map[int]string{8: "https://token.issuer.test", 12: c.Repository, 13: c.Commit, 14: c.Ref, 18: workflow} {
		value, err := asn1.MarshalWithParams(text, "utf8")
		if err != nil {
			return nil, err
		}
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, n}, Value: value})
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, w.ca, key.Public(), w.caKey)
	if err != nil {
		return nil, err
	}
	type object = map[string]any
	statement, err := json.Marshal(object{
		"_type": "https://in-toto.io/Statement/v1", "predicateType": "https://slsa.dev/provenance/v1", "predicate": nil,
		"subject": []any{object{"name": c.Filename, "digest": object{"sha256": c.SHA256}}},
	})
	if err != nil {
		return nil, err
	}
	const payload = "application/vnd.in-toto+json"
	sign := func(key *ecdsa.PrivateKey, text []byte) ([]byte, error) {
		sum := sha256.Sum256(text)
		return ecdsa.SignASN1(rand.Reader, key, sum[:])
	}
	signature, err := sign(key, fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payload), payload, len(statement), statement))
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(statement)
	if c.Break == "entry" {
		sum[0]++
	}
	body, err := json.Marshal(object{"apiVersion": "0.0.1", "kind": "dsse", "spec": object{
		"payloadHash": object{"algorithm": "sha256", "value": hex.EncodeToString(sum[:])},
		"signatures":  []any{object{"signature": signature, "verifier": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})}},
	}})
	if err != nil {
		return nil, err
	}
	at := c.Time.Unix()
	if c.Break == "late" {
		at += 3600
	}
	promise, err := sign(w.log, fmt.Appendf(nil, `{"body":%q,"integratedTime":%d,"logID":%q,"logIndex":7}`, base64.StdEncoding.EncodeToString(body), at, hex.EncodeToString(w.logID)))
	if err != nil {
		return nil, err
	}
	switch c.Break {
	case "time":
		at++
	case "signature":
		statement = []byte(strings.Replace(string(statement), "provenance/v1", "provenance/v2", 1))
	}
	publisher := c.Publisher
	switch publisher {
	case "-":
		publisher = ""
	case "":
		publisher = strings.Trim(san.Path[:strings.Index(san.Path, "/.forge/")], "/")
	}
	return json.Marshal(object{"version": 1, "attestation_bundles": []any{object{
		"publisher": object{"kind": "Forge", "repository": publisher, "workflow": "release.yml"},
		"attestations": []any{object{
			"version": 1, "envelope": object{"statement": statement, "signature": signature},
			"verification_material": object{"certificate": cert, "transparency_entries": []any{object{
				"logIndex": "7", "logId": object{"keyId": w.logID}, "integratedTime": fmt.Sprint(at), "inclusionPromise": object{"signedEntryTimestamp": promise}, "canonicalizedBody": body,
			}}},
		}},
	}}})
}
