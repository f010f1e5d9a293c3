package smppserver

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
)

// esme is a client that does nothing of itself.
type esme struct {
	t        testing.TB
	conn     net.Conn
	reader   *pdu.Reader
	sequence uint32
}

func (b *bundle) dial() *esme {
	b.Helper()
	addrs, err := b.app.Addrs(within(b))
	if err != nil {
		b.Fatal(err)
	}
	conn, err := net.Dial("tcp", addrs[0].String())
	if err != nil {
		b.Fatal(err)
	}
	return newESME(b, conn)
}

func newESME(t testing.TB, conn net.Conn) *esme {
	t.Cleanup(func() { _ = conn.Close() })
	return &esme{t: t, conn: conn, reader: pdu.NewReader(conn, 0)}
}

func overTLS(t testing.TB, addr net.Addr, conf *tls.Config) *esme {
	t.Helper()
	conn, err := tls.Dial("tcp", addr.String(), conf)
	if err != nil {
		t.Fatal(err)
	}
	return newESME(t, conn)
}

// bound is a client that is bound as acme.
func (b *bundle) bound(kind pdu.CommandID) *esme {
	b.Helper()
	c := b.dial()
	if answer := c.ask(login(kind)); answer.Status != pdu.StatusOK {
		b.Fatalf("bind: %s", answer.Status)
	}
	return c
}

func login(kind pdu.CommandID) *pdu.Bind {
	return &pdu.Bind{ID: kind, SystemID: "acme", Password: password, InterfaceVersion: pdu.Version34}
}

func (c *esme) send(body pdu.Body) uint32 {
	c.t.Helper()
	c.sequence++
	c.write(&pdu.PDU{Sequence: c.sequence, Body: body})
	return c.sequence
}

func (c *esme) write(p *pdu.PDU) {
	c.t.Helper()
	if _, err := p.WriteTo(c.conn); err != nil {
		c.t.Fatal(err)
	}
}

func (c *esme) next() *pdu.PDU {
	c.t.Helper()
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	p, err := c.reader.Read()
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

// ask sends a request and returns what comes next, which must be its answer.
func (c *esme) ask(body pdu.Body) *pdu.PDU {
	c.t.Helper()
	sequence := c.send(body)
	p := c.next()
	if p.Sequence != sequence || p.Command() != body.Command().Response() {
		c.t.Fatalf("asked %s %d, got %s", body.Command(), sequence, p)
	}
	return p
}

// submit submits, and returns the id it was given.
func (c *esme) submit(body pdu.Body) string {
	c.t.Helper()
	p := c.ask(body)
	if p.Status != pdu.StatusOK {
		c.t.Fatalf("submitting: %s", p.Status)
	}
	switch r := p.Body.(type) {
	case *pdu.SubmitSMResp:
		return r.MessageID
	case *pdu.DataSMResp:
		return r.MessageID
	case *pdu.SubmitMultiResp:
		return r.MessageID
	}
	c.t.Fatalf("got %s", p)
	return ""
}

// deliverSM is the next PDU, which must be a deliver_sm.
func (c *esme) deliverSM() (*pdu.PDU, *pdu.Message) {
	c.t.Helper()
	p := c.next()
	body, ok := p.Body.(*pdu.DeliverSM)
	if !ok {
		c.t.Fatalf("got %s, want deliver_sm", p)
	}
	return p, &body.Message
}

// delivered answers it too.
func (c *esme) delivered() *pdu.Message {
	c.t.Helper()
	p, m := c.deliverSM()
	c.write(p.Respond(pdu.StatusOK))
	return m
}

// ended waits for unbind, agrees, and for the end of the connection.
func (c *esme) ended() {
	c.t.Helper()
	if p := c.next(); p.Command() != pdu.CmdUnbind {
		c.t.Fatalf("got %s, want unbind", p)
	} else {
		c.write(p.Respond(pdu.StatusOK))
	}
	if _, err := c.reader.Read(); !errors.Is(err, io.EOF) {
		c.t.Fatalf("after unbind: %v", err)
	}
}

func simple(text string, change ...func(*pdu.Message)) *pdu.SubmitSM {
	s := &pdu.SubmitSM{Message: pdu.Message{
		Source: pdu.Address{NPI: pdu.NPIE164, Addr: "9292"}, Dest: pdu.Address{TON: pdu.TONInternational, NPI: pdu.NPIE164, Addr: "27831234567"},
		RegisteredDelivery: pdu.ReceiptFinal,
	}}
	octets, err := gsm.Encoding{Coding: gsm.GSM7}.Encode(text)
	if err != nil {
		panic(err)
	}
	s.ShortMessage = octets
	for _, c := range change {
		c(&s.Message)
	}
	return s
}

// text is what a deliver_sm says.
func text(t testing.TB, m *pdu.Message) string {
	t.Helper()
	s, err := gsm.Encoding{Coding: gsm.FromDataCoding(uint8(m.DataCoding))}.Decode(m.Payload(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
