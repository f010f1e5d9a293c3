package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"switchboard/configs"
	"switchboard/fleet"
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
				return fmt.Errorf("making a place for the demo's database: %w", err)
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
	for _, name := range []string{"amqp-url", "database-url"} {
		_ = cmd.Flags().MarkHidden(name) // the demo is the same everywhere
	}
	cmd.Flags().Lookup("log-level").DefValue = "warn"
	flags.logLevel = env("LOG_LEVEL", "warn")
	return cmd
}

func demo(ctx context.Context, out io.Writer, flags *processFlags, version string, classes fleet.Classes, defs []*fleet.Definition) error {
	p, err := flags.open(ctx, "switchboard demo", version, classes)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, demoText, env("PHONE_PORT", "8081"), env("TELNET_PORT", "9010"), p.address, flags.databaseURL)
	err = errors.Join(p.Run(ctx, defs), p.Close())
	_, _ = fmt.Fprintln(os.Stderr, "The demo is over.")
	return err
}

const demoText = `A small fleet is running in this process: two transports, a dispatcher, two applications.

  In the browser   http://localhost:%[1]s     write to the echo: type "hello"
  By telnet        telnet localhost %[2]s     play with the game: type "50"   (or: nc localhost %[2]s)
  For operators    %[3]s/status
  What was said    DATABASE_URL=%[4]s go run ./cmd/switchboard messages

Ctrl-C ends it. Its files are in configs/demo. Its queues are in this process, too:
status, failures and tail need a fleet on RabbitMQ (docs/tutorial-operator.md).
`
