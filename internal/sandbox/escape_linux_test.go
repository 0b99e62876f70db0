package sandbox

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// escape tries inside a cage what must not work there, one line each.
func escape(hostAddress string) {
	call := func(number uintptr, args ...uintptr) error {
		var a [6]uintptr
		copy(a[:], args)
		if _, _, errno := unix.Syscall6(number, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
			return errno
		}
		return nil
	}
	dial := func(address string) error {
		c, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err == nil {
			c.Close()
		}
		return err
	}
	socket := func(family, kind, protocol int) error {
		_, err := unix.Socket(family, kind, protocol)
		return err
	}
	write := func(name string) error { return os.WriteFile(name, []byte("1"), 0o644) }
	child := func(flags uintptr) error {
		cmd := exec.Command("/bin/true")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
		return cmd.Run()
	}
	namespace, err := unix.Open("/proc/self/ns/net", unix.O_RDONLY, 0)
	if err != nil {
		fmt.Println("escaped? no own namespace to be seen:", err)
	}

	for _, try := range []struct {
		name string
		err  error
	}{
		{"connect outside", dial("192.0.2.1:80")},
		{"connect outside, IPv6", dial("[2001:db8::1]:80")},
		{"connect to the host's loopback", dial(hostAddress)},
		{"socket AF_VSOCK", socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0)},
		{"socket AF_ALG", socket(unix.AF_ALG, unix.SOCK_SEQPACKET, 0)},
		{"socket AF_PACKET", socket(unix.AF_PACKET, unix.SOCK_RAW, 0)},
		{"socket raw", socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)},
		{"socket NETLINK_NETFILTER", socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER)},
		{"mount", unix.Mount("tmpfs", "/build", "tmpfs", 0, "")},
		{"mount anew", unix.Mount("", "/usr", "", unix.MS_REMOUNT|unix.MS_BIND, "")},
		{"unmount", unix.Unmount("/proc/cmdline", unix.MNT_DETACH)},
		{"pivot_root", unix.PivotRoot("/build", "/build")},
		{"chroot", unix.Chroot("/build")},
		{"unshare user", unix.Unshare(unix.CLONE_NEWUSER)},
		{"unshare mounts", unix.Unshare(unix.CLONE_NEWNS)},
		{"clone user", child(unix.CLONE_NEWUSER)},
		{"clone network", child(unix.CLONE_NEWNET)},
		{"setns", unix.Setns(namespace, unix.CLONE_NEWNET)},
		{"ptrace", unix.PtraceAttach(1)},
		{"ptrace seize", unix.PtraceSeize(os.Getppid())},
		{"process_vm_readv", call(unix.SYS_PROCESS_VM_READV, 1, 0, 0, 0, 0, 0)},
		{"bpf", call(unix.SYS_BPF, 0, 0, 0)},
		{"perf_event_open", call(unix.SYS_PERF_EVENT_OPEN)},
		{"keyctl", call(unix.SYS_KEYCTL, 0, 0, 0)},
		{"add_key", call(unix.SYS_ADD_KEY)},
		{"userfaultfd", call(unix.SYS_USERFAULTFD, 0)},
		{"io_uring_setup", call(unix.SYS_IO_URING_SETUP, 1)},
		{"open_by_handle_at", call(unix.SYS_OPEN_BY_HANDLE_AT)},
		{"fsopen", call(unix.SYS_FSOPEN)},
		{"open_tree", call(unix.SYS_OPEN_TREE)},
		{"finit_module", call(unix.SYS_FINIT_MODULE)},
		{"kexec_load", call(unix.SYS_KEXEC_LOAD)},
		{"swapon", call(unix.SYS_SWAPON)},
		{"clock_settime", call(unix.SYS_CLOCK_SETTIME, unix.CLOCK_REALTIME, 0)},
		{"settimeofday", call(unix.SYS_SETTIMEOFDAY, 0, 0)},
		{"unknown call", call(900)},
		{"personality without randomisation", call(unix.SYS_PERSONALITY, 0x40000)},
		{"sethostname", unix.Sethostname([]byte("x"))},
		{"make a device", unix.Mknod("/build/disk", unix.S_IFBLK|0o600, int(unix.Mkdev(254, 0)))},
		{"nice", unix.Setpriority(unix.PRIO_PROCESS, 0, -5)},
		{"more descriptors", unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20})},
		{"write /proc/sys", write("/proc/sys/kernel/core_pattern")},
		{"write /proc/sys/vm", write("/proc/sys/vm/drop_caches")},
		{"write sysrq", write("/proc/sysrq-trigger")},
		{"write /etc/passwd", write("/etc/passwd")},
		{"write /", write("/x")},
		{"write /usr", write("/usr/x")},
		{"write /dev", os.Remove("/usr/bin/env")},
		{"write self", write("/truewheel/self")},
		{"read /etc/shadow", read("/etc/shadow")},
		{"read /proc/kcore", read("/proc/kcore")},
		{"read the kernel's command line", read("/proc/cmdline")},
		{"read memory", read("/dev/mem")},
		{"read a disk", read("/dev/vda")},
		{"see other processes", others()},
		{"see control groups", read("/sys/fs/cgroup/cgroup.procs")},
	} {
		if try.err == nil {
			fmt.Println(try.name, "escaped")
			continue
		}
		fmt.Println(try.name, try.err)
	}
}

func read(name string) error {
	data, err := os.ReadFile(name)
	if err == nil && len(data) == 0 {
		return errors.New("empty")
	}
	return err
}

// others fails when there is only the cage's own process.
func others() error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	n := 0
	for _, e := range entries {
		if e.Name()[0] >= '1' && e.Name()[0] <= '9' {
			n++
		}
	}
	if n == 1 {
		return errors.New("alone")
	}
	return nil
}
