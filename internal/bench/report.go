package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

const reportHead = `# Benchmarks

Made by ` + "`make bench`" + `, which brings up RabbitMQ and PostgreSQL and measures the product and its
yardsticks in one run, in turns; the median of the rounds counts. Absolute numbers belong to the
machine; the ratios are what to look at.
`

// otherFlags are those that were given and change what is measured.
func otherFlags() string {
	var given strings.Builder
	flag.Visit(func(f *flag.Flag) {
		if !slices.Contains([]string{"only", "report", "baseline", "save"}, f.Name) {
			fmt.Fprintf(&given, " -%s %s", f.Name, f.Value)
		}
	})
	return given.String()
}

// writeSection replaces one section of the report and leaves the others.
func writeSection(path string, s section, text string) error {
	if path == "" {
		return nil
	}
	report := reportHead
	if old, err := os.ReadFile(path); err == nil {
		report = string(old)
	}
	begin, end := "<!-- "+s.name+" -->", "<!-- end of "+s.name+" -->"
	made := fmt.Sprintf("Made %s on %d cores, %s, with\n`make bench BENCH='-only %s%s'`.",
		time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.Version(), s.name, otherFlags())
	fresh := fmt.Sprintf("%s\n## %s\n\n%s\n\n%s\n%s\n", begin, s.title, text, made, end)
	from, to := strings.Index(report, begin), strings.Index(report, end)
	if from >= 0 && to > from {
		report = report[:from] + fresh + strings.TrimPrefix(report[to+len(end):], "\n")
	} else {
		report += "\n" + fresh
	}
	if err := os.WriteFile(path, []byte(report), 0o644); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}
