package smpp

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/smpp/simulator"
	"switchboard/store"
	"switchboard/transports/transporttest"
)

// The last word that came before its id is not displaced by an earlier one that
// came after it.
func TestHeldLastWordStays(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
		Receipts: noReceipts(), Answers: &simulator.Answers{Delay: simulator.Fixed(5 * quick.Std())},
	}}).bound()
	m := outgoing("hello")
	ctx := within(t)
	sent := make(chan error, 1)
	go func() {
		_, err := b.Send(ctx, m)
		sent <- err
	}()
	b.until("it is submitted", func() bool { return len(b.smsc.Submitted()) == 1 })
	for _, state := range []string{"ENROUTE", "DELIVRD", "ENROUTE"} {
		b.receipt(b.smsc.Submitted()[0], state)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	if e := b.line.NextEvent(t); e.MessageID != m.ID || e.DeliveryStatus != message.Delivered {
		t.Errorf("event = %s", e.Encode())
	}
	b.noOtherEvent()
}

// slow is a state whose reads take long.
type slow struct {
	store.State
	pause atomic.Int64
}

func (s *slow) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	time.Sleep(time.Duration(s.pause.Load()))
	return s.State.Get(ctx, keys...)
}

// Thousands of held receipts are looked at in a few round trips, and those whose
// messages have come are reported.
func TestManyHeldReceipts(t *testing.T) {
	state := &slow{State: remember(t)}
	tr := connected(t, "127.0.0.1:1", state, nil)
	line := transporttest.NewLine()
	transporttest.Start(t, tr, line)
	ctx := within(t)
	e, err := tr.running(ctx)
	if err != nil {
		t.Fatal(err)
	}
	const many, known = 1000, 50
	for i := range many {
		h := heldReceipt{ID: fmt.Sprint(900_000 + i), Status: "delivered", Raw: "DELIVRD", From: fmt.Sprintf("2783%07d", i), To: "9292", Held: time.Now()}
		key := e.keys.held(h.ID)
		text, _ := json.Marshal(h)
		if err := e.state.Set(ctx, store.Entry{Key: key, Value: string(text), TTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
		e.held.add(key, h)
	}
	for i := range known {
		p := part{&submitted{id: fmt.Sprint("m", i), to: fmt.Sprintf("2783%07d", i), from: "9292", total: 1}, 1}
		if err := e.state.Set(ctx, e.idEntry(e.match(p, fmt.Sprint(900_000+i)))); err != nil {
			t.Fatal(err)
		}
	}
	due := e.held.due(time.Now().Add(2 * heldLook))
	state.pause.Store(int64(20 * time.Millisecond))
	began := time.Now()
	e.held.lookAt(ctx, e, due)
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %s", took)
	}
	reported := map[string]bool{}
	for range known {
		reported[line.NextEvent(t).MessageID] = true
	}
	if len(reported) != known || len(e.held.list) != many-known {
		t.Errorf("%d are reported and %d still held, want %d and %d", len(reported), len(e.held.list), known, many-known)
	}
}
