package queues

import (
	"context"
	"slices"
	"time"

	"switchboard/broker"
	"switchboard/fleet"
	"switchboard/operate"
	"switchboard/persistence"
	"switchboard/persistence/audit"
	"switchboard/store"
	"switchboard/worker"
)

// Audit is the question whether all that was recorded is somewhere.
type Audit struct {
	Record store.Database
	Limits store.AuditLimits
	// Again is the time between the two looks of an audit.
	Again time.Duration
	// Depths counts what each queue holds with what is in flight; nil where RabbitMQ's
	// management is not asked.
	Depths worker.Depths
}

// Audited is what an audit found.
type Audited struct {
	*audit.Finding
	Queues []Status `json:"queues,omitempty"` // of the fleet that was named
	// Balanced says that the queues were held against the record: what is not
	// missing then is somewhere.
	Balanced bool `json:"balanced"`
}

// OfRecord looks into the record alone.
func (a Audit) OfRecord(ctx context.Context) (*Audited, error) {
	report, err := a.Record.Audit(ctx, a.Limits)
	if err != nil {
		return nil, operate.Unreachable{Err: err}
	}
	return &Audited{Finding: &audit.Finding{Audit: report}}, nil
}

// OfFleet holds a fleet's queues against the record.
func (a Audit) OfFleet(ctx context.Context, b broker.Broker, target Target) (found *Audited, err error) {
	look := &audit.Auditor{Record: a.Record, Broker: b, Depths: a.Depths, Fleet: places(target.Workers), Limits: a.Limits, Again: a.Again}
	// Without a persistence worker nothing is known of what is still to be recorded.
	found = &Audited{Balanced: len(look.Fleet.RecordQueues) > 0}
	if !found.Balanced {
		look.Fleet = audit.Fleet{}
	}
	if found.Queues, _, err = target.Look(ctx, b, Sources{}); err != nil {
		return nil, err
	}
	if found.Finding, err = look.Audit(ctx); err != nil {
		return nil, operate.Unreachable{Err: err}
	}
	return found, nil
}

// Management is RabbitMQ's management plugin at an address, as who connects to
// the broker; nil without an address.
func Management(address, amqpURL string) (*audit.Management, error) {
	if address == "" {
		return nil, nil
	}
	m, err := audit.NewManagement(address, amqpURL)
	return m, operate.Misused(err)
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
