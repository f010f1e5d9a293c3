package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"switchboard/broker"
	"switchboard/fleet"
	"switchboard/store"
	"switchboard/worker"
)

func pauseCommand(classes fleet.Classes, dial dialer) *cobra.Command {
	var why string
	cmd := pausing(classes, dial, "is paused", func(ctx context.Context, db store.Database, queue string) error {
		return worker.SetPause(ctx, db, queue, worker.Pause{Who: whoami(), Why: why, Since: time.Now().UTC()})
	})
	cmd.Use, cmd.Short = "pause FILE|DIR|QUEUE…", "Stop consuming queues, in all processes and over restarts, until they are resumed"
	cmd.Long = `Stop consuming queues: those of a fleet's files, or some by name. sms.outbound is what goes out by the
connector sms, sms.inbound what comes from its people, sms.event what became of messages.

What is in flight is finished; where its link is down it returns to the queue. What is published
meanwhile waits. All processes that share the database see the pause within some seconds, and
` + "`switchboard resume`" + ` ends it. A process without a database is told with
  curl -X POST 'http://host:port/-/pause?queue=sms.outbound&why=…'`
	cmd.Flags().StringVar(&why, "why", "", "why, for `switchboard status`")
	return cmd
}

func resumeCommand(classes fleet.Classes, dial dialer) *cobra.Command {
	cmd := pausing(classes, dial, "is resumed", func(ctx context.Context, db store.Database, queue string) error {
		return worker.Resume(ctx, db, queue)
	})
	cmd.Use, cmd.Short = "resume FILE|DIR|QUEUE…", "Consume paused queues again"
	return cmd
}

func pausing(classes fleet.Classes, dial dialer, done string, do func(ctx context.Context, db store.Database, queue string) error) *cobra.Command {
	o := &operator{classes: classes, dial: dial}
	var database databaseFlag
	cmd := &cobra.Command{
		Args: someTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.onQueues(cmd.Context(), args, func(_ broker.Broker, names []string) error {
				return database.with(cmd.Context(), func(db store.Database) error {
					for _, name := range names {
						if err := do(cmd.Context(), db, name); err != nil {
							return err
						}
						_, _ = fmt.Fprintln(cmd.OutOrStdout(), name, done)
					}
					return nil
				})
			})
		},
	}
	o.add(cmd)
	database.add(cmd)
	return cmd
}
