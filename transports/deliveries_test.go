package transports_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/message"
	"switchboard/store"
	statememory "switchboard/store/memory"
	"switchboard/transports"
	"switchboard/transports/transporttest"
)

var errAway = errors.New("the database is away")

// awayState is a state that cannot be read while it is away.
type awayState struct {
	*statememory.State
	away bool
}

func (s *awayState) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	if s.away {
		return nil, errAway
	}
	return s.State.Get(ctx, keys...)
}

// What was begun is published though the outside waits no longer, and what comes again
// then is known: also to another replica. A copy that waits for another is not the first.
func TestDeliveriesGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := &awayState{State: statememory.New()}
		defer state.Close()
		d, replica := transports.NewDeliveries(t.Context(), state, time.Hour, slog.New(slog.DiscardHandler)),
			transports.NewDeliveries(t.Context(), state, time.Hour, slog.New(slog.DiscardHandler))
		out := transporttest.NewPublisher()
		release := out.Hold()
		impatient, leave := context.WithCancel(t.Context())
		leave()
		if _, err := d.Inbound(impatient, out, delivered("7")); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		come := func(of *transports.Deliveries, id string, want bool) {
			t.Helper()
			if first, err := of.Inbound(t.Context(), out, delivered(id)); err != nil || first != want {
				t.Errorf("%s: first %t, %v", id, first, err)
			}
		}
		go come(d, "7", false)
		synctest.Wait()
		release()
		synctest.Wait()
		come(d, "7", false)
		come(replica, "7", false)
		come(d, "8", true)
		state.away = true
		come(d, "9", true)
		unsure := store.Entry{Key: "unsure", Value: "1", TTL: time.Hour}
		if _, err := d.Once(t.Context(), unsure, func(_ context.Context, unsure error) error { return unsure }); !errors.Is(err, errAway) {
			t.Errorf("got %v", err)
		}
		state.away = false
		come(d, "9", false)
		if _, err := d.Once(t.Context(), unsure, func(_ context.Context, unsure error) error { return unsure }); err != nil {
			t.Errorf("what failed once is not done again: %v", err)
		}
		list := out.All()
		if len(list) != 3 {
			t.Fatalf("%d messages came", len(list))
		}
		for i, id := range []string{"7", "8", "9"} {
			if m := list[i]; m.ID != delivered(id).ID || message.Again(&m.RoutingMetadata) != (id == "9") {
				t.Errorf("got %s", m.Encode())
			}
		}
		d.Wait()
		if _, err := d.Inbound(t.Context(), out, delivered("10")); !errors.Is(err, context.Canceled) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// A panic is logged with its stack, and nothing that is to be tried again.
func TestDeliveryPanics(t *testing.T) {
	var log bytes.Buffer
	d := transports.NewDeliveries(t.Context(), nil, time.Hour, slog.New(slog.NewTextHandler(&log, nil)))
	_, err := d.Once(t.Context(), store.Entry{Key: "k7"}, func(context.Context, error) error { panic("ouch") })
	if !message.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
	for _, want := range []string{"level=ERROR", "please report this", "key=k7", "ouch", "deliveries_test.go"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, log.String())
		}
	}
}

func delivered(id string) *message.Message {
	m := message.New()
	m.ID, m.From, m.To = transports.MessageID("sms", id), "+27831234567", "9292"
	return m
}
