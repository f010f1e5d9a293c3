package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"switchboard/broker"
	"switchboard/fleet"
	"switchboard/operate/queues"
	"switchboard/store"
)

// The defaults of an audit.
const (
	defaultStuck      = 15 * time.Minute
	defaultUnreported = time.Hour
	defaultMaxStuck   = 100
	defaultLookAgain  = 6 * time.Second // RabbitMQ's management counts every 5
)

// auditing is `switchboard audit`.
type auditing struct {
	operator
	database   databaseFlag
	since      string
	limits     store.AuditLimits
	again      time.Duration
	management string
}

func auditCommand(classes fleet.Classes, dial dialer) *cobra.Command {
	a := &auditing{operator: operator{classes: classes, dial: dial}}
	cmd := &cobra.Command{
		Use:   "audit [FILE|DIR|QUEUE…]",
		Short: "Prove from the record and the queues that no message is missing, and name those that are stuck",
		Long: `Count what was accepted and where it is now: queued, in flight or final, for each
transport and application, and name the messages that have not moved for longer
than --stuck.

With the fleet's files, its queues are held against the record: stuck messages
that no queue, no worker and no dead letters can hold are missing. They
are looked for twice, so that what moves meanwhile is not among them. How many
bodies are in flight only RabbitMQ's management tells: without
--management-url each worker that reads a queue may have some hundred of them,
and few missing messages are told from those only where no worker reads.

The exit code is
  0  nothing is missing, and nothing is stuck
  1  something is missing, or, where the queues were not looked into, stuck
  2  the command line or a file is wrong
  3  nothing is missing, but something is stuck
  4  it could not be found out: the database, the broker or its management is away`,
		Example: "  switchboard audit --stuck 5m\n  switchboard audit --management-url http://localhost:15672 configs/production",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := a.find(cmd.Context(), args)
			if err != nil {
				return err
			}
			return a.show(cmd, found)
		},
	}
	a.add(cmd)
	a.addJSON(cmd)
	a.database.add(cmd)
	flags := cmd.Flags()
	flags.StringVar(&a.since, "since", "", "only what was created since: a date, a moment, or a time ago (24h)")
	flags.DurationVar(&a.limits.Stuck, "stuck", defaultStuck, "a message that has not moved for so long is stuck")
	flags.DurationVar(&a.limits.Unreported, "unreported", defaultUnreported,
		"list messages sent so long ago that have no delivery report, where their transport reports on others (0 is never)")
	flags.IntVar(&a.limits.MaxStuck, "max-stuck", defaultMaxStuck, "name at most so many of each")
	flags.DurationVar(&a.again, "again", defaultLookAgain, "look for what is missing a second time after so long")
	addManagement(cmd, &a.management, "it counts what is in flight")
	return cmd
}

func (a *auditing) check() (err error) {
	if a.limits.Since, err = parseWhen(a.since); err != nil {
		return fmt.Errorf("--since: %w", err)
	}
	switch {
	case a.limits.Stuck <= 0:
		return errors.New("--stuck must be above 0")
	case a.limits.Unreported < 0:
		return errors.New("--unreported must not be negative; 0 is never")
	case a.limits.MaxStuck < 1:
		return errors.New("--max-stuck must be at least 1")
	case a.again < 0:
		return errors.New("--again must not be negative")
	}
	return nil
}

func (a *auditing) find(ctx context.Context, args []string) (found *queues.Audited, err error) {
	if err := a.check(); err != nil {
		return nil, misused(err)
	}
	question := queues.Audit{Limits: a.limits, Again: a.again}
	err = a.database.with(ctx, func(db store.Database) error {
		question.Record = db
		if len(args) == 0 {
			found, err = question.OfRecord(ctx)
			return err
		}
		target, err := queues.Find(a.classes, args)
		if err != nil {
			return err
		}
		management, err := queues.Management(a.management, a.amqpURL)
		if err != nil {
			return err
		}
		if management != nil {
			question.Depths = management.Depths
		}
		return a.with(ctx, func(b broker.Broker) (err error) {
			if err := target.CheckQueues(ctx, b); err != nil {
				return err
			}
			found, err = question.OfFleet(ctx, b, target)
			return err
		})
	})
	return found, err
}

func (a *auditing) show(cmd *cobra.Command, found *queues.Audited) (err error) {
	if a.asJSON {
		err = printJSON(cmd, found)
	} else {
		err = printAudit(cmd, found, a.limits.Stuck)
	}
	return errors.Join(err, auditVerdict(found))
}

// auditVerdict is an error where something is missing or stuck.
func auditVerdict(a *queues.Audited) error {
	_, _, behind := depth(a.Queues)
	hint := "`switchboard trace ID` shows how far each came"
	if behind > 0 {
		hint += " (the record is behind: look again when it has caught up)"
	}
	var errs []error
	code := exitStuck
	if a.Missing > 0 {
		code = exitFailed
		errs = append(errs, fmt.Errorf("%s missing; %s", counted(int(a.Missing), "message is", "messages are"), hint))
	}
	if n := int(sum(a.StuckCounts) - a.Missing); n > 0 {
		if !a.Balanced {
			code = exitFailed
		}
		errs = append(errs, fmt.Errorf("%s stuck; %s", counted(n, "message is", "messages are"), hint))
	}
	if a.Orphan > 0 {
		code = exitFailed
		errs = append(errs, fmt.Errorf("%s about messages that never came; %s", counted(int(a.Orphan), "event is", "events are"), hint))
	}
	if len(errs) == 0 {
		return nil
	}
	return coded{errors.Join(errs...), code}
}
