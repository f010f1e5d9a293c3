package xmpp

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/store"
	"switchboard/store/memory"
	"switchboard/transports"
	"switchboard/transports/transporttest"
	"switchboard/xmpp"
)

// receiver is a run without a session.
type receiver struct {
	*testing.T
	*run
	line *transporttest.Publisher
	log  bytes.Buffer
	next chan func() error // what the broker or the state does next, before it does its work
}

func (r *receiver) before() error {
	select {
	case fail := <-r.next:
		return fail()
	default:
		return nil
	}
}

type failingBroker struct {
	*transporttest.Publisher
	*receiver
}

func (b failingBroker) Inbound(ctx context.Context, m *message.Message) error {
	if err := b.before(); err != nil {
		return err
	}
	return b.Publisher.Inbound(ctx, m)
}

type failingState struct {
	store.State
	*receiver
}

func (s failingState) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	if err := s.before(); err != nil {
		return nil, err
	}
	return s.State.Get(ctx, keys...)
}

func receive(t *testing.T) *receiver {
	t.Helper()
	t.Parallel()
	r := &receiver{T: t, line: transporttest.NewPublisher(), next: make(chan func() error, 1)}
	state := memory.New()
	tr := New()
	tr.Username, tr.Rooms = "bot@example.org", []string{"room@example.org"}
	logger := slog.New(slog.NewTextHandler(&r.log, nil))
	err := tr.Provision(t.Context(), transports.Env{Name: "worker", State: failingState{state, r}, Logger: logger})
	if err == nil {
		r.run, err = newRun(tr, failingBroker{r.line, r})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.close()
		_ = state.Close()
	})
	return r
}

// take gives a stanza to be handled, and waits until it is.
func (r *receiver) take(from, kind string, inside ...*xmpp.Element) {
	r.Helper()
	e := xmpp.New(xmpp.NSClient, "message", inside...).Set("type", kind).Set("from", from).Set("id", "m1")
	handled := make(chan struct{})
	r.handle(e, func() { close(handled) })
	select {
	case <-handled:
	case <-time.After(testutil.Patience):
		r.Fatalf("not handled: %s", e)
	}
}

func body(text string) *xmpp.Element { return xmpp.NewText(xmpp.NSClient, "body", text) }

var errAway = errors.New("away")

func away() error { return errAway }

// What is said in a room nobody would say again.
func TestRoomWhileTheBrokerFails(t *testing.T) {
	r := receive(t)
	r.next <- away
	r.take("room@example.org/anna", "groupchat", body("hello"))
	if m := r.line.Next(t); m.Content != "hello" {
		t.Errorf("received %s", m.Encode())
	}
}

func TestReceiptWhileTheStateFails(t *testing.T) {
	r := receive(t)
	if err := r.sent.record("s1", row{ID: "s1", To: "anna@example.org", Accepted: true}); err != nil {
		t.Fatal(err)
	}
	r.next <- away
	r.take("anna@example.org/x", "chat", xmpp.New(xmpp.NSReceipts, "received").Set("id", "s1"))
	if e := r.line.NextEvent(t); e.DeliveryStatus != message.Delivered || e.MessageID != "s1" {
		t.Errorf("reported %s", e.Encode())
	}
}

// What is refused for good, and what panics, is handled: reading would stop.
func TestFailuresForGood(t *testing.T) {
	r := receive(t)
	r.next <- func() error { return message.Permanent(errAway) }
	r.take("room@example.org/anna", "groupchat", body("too large"))
	r.next <- func() error { panic("a plugin's") }
	r.take("room@example.org/anna", "groupchat", body("a panic"))
	r.take("room@example.org/anna", "groupchat", body("hello"))
	if m := r.line.Next(t); m.Content != "hello" {
		t.Errorf("received %s", m.Encode())
	}
}

// A stop does not wait: the server keeps what is not taken.
func TestStopWhileTheBrokerFails(t *testing.T) {
	r := receive(t)
	failed := make(chan struct{})
	failing := sync.OnceFunc(func() { close(failed) })
	var fail func() error
	fail = func() error {
		r.next <- fail
		failing()
		return errAway
	}
	r.next <- fail
	r.handle(xmpp.New(xmpp.NSClient, "message", body("hello")).Set("type", "groupchat").Set("from", "room@example.org/anna"),
		func() { t.Error("the server is told that it is handled") })
	<-failed
	r.stop()
	r.group.Wait()
}

// What somebody sends whose address cannot be read is not passed over in silence.
func TestUnreadableSender(t *testing.T) {
	r := receive(t)
	r.take("anna@chat_server.lan/x", "chat", body("hello"))
	if !strings.Contains(r.log.String(), "anna@chat_server.lan/x") {
		t.Errorf("the log has %q", &r.log)
	}
}

// A room that is entered again brings its last message, however long ago it was written;
// what was written at another time is no copy of it.
func TestCopiesAreWrittenAtOneTime(t *testing.T) {
	c := newCopies()
	for _, step := range []struct {
		written time.Duration // ago; 0 is a message without a stamp
		copied  bool
	}{{0, false}, {time.Hour, true}, {time.Minute, false}, {time.Minute, true}} {
		e := xmpp.New(xmpp.NSClient, "message", body("hello")).Set("type", "groupchat").Set("from", "room@example.org/anna").Set("id", "m1")
		if step.written > 0 {
			e.Add(xmpp.New(xmpp.NSDelay, "delay").Set("stamp", time.Now().Add(-step.written).UTC().Format(time.RFC3339)))
		}
		copied, err := c.do(t.Context(), e, true, func() error { return nil })
		if err != nil || copied != step.copied {
			t.Errorf("written %s ago: copied %t, %v", step.written, copied, err)
		}
		if step.written == 0 { // an hour passes
			for _, o := range c.list.Values() {
				o.at = o.at.Add(-time.Hour)
			}
		}
	}
}
