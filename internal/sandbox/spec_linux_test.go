package sandbox

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestConfig(t *testing.T) {
	build := Spec{
		Argv: []string{"/truewheel/bin/truewheel", "inside"}, Env: []string{"PATH=/usr/bin:/bin", "HOME=/build"}, Dir: "/build",
		Mounts: []Mount{
			{Source: "/cache/source", Target: "/truewheel/source"},
			{Source: "/cache/below", Target: "/build/below/"},
			{Source: "/cache/out", Target: "/out", Writable: true},
		},
		Tmpfs: []string{"/build", "/tmp"}, Umask: 0o022,
		Limits: Limits{Time: time.Minute, Memory: 1 << 30, Processes: 100, Disk: 1 << 20},
	}
	for _, c := range []struct {
		name string
		spec Spec
		cage cageOf
	}{
		{"zero", Spec{Argv: []string{"/bin/true"}}, cageOf{id: "tw1", root: "/c/root", files: 1 << 20, grade: grade{Limits: true, Swap: true}}},
		{"build", build, cageOf{
			id: "tw2", root: "/c/root", mounts: []Mount{{Source: "/usr", Target: "/usr"}, {Source: "/usr/local", Target: "/usr/local"}},
			files: 4096, grade: grade{Limits: true},
		}},
		{"rootless", build, cageOf{id: "tw3", root: "/c/root", uid: 1000, gid: 100, files: 1 << 20, grade: grade{Rootless: true}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := config(c.spec, c.cage)
			out.Linux.Seccomp = nil // its own test
			got, err := json.MarshalIndent(out, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			name := filepath.Join("testdata", c.name+".json")
			if *update {
				if err := os.WriteFile(name, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(name)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s is another (go test -update writes it anew): %v\n%s", name, err, got)
			}
		})
	}
}

func TestSeccomp(t *testing.T) {
	s := seccomp()
	if s.DefaultAction != specs.ActErrno {
		t.Error("what is not known is allowed:", s.DefaultAction)
	}
	seen := map[string]specs.LinuxSeccompAction{}
	for _, rule := range s.Syscalls {
		for _, name := range rule.Names {
			if before, ok := seen[name]; ok && before != rule.Action {
				t.Errorf("%s is both %s and %s", name, before, rule.Action)
			}
			seen[name] = rule.Action
			// These may be allowed with some arguments only.
			if slices.Contains([]string{"clone", "socket", "personality"}, name) && len(rule.Args) == 0 {
				t.Errorf("%s is %s whatever its arguments", name, rule.Action)
			}
		}
	}
	for _, name := range strings.Fields(`mount umount2 pivot_root ptrace bpf perf_event_open keyctl add_key request_key userfaultfd kexec_load
		kexec_file_load init_module finit_module delete_module unshare setns open_by_handle_at io_uring_setup io_uring_enter io_uring_register
		reboot swapon swapoff clock_settime settimeofday adjtimex process_vm_readv process_vm_writev pidfd_getfd clone3 socketcall`) {
		if seen[name] == specs.ActAllow {
			t.Errorf("%s is allowed", name)
		}
	}
	for _, name := range strings.Fields("read write openat execve futex clone socket mmap rseq statx fork vfork pipe2 dup3 renameat2 copy_file_range") {
		if seen[name] != specs.ActAllow {
			t.Errorf("%s is refused", name)
		}
	}
}

func TestBelow(t *testing.T) {
	mountinfo := `22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 254:1 / /usr rw - ext4 /dev/vdb rw
31 30 254:2 / /usr/local rw - ext4 /dev/vdc rw
32 31 0:9 / /usr/local/with\040space rw - tmpfs tmpfs rw
33 22 0:10 / /usrlocal rw - tmpfs tmpfs rw
34 22 0:11 / /home rw - tmpfs tmpfs rw
31 30 254:2 / /usr/local rw - ext4 /dev/vdc rw
short
`
	want := []Mount{{Source: "/usr/local", Target: "/usr/local"}}
	if got := below([]Mount{{Source: "/usr", Target: "/usr"}}, mountinfo); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
}
