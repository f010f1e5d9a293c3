package audit

import (
	"context"
	"errors"
	"slices"
	"strings"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/store"
	"switchboard/worker/deadletter"
)

// depths are how many bodies each queue holds, by its name, with those in flight.
type depths map[string]int64

// readDepths returns the depths of all queues that may have a message.
func (a *Auditor) readDepths(ctx context.Context) (depths, error) {
	if a.Depths != nil {
		return a.Depths(ctx)
	}
	holds := depths{}
	for _, queue := range a.queues() {
		info, err := inspect(ctx, a.Broker, queue)
		if err != nil {
			return nil, err
		}
		holds[queue] = int64(info.Messages)
		// What recorders have in flight is recorded within moments, before the second look at
		// the record.
		if !a.isRecordQueue(queue) {
			holds[queue] += int64(info.Consumers * a.inFlight())
		}
	}
	return holds, nil
}

func (a *Auditor) inFlight() int { return max(a.Fleet.InFlight, defaultInFlight) }

// queues are the queues in the order in which messages pass them.
func (a *Auditor) queues() (names []string) {
	for _, way := range [...]message.Flow{message.Inbound, message.Outbound} {
		for _, connector := range a.Fleet.Connectors {
			names = append(names, message.Key(connector, way))
		}
	}
	return append(names, a.Fleet.RecordQueues...)
}

func (a *Auditor) isRecordQueue(queue string) bool {
	return slices.Contains(a.Fleet.RecordQueues, queue)
}

// inspect treats a missing queue as an empty one.
func inspect(ctx context.Context, b broker.Admin, queue string) (broker.Info, error) {
	info, err := b.Inspect(ctx, queue)
	if errors.Is(err, broker.ErrNoQueue) {
		return broker.Info{}, nil
	}
	return info, err
}

// subtract subtracts what the queues hold: first each flow's own queue, then those that flows
// share, each body once.
func (a *Auditor) subtract(ctx context.Context, open unaccounted, holds depths) error {
	var elsewhere, unrecorded int64
	own := map[string]bool{}
	for w := range open {
		own[w.queue()] = true
		open.subtract(holds[w.queue()], func(o flow) bool { return o == w })
	}
	for _, connector := range a.Fleet.Connectors {
		if queue := message.Key(connector, message.Inbound); !own[queue] {
			elsewhere += holds[queue]
		}
	}
	open.subtract(elsewhere, func(w flow) bool { return w.direction == store.Inbound })
	for _, queue := range a.Fleet.RecordQueues {
		unrecorded += holds[queue]
	}
	open.subtract(unrecorded, anyFlow)
	if open.total() == 0 {
		return nil
	}
	delayed, err := a.Broker.Delayed(ctx)
	for _, d := range delayed {
		if d.Queue == "" || slices.Contains(a.queues(), d.Queue) {
			open.subtract(int64(d.Bodies), anyFlow)
		}
	}
	return err
}

func anyFlow(flow) bool { return true }

// findDeadLettered finds stuck messages among the dead letters by their IDs. When not all
// stuck messages are named, every dead letter may be one of them.
func (a *Auditor) findDeadLettered(ctx context.Context, f *Finding, holds depths, open unaccounted) error {
	stuck := map[string]store.Record{}
	for _, r := range f.Stuck {
		stuck[r.ID] = r
	}
	var all int64
	for _, c := range f.StuckCounts {
		all += c.N
	}
	unnamed := all > int64(len(f.Stuck))
	for _, queue := range a.queues() {
		if a.Depths != nil && holds[queue+broker.DeadSuffix] == 0 {
			continue
		}
		found, more, err := deadletter.List(ctx, a.Broker, queue, maxDeadLetters, deadletter.Filter{})
		if err != nil && !errors.Is(err, broker.ErrNoQueue) {
			return err
		}
		matched := 0
		for _, dead := range found {
			r, is := stuck[dead.MessageID]
			if _, known := f.DeadLettered[r.ID]; !is || known || !passes(queue, r) {
				continue
			}
			matched++
			f.deadLettered(r.ID, queue+broker.DeadSuffix)
			open.subtract(1, func(w flow) bool { return w == flow{r.Backend, r.Direction} })
		}
		if unnamed || more > 0 {
			open.subtract(int64(len(found)+more-matched), anyFlow)
		}
	}
	return nil
}

// passes reports whether a message of r's direction goes through queue. A recorder's queue has
// both directions.
func passes(queue string, r store.Record) bool {
	switch {
	case strings.HasSuffix(queue, "."+string(message.Inbound)):
		return r.Direction == store.Inbound
	case strings.HasSuffix(queue, "."+string(message.Outbound)):
		return r.Direction == store.Outbound
	}
	return true
}

func (f *Finding) deadLettered(id, queue string) {
	if f.DeadLettered == nil {
		f.DeadLettered = map[string]string{}
	}
	f.DeadLettered[id] = queue
}
