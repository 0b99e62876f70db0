package sandbox

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// cageOf is what a description needs to know beside the Spec.
type cageOf struct {
	id     string
	root   string  // directory that is seen as /
	mounts []Mount // those of the root
	uid    int     // the caller's
	gid    int
	files  uint64 // descriptors that we may have at most
	grade
}

// grade is what the runtime can do here, best first in grades.
type grade struct {
	Rootless bool // the caller is not root
	Limits   bool // control groups can be made
	Swap     bool // and swap be limited
}

// masked are files of /proc that tell about the machine, or can harm it, and
// places below /usr that hold the administrator's settings and private sources.
var masked = []string{
	"/proc/acpi", "/proc/asound", "/proc/cmdline", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
	"/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/proc/version",
	"/usr/local/etc", "/usr/local/src", "/usr/src",
}

// Not limits of the user's but of good manners; a build that needs more is not known.
const (
	shmSize   = 64 << 20
	maxInodes = 1 << 20
	maxFiles  = 4096
	hardFiles = 65536
)

// config is the OCI description of s in the cage c.
//
// Root's cages run as buildID. Others are rootless: there the build is root
// of a user namespace that maps to the caller. In both it has no capability.
func config(s Spec, c cageOf) *specs.Spec {
	lim := s.Limits.fill()
	umask := s.Umask
	user := specs.User{UID: buildID, GID: buildID, Umask: &umask}
	owner := ",uid=" + strconv.Itoa(buildID) + ",gid=" + strconv.Itoa(buildID)
	if c.Rootless {
		user.UID, user.GID, owner = 0, 0, ""
	}
	oom := 500 // where the machine runs short, builds go first
	out := &specs.Spec{
		Version:  "1.0.2",
		Hostname: cmp.Or(s.Hostname, "build"),
		Root:     &specs.Root{Path: c.root, Readonly: true},
		Process: &specs.Process{
			User: user, Args: s.Argv, Env: s.Env, Cwd: cmp.Or(s.Dir, "/"),
			Capabilities:    &specs.LinuxCapabilities{},
			NoNewPrivileges: true,
			OOMScoreAdj:     &oom,
			Rlimits: []specs.POSIXRlimit{
				{Type: "RLIMIT_CORE"},
				{Type: "RLIMIT_NOFILE", Soft: min(maxFiles, c.files), Hard: min(hardFiles, c.files)},
			},
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=64k"}},
			{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=" + strconv.Itoa(shmSize)}},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace}, {Type: specs.MountNamespace}, {Type: specs.CgroupNamespace},
			},
			MaskedPaths:   masked,
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
			Seccomp:       seccomp(),
		},
	}

	var places []specs.Mount
	for _, m := range slices.Concat(c.mounts, s.Mounts) {
		// Not what is mounted below it: "ro" does not reach that. A rootless
		// bind must carry it along; there "rro" reaches it or fails.
		options := []string{"bind"}
		if c.Rootless {
			options = []string{"rbind"}
		}
		options = append(options, "nosuid", "nodev", "rprivate")
		switch {
		case !m.Writable && c.Rootless:
			options = append(options, "ro", "rro")
		case !m.Writable:
			options = append(options, "ro")
		}
		places = append(places, specs.Mount{Destination: path.Clean(m.Target), Type: "bind", Source: m.Source, Options: options})
	}
	if slices.ContainsFunc(s.Mounts, func(m Mount) bool { return m.Writable }) {
		// A tmpfs has its own size; elsewhere at least no file grows beyond it.
		out.Process.Rlimits = append(out.Process.Rlimits, specs.POSIXRlimit{Type: "RLIMIT_FSIZE", Soft: uint64(lim.Disk), Hard: uint64(lim.Disk)})
	}
	for _, dir := range s.Tmpfs {
		mode := "mode=0755"
		if dir = path.Clean(dir); sticky(dir) {
			mode = "mode=1777"
		}
		options := "nosuid,nodev," + mode + ",size=" + strconv.FormatInt(lim.Disk, 10) + ",nr_inodes=" + strconv.Itoa(maxInodes) + owner
		places = append(places, specs.Mount{Destination: dir, Type: "tmpfs", Source: "tmpfs", Options: strings.Split(options, ",")})
	}
	// What lies deeper is mounted later, whoever asked for it.
	slices.SortStableFunc(places, func(a, b specs.Mount) int {
		return slices.Compare(strings.Split(a.Destination, "/"), strings.Split(b.Destination, "/"))
	})
	out.Mounts = append(out.Mounts, places...)

	if c.Rootless {
		out.Linux.Namespaces = append(out.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		out.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(c.uid), Size: 1}}
		out.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: uint32(c.gid), Size: 1}}
	} else {
		// Otherwise the machine's is seen.
		out.Linux.Sysctl = map[string]string{"kernel.domainname": "(none)"}
	}
	if !c.Limits {
		// The best there is without control groups: for each process, and for
		// the user as a whole.
		out.Process.Rlimits = append(out.Process.Rlimits,
			specs.POSIXRlimit{Type: "RLIMIT_AS", Soft: uint64(lim.Memory), Hard: uint64(lim.Memory)},
			specs.POSIXRlimit{Type: "RLIMIT_NPROC", Soft: uint64(lim.Processes), Hard: uint64(lim.Processes)})
		return out
	}
	memory, pids := lim.Memory, lim.Processes
	out.Linux.CgroupsPath = "/" + cgroupParent + "/" + c.id
	out.Linux.Resources = &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}},
		Memory:  &specs.LinuxMemory{Limit: &memory},
		Pids:    &specs.LinuxPids{Limit: &pids},
	}
	if c.Swap {
		out.Linux.Resources.Memory.Swap = &memory // of both together: none of it is swap
	}
	return out
}

// sticky says whether a tmpfs there is everybody's.
func sticky(dir string) bool { return slices.Contains([]string{"/tmp", "/var/tmp"}, path.Clean(dir)) }
