package failed_test

import (
	"context"
	"strings"
	"testing"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/message"
	"switchboard/operate/failed"
	"switchboard/store"
	"switchboard/store/sqlite"
)

// unconfirmed is a publisher whose confirms do not come.
type unconfirmed struct{ broker.Publisher }

func (u unconfirmed) Publish(ctx context.Context, p broker.Publication) error {
	if err := u.Publisher.Publish(ctx, p); err != nil {
		return err
	}
	return broker.ErrLost
}

// What may be on one transport's queue is not put on another's, too.
func TestRetryElsewhere(t *testing.T) {
	b := memory.New(memory.Settings{})
	t.Cleanup(func() { _ = b.Close(context.Background()) })
	for _, queue := range []string{"sms.outbound", "other.outbound"} {
		if err := b.Declare(t.Context(), broker.Queue{Name: queue, Keys: []string{queue}}); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sqlite.Open(t.Context(), sqlite.Memory, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := message.New()
	m.From, m.To, m.TransportName, m.TransportType = "1234", "+27831234567", "sms", "sms"
	for _, e := range []store.Envelope{
		{Direction: store.Outbound, Backend: "sms", Message: m}, {Backend: "sms", Event: message.NewNack(m, "congested")},
	} {
		if _, err := db.Record(t.Context(), []store.Envelope{e}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := failed.Find(t.Context(), db, failed.Filter{})
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	retry := func(to string, p broker.Publisher) (o failed.Outcome) {
		t.Helper()
		if err := (failed.Again{To: to}).Retry(t.Context(), db, p, all, func(got failed.Outcome) { o = got }); err != nil {
			t.Fatal(err)
		}
		return o
	}
	if o := retry("nosuch", b); o.Error == "" {
		t.Errorf("to no transport: %+v", o)
	}
	if o := retry("", unconfirmed{b}); o.Error == "" {
		t.Errorf("without a confirm: %+v", o)
	}
	if o := retry("other", b); !strings.Contains(o.Error, "it may already be on sms.outbound: retry it there") {
		t.Errorf("to another transport: %+v", o)
	}
	if o := retry("", b); o.Error != "" || o.Key != "sms.outbound" {
		t.Errorf("where it may be: %+v", o)
	}
	if info, err := b.Inspect(t.Context(), "other.outbound"); err != nil || info.Messages != 0 {
		t.Errorf("the other transport has %+v, %v", info, err)
	}
	if o := retry("other", b); !strings.Contains(o.Error, "it was sent again") {
		t.Errorf("after it was sent: %+v", o)
	}
}
