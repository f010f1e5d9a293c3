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
