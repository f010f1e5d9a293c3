// Command bench measures the product against yardsticks of the same run and
// writes what it finds into docs/benchmarks.md. It needs AMQP_URL and
// DATABASE_URL; `make bench` brings them.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// section is one table of the report.
type section struct {
	name  string
	title string
	// run measures and returns the section's text in Markdown.
	run func(ctx context.Context, s settings) (string, error)
}

// settings are what every section is told.
type settings struct {
	amqpURL     string
	databaseURL string
	dir         string // for files of this run
	binary      string // the built switchboard
	old         string // that of another commit, or ""
	results     *results
	n           int   // messages of one measurement
	rounds      int   // measurements of each kind, of which the median counts
	outstanding int   // receipts that are awaited at once, in one row of smpp
	people      []int // of broadcasts
	rows        int   // messages in the record, of look-ups
}

var errUsage = fmt.Errorf("AMQP_URL and DATABASE_URL must name running servers; use `make bench`")

func main() {
	if len(os.Args) > 1 && os.Args[1] == bareMode {
		exit(bareMain(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == smppBareMode {
		exit(smppBareMain(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == xmppBareMode {
		exit(xmppBareMain(os.Args[2:]))
	}
	exit(run())
}

func exit(err error) {
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bench: "+err.Error())
		os.Exit(1)
	}
	os.Exit(0)
}

func sections() []section {
	return []section{
		{"dispatch", "The dispatcher against a bare loop", dispatchSection},
		{"routers", "Every router", routersSection},
		{"smpp", "SMPP against a bare loop", smppSection},
		{"smppclient", "What an SMSC delivers", smppInSection},
		{"smppserver", "The SMPP server against a bare loop", smppServerSection},
		{"conversation", "Conversations", conversationSection},
		{"xmpp", "XMPP against a bare client", xmppSection},
		{"http", "HTTP against a bare loop", httpSection},
		{"record", "Recording conversations", recordSection},
		{"broadcast", "A broadcast", broadcastSection},
		{"lookup", "Looking things up", lookupSection},
		{"process", "In the process", processSection},
	}
}

func run() error {
	s := settings{amqpURL: os.Getenv("AMQP_URL"), databaseURL: os.Getenv("DATABASE_URL")}
	only := flag.String("only", "", "sections to run, separated by commas; all when empty")
	report := flag.String("report", "docs/benchmarks.md", "the report to update; none when empty")
	flag.IntVar(&s.n, "n", 20000, "messages of one measurement")
	flag.IntVar(&s.rounds, "rounds", 3, "measurements of each kind, of which the median counts")
	people := flag.String("people", "100000,1000000", "persons of broadcasts, one after the other")
	flag.IntVar(&s.outstanding, "outstanding", 100_000, "receipts awaited at once in a row of smpp; 0 for no such row")
	flag.IntVar(&s.rows, "rows", 1_000_000, "messages in the record where things are looked up; ten million take about 15 GB")
	old := flag.String("old", "", "a commit that is measured in the same run, and compared with")
	baseline := flag.String("baseline", "internal/bench/baseline.txt", "results of an earlier run to compare with; none when empty")
	save := flag.Bool("save", false, "write this run's results to -baseline")
	flag.Parse()
	for n := range strings.SplitSeq(*people, ",") {
		persons, err := strconv.Atoi(n)
		if err != nil {
			return fmt.Errorf("reading -people: %w", err)
		}
		s.people = append(s.people, persons)
	}
	if s.amqpURL == "" || s.databaseURL == "" {
		return errUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "switchboard-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s.dir, s.results = dir, &results{}
	if s.binary, err = build(ctx, ".", filepath.Join(dir, "switchboard")); err != nil {
		return err
	}
	if *old != "" {
		if s.old, err = buildCommit(ctx, dir, *old); err != nil {
			return err
		}
	}
	for _, sec := range sections() {
		if *only != "" && !slices.Contains(strings.Split(*only, ","), sec.name) {
			continue
		}
		fmt.Printf("## %s\n\n", sec.title)
		text, err := sec.run(ctx, s)
		if err != nil {
			return fmt.Errorf("section %s: %w", sec.name, err)
		}
		fmt.Println(text)
		if err := writeSection(*report, sec, text); err != nil {
			return err
		}
	}
	return s.results.compare(ctx, dir, *old, *baseline, *save)
}
