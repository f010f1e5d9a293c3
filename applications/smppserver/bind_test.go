package smppserver

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"switchboard/internal/testutil"
	"switchboard/options"
	"switchboard/smpp/pdu"
)

func TestBinds(t *testing.T) {
	b := begin(t, func(a *Application) {
		elsewhere := acme()
		elsewhere.AllowedIPs = options.Names{"192.0.2.0/24", "2001:db8::1"}
		here := acme()
		here.AllowedIPs = options.Names{"192.0.2.0/24", "127.0.0.1"}
		a.Customers = append(a.Customers,
			options.Pair[Customer]{Key: "elsewhere", Value: elsewhere}, options.Pair[Customer]{Key: "here", Value: here})
	})
	for name, s := range map[string]struct {
		change func(*pdu.Bind)
		want   pdu.Status
	}{
		"a transceiver":     {func(*pdu.Bind) {}, pdu.StatusOK},
		"a transmitter":     {func(l *pdu.Bind) { l.ID = pdu.CmdBindTransmitter }, pdu.StatusOK},
		"a receiver of 3.3": {func(l *pdu.Bind) { l.ID, l.InterfaceVersion = pdu.CmdBindReceiver, pdu.Version33 }, pdu.StatusOK},
		"5.0":               {func(l *pdu.Bind) { l.InterfaceVersion = pdu.Version50 }, pdu.StatusOK},
		"a wrong password":  {func(l *pdu.Bind) { l.Password = "guess-01" }, pdu.StatusInvPaswd},
		"none":              {func(l *pdu.Bind) { l.Password = "" }, pdu.StatusInvPaswd},
		"a stranger":        {func(l *pdu.Bind) { l.SystemID = "nobody" }, pdu.StatusInvPaswd},
		"from elsewhere":    {func(l *pdu.Bind) { l.SystemID = "elsewhere" }, pdu.StatusBindFail},
		"from here":         {func(l *pdu.Bind) { l.SystemID = "here" }, pdu.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			c, l := b.dial(), login(pdu.CmdBindTransceiver)
			s.change(l)
			p := c.ask(l)
			if p.Status != s.want {
				t.Errorf("got %s, want %s", p.Status, s.want)
			}
			_ = c.conn.Close()
		})
	}
	b.eventually("all are gone", func() bool { return b.metric("switchboard_smpp_server_binds", nil) == 0 })
	for _, secret := range []string{password, "guess-01"} {
		if strings.Contains(b.log.String(), secret) {
			t.Errorf("the log tells a password")
		}
	}
}

func TestMaxBinds(t *testing.T) {
	b := begin(t, func(a *Application) { a.Customers[0].Value.MaxBinds = 2 })
	first := b.bound(pdu.CmdBindTransceiver)
	b.bound(pdu.CmdBindReceiver)
	if p := b.dial().ask(login(pdu.CmdBindTransceiver)); p.Status != pdu.StatusAlyBnd {
		t.Errorf("the third of two got %s", p.Status)
	}
	if p := first.ask(new(pdu.Unbind)); p.Status != pdu.StatusOK {
		t.Errorf("unbind got %s", p.Status)
	}
	b.eventually("there is room again", func() bool {
		c := b.dial()
		defer func() { _ = c.conn.Close() }()
		return c.ask(login(pdu.CmdBindTransceiver)).Status == pdu.StatusOK
	})
}

func TestSilentAndIdleBinds(t *testing.T) {
	b := begin(t, func(a *Application) {
		a.EnquireLinkInterval, a.ResponseTimeout = options.Duration(20*time.Millisecond), options.Duration(100*time.Millisecond)
	})
	c := b.bound(pdu.CmdBindTransceiver)
	if p := c.next(); p.Command() != pdu.CmdEnquireLink {
		t.Fatalf("got %s", p)
	} else {
		c.write(p.Respond(pdu.StatusOK))
	}
	for { // and now it is silent
		if _, err := c.reader.Read(); err != nil {
			break
		}
	}
	b.eventually("it is forgotten", func() bool { return b.metric("switchboard_smpp_server_binds", nil) == 0 })
	b.stop()
	b.run(func(a *Application) { a.IdleTimeout = options.Duration(10 * time.Millisecond) })
	b.bound(pdu.CmdBindTransceiver).ended()
}

