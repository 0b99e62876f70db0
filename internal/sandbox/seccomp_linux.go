package sandbox

import (
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// allowed are the system calls of Linux that programs use and that change
// nothing outside of them. Calls younger than this list do not exist in a
// cage (ENOSYS): C libraries then take an older way.
const allowed = `
accept accept4 access alarm arch_prctl bind brk cachestat capget capset chdir chmod chown clock_getres clock_getres_time64 clock_gettime
clock_gettime64 clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1
epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64 fadvise64_64 fallocate
fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat
fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat get_mempolicy
get_robust_list get_thread_area getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid getpgrp getpid
getppid getpriority getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr getxattrat
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit
ioctl ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link linkat listen listxattr
listxattrat llistxattr llseek lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack mbind membarrier memfd_create memfd_secret mincore
mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64
mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap nanosleep newfstatat open openat
openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2
prlimit64 pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recvfrom recvmmsg recvmmsg_time64 recvmsg
remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall riscv_flush_icache riscv_hwprobe rmdir rseq rt_sigaction
rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo
sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop
semtimedop semtimedop_time64 sendfile sendfile64 sendmmsg sendmsg sendto set_mempolicy set_mempolicy_home_node set_robust_list set_thread_area
set_tid_address setfsgid setfsuid setgid setgroups setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setsockopt
setuid setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 socketpair splice stat stat64 statfs statfs64 statx
symlink symlinkat sync sync_file_range sync_file_range2 syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun timer_gettime
timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate
truncate64 umask uname unlink unlinkat utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid write writev`

// denied are those that no build needs and kernels have had holes in (EPERM).
const denied = `
_sysctl acct add_key adjtimex afs_syscall bpf chroot clock_adjtime clock_adjtime64 clock_settime clock_settime64 create_module delete_module
fanotify_init fanotify_mark finit_module fsconfig fsmount fsopen fspick get_kernel_syms getpmsg init_module io_uring_enter io_uring_register
io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie migrate_pages modify_ldt mount mount_setattr move_mount move_pages
name_to_handle_at nfsservctl open_by_handle_at open_tree open_tree_attr perf_event_open pidfd_getfd pivot_root process_madvise process_mrelease
process_vm_readv process_vm_writev ptrace putpmsg query_module quotactl quotactl_fd reboot request_key security setdomainname sethostname setns
settimeofday swapoff swapon sysfs syslog tuxcall umount umount2 unshare uselib userfaultfd ustat vhangup vserver`

// Numbers of the kernel's interface, the same for every architecture here.
const (
	eperm, enosys = 1, 38

	afUnix, afInet, afInet6, afNetlink = 1, 2, 10, 16 // families of sockets
	netlinkRoute                       = 0            // getaddrinfo asks it for interfaces

	cloneNamespaces = 0x7e020000 // all CLONE_NEW* flags of clone
)

// native is the one architecture of system calls a cage knows: 32-bit calls
// on a 64-bit kernel would be a second, less used door.
var native = map[string]specs.Arch{
	"386": specs.ArchX86, "amd64": specs.ArchX86_64, "arm": specs.ArchARM, "arm64": specs.ArchAARCH64,
	"loong64": "SCMP_ARCH_LOONGARCH64", "ppc64le": specs.ArchPPC64LE, "riscv64": specs.ArchRISCV64, "s390x": specs.ArchS390X,
}

// seccomp is the filter: what is not allowed is refused. Sockets are of the
// families that test servers and C libraries use; there is no route anyway.
func seccomp() *specs.LinuxSeccomp {
	perm, nosys := uint(eperm), uint(enosys)
	equal := func(arg uint, value uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: arg, Value: value, Op: specs.OpEqualTo}
	}
	c := &specs.LinuxSeccomp{
		DefaultAction:   specs.ActErrno,
		DefaultErrnoRet: &nosys,
		Syscalls: []specs.LinuxSyscall{
			{Names: strings.Fields(allowed), Action: specs.ActAllow},
			{Names: strings.Fields(denied), Action: specs.ActErrno, ErrnoRet: &perm},
		},
	}
	if arch, ok := native[runtime.GOARCH]; ok {
		c.Architectures = []specs.Arch{arch}
	}
	allow := func(name string, args ...specs.LinuxSeccompArg) {
		c.Syscalls = append(c.Syscalls, specs.LinuxSyscall{Names: []string{name}, Action: specs.ActAllow, Args: args})
	}
	// clone3 is not allowed at all: its flags lie in memory.
	flags := uint(0)
	if slices.Equal(c.Architectures, []specs.Arch{specs.ArchS390X}) {
		flags = 1
	}
	allow("clone", specs.LinuxSeccompArg{Index: flags, Value: cloneNamespaces, ValueTwo: 0, Op: specs.OpMaskedEqual})
	for _, family := range []uint64{afUnix, afInet, afInet6} {
		allow("socket", equal(0, family))
	}
	allow("socket", equal(0, afNetlink), equal(2, netlinkRoute))
	// The default, 32 bits, other name of the system (uname26), both; 0xffffffff asks.
	for _, persona := range []uint64{0, 0x8, 0x20000, 0x20008, 0xffffffff} {
		allow("personality", equal(0, persona))
	}
	return c
}
