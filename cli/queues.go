package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"switchboard/broker"
	"switchboard/fleet"
	"switchboard/operate/queues"
)

// dialer opens the broker a URL names and waits until it is there.
type dialer func(ctx context.Context, url string) (broker.Broker, error)

// operatorCommands are the commands that look after queues.
func operatorCommands(classes fleet.Classes, dial dialer) []*cobra.Command {
	return []*cobra.Command{
		statusCommand(classes, dial), clearCommand(classes, dial), waitCommand(classes, dial),
		failuresCommand(classes, dial), tailCommand(classes, dial), injectCommand(dial),
	}
}

// operator is what the commands that look after queues have in common.
type operator struct {
	classes fleet.Classes
	dial    dialer
	amqpURL string
	asJSON  bool
}

func (o *operator) add(cmd *cobra.Command) {
	flags := cmd.PersistentFlags()
	flags.StringVar(&o.amqpURL, "amqp-url", env("AMQP_URL", defaultAMQP), "the broker: amqp:// or amqps:// (AMQP_URL)")
	flags.Lookup("amqp-url").DefValue = "" // it may hold a password
}

func (o *operator) addJSON(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
}

// with calls do with a broker that is closed afterwards.
func (o *operator) with(ctx context.Context, do func(broker.Broker) error) error {
	b, err := o.dial(ctx, o.amqpURL)
	if err != nil {
		return err
	}
	return errors.Join(do(b), fleet.CloseBroker(b))
}

// someTarget is for commands that need to know which queues are meant.
func someTarget(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return nil
	}
	return misused(fmt.Errorf("name a fleet's files or directories, or queues: %s configs/production", cmd.CommandPath()))
}

// onQueues finds the queues the arguments name before it connects.
func (o *operator) onQueues(ctx context.Context, args []string, do func(b broker.Broker, names []string) error) error {
	target, err := queues.Find(o.classes, args)
	if err != nil {
		return err
	}
	return o.with(ctx, func(b broker.Broker) error {
		if err := target.CheckQueues(ctx, b); err != nil {
			return err
		}
		return do(b, target.Queues())
	})
}

func statusCommand(classes fleet.Classes, dial dialer) *cobra.Command {
	o := &operator{classes: classes, dial: dial}
	cmd := &cobra.Command{
		Use:   "status FILE|DIR|QUEUE…",
		Short: "Show what waits in a fleet's queues, who takes it, and the dead letters",
		Long: "Show what waits in a fleet's queues, who takes it, and the dead letters.\n\n" +
			"The exit code is 1 when a queue is stuck: messages wait in it and no worker consumes it.",
		Args: someTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.onQueues(cmd.Context(), args, func(b broker.Broker, names []string) error {
				return o.showStatus(cmd, b, names)
			})
		},
	}
	o.add(cmd)
	o.addJSON(cmd)
	return cmd
}

func (o *operator) showStatus(cmd *cobra.Command, b broker.Admin, names []string) error {
	all, err := queues.Look(cmd.Context(), b, names)
	if err != nil {
		return err
	}
	if err := o.printStatus(cmd, all); err != nil {
		return err
	}
	return stuck(all)
}

func (o *operator) printStatus(cmd *cobra.Command, all []queues.Status) error {
	if o.asJSON {
		return printJSON(cmd, all)
	}
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "QUEUE\tMESSAGES\tCONSUMERS\tDEAD\tSTATE")
	for _, s := range all {
		_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%s\n", s.Queue, s.Messages, s.Consumers, s.Dead, s.State)
	}
	return table.Flush()
}

func stuck(all []queues.Status) error {
	var names []string
	for _, s := range all {
		if s.State == queues.Stuck {
			names = append(names, s.Queue)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%s stuck, with messages and no consumer: %s", plural(len(names), "queue"), strings.Join(names, ", "))
}

func clearCommand(classes fleet.Classes, dial dialer) *cobra.Command {
	o := &operator{classes: classes, dial: dial}
	var yes bool
	cmd := &cobra.Command{
		Use:   "clear FILE|DIR|QUEUE…",
		Short: "Delete all that waits in queues",
		Long: "Delete all that waits in the queues of a fleet's files, or in queues by name. What is in flight\n" +
			"is not deleted, and neither are dead letters (see `switchboard failures drop`).",
		Args: someTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.onQueues(cmd.Context(), args, func(b broker.Broker, names []string) error {
				if !yes {
					return refuseToClear(cmd.Context(), b, names)
				}
				return clearQueues(cmd.Context(), cmd.OutOrStdout(), b, names)
			})
		},
	}
	o.add(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	return cmd
}

// refuseToClear says what would be lost.
func refuseToClear(ctx context.Context, b broker.Admin, names []string) error {
	waiting, err := queues.Waiting(ctx, b, names)
	if err != nil {
		return err
	}
	return misused(fmt.Errorf("%s in %s would be deleted for ever; say --yes if that is meant",
		plural(queues.Sum(waiting), "message"), plural(len(names), "queue")))
}

func clearQueues(ctx context.Context, out io.Writer, b broker.Admin, names []string) error {
	cleared, err := queues.Clear(ctx, b, names)
	printCounts(out, cleared, "message", "deleted")
	return err
}

// printCounts prints a line for each queue, and their sum unless there is one line.
func printCounts(out io.Writer, counts []queues.Count, thing, done string) {
	for _, c := range counts {
		_, _ = fmt.Fprintf(out, "%s: %s %s\n", c.Queue, plural(c.Messages, thing), done)
	}
	if len(counts) != 1 {
		_, _ = fmt.Fprintf(out, "%s %s\n", plural(queues.Sum(counts), thing), done)
	}
}

func waitCommand(classes fleet.Classes, dial dialer) *cobra.Command {
	o := &operator{classes: classes, dial: dial}
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "wait FILE|DIR|QUEUE…",
		Short: "Wait until queues are empty",
		Long: "Wait until nothing waits in the queues of a fleet's files, or in queues by name. What is in flight\n" +
			"is not seen. The exit code is 1 when that is not so within --timeout.",
		Args: someTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout < 0 {
				return misused(errors.New("--timeout must not be negative; 0 is never"))
			}
			return o.onQueues(cmd.Context(), args, func(b broker.Broker, names []string) error {
				return queues.AwaitEmpty(cmd.Context(), b, names, timeout)
			})
		},
	}
	o.add(cmd)
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this long: 90s, 5m (0 is never)")
	return cmd
}
