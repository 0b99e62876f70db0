package pypi_test

import (
	"testing"

	"github.com/truewheel/truewheel/pypi"
)

func TestFits(t *testing.T) {
	for _, c := range []struct {
		file, target string
		want         bool
	}{
		{"d-1-cp311-cp311-manylinux_2_34_x86_64.whl", "cp311-manylinux_x86_64", true},
		{"d-1-cp311-cp311-manylinux_2_34_x86_64.whl", "cp311-cp311-manylinux_2_34_x86_64", true},
		{"d-1-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", "cp311-manylinux_2_17_x86_64", true},
		{"d-1-cp311-cp311-manylinux_2_34_x86_64.whl", "cp312-manylinux_x86_64", false},
		{"d-1-cp311-cp311-manylinux_2_34_aarch64.whl", "cp311-manylinux_x86_64", false},
		{"d-1-cp311-cp311-musllinux_1_2_x86_64.whl", "cp311-manylinux_x86_64", false},
		{"d-1-cp311-cp311-linux_x86_64.whl", "cp311-linux_x86_64", true},
		{"d-1-py3-none-any.whl", "cp311-manylinux_x86_64", false},
		{"d-1-py3-none-any.whl", "py3-none-any", true},
		{"d-1-py2.py3-none-any.whl", "py2.py3-none-any", true},
		{"d-1-cp311-cp311-manylinux_2_34_x86_64.whl", "cp311-none-any", false},
		{"d-1-cp39-abi3-win_amd64.whl", "cp39-win_amd64", true},
	} {
		w, err := pypi.ParseWheelFilename(c.file)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Fits(c.target); got != c.want {
			t.Errorf("%s fits %s: %v", c.file, c.target, got)
		}
	}
}

func TestPolicyVersion(t *testing.T) {
	for platform, want := range map[string]string{
		"manylinux_2_28_x86_64": "2.28", "musllinux_1_2_aarch64": "1.2", "manylinux_2_17_i686": "2.17",
		"manylinux2014_x86_64": "", "manylinux_x86_64": "", "linux_x86_64": "", "macosx_11_0_arm64": "", "win_amd64": "", "any": "",
	} {
		if got := pypi.PolicyVersion(platform); got != want {
			t.Errorf("%s: %q", platform, got)
		}
	}
}
