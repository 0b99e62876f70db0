package sandbox

import (
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// config is the OCI description of s. root is the prepared root directory,
// rootless says that the caller is not root: then the build is root of a
// user namespace that maps to the caller, without any capability.
func config(s Spec, root string, id string, mounts []Mount, rootless bool, uid, gid int) *specs.Spec {
	lim := s.Limits.fill()
	umask := s.Umask
	user := specs.User{UID: buildID, GID: buildID, Umask: &umask}
	owner := []string{"uid=" + strconv.Itoa(buildID), "gid=" + strconv.Itoa(buildID)}
	if rootless {
		user.UID, user.GID, owner = 0, 0, nil
	}
	c := &specs.Spec{
		Version:  "1.0.2",
		Hostname: "build",
		Root:     &specs.Root{Path: root, Readonly: true},
		Process: &specs.Process{
			User: user, Args: s.Argv, Env: s.Env, Cwd: s.Dir,
			Capabilities:    &specs.LinuxCapabilities{},
			NoNewPrivileges: true,
			Rlimits: []specs.POSIXRlimit{
				{Type: "RLIMIT_CORE"},
				{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: 4096},
			},
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=64k"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=67108864"}},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace}, {Type: specs.MountNamespace},
			},
			MaskedPaths: []string{
				"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
				"/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/proc/mounts", "/proc/cmdline", "/proc/version",
			},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
			Seccomp:       seccomp(),
		},
	}
	for _, m := range mounts {
		options := []string{"rbind", "nosuid", "nodev", "rprivate"}
		if !m.Writable {
			options = append(options, "ro")
		}
		c.Mounts = append(c.Mounts, specs.Mount{Destination: m.Target, Type: "bind", Source: m.Source, Options: options})
	}
	for _, dir := range s.Tmpfs {
		options := append([]string{"nosuid", "nodev", "mode=755", "size=" + strconv.FormatInt(lim.Disk, 10)}, owner...)
		c.Mounts = append(c.Mounts, specs.Mount{Destination: dir, Type: "tmpfs", Source: "tmpfs", Options: options})
	}
	if rootless {
		c.Linux.Namespaces = append(c.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		c.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(uid), Size: 1}}
		c.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(gid), Size: 1}}
		return c
	}
	memory, swap, pids := lim.Memory, lim.Memory, lim.Processes
	c.Linux.CgroupsPath = "/truewheel/" + id
	c.Linux.Resources = &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}},
		Memory:  &specs.LinuxMemory{Limit: &memory, Swap: &swap},
		Pids:    &specs.LinuxPids{Limit: &pids},
	}
	return c
}

// seccomp refuses what no build needs and kernels have had holes in.
func seccomp() *specs.LinuxSeccomp {
	denied := []string{
		"acct", "add_key", "adjtimex", "bpf", "clock_adjtime", "clock_settime", "create_module", "delete_module",
		"finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "get_kernel_syms", "init_module",
		"io_uring_enter", "io_uring_register", "io_uring_setup", "ioperm", "iopl", "kcmp", "kexec_file_load", "kexec_load",
		"keyctl", "lookup_dcookie", "mount", "mount_setattr", "move_mount", "name_to_handle_at", "nfsservctl",
		"open_by_handle_at", "open_tree", "perf_event_open", "pivot_root", "process_madvise", "process_vm_readv", "process_vm_writev",
		"ptrace", "query_module", "quotactl", "quotactl_fd", "reboot", "request_key", "setdomainname", "sethostname",
		"setns", "settimeofday", "stime", "swapoff", "swapon", "sysfs", "_sysctl", "syslog", "umount", "umount2",
		"unshare", "uselib", "userfaultfd", "ustat", "vhangup",
	}
	eperm, enosys := uint(1), uint(38)
	// clone with a flag that makes a user namespace (CLONE_NEWUSER).
	newUser := []specs.LinuxSeccompArg{{Index: 0, Value: 0x10000000, ValueTwo: 0x10000000, Op: specs.OpMaskedEqual}}
	return &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32, specs.ArchAARCH64, specs.ArchARM},
		Syscalls: []specs.LinuxSyscall{
			{Names: denied, Action: specs.ActErrno, ErrnoRet: &eperm},
			{Names: []string{"clone"}, Action: specs.ActErrno, ErrnoRet: &eperm, Args: newUser},
			{Names: []string{"clone3"}, Action: specs.ActErrno, ErrnoRet: &enosys},                                                                           // its flags lie in memory; C libraries fall back to clone
			{Names: []string{"socket"}, Action: specs.ActErrno, ErrnoRet: &eperm, Args: []specs.LinuxSeccompArg{{Index: 0, Value: 40, Op: specs.OpEqualTo}}}, // AF_VSOCK
			{Names: []string{"socket"}, Action: specs.ActErrno, ErrnoRet: &eperm, Args: []specs.LinuxSeccompArg{{Index: 0, Value: 38, Op: specs.OpEqualTo}}}, // AF_ALG
			{Names: []string{"socket"}, Action: specs.ActErrno, ErrnoRet: &eperm, Args: []specs.LinuxSeccompArg{{Index: 0, Value: 17, Op: specs.OpEqualTo}}}, // AF_PACKET
		},
	}
}
