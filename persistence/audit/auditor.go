// Package auditor proves conservation: it holds what the record says is under
// way against what the queues can still hold, and says how much is missing.
//
// What has not moved for longer than a limit, and is not final, must be
// somewhere: in a queue of its flow, in a worker's hand, in the ladder of
// delays, among the dead maxDeadLetters, or the word that it is done waits to be
// recorded. Where all of these together hold fewer bodies than the record has
// messages, the rest is missing, however they are told apart. While traffic
// flows the queues hold other bodies too, so that less is found then; nothing
// is ever called missing that is there.
package audit

import (
	"context"
	"fmt"
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
	// InFlight is how many bodies a worker has in hand of a queue, at most: it
	// counts where the broker does not tell (see Management). 500 is the least:
	// no worker of ours takes more unless its file says so.
	InFlight int
	// Silent says that there are applications which publish no receipts (Vumi's):
	// an inbound message that none of the queues holds may have been handled.
	Silent bool
}

const (
	defaultInFlight = 500
	// maxDeadLetters is how many dead maxDeadLetters of a queue are looked at.
	maxDeadLetters = 10_000
)

// Auditor looks.
type Auditor struct {
	Record store.Finder
	Broker broker.Admin
	// Depths says how many bodies each queue holds, with those in workers'
	// hands (see Management); nil where nobody tells.
	Depths func(ctx context.Context) (map[string]int64, error)
	Fleet  Fleet
	Limits store.AuditLimits
	// Again is the time between the two looks of Audit. A Management's numbers
	// are up to five seconds old, so it should be more.
	Again time.Duration
}

// Finding is what was found.
type Finding struct {
	*store.Audit
	// Missing is how many of the stuck messages are nowhere.
	Missing int64 `json:"missing"`
	// Lost names as many of the stuck as are missing, the oldest first. Where
	// some of a transport's are missing and others wait in its queue, these
	// may be the ones that wait.
	Lost []store.Record `json:"lost,omitempty"`
	// DeadLettered says in which dead maxDeadLetters stuck messages lie, by their IDs.
	DeadLettered map[string]string `json:"dead_lettered,omitempty"`
}

// Audit looks, and where something seems to be missing looks again: only what
// is missing both times is.
func (a *Auditor) Audit(ctx context.Context) (*Finding, error) {
	began := time.Now()
	first, err := a.Look(ctx)
	if err != nil || first.Missing == 0 {
		return first, err
	}
	if !backoff.Sleep(ctx, a.Again) {
		return nil, ctx.Err()
	}
	later := *a
	later.Limits.Stuck += time.Since(began) // what has become stuck since is not asked about
	second, err := later.Look(ctx)
	if err != nil {
		return nil, err
	}
	return second.since(first), nil
}

// since takes back what was not missing before.
func (f *Finding) since(before *Finding) *Finding {
	f.Missing = min(f.Missing, before.Missing)
	if int64(len(f.Lost)) > f.Missing {
		f.Lost = f.Lost[:f.Missing]
	}
	return f
}

// Look looks once. Where the record has anything stuck, it looks into the queues,
// in the order in which messages pass them, so that what leaves one meanwhile is
// seen behind it, and then into the record again.
func (a *Auditor) Look(ctx context.Context) (*Finding, error) {
	audit, err := a.Record.Audit(ctx, a.Limits)
	if err != nil || a.open(audit).total() == 0 {
		return &Finding{Audit: audit}, err
	}
	holds, err := a.look(ctx)
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

// unaccounted is how many stuck messages of each flow have not been found yet.
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

// take says that n of those that match may be in a place they share.
func (u unaccounted) subtract(n int64, match func(flow) bool) {
	for w, left := range u {
		if match(w) {
			found := min(n, left)
			u[w], n = left-found, n-found
		}
	}
}

// name chooses the oldest of each flow.
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
