package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// measure is one measurement.
type measure struct {
	rate float64       // messages/s
	cpu  time.Duration // a message
	rss  int64         // bytes, at most
}

func rate(m measure) float64      { return m.rate }
func cpuMillis(m measure) float64 { return float64(m.cpu) / 1e6 }
func megabytes(m measure) float64 { return float64(m.rss) / 1e6 }

func median[T any](all []T, of func(T) float64) float64 {
	values := make([]float64, len(all))
	for i, m := range all {
		values[i] = of(m)
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// results are the measurements in Go's benchmark format, which benchstat reads.
type results struct{ now, old bytes.Buffer }

func (r *results) add(to *bytes.Buffer, name string, m measure) {
	fmt.Fprintf(to, "Benchmark%s 1 %.1f msg/s %d cpu-ns/msg %d peak-bytes\n",
		strings.ReplaceAll(name, " ", "_"), m.rate, m.cpu.Nanoseconds(), m.rss)
}

// measured measures this version, and the old one just before it where there is
// one. It returns what this one did.
func (s settings) measured(name string, do func(settings) (measure, error)) (measure, error) {
	if s.old != "" {
		old := s
		old.binary = s.old
		m, err := do(old)
		if err != nil {
			return m, fmt.Errorf("the old version: %w", err)
		}
		s.results.add(&s.results.old, name, m)
	}
	m, err := do(s)
	if err == nil {
		s.results.add(&s.results.now, name, m)
	}
	return m, err
}

// compare has benchstat compare this run with the old version, else with the
// baseline; save makes this run the baseline.
func (r *results) compare(ctx context.Context, dir, old, baseline string, save bool) error {
	now, before := filepath.Join(dir, "now.txt"), baseline
	if err := os.WriteFile(now, r.now.Bytes(), 0o600); err != nil {
		return err
	}
	if old != "" {
		before = filepath.Join(dir, "old.txt")
		if err := os.WriteFile(before, r.old.Bytes(), 0o600); err != nil {
			return err
		}
	}
	switch _, err := os.Stat(before); {
	case err == nil:
		stat, err := exec.CommandContext(ctx, "go", "tool", "benchstat", cmp.Or(old, "baseline")+"="+before, "now="+now).Output()
		if err != nil {
			return fmt.Errorf("running benchstat: %w", err)
		}
		fmt.Printf("## Beside %s\n\n%s\n", cmp.Or(old, before), stat)
	case baseline != "":
		fmt.Printf("There is no %s to compare with; -save makes one.\n", before)
	}
	if !save {
		return nil
	}
	if err := os.WriteFile(baseline, r.now.Bytes(), 0o644); err != nil {
		return fmt.Errorf("saving the baseline: %w", err)
	}
	return nil
}

// inProcess are the packages whose own benchmarks need no server.
var inProcess = []string{"./message", "./dispatcher", "./routers/...", "./smpp/...", "./broker/memory", "./store/sqlite"}

// benchCount is how many runs benchstat wants for an interval of confidence.
const benchCount = 6

// processSection runs the benchmarks that stand beside the code.
func processSection(ctx context.Context, s settings) (string, error) {
	args := []string{"test", "-run", "^$", "-bench", ".", "-benchmem", "-benchtime", "50ms", "-count", fmt.Sprint(benchCount)}
	if s.old != "" {
		cmd := exec.CommandContext(ctx, "go", append(args, inProcess...)...)
		cmd.Dir = filepath.Join(s.dir, "old")
		out, _ := cmd.Output() // packages may be elsewhere there
		s.results.old.Write(out)
	}
	out, err := exec.CommandContext(ctx, "go", append(args, inProcess...)...).Output()
	if err != nil {
		return "", fmt.Errorf("running the benchmarks of %v: %w\n%s", inProcess, err, out)
	}
	s.results.now.Write(out)
	file := filepath.Join(s.dir, "process.txt")
	if err := os.WriteFile(file, out, 0o600); err != nil {
		return "", err
	}
	table, err := exec.CommandContext(ctx, "go", "tool", "benchstat", "now="+file).Output()
	if err != nil {
		return "", fmt.Errorf("running benchstat: %w", err)
	}
	return "The benchmarks that stand beside the code (`go test -bench .`), by benchstat.\n\n```\n" +
		string(bytes.TrimSpace(table)) + "\n```", nil
}
