// Package audit compares the record with the queues, and says how many messages are missing.
//
// A message that is not final and has not changed for longer than a limit must be somewhere:
// in a queue of its flow, in flight in a worker, in a delay queue, among the dead letters; or
// it is done, and that is still to be recorded. When all of these hold fewer bodies than the
// record has such messages, the rest is missing. While traffic flows the queues hold other
// bodies as well, so that fewer are found missing; a message that is there is never called
// missing.
package audit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"switchboard/broker"
	"switchboard/internal/backoff"
	"switchboard/message"
	"switchboard/store"
)

// Fleet is where messages may be.
type Fleet struct {
	Connectors   []string // of transports and of applications
	RecordQueues []string // queues of what is still to be recorded
	// InFlight is how many bodies of a queue a worker has in flight at most, at least 500. It
	// counts where the broker does not tell (see Management).
	InFlight int
	// Silent: there are applications that publish no receipts (Vumi's), so an inbound message
	// that is in no queue may have been handled.
	Silent bool
}

const (
	defaultInFlight = 500
	// maxDeadLetters bounds how many dead letters of a queue are read.
	maxDeadLetters = 10_000
)

// Auditor audits a fleet.
type Auditor struct {
	Record store.Finder
	Broker broker.Admin
	// Depths returns how many bodies each queue holds, with those in flight (see Management).
	// Nil asks the broker, which does not count these.
	Depths func(ctx context.Context) (map[string]int64, error)
	Fleet  Fleet
	Limits store.AuditLimits
	// Again is the time between the two looks of Audit. A Management's numbers are up to five
	// seconds old, so it should be more.
	Again time.Duration
}

// Finding is the result of an audit. Stuck has no message that is in Lost; StuckCounts count
// both.
type Finding struct {
	*store.Audit
	// Missing is how many of the stuck messages are in no queue.
	Missing int64 `json:"missing"`
	// Lost are as many of the stuck messages as are missing, the oldest first. Where some of a
	// transport's messages are missing and others wait in its queue, these may be the ones
	// that wait.
	Lost []store.Record `json:"lost,omitempty"`
	// DeadLettered is the dead-letter queue of each stuck message that is in one, by its ID.
	DeadLettered map[string]string `json:"dead_lettered,omitempty"`
}

// Audit looks, and looks again when something is missing: only what is missing both times is.
func (a *Auditor) Audit(ctx context.Context) (*Finding, error) {
	began := time.Now()
	first, err := a.look(ctx)
	if err != nil || first.Missing == 0 {
		return first, err
	}
	if !backoff.Sleep(ctx, a.Again) {
		return nil, ctx.Err()
	}
	later := *a
	later.Limits.Stuck += time.Since(began) // not those that became stuck since
	second, err := later.look(ctx)
	if err != nil {
		return nil, err
	}
	return second.since(first).separate(), nil
}

// separate removes from Stuck what is in Lost.
func (f *Finding) separate() *Finding {
	lost := map[string]bool{}
	for _, r := range f.Lost {
		lost[r.ID] = true
	}
	f.Stuck = slices.DeleteFunc(f.Stuck, func(r store.Record) bool { return lost[r.ID] })
	return f
}

// since removes what was not missing before.
func (f *Finding) since(before *Finding) *Finding {
	f.Missing = min(f.Missing, before.Missing)
	if int64(len(f.Lost)) > f.Missing {
		f.Lost = f.Lost[:f.Missing]
	}
	return f
}

// Look looks once. When messages are stuck, it reads the queues in the order in which messages
// pass them, so that one that moves on meanwhile is seen in a later queue, and then the record
// again.
func (a *Auditor) Look(ctx context.Context) (*Finding, error) {
	f, err := a.look(ctx)
	if err != nil {
		return nil, err
	}
	return f.separate(), nil
}

func (a *Auditor) look(ctx context.Context) (*Finding, error) {
	audit, err := a.Record.Audit(ctx, a.Limits)
	if err != nil || a.open(audit).total() == 0 {
		return &Finding{Audit: audit}, err
	}
	holds, err := a.readDepths(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking into the queues: %w", err)
	}
	if audit, err = a.Record.Audit(ctx, a.Limits); err != nil {
		return nil, err
	}
	f := &Finding{Audit: audit}
	open := a.open(audit)
	if err := a.findDeadLettered(ctx, f, holds, open); err != nil {
		return nil, fmt.Errorf("looking into the dead maxDeadLetters: %w", err)
	}
	if err := a.subtract(ctx, open, holds); err != nil {
		return nil, fmt.Errorf("looking into the queues: %w", err)
	}
	f.Missing = open.total()
	f.Lost = open.name(f)
	return f, nil
}

// flow is the messages of one transport that go one way.
type flow struct {
	backend   string
	direction store.Direction
}

func (w flow) queue() string {
	if w.direction == store.Inbound {
		return message.Key(w.backend, message.Inbound)
	}
	return message.Key(w.backend, message.Outbound)
}

// unaccounted is how many stuck messages of each flow were not found yet.
type unaccounted map[flow]int64

func (a *Auditor) open(audit *store.Audit) unaccounted {
	ours, open := map[string]bool{}, unaccounted{}
	for _, name := range a.Fleet.Connectors {
		ours[name] = true
	}
	for _, c := range audit.StuckCounts {
		if ours[c.Backend] && !(a.Fleet.Silent && c.Direction == store.Inbound) {
			open[flow{c.Backend, c.Direction}] += c.N
		}
	}
	return open
}

func (u unaccounted) total() (n int64) {
	for _, left := range u {
		n += left
	}
	return n
}

// subtract accounts for n of the flows that match, whose bodies share a queue.
func (u unaccounted) subtract(n int64, match func(flow) bool) {
	for w, left := range u {
		if match(w) {
			found := min(n, left)
			u[w], n = left-found, n-found
		}
	}
}

// name returns the oldest of each flow.
func (u unaccounted) name(f *Finding) (lost []store.Record) {
	for _, r := range f.Stuck {
		w := flow{r.Backend, r.Direction}
		if _, aside := f.DeadLettered[r.ID]; !aside && u[w] > 0 {
			u[w]--
			lost = append(lost, r)
		}
	}
	return lost
}
