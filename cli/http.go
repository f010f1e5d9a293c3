package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"switchboard/fleet"
	"switchboard/message"
	"switchboard/store/memory"
	"switchboard/transports/http"
	"switchboard/worker"
)

func httpCommand(classes fleet.Classes) *cobra.Command {
	cmd := &cobra.Command{
		Use: "http", Short: "Look at descriptions of HTTP providers, and try a channel",
		Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(httpPresetsCommand(), httpShowCommand(), httpFunctionsCommand(), httpTryCommand(classes))
	return cmd
}

func httpPresetsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "presets", Short: "List the descriptions that come with the program", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			_, _ = fmt.Fprintln(table, "PRESET\tFOR")
			for _, name := range http.Presets() {
				d, _, err := http.Load(name)
				if err != nil {
					return err
				}
				_, _ = fmt.Fprintf(table, "%s\t%s\n", name, d.About)
			}
			return table.Flush()
		},
	}
}

func httpShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show PRESET|FILE", Short: "Print a description, to read or to copy to a file",
		Example: "  switchboard http show twilio\n  switchboard http show generic_json > partner.yaml",
		Args:    cobra.ExactArgs(1), ValidArgs: http.Presets(),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, _, err := http.Load(args[0]); err != nil {
				return misused(err)
			}
			text, err := http.Text(args[0])
			if err != nil {
				return misused(err)
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
}

func httpFunctionsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "functions", Short: "List what expressions in descriptions may call", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			for _, f := range http.Functions() {
				_, _ = fmt.Fprintf(table, "%s\t%s\n", f[0], f[1])
			}
			return table.Flush()
		},
	}
}

// tryTimeout bounds a try beside the channel's own timeout.
const tryTimeout = 5 * time.Minute

func httpTryCommand(classes fleet.Classes) *cobra.Command {
	m := message.New()
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "try FILE --to ADDRESS",
		Short: "Send one message for real, and show request, answer and what was understood",
		Long: `Send one message for real through a channel's file, without a broker, and show the
request, the answer and what was understood of it. Secrets are masked.

The exit code is 0 when the provider took the message, and 1 otherwise.`,
		Example: `  switchboard http try twilio.yaml --to +27831234567 --from +27820001001 --text "hello"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if m.To == "" {
				return misused(errors.New("--to must say to whom"))
			}
			tried, err := tryHTTP(cmd.Context(), classes, args[0], m)
			if err != nil {
				return err
			}
			if asJSON {
				err = printJSON(cmd, tried)
			} else {
				showTried(cmd, tried)
			}
			if last := tried[len(tried)-1]; err == nil && last.Class != http.Sent && last.Class != http.Pending {
				return errors.New("the provider did not take the message")
			}
			return err
		},
	}
	cmd.Flags().StringVar(&m.To, "to", "", "the address to send to")
	cmd.Flags().StringVar(&m.From, "from", "", "the address to send from")
	cmd.Flags().StringVar(&m.Content, "text", "hello from switchboard", "the text")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func tryHTTP(ctx context.Context, classes fleet.Classes, path string, m *message.Message) ([]http.Tried, error) {
	defs, err := classes.Load(path)
	if err != nil {
		return nil, misused(err)
	}
	channel, is := defs[0].Plugin().(tryer)
	if len(defs) != 1 || !is {
		return nil, misused(fmt.Errorf("%s is no file of a transport of class http", path))
	}
	state := memory.New()
	defer func() { _ = state.Close() }()
	env := worker.Env{
		Name: defs[0].Name, State: state, Now: time.Now, Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(),
	}
	if err := channel.Provision(ctx, env); err != nil {
		return nil, misused(err)
	}
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	m.TransportName = defs[0].Connector
	return channel.Try(ctx, m)
}

// tryer is a transport of class http, or one made of it.
type tryer interface {
	worker.Provisioner
	Try(ctx context.Context, m *message.Message) ([]http.Tried, error)
}

func showTried(cmd *cobra.Command, tried []http.Tried) {
	forPeople(cmd)
	for _, one := range tried {
		cmd.Printf("%s\n\n%s\n\n(%s)\n%s", indent("> ", one.Request), indent("< ", one.Answer), one.Took, one.Class)
		if len(one.IDs) > 0 {
			cmd.Printf(", the provider's id is %s", strings.Join(one.IDs, " "))
		}
		if one.Reason != "" {
			cmd.Printf(": %s", one.Reason)
		}
		cmd.Println()
	}
}

// indent puts a mark before each line.
func indent(mark, text string) string {
	return mark + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+mark)
}
