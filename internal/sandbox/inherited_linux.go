package sandbox

import "golang.org/x/sys/unix"

// closeInherited keeps descriptors that we were started with from our
// children. Those that Go opened are marked already; kernels before 5.11
// can't, and there the runtime does it for cages.
func closeInherited() { _ = unix.CloseRange(3, ^uint(0), unix.CLOSE_RANGE_CLOEXEC) }
