package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cgroupParent holds the control groups of all cages, in each hierarchy.
const cgroupParent = "truewheel"

// groups are the directories of the cage's control groups: one for each
// hierarchy of version 1, one for version 2. None is an error: there may be
// no control groups.
func groups(id string) []string {
	var out []string
	for _, pattern := range []string{"/sys/fs/cgroup/*/", "/sys/fs/cgroup/"} {
		found, err := filepath.Glob(pattern + cgroupParent + "/" + id)
		if err == nil {
			out = append(out, found...)
		}
	}
	return out
}

// removeGroups kills what is left in the control groups of a cage and
// removes them. The runtime does it too, if it got far enough to know of
// them. What was killed may take a moment to leave.
func removeGroups(id string) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for range 1000 {
		left := groups(id)
		for _, dir := range left {
			for _, pid := range strings.Fields(readText(filepath.Join(dir, "cgroup.procs"))) {
				if n, err := strconv.Atoi(pid); err == nil && n > 1 {
					_ = syscall.Kill(n, syscall.SIGKILL)
				}
			}
			_ = os.Remove(dir) // seen by the next turn
		}
		if len(left) == 0 {
			return nil
		}
		if len(groups(id)) > 0 {
			<-tick.C
		}
	}
	return fmt.Errorf("control groups are busy: %s", strings.Join(groups(id), " "))
}

// memory reads what the cage used at most and whether the limit killed in it.
func memory(id string) (peak int64, killed bool) {
	for _, dir := range groups(id) {
		for _, file := range []string{"memory.max_usage_in_bytes", "memory.peak"} {
			if n, err := strconv.ParseInt(readText(filepath.Join(dir, file)), 10, 64); err == nil {
				peak = max(peak, n)
			}
		}
		for _, file := range []string{"memory.oom_control", "memory.events"} {
			for line := range strings.Lines(readText(filepath.Join(dir, file))) {
				f := strings.Fields(line)
				killed = killed || len(f) == 2 && f[0] == "oom_kill" && f[1] != "0"
			}
		}
	}
	return peak, killed
}

// readText is the text of a small file, "" when there is none.
func readText(name string) string {
	data, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
