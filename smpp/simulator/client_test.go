package simulator_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// client is an ESME that does nothing of itself.
type client struct {
	t        *testing.T
	conn     net.Conn
	reader   *pdu.Reader
	sequence uint32
}

func start(t *testing.T, settings simulator.Settings) *simulator.SMSC {
	t.Helper()
	v, err := simulator.Start(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	return v
}

func dial(t *testing.T, v *simulator.SMSC) *client {
	t.Helper()
	conn, err := net.Dial("tcp", v.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &client{t: t, conn: conn, reader: pdu.NewReader(conn, 0)}
}

// connect is the connection of a transceiver.
func connect(tb testing.TB, v *simulator.SMSC) net.Conn {
	tb.Helper()
	conn, err := net.Dial("tcp", v.Addr())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	bind := pdu.PDU{Sequence: 1, Body: &pdu.Bind{ID: pdu.CmdBindTransceiver, SystemID: "esme", InterfaceVersion: pdu.Version34}}
	if _, err := bind.WriteTo(conn); err != nil {
		tb.Fatal(err)
	}
	if _, err := pdu.NewReader(conn, 0).Read(); err != nil {
		tb.Fatal(err)
	}
	return conn
}

// bound is a client that is bound.
func bound(t *testing.T, v *simulator.SMSC, kind pdu.CommandID, systemID string) *client {
	t.Helper()
	c := dial(t, v)
	if answer := c.ask(&pdu.Bind{ID: kind, SystemID: systemID, InterfaceVersion: pdu.Version34}); answer.Status != pdu.StatusOK {
		t.Fatalf("bind: %s", answer.Status)
	}
	return c
}

func (c *client) send(body pdu.Body) uint32 {
	c.t.Helper()
	c.sequence++
	c.write(&pdu.PDU{Sequence: c.sequence, Body: body})
	return c.sequence
}

func (c *client) write(p *pdu.PDU) {
	c.t.Helper()
	if _, err := p.WriteTo(c.conn); err != nil {
		c.t.Fatal(err)
	}
}

// next is what comes next.
func (c *client) next() *pdu.PDU {
	c.t.Helper()
	p, err := c.read(patience)
	if err != nil {
		c.t.Fatal(err)
	}
	return p
}

func (c *client) read(patience time.Duration) (*pdu.PDU, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	return c.reader.Read()
}

// ask sends a request and returns what comes next, which must be its answer.
func (c *client) ask(body pdu.Body) *pdu.PDU {
	c.t.Helper()
	sequence := c.send(body)
	p := c.next()
	if p.Sequence != sequence || p.Command() != body.Command().Response() {
		c.t.Fatalf("asked %s %d, got %s", body.Command(), sequence, p)
	}
	return p
}

// delivered is the next PDU, which must be a deliver_sm; it is answered.
func (c *client) delivered() *pdu.Message {
	c.t.Helper()
	p := c.next()
	body, ok := p.Body.(*pdu.DeliverSM)
	if !ok {
		c.t.Fatalf("got %s, want deliver_sm", p)
	}
	c.write(p.Respond(pdu.StatusOK))
	return &body.Message
}

// ended waits for the end of the connection.
func (c *client) ended() error {
	c.t.Helper()
	for {
		p, err := c.read(patience)
		if err != nil {
			return err
		}
		if p.Command() == pdu.CmdUnbind {
			return io.EOF
		}
	}
}

func submit(text string) *pdu.SubmitSM {
	return &pdu.SubmitSM{Message: pdu.Message{
		Source: simulator.Number("1234"), Dest: simulator.Number("+31612345678"),
		RegisteredDelivery: pdu.ReceiptFinal, ShortMessage: []byte(text),
	}}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}
