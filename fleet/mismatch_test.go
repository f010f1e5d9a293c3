package fleet_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/broker"
	"switchboard/broker/memory"
)

// redeclared is a broker on which somebody declares a queue anew, with other
// arguments, after a minute.
type redeclared struct {
	broker.Broker
	queue string
	at    time.Time
}

func (r *redeclared) ConsumeWithin(ctx context.Context, q broker.Queue, limit func() int, handle func(*broker.Delivery)) error {
	if q.Name != r.queue {
		return r.Broker.ConsumeWithin(ctx, q, limit, handle)
	}
	ctx, cancel := context.WithDeadline(ctx, r.at)
	defer cancel()
	if err := r.Broker.ConsumeWithin(ctx, q, limit, handle); err != nil || time.Now().Before(r.at) {
		return err
	}
	return broker.ErrQueueMismatch
}

// A queue that is declared anew with other arguments ends the worker that consumes it,
// again and again, and no other.
func TestAMismatchEndsOneWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "join.yaml", route("one"), "quiet.yaml", "application_class: quiet\ntransport_name: two\n")
		s.start(&redeclared{memory.New(memory.Settings{}), "two.inbound", time.Now().Add(time.Minute)})
		defer s.stop()
		time.Sleep(10 * time.Minute) // of the test's own clock
		synctest.Wait()
		if at := s.send("sms.inbound", "one.inbound"); at != "one.inbound" {
			t.Errorf("the other worker sent it to %q", at)
		}
		if code, text := s.ask(http.MethodGet, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "worker quiet is not running") {
			t.Errorf("/readyz answered %d %s", code, text)
		}
	})
}

// At start it ends the process: nobody has used it yet.
func TestAMismatchAtStartEndsTheProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, "quiet.yaml", "application_class: quiet\ntransport_name: two\n")
		defs, err := s.Classes.Load(s.dir)
		if err != nil {
			t.Fatal(err)
		}
		b := memory.New(memory.Settings{})
		defer b.Close(context.Background())
		s.Broker = &redeclared{b, "two.inbound", time.Now()}
		if err := s.Run(t.Context(), defs); err == nil || !strings.Contains(err.Error(), "worker quiet") {
			t.Errorf("the process ended with %v", err)
		}
	})
}
