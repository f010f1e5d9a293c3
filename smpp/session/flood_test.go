package session_test

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"

	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

// Whoever connects cannot fill the log with what is no PDU, and does not keep it
// from telling of a customer's.
func TestNoFloodOfLogRecords(t *testing.T) {
	g := newGateway()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer // read after Shutdown
	v := session.Serve(l, g, session.Settings{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for range 3 {
		p := dial(t, v)
		for range 20 {
			p.sendStrange()
			p.next()
		}
		_ = p.conn.Close()
		take(t, g.closed)
	}
	p := dial(t, v)
	p.bind(pdu.CmdBindTransceiver)
	for range 20 {
		p.sendStrange()
		p.next()
	}
	_ = p.conn.Close()
	take(t, g.closed)
	v.Shutdown(t.Context())
	if n := strings.Count(log.String(), "unreadable"); n != 2 {
		t.Errorf("the log has %d records, want one of unbound peers and one of the customer:\n%s", n, log.String())
	}
}

// sendStrange sends a command that there is none of.
func (p *peer) sendStrange() {
	p.t.Helper()
	if _, err := p.conn.Write([]byte{0, 0, 0, 16, 0, 0, 9, 9, 0, 0, 0, 0, 0, 0, 0, 7}); err != nil {
		p.t.Fatal(err)
	}
}
