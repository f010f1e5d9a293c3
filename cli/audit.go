package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"switchboard/broker"
	"switchboard/fleet"
	"switchboard/persistence"
	"switchboard/persistence/audit"
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

// audited is what an audit found.
type audited struct {
	*audit.Finding
	Queues []queueStatus `json:"queues,omitempty"` // of the fleet that was named
	// Balanced says that the queues were held against the record: what is not
	// missing then is somewhere.
	Balanced bool `json:"balanced"`
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
that no queue, no worker's hand and no dead letters can hold are missing. They
are looked for twice, so that what moves meanwhile is not among them. How many
bodies workers have in hand only RabbitMQ's management tells: without
--management-url each worker that reads a queue may have some hundred of them,
and few missing messages are told from those only where no worker reads.

The exit code is
  0  nothing is missing, and nothing is stuck
  1  something is missing, or, where the queues were not looked into, stuck
  2  it could not be found out: the command line, the files, the database, the broker
  3  nothing is missing, but something is stuck`,
		Example: "  switchboard audit --stuck 5m\n  switchboard audit --management-url http://localhost:15672 configs/production",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, err := a.find(cmd.Context(), args)
			if err != nil {
				return coded{err, exitMisused}
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
	flags.StringVar(&a.management, "management-url", env("RABBITMQ_MANAGEMENT_URL", ""),
		"RabbitMQ's management, http://host:15672: count what workers have in hand (RABBITMQ_MANAGEMENT_URL)")
	flags.Lookup("management-url").DefValue = "" // it may hold a password
	return cmd
}

func (a *auditing) find(ctx context.Context, args []string) (found *audited, err error) {
	if a.limits.Since, err = parseWhen(a.since); err != nil {
		return nil, fmt.Errorf("--since: %w", err)
	}
	err = a.database.with(ctx, func(db store.Database) error {
		if len(args) > 0 {
			found, err = a.balance(ctx, db, args)
			return err
		}
		report, err := db.Audit(ctx, a.limits)
		found = &audited{Finding: &audit.Finding{Audit: report}}
		return err
	})
	return found, err
}

// balance holds the queues against the record.
func (a *auditing) balance(ctx context.Context, db store.Database, args []string) (*audited, error) {
	found := new(audited)
	paths, _ := split(args)
	defs, err := a.load(paths)
	if err != nil {
		return nil, err
	}
	look := &audit.Auditor{Record: db, Fleet: places(defs), Limits: a.limits, Again: a.again}
	if look.Depths, err = managed(a.management, a.amqpURL); err != nil {
		return nil, err
	}
	// Without a tap nothing is known of what is still to be written down.
	if found.Balanced = len(look.Fleet.RecordQueues) > 0; !found.Balanced {
		look.Fleet = audit.Fleet{}
	}
	return found, a.onQueues(ctx, args, func(b broker.Broker, queues []string) (err error) {
		if found.Queues, err = statuses(ctx, b, queues); err != nil {
			return err
		}
		look.Broker = b
		found.Finding, err = look.Audit(ctx)
		return err
	})
}

// places are where a fleet's messages may be.
func places(defs []*fleet.Definition) audit.Fleet {
	f := audit.Fleet{Connectors: connectors(defs), Silent: silent(defs)}
	for _, d := range defs {
		if d.Class == "persistence" {
			f.RecordQueues = append(f.RecordQueues, persistence.RecordQueue(d.Name))
		}
		f.InFlight = max(f.InFlight, d.Settings.Prefetch)
	}
	return f
}

// silent says that a dispatcher gives messages to an application that is none of
// the files'.
func silent(defs []*fleet.Definition) bool {
	var takers, exposed []string
	for _, d := range defs {
		exposed = append(exposed, d.Names.Exposed...)
		takers = append(takers, d.Names.Transports...) // of another dispatcher
		if d.Kind == fleet.KindApplication {
			takers = append(takers, d.Connector)
		}
	}
	return slices.ContainsFunc(exposed, func(name string) bool { return !slices.Contains(takers, name) })
}

func statuses(ctx context.Context, b broker.Broker, queues []string) (all []queueStatus, err error) {
	for _, queue := range queues {
		s, err := statusOf(ctx, b, queue)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func (a *auditing) show(cmd *cobra.Command, found *audited) (err error) {
	if a.asJSON {
		err = printJSON(cmd, found)
	} else {
		err = printAudit(cmd, found, a.limits.Stuck)
	}
	return errors.Join(err, found.verdict())
}

// verdict is an error where something is missing or stuck.
func (a *audited) verdict() error {
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
