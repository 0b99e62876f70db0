package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// hostDirs are the system's directories that a build may read. Homes, /root,
// /etc, /var, /run, /opt, /srv, /mnt and whatever else there is are not.
var hostDirs = []string{"bin", "lib", "lib32", "lib64", "libx32", "sbin", "usr"}

// hostFiles are copied from the host's /etc: they tell the loader and the
// linker where the libraries of hostDirs are.
var hostFiles = []string{"etc/debian_version", "etc/ld.so.cache", "etc/ld.so.conf", "etc/os-release"}

// ownFiles are the same on every machine.
func ownFiles() map[string]string {
	return map[string]string{
		"etc/passwd":        fmt.Sprintf("root:x:0:0:root:/build:/bin/sh\nbuild:x:%d:%d:build:/build:/bin/sh\n", buildID, buildID),
		"etc/group":         fmt.Sprintf("root:x:0:\nbuild:x:%d:\n", buildID),
		"etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
		"etc/hosts":         "127.0.0.1 localhost build\n::1 localhost\n",
		"etc/resolv.conf":   "",
	}
}

// prepareRoot makes dir the root directory of s: places to mount on, links
// of the top level, and for the host's system an /etc. The mounts bring the
// rest. Modes do not depend on our umask.
func prepareRoot(dir string, s Spec) ([]Mount, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	from, names := "/", hostDirs
	if s.Root == "" {
		if err := writeEtc(root); err != nil {
			return nil, err
		}
	} else if from, names, err = listRoot(s.Root); err != nil {
		return nil, err
	}
	var mounts []Mount
	links := map[string]bool{}
	for _, name := range names {
		source := filepath.Join(from, name)
		info, err := os.Lstat(source)
		switch {
		case errors.Is(err, fs.ErrNotExist) && s.Root == "":
		case err != nil:
			return nil, err
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(source)
			if err == nil {
				err = root.Symlink(target, name)
			}
			if err != nil {
				return nil, err
			}
			links[name] = true
		case info.IsDir() || info.Mode().IsRegular():
			mounts = append(mounts, Mount{Source: source, Target: "/" + name})
		}
	}
	if s.Root == "" {
		mounts = append(mounts, below(mounts, readText("/proc/self/mountinfo"))...)
		if _, err := os.Stat("/etc/alternatives"); err == nil {
			mounts = append(mounts, Mount{Source: "/etc/alternatives", Target: "/etc/alternatives"})
		}
	}
	places := []Mount{{Target: "/proc"}, {Target: "/dev"}, {Target: "/tmp"}, {Target: "/build"}} // these are always there
	for _, t := range s.Tmpfs {
		places = append(places, Mount{Target: t})
	}
	for _, m := range slices.Concat(places, mounts, s.Mounts) {
		top, _, _ := strings.Cut(strings.Trim(m.Target, "/"), "/")
		if links[top] {
			continue // it is to be on another mount, or the runtime complains
		}
		if err := place(root, m); err != nil {
			return nil, err
		}
	}
	for _, dir := range s.Tmpfs {
		// A tmpfs takes the mode of what it is mounted on.
		if sticky(dir) {
			if err := root.Chmod(strings.Trim(filepath.Clean(dir), "/"), 0o777|fs.ModeSticky); err != nil {
				return nil, err
			}
		}
	}
	return mounts, nil
}

// listRoot is the top level of an unpacked root directory, without what a
// cage has of its own.
func listRoot(dir string) (abs string, names []string, err error) {
	if abs, err = filepath.Abs(dir); err != nil {
		return "", nil, err
	}
	entries, err := os.ReadDir(abs)
	for _, e := range entries {
		switch e.Name() {
		case "build", "dev", "proc", "run", "sys", "tmp", "truewheel":
		default:
			names = append(names, e.Name())
		}
	}
	return abs, names, err
}

func writeEtc(root *os.Root) error {
	files := ownFiles()
	parts, err := filepath.Glob("/etc/ld.so.conf.d/*.conf")
	if err != nil {
		return err
	}
	for _, name := range slices.Concat(hostFiles, parts) {
		name = strings.TrimPrefix(name, "/")
		if info, err := os.Stat("/" + name); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o004 != 0 {
			data, err := os.ReadFile("/" + name)
			if err != nil {
				return err
			}
			files[name] = string(data)
		}
	}
	for name, text := range files {
		if err := makeDirs(root, filepath.Dir(name)); err != nil {
			return err
		}
		if err := root.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
		if err := root.Chmod(name, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// place makes what m is mounted on: a runtime would make it with our umask.
func place(root *os.Root, m Mount) error {
	name := strings.Trim(filepath.Clean(m.Target), "/")
	if !filepath.IsAbs(m.Target) || name == "" {
		return fmt.Errorf("mount at %q: not an absolute path below /", m.Target)
	}
	if m.Source != "" {
		info, err := os.Stat(m.Source)
		if err != nil {
			return fmt.Errorf("mount at %s: %w", m.Target, err)
		}
		if !info.IsDir() {
			if err := makeDirs(root, filepath.Dir(name)); err != nil {
				return err
			}
			f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o644)
			if err != nil {
				return err
			}
			return f.Close()
		}
	}
	return makeDirs(root, name)
}

func makeDirs(root *os.Root, name string) error {
	at := ""
	for part := range strings.SplitSeq(filepath.ToSlash(name), "/") {
		at = filepath.Join(at, part)
		err := root.Mkdir(at, 0o755)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			err = root.Chmod(at, 0o755)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// below are the mounts of this machine inside the directories of mounts, as
// mountinfo (proc(5)) lists them: a bind alone does not bring them along.
func below(mounts []Mount, mountinfo string) []Mount {
	var out []Mount
	for line := range strings.Lines(mountinfo) {
		f := strings.Fields(line)
		if len(f) < 5 || strings.Contains(f[4], `\`) { // an odd name, escaped
			continue
		}
		m := Mount{Source: f[4], Target: f[4]}
		inside := slices.ContainsFunc(mounts, func(d Mount) bool { return strings.HasPrefix(f[4], d.Source+"/") })
		if inside && !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}
