package cli

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// memoryShare is how much of the container's memory Go may use; the rest is for what Go
// does not count: stacks of the kernel, the program's own pages, buffers of sockets.
const memoryShare = 0.75

// limitMemory keeps the process below the memory of its control group, where GOMEMLIMIT
// does not say otherwise: garbage is collected in time, and the kernel has no reason to
// kill.
func limitMemory(logger *slog.Logger) {
	limit := memoryOfGroup(os.DirFS("/"))
	if limit == 0 || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	share := int64(float64(limit) * memoryShare)
	debug.SetMemoryLimit(share)
	logger.Info("memory is limited; GOMEMLIMIT would say otherwise", "group", mebibytes(limit), "limit", mebibytes(share))
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

// unlimited is above what any machine has: control groups of version 1 without a limit
// have one of nearly 2^63.
const unlimited = 1 << 60

// memoryOfGroup is the limit of the control group that the process is in, in bytes; 0
// where there is none. A container sees its group at the root, another process by its
// path, and the smallest limit on the path counts.
func memoryOfGroup(root fs.FS) (limit int64) {
	groups, _ := fs.ReadFile(root, "proc/self/cgroup")
	for line := range strings.Lines(string(groups)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) < 3 {
			continue
		}
		mount, file := "sys/fs/cgroup", "memory.max"
		switch parts[1] {
		case "": // version 2
		case "memory":
			mount, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for dir := path.Clean("/" + parts[2]); ; dir = path.Dir(dir) {
			text, _ := fs.ReadFile(root, path.Join(mount, dir, file))
			if n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && n < unlimited && (limit == 0 || n < limit) {
				limit = n
			}
			if dir == "/" {
				break
			}
		}
	}
	return limit
}
