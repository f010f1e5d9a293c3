package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"switchboard/configs"
	"switchboard/fleet"
	"switchboard/internal/backoff"
	"switchboard/message"
	"switchboard/worker"
)

func demoCommand(version string, classes fleet.Classes) *cobra.Command {
	var flags processFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a small fleet in this process, with nothing installed, to talk to",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := os.MkdirTemp("", "switchboard-demo-")
			if err != nil {
				return fmt.Errorf("making a directory for the demo's database: %w; set TMPDIR to a directory that can be written", err)
			}
			defer func() { _ = os.RemoveAll(dir) }()
			flags.amqpURL, flags.databaseURL = "memory:", "sqlite:"+filepath.Join(dir, "demo.db")
			defs, err := classes.LoadFS(configs.Files, "demo")
			if err != nil {
				return misused(err)
			}
			return demo(cmd.Context(), cmd.OutOrStdout(), &flags, version, classes, defs)
		},
	}
	flags.add(cmd)
	for _, name := range []string{"amqp-url", "database-url", "management-url"} {
		_ = cmd.Flags().MarkHidden(name) // the demo is the same everywhere
	}
	cmd.Flags().Lookup("log-level").DefValue = "warn"
	flags.logLevel = env("LOG_LEVEL", "warn")
	return cmd
}

func demo(ctx context.Context, out io.Writer, flags *processFlags, version string, classes fleet.Classes, defs []*fleet.Definition) error {
	if err := portsFree(defs); err != nil {
		return err
	}
	p, err := flags.open(ctx, "switchboard demo", version, classes)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		defer stop()
		ended <- p.Run(ctx, defs)
	}()
	if awaitListening(ctx, p, defs) {
		_, _ = fmt.Fprintf(out, demoText, env("PHONE_PORT", "8081"), env("TELNET_PORT", "9010"), p.address, flags.databaseURL, commandLine())
	}
	err = errors.Join(<-ended, p.Close())
	_, _ = fmt.Fprintln(os.Stderr, "The demo is over.")
	return err
}

// portsFree says which port of the demo another program has, and how to take
// another, before anything is said to run.
func portsFree(defs []*fleet.Definition) error {
	var taken, settings []string
	for _, d := range defs {
		for _, address := range d.Listens() {
			l, err := net.Listen("tcp", address)
			if err == nil {
				_ = l.Close()
				continue
			}
			taken = append(taken, fmt.Sprintf("%s (%s)", address, d.Name))
			settings = append(settings, strings.ToUpper(d.Name)+"_PORT="+nextPort(address))
		}
	}
	if len(taken) == 0 {
		return nil
	}
	return fmt.Errorf("in use, by another demo perhaps: %s; choose other ports: %s %s demo",
		strings.Join(taken, ", "), strings.Join(settings, " "), commandLine())
}

// awaitListening waits until the process is ready and says of every port of the demo that it
// is listened on; false when ctx ends before. Trying a port would begin a conversation.
func awaitListening(ctx context.Context, p *process, defs []*fleet.Definition) bool {
	for !listening(p.Status(), defs) {
		if !backoff.Sleep(ctx, 10*time.Millisecond) {
			return false
		}
	}
	return ctx.Err() == nil
}

func listening(s fleet.Status, defs []*fleet.Definition) bool {
	for _, d := range defs {
		if len(d.Listens()) > 0 && !slices.ContainsFunc(s.Workers, func(w fleet.WorkerStatus) bool {
			return w.Name == d.Name && slices.ContainsFunc(w.Dependencies, func(on worker.Dependency) bool {
				return on.Kind == worker.DependsOnLink && on.Health == message.OK
			})
		}) {
			return false
		}
	}
	return len(s.NotReady) == 0
}

// nextPort is a port some way above an address's own.
func nextPort(address string) string {
	_, port, _ := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	return strconv.Itoa(n + 100)
}

// commandLine is how this program was called: by name, or by go run, whose
// binary lies in a directory that is gone afterwards.
func commandLine() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ./cmd/switchboard"
	}
	return os.Args[0]
}

const demoText = `A small fleet is running in this process: two transports, a dispatcher, six applications.

  Play            http://localhost:%[1]s     open the phone and type "50": guess the number
                                            type "echo hello": it comes back as it is
                                            write to 8081: hangman, to 8082: tic-tac-toe
                                            between two phones, to 8083: rock, paper,
                                            scissors, to 8084: a health survey
  By telnet       telnet localhost %[2]s     the same, if you have telnet (or: nc localhost %[2]s)
  For operators   %[3]s/status
  What was said   DATABASE_URL=%[4]s %[5]s messages

Ctrl-C ends it. Its files are in configs/demo. Its queues are in this process, too:
status, failures and tail need a fleet on RabbitMQ (docs/tutorial-operator.md).
`
