package oci

import (
	"bufio"
	"bytes"
	_ "embed"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A Policy is one of auditwheel's, and the images in which wheels for it are built.
type Policy struct {
	Name         string // "manylinux_2_28"
	Libc         string // "glibc" or "musl"
	Version      string // of it: wheels run where it is at least this
	Distribution string // what the images are made from
}

// Policies are those that there have been images for.
var Policies = []Policy{
	{"manylinux1", "glibc", "2.5", "CentOS 5"},
	{"manylinux2010", "glibc", "2.12", "CentOS 6"},
	{"manylinux2014", "glibc", "2.17", "CentOS 7"},
	{"manylinux_2_24", "glibc", "2.24", "Debian 9"},
	{"manylinux_2_28", "glibc", "2.28", "AlmaLinux 8"},
	{"manylinux_2_31", "glibc", "2.31", "Ubuntu 20.04"},
	{"manylinux_2_34", "glibc", "2.34", "AlmaLinux 9"},
	{"manylinux_2_35", "glibc", "2.35", "Ubuntu 22.04"},
	{"manylinux_2_39", "glibc", "2.39", "Rocky Linux 10"},
	{"musllinux_1_1", "musl", "1.1", "Alpine Linux 3.12"},
	{"musllinux_1_2", "musl", "1.2", "Alpine Linux"},
}

var imageName = regexp.MustCompile(`^(many|musl)linux(?:_[0-9]+_[0-9]+|[0-9]+)_`)

// ParsePolicy finds the policy and the machine ("x86_64") that an image's
// name, or a wheel's platform tag, stands for: pypa/manylinux_2_28_x86_64,
// manylinux2014_aarch64. The other name of an old policy is known too:
// manylinux_2_17_x86_64.
func ParsePolicy(name string) (p Policy, machine string, ok bool) {
	name = name[strings.LastIndexByte(name, '/')+1:]
	head := imageName.FindString(name)
	machine = strings.TrimPrefix(name, head)
	head = strings.TrimSuffix(head, "_")
	i := slices.IndexFunc(Policies, func(p Policy) bool {
		return p.Name == head || p.Libc == "glibc" && "manylinux_"+strings.ReplaceAll(p.Version, ".", "_") == head
	})
	if i < 0 || machine == "" {
		return Policy{}, "", false
	}
	return Policies[i], machine, true
}

// A Pin is an image that a release of cibuildwheel used unless it was told
// otherwise.
type Pin struct {
	Release  string    // of cibuildwheel
	Uploaded time.Time // the day
	Image    string    // without the registry's host, "pypa/manylinux_2_28_x86_64"
	Tag      string    // "" where none is known
	Digest   string    // "sha256:…", "" in old releases
}

// pinnedTSV is made by bench/pinned.py, sorted by version.
//
//go:embed pinned.tsv
var pinnedTSV []byte

// Pinned is the image for a policy and a machine that the newest release of
// cibuildwheel of a moment pinned. Old patch releases are not in the table:
// then it is that of the first release of the minor version.
func Pinned(p Policy, machine string, at time.Time) (Pin, bool) {
	var out Pin
	lines := bufio.NewScanner(bytes.NewReader(pinnedTSV))
	for lines.Scan() {
		f := strings.Split(lines.Text(), "\t")
		if len(f) != 7 || strings.HasPrefix(f[0], "#") || f[2] != p.Name || f[3] != machine {
			continue
		}
		day, err := time.Parse(time.DateOnly, f[1])
		if err == nil && !day.After(at) {
			known := func(s string) string { return strings.TrimPrefix(s, "-") }
			out = Pin{f[0], day, f[4], known(f[5]), known(f[6])}
		}
	}
	return out, out.Release != ""
}

// Reference is the image that is pinned, by a short name.
func (p Pin) Reference() Reference {
	return Reference{Transport: Registry, Name: p.Image, Tag: p.Tag, Digest: p.Digest}
}