// Garbage ends its own connection, or gets an answer; nobody else notices.
func TestBadInput(t *testing.T) {
	b := begin(t)
	healthy := b.bound(pdu.CmdBindTransceiver)
	for name, octets := range map[string][]byte{
		"HTTP":               []byte("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"),
		"zeros":              make([]byte, 64),
		"a length of 4 GiB":  append([]byte{255, 255, 255, 255}, make([]byte, 12)...),
		"a cut-off PDU":      {0, 0, 0, 40, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 9, 'x'},
		"a submit unbound":   pduOctets(t, simple("hi")),
		"a broken submit_sm": append([]byte{0, 0, 0, 24, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 9}, bytes.Repeat([]byte{255}, 8)...),
	} {
		t.Run(name, func(t *testing.T) {
			c := b.dial()
			if _, err := c.conn.Write(octets); err != nil {
				t.Fatal(err)
			}
			_ = c.conn.(*net.TCPConn).CloseWrite()
			if _, err := io.Copy(io.Discard, c.conn); err != nil && !strings.Contains(err.Error(), "reset") {
				t.Errorf("the connection ended with %v", err)
			}
		})
	}
	for _, p := range []*pdu.PDU{
		{Body: &pdu.Raw{ID: 0x0777, Data: []byte("what?")}},
		{Body: &pdu.DeliverSM{}},
		{Body: login(pdu.CmdBindTransceiver)},
	} {
		healthy.sequence++
		p.Sequence = healthy.sequence
		healthy.write(p)
		if answer := healthy.next(); answer.Status == pdu.StatusOK || answer.Sequence != p.Sequence {
			t.Errorf("%s got %s", p, answer)
		}
	}
	healthy.write(&pdu.PDU{Sequence: 4711, Body: new(pdu.DeliverSMResp)}) // to nothing
	huge := simple("", func(m *pdu.Message) {
		m.TLVs = pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: bytes.Repeat([]byte("x"), 60_000)}}
	})
	healthy.submit(huge)
	if m := b.sent(); len(m.Content) != 60_000 {
		t.Errorf("got %d characters", len(m.Content))
	}
}

func pduOctets(t testing.TB, body pdu.Body) []byte {
	t.Helper()
	octets, err := (&pdu.PDU{Sequence: 1, Body: body}).AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	return octets
}

// A stop lets what is in flight end, then unbinds.
func TestStop(t *testing.T) {
	b := begin(t)
	opened := make(chan struct{})
	b.stop()
	b.state = gate{b.state, opened}
	b.run()
	c := b.bound(pdu.CmdBindTransceiver)
	c.send(simple("hi"))
	if p := c.ask(new(pdu.EnquireLink)); p.Status != pdu.StatusOK { // so the submit is in flight
		t.Fatal(p)
	}
	stopped := make(chan struct{})
	go func() { defer close(stopped); b.stop() }()
	b.eventually("it stops", func() bool {
		e, _ := b.app.engine.Get(within(t))
		return e.busy.Closed()
	})
	c.send(simple("too late"))
	if p := c.next(); p.Status != pdu.StatusMsgQFul {
		t.Errorf("a submit during the stop got %s", p)
	}
	close(opened)
	if p := c.next(); p.Command() != pdu.CmdSubmitSMResp || p.Status != pdu.StatusOK {
		t.Errorf("what was in flight got %s", p)
	}
	c.ended()
	<-stopped
	if m := b.sent(); m.Content != "hi" {
		t.Errorf("got %s", m.Encode())
	}
	b.none()
}

func TestTLS(t *testing.T) {
	cert, key, roots := testutil.SelfSigned(t)
	b := begin(t, func(a *Application) {
		a.TLSPort, a.TLSCertFile, a.TLSKeyFile = a.SMPPPort, cert, key
	})
	addrs, err := b.app.Addrs(within(t))
	if err != nil || len(addrs) != 2 {
		t.Fatalf("it listens on %v, %v", addrs, err)
	}
	c := overTLS(t, addrs[1], &tls.Config{RootCAs: roots, ServerName: "localhost"})
	if p := c.ask(login(pdu.CmdBindTransceiver)); p.Status != pdu.StatusOK {
		t.Fatalf("bind: %s", p.Status)
	}
	c.submit(simple("hi"))
	if m := b.sent(); m.Content != "hi" {
		t.Errorf("got %s", m.Encode())
	}
}

// Whoever guesses passwords fills no log: one refusal of a kind is written, the
// others are counted.
func TestRefusedBindsFillNoLog(t *testing.T) {
	b := begin(t)
	for range 20 {
		l := login(pdu.CmdBindTransceiver)
		l.Password = "guess"
		if p := b.dial().ask(l); p.Status != pdu.StatusInvPaswd {
			t.Fatal(p)
		}
	}
	if n := strings.Count(b.log.String(), "a bind is refused"); n != 1 {
		t.Errorf("the log has %d lines of 20 refusals", n)
	}
	if n := b.metric("switchboard_smpp_server_binds_refused_total", map[string]string{"reason": "wrong password"}); n != 20 {
		t.Errorf("%v refusals were counted, want 20", n)
	}
}
