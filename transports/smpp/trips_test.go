package smpp

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/smpp/simulator"
	"switchboard/store"
	"switchboard/transports/transporttest"
)

// trips counts what is asked of a state.
type trips struct {
	store.State
	gets, sets, others atomic.Int32
}

func (s *trips) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	s.gets.Add(1)
	return s.State.Get(ctx, keys...)
}

func (s *trips) Set(ctx context.Context, entries ...store.Entry) error {
	s.sets.Add(1)
	return s.State.Set(ctx, entries...)
}

func (s *trips) Add(ctx context.Context, e store.Entry) (string, bool, error) {
	s.others.Add(1)
	return s.State.Add(ctx, e)
}

func (s *trips) Increment(ctx context.Context, key string, by int64, ttl time.Duration) (int64, error) {
	s.others.Add(1)
	return s.State.Increment(ctx, key, by, ttl)
}

func (s *trips) Delete(ctx context.Context, keys ...string) error {
	s.others.Add(1)
	return s.State.Delete(ctx, keys...)
}

// A receipt of a message of one part costs one read and one write.
func TestReceiptIsTwoRoundTrips(t *testing.T) {
	v := simulate(t, simulator.Settings{Behaviour: simulator.Behaviour{Receipts: noReceipts()}})
	state := &trips{State: remember(t)}
	tr := connected(t, v.Addr(), state, nil)
	line := transporttest.NewPublisher()
	transporttest.Start(t, tr, line)
	b := &bundle{T: t, Transport: tr, smsc: v, line: line}
	b.send(outgoing("hello"))
	gets, sets, others := state.gets.Load(), state.sets.Load(), state.others.Load()
	b.receipt(v.Submitted()[0], "DELIVRD")
	if e := line.NextEvent(t); e.DeliveryStatus != message.Delivered {
		t.Errorf("event = %s", e.Encode())
	}
	testutil.Eventually(t, "the final state is recorded", func() bool { return state.sets.Load() > sets })
	gets, sets, others = state.gets.Load()-gets, state.sets.Load()-sets, state.others.Load()-others
	if gets != 1 || sets != 1 || others != 0 {
		t.Errorf("%d reads, %d writes and %d others, want one read and one write", gets, sets, others)
	}
}
