package xmpp

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"switchboard/internal/testutil"
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
}

func receive(t *testing.T) *receiver {
	t.Helper()
	t.Parallel()
	r := &receiver{T: t, line: transporttest.NewPublisher()}
	state := memory.New()
	tr := New()
	tr.Username, tr.Rooms = "bot@example.org", []string{"room@example.org"}
	err := tr.Provision(t.Context(), transports.Env{Name: "worker", State: state, Logger: slog.New(slog.NewTextHandler(&r.log, nil))})
	if err == nil {
		r.run, err = newRun(tr, r.line)
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
