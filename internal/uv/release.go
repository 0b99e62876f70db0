package uv

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Version of uv that truewheel uses.
const Version = "0.13.9"

// A release file of uv: one wheel for each platform. The sha256 is ours, so
// that it does not matter which index serves it.
type Release struct {
	Filename, SHA256 string
	Size             int64
}

var releases = map[string]Release{
	"linux/amd64":   {"uv-0.13.9-py3-none-musllinux_1_1_x86_64.whl", "2c45530751517d6c3bbc69a19473f6effe47cce047bede01ffd8af7ea7b36b25", 19295638},
	"linux/arm64":   {"uv-0.13.9-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl", "5435c5ce14a56431208ca0996416d310f1598e8c2c8ba707688985a16bb82dbe", 18026789},
	"linux/386":     {"uv-0.13.9-py3-none-musllinux_1_1_i686.whl", "a2ee66fe8b6608e1482ab1bde5799da04705c1cb40324c7f66054ecf46ae6e40", 18038845},
	"linux/riscv64": {"uv-0.13.9-py3-none-manylinux_2_31_riscv64.musllinux_1_1_riscv64.whl", "6d5114bba238adddacb32fb11904f2b3ff4e988f8e9ff0d8d3b5e9822cf836b8", 18085314},
	"linux/ppc64le": {"uv-0.13.9-py3-none-manylinux_2_17_ppc64le.manylinux2014_ppc64le.whl", "c5dbdb7c8737cd183a9dce95b39cfd1f3d54ec2a27a1bb58f160293f9ba2c805", 20059600},
	"linux/s390x":   {"uv-0.13.9-py3-none-manylinux_2_17_s390x.manylinux2014_s390x.whl", "a6e845f387e4ed55bb59342957a9179e24a631fcc7668bda3426ae1cef8ed4b9", 19708388},
	"darwin/amd64":  {"uv-0.13.9-py3-none-macosx_10_12_x86_64.whl", "c16ed11e013557536b3e60065f1b912f6407bd6518e041b961e23ef9e6b4fbf5", 17529974},
	"darwin/arm64":  {"uv-0.13.9-py3-none-macosx_11_0_arm64.whl", "66c512266d633bef48384a1f53003f41f2a8e7b36fe6e7fbfd3e0fd52d96fa63", 14660755},
	"windows/amd64": {"uv-0.13.9-py3-none-win_amd64.whl", "6a44b2ed8111d2f60d2b92627c5dccda3f7ed7570b18ce115e569cd68c28246b", 15662317},
	"windows/arm64": {"uv-0.13.9-py3-none-win_arm64.whl", "eeb92051c2123b9730c46b04cc843cfa4bc7d7b0aec56df431a2215ef4cb0273", 15841844},
}

// For says which file serves this machine.
func For() (Release, error) {
	r, ok := releases[runtime.GOOS+"/"+runtime.GOARCH]
	if !ok {
		return r, fmt.Errorf("no uv %s is known for %s/%s", Version, runtime.GOOS, runtime.GOARCH)
	}
	return r, nil
}

// Unpack takes the program out of a release file, whose sha256 the caller
// has checked, into dir, once: the name holds the hash.
func Unpack(ctx context.Context, file string, r Release, dir string) (string, error) {
	exe := "uv"
	if runtime.GOOS == "windows" {
		exe = "uv.exe"
	}
	to := filepath.Join(dir, "uv-"+r.SHA256[:16], exe)
	if info, err := os.Stat(to); err == nil && info.Size() > 0 {
		return to, nil
	}
	z, err := zip.OpenReader(file)
	if err != nil {
		return "", fmt.Errorf("unpack uv: %w", err)
	}
	defer z.Close()
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, ".data/scripts/"+exe) {
			if err := unpackFile(f, to); err != nil {
				return "", fmt.Errorf("unpack uv: %w", err)
			}
			return to, ctx.Err()
		}
	}
	return "", fmt.Errorf("unpack uv: %s holds no %s", r.Filename, exe)
}

func unpackFile(f *zip.File, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	w, err := os.CreateTemp(filepath.Dir(to), ".uv-*")
	if err != nil {
		return err
	}
	defer os.Remove(w.Name()) // gone when the rename below succeeds
	_, err = io.Copy(w, r)
	if err := errors.Join(err, w.Chmod(0o755), w.Sync(), w.Close()); err != nil {
		return err
	}
	return os.Rename(w.Name(), to)
}
