package cli

import (
	"testing"
	"testing/fstest"
)

func TestMemoryOfGroup(t *testing.T) {
	const none = "9223372036854771712\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"no groups":              {nil, 0},
		"version 2 in container": {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "134217728\n"}, 128 << 20},
		"version 2 without":      {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0},
		"version 2, the parent's": {map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "1000\n", "sys/fs/cgroup/a/b/memory.max": "2000\n",
		}, 1000},
		"version 2, its own": {map[string]string{
			"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "2000\n", "sys/fs/cgroup/a/b/memory.max": "1000\n",
		}, 1000},
		"version 1 in container": {map[string]string{
			"proc/self/cgroup": "5:cpu:/x\n4:memory:/docker/y\n0::/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "3000\n",
		}, 3000},
		"version 1 without": {map[string]string{"proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": none}, 0},
	} {
		root := fstest.MapFS{}
		for path, text := range c.files {
			root[path] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := memoryOfGroup(root); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
