package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// build makes the binary that is measured, as make build does.
func build(ctx context.Context, source, path string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./cmd/switchboard")
	cmd.Dir, cmd.Env = source, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building switchboard: %w\n%s", err, out)
	}
	return path, nil
}

// buildCommit makes the binary of another commit.
func buildCommit(ctx context.Context, dir, commit string) (string, error) {
	source := filepath.Join(dir, "old")
	if err := os.Mkdir(source, 0o700); err != nil {
		return "", err
	}
	unpack := exec.CommandContext(ctx, "bash", "-c", `set -o pipefail; git archive "$0" | tar -x -C "$1"`, commit, source)
	if out, err := unpack.CombinedOutput(); err != nil {
		return "", fmt.Errorf("unpacking commit %s: %w\n%s", commit, err, out)
	}
	return build(ctx, source, filepath.Join(dir, "switchboard-old"))
}

// child is a process being measured.
type child struct {
	cmd *exec.Cmd
	out bytes.Buffer
}

// startChild starts a process that takes its servers from the environment, and
// not from its command line, where everybody could read the passwords.
func startChild(ctx context.Context, database, name string, args ...string) (*child, error) {
	c := &child{cmd: exec.CommandContext(ctx, name, args...)}
	c.cmd.Env = append(os.Environ(), "DATABASE_URL="+database)
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.out
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	return c, nil
}

// usage is what a process took.
type usage struct {
	cpu     time.Duration
	peakRSS int64 // bytes
}

// stop ends the process and says what it took in all.
func (c *child) stop() (usage, error) {
	peak := c.peakRSS()
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	if err := c.cmd.Wait(); err != nil {
		return usage{}, fmt.Errorf("%s: %w\n%s", c.cmd.Path, err, c.out.String())
	}
	state := c.cmd.ProcessState
	return usage{cpu: state.UserTime() + state.SystemTime(), peakRSS: peak}, nil
}

func (c *child) peakRSS() int64 { return peakRSS(strconv.Itoa(c.cmd.Process.Pid)) }

func peakRSS(pid string) int64 {
	text, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			kb, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}

// finish waits for a process that ends by itself.
func (c *child) finish() (usage, error) {
	var peak atomic.Int64
	ended := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for {
			peak.Store(max(peak.Load(), c.peakRSS()))
			select {
			case <-ended:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	err := c.cmd.Wait()
	close(ended)
	<-watched
	if err != nil {
		return usage{}, fmt.Errorf("%s: %w\n%s", c.cmd.Path, err, c.out.String())
	}
	return usage{cpu: c.cmd.ProcessState.UserTime() + c.cmd.ProcessState.SystemTime(), peakRSS: peak.Load()}, nil
}

// tick is the unit of the times in /proc (USER_HZ).
const tick = 10 * time.Millisecond

// usages is what the children, this process and the servers on this machine took so far. Of the
// servers it counts all there are, and no memory.
func usages(children map[string]*child) map[string]usage {
	used := map[string]usage{"source and sink": usageOf("self")}
	for name, c := range children {
		used[name] = usageOf(strconv.Itoa(c.cmd.Process.Pid))
	}
	pids, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, path := range pids {
		comm, _ := os.ReadFile(path)
		server := map[string]string{"beam.smp": "RabbitMQ", "postgres": "PostgreSQL"}[strings.TrimSpace(string(comm))]
		if server != "" {
			used[server] = usage{cpu: used[server].cpu + usageOf(filepath.Base(filepath.Dir(path))).cpu}
		}
	}
	return used
}

func usageOf(pid string) usage {
	text, _ := os.ReadFile("/proc/" + pid + "/stat")
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return usage{}
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return usage{cpu: time.Duration(user+system) * tick, peakRSS: peakRSS(pid)}
}
