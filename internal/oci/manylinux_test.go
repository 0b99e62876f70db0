package oci

import (
	"strings"
	"testing"
	"time"
)

func TestParsePolicy(t *testing.T) {
	for name, want := range map[string][3]string{
		"pypa/manylinux_2_28_x86_64": {"manylinux_2_28", "x86_64", "2.28"},
		"manylinux2014_aarch64":      {"manylinux2014", "aarch64", "2.17"},
		"manylinux_2_17_x86_64":      {"manylinux2014", "x86_64", "2.17"},
		"manylinux1_i686":            {"manylinux1", "i686", "2.5"},
		"musllinux_1_2_armv7l":       {"musllinux_1_2", "armv7l", "1.2"},
		"musllinux_1_3_x86_64":       {},
		"linux_x86_64":               {},
		"manylinux_2_28":             {},
		"manylinux_2_28_":            {},
		"debian":                     {},
	} {
		p, machine, ok := ParsePolicy(name)
		if got := [3]string{p.Name, machine, p.Version}; got != want || ok != (want[0] != "") {
			t.Errorf("%s: %v %v", name, got, ok)
		}
	}
}

func TestPinned(t *testing.T) {
	for _, c := range []struct{ tag, day, release, image, pin string }{
		{"manylinux2014_x86_64", "2024-10-20", "2.21.0", "pypa/manylinux2014_x86_64", ""},
		{"manylinux_2_28_x86_64", "2025-07-26", "3.1.1", "pypa/manylinux_2_28_x86_64", ""},
		{"manylinux_2_28_x86_64", "2026-03-20", "3.4.0", "pypa/manylinux_2_28_x86_64", ""}, // not the later 2.23.4
		{"musllinux_1_2_x86_64", "2020-06-01", "", "", ""},
		{"manylinux_2_28_x86_64", "2000-01-01", "", "", ""},
	} {
		p, machine, ok := ParsePolicy(c.tag)
		day, err := time.Parse(time.DateOnly, c.day)
		if !ok || err != nil {
			t.Fatal(c.tag, err)
		}
		pin, ok := Pinned(p, machine, day)
		if ok != (c.release != "") || pin.Release != c.release || pin.Image != c.image || ok && pin.Tag == "" {
			t.Errorf("%s %s: %+v", c.tag, c.day, pin)
		}
		if r := pin.Reference(); ok && (r.Host != "" || !IsName(r.Name)) {
			t.Errorf("%+v", r)
		}
	}
	for line := range strings.Lines(string(pinnedTSV)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if strings.HasPrefix(line, "#") {
			continue
		}
		_, err := time.Parse(time.DateOnly, f[1])
		_, _, known := ParsePolicy(f[2] + "_" + f[3])
		if len(f) != 7 || err != nil || !known || !IsName(f[4]) || f[5] != "-" && !tagName.MatchString(f[5]) || f[6] != "-" && !IsDigest(f[6]) || f[5]+f[6] == "--" {
			t.Errorf("%q", line)
		}
	}
}
