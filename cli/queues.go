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
)

// queueStatus is a line of `switchboard status`.
type queueStatus struct {
	Queue     string `json:"queue"`
	Messages  int    `json:"messages"`  // waiting; those in a worker's hand are not counted
	Consumers int    `json:"consumers"` // workers' replicas that read it
	Dead      int    `json:"dead"`      // in its dead letters
	State     string `json:"state"`
}

// The states of a queue.
const (
	queueOK      = "ok"
	queueIdle    = "no consumer" // and nothing waits
	queueStuck   = "stuck"       // messages wait and nobody takes them
	queueMissing = "missing"     // no worker has declared it yet
)

func statusCommand(classes fleet.Classes, dial dialer) *cobra.Command {
	o := &operator{classes: classes, dial: dial}
	cmd := &cobra.Command{
		Use:   "status FILE|DIR|QUEUE…",
		Short: "Show what waits in a fleet's queues, who takes it, and the dead letters",
		Long: "Show what waits in a fleet's queues, who takes it, and the dead letters.\n\n" +
			"The exit code is 1 when a queue is stuck: messages wait in it and no worker consumes it.",
		Args: someTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.onQueues(cmd.Context(), args, func(b broker.Broker, queues []string) error {
				return o.showStatus(cmd, b, queues)
			})
		},
	}
	o.add(cmd)
	o.addJSON(cmd)
	return cmd
}

// onQueues finds the queues the arguments name before it connects.
func (o *operator) onQueues(ctx context.Context, args []string, do func(b broker.Broker, queues []string) error) error {
	queues, err := o.queues(args)
	if err != nil {
		return err
	}
	return o.with(ctx, func(b broker.Broker) error { return do(b, queues) })
}

func (o *operator) showStatus(cmd *cobra.Command, b broker.Admin, queues []string) error {
	all := make([]queueStatus, 0, len(queues))
	for _, queue := range queues {
		s, err := statusOf(cmd.Context(), b, queue)
		if err != nil {
			return err
		}
		all = append(all, s)
	}
	if err := o.printStatus(cmd, all); err != nil {
		return err
	}
	return stuck(all)
}

func (o *operator) printStatus(cmd *cobra.Command, all []queueStatus) error {
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

func stuck(all []queueStatus) error {
	var names []string
	for _, s := range all {
		if s.State == queueStuck {
			names = append(names, s.Queue)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%s stuck, with messages and no consumer: %s", plural(len(names), "queue"), strings.Join(names, ", "))
}

func statusOf(ctx context.Context, b broker.Admin, queue string) (queueStatus, error) {
	s := queueStatus{Queue: queue, State: queueOK}
	info, there, err := inspect(ctx, b, queue)
	if err != nil {
		return s, err
	}
	dead, _, err := inspect(ctx, b, queue+broker.DeadSuffix)
	if err != nil {
		return s, err
	}
	s.Messages, s.Consumers, s.Dead = info.Messages, info.Consumers, dead.Messages
	switch {
	case !there:
		s.State = queueMissing
	case s.Consumers == 0 && s.Messages > 0:
		s.State = queueStuck
	case s.Consumers == 0:
		s.State = queueIdle
	}
	return s, nil
}

func inspect(ctx context.Context, b broker.Admin, queue string) (info broker.Info, there bool, err error) {
	info, err = b.Inspect(ctx, queue)
	if errors.Is(err, broker.ErrNoQueue) {
		return broker.Info{}, false, nil
	}
	return info, err == nil, err
}

func clearCommand(classes fleet.Classes, dial dialer) *cobra.Command {
	o := &operator{classes: classes, dial: dial}
	var yes bool
	cmd := &cobra.Command{
		Use:   "clear FILE|DIR|QUEUE…",
		Short: "Delete all that waits in queues",
		Long: "Delete all that waits in the queues of a fleet's files, or in queues by name. What workers have in\n" +
			"hand is not deleted, and neither are dead letters (see `switchboard failures drop`).",
		Args: someTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.onQueues(cmd.Context(), args, func(b broker.Broker, queues []string) error {
				if !yes {
					return refuseToClear(cmd.Context(), b, queues)
				}
				return clearQueues(cmd.Context(), cmd.OutOrStdout(), b, queues)
			})
		},
	}
	o.add(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	return cmd
}

// refuseToClear says what would be lost.
func refuseToClear(ctx context.Context, b broker.Admin, queues []string) error {
	n := 0
	for _, queue := range queues {
		info, _, err := inspect(ctx, b, queue)
		if err != nil {
			return err
		}
		n += info.Messages
	}
	return misused(fmt.Errorf("%s in %s would be deleted for ever; say --yes if that is meant", plural(n, "message"), plural(len(queues), "queue")))
}

func clearQueues(ctx context.Context, out io.Writer, b broker.Admin, queues []string) error {
	total, some := 0, 0
	for _, queue := range queues {
		n, err := b.Purge(ctx, queue)
		if errors.Is(err, broker.ErrNoQueue) {
			continue
		}
		if err != nil {
			return err
		}
		if n > 0 {
			total, some = total+n, some+1
			_, _ = fmt.Fprintf(out, "%s: %s deleted\n", queue, plural(n, "message"))
		}
	}
	if some == 1 {
		return nil // its line has said it
	}
	_, _ = fmt.Fprintf(out, "%s deleted\n", plural(total, "message"))
	return nil
}

func waitCommand(classes fleet.Classes, dial dialer) *cobra.Command {
	o := &operator{classes: classes, dial: dial}
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "wait FILE|DIR|QUEUE…",
		Short: "Wait until queues are empty",
		Long: "Wait until nothing waits in the queues of a fleet's files, or in queues by name. What workers have in\n" +
			"hand is not seen. The exit code is 1 when that is not so within --timeout.",
		Args: someTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.onQueues(cmd.Context(), args, func(b broker.Broker, queues []string) error {
				return waitEmpty(cmd.Context(), b, queues, timeout)
			})
		},
	}
	o.add(cmd)
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this long: 90s, 5m (0 is never)")
	return cmd
}

// waitPoll is how often the queues are looked at; brokers announce nothing.
const waitPoll = 500 * time.Millisecond

func waitEmpty(ctx context.Context, b broker.Admin, queues []string, timeout time.Duration) error {
	var late <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		late = timer.C
	}
	poll := time.NewTicker(waitPoll)
	defer poll.Stop()
	for {
		left, err := stillFull(ctx, b, queues)
		if err != nil || len(left) == 0 {
			return err
		}
		select {
		case <-poll.C:
		case <-late:
			return fmt.Errorf("not empty after %s: %s", timeout, strings.Join(left, ", "))
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func stillFull(ctx context.Context, b broker.Admin, queues []string) (left []string, err error) {
	for _, queue := range queues {
		info, _, err := inspect(ctx, b, queue)
		if err != nil {
			return nil, err
		}
		if info.Messages > 0 {
			left = append(left, fmt.Sprintf("%s (%d)", queue, info.Messages))
		}
	}
	return left, nil
}
