package smppserver

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"switchboard/dispatcher"
	"switchboard/options"
	"switchboard/routers"
	"switchboard/smpp"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
	"switchboard/transports"
	transport "switchboard/transports/smpp"
	"switchboard/worker"
)

// fleet is a server for customers, a dispatcher, the SMPP transport and a
// simulated SMSC.
type fleet struct {
	*bundle
	smsc *simulator.SMSC
}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	v, err := simulator.Start(simulator.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	f := &fleet{smsc: v, bundle: prepare(t)}
	f.run(func(a *Application) { a.Customers[0].Value.SendVia = "smpp_out" })
	f.work("join", worker.KindDispatcher, func(env worker.Dependencies) worker.Worker {
		router := routers.NewSimple()
		router.RouteMappings = options.Map[options.Names]{{Key: "smpp_out", Value: options.Names{connector}}}
		opts := dispatcher.DefaultOptions()
		opts.Transports, opts.Exposed = options.Names{"smpp_out"}, options.Names{connector}
		if err := router.Check(dispatcher.Names{Transports: opts.Transports, Exposed: opts.Exposed}); err != nil {
			t.Fatal(err)
		}
		return dispatcher.New(env, opts, router)
	})
	f.work("out", worker.KindTransport, func(env worker.Dependencies) worker.Worker {
		host, port, _ := net.SplitHostPort(v.Addr())
		tr := transport.New()
		tr.Host, tr.SystemID, tr.Password = host, "esme", "secret"
		tr.Port, _ = strconv.Atoi(port)
		if err := tr.Validate(); err != nil {
			t.Fatal(err)
		}
		opts := transports.DefaultOptions()
		opts.TransportName = "smpp_out"
		return transports.New(env, opts, tr)
	})
	if err := v.WaitBound(within(t), 1); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fleet) work(name, kind string, newWorker func(worker.Dependencies) worker.Worker) {
	env := worker.Dependencies{Name: name, Kind: kind, Broker: f.broker, State: f.state, Logger: f.logger()}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- newWorker(env).Run(ctx) }()
	f.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			f.Errorf("%s ended with %v", name, err)
		}
	})
}

// What an ESME submits to us, an SMSC gets from us, and its receipt finds the
// way back; so does what a person sends.
func TestThroughTheFleet(t *testing.T) {
	f := startFleet(t)
	c := f.bound(pdu.CmdBindTransceiver)
	id := c.submit(simple("hello @ {you}", func(m *pdu.Message) { m.Priority, m.ValidityPeriod = 2, "000001000000000R" }))
	r := c.delivered()
	if said := string(r.ShortMessage); r.ESMClass != pdu.ESMReceipt || !strings.Contains(said, "id:"+id) || !strings.Contains(said, "stat:DELIVRD") {
		t.Errorf("the receipt is %q", said)
	}
	got := f.smsc.Submitted()
	if len(got) != 1 {
		t.Fatalf("the SMSC got %d submits; the log:\n%s", len(got), f.log)
	}
	m := got[0].Message()
	if text(t, m) != "hello @ {you}" || m.Dest != simple("").Dest || m.Source.Addr != "9292" || m.Priority != 2 || m.ValidityPeriod != "000001000000000R" {
		t.Errorf("the SMSC got %+v", m)
	}
	delivered := make(chan error, 1)
	ctx := within(t)
	go func() {
		delivered <- f.smsc.Deliver(ctx, simulator.Incoming{From: "27831234567", To: "9292", Text: "naïve ☃"})
	}()
	if m := c.delivered(); text(t, m) != "naïve ☃" || m.Dest.Addr != "9292" || m.Source.Addr != "27831234567" {
		t.Errorf("the customer got %+v", m)
	}
	if err := <-delivered; err != nil {
		t.Error(err)
	}
}

// A long message is put together and cut again, and each of the customer's
// parts has its receipt when all of the SMSC's have theirs.
func TestLongMessageThroughTheFleet(t *testing.T) {
	f := startFleet(t)
	c := f.bound(pdu.CmdBindTransceiver)
	long := strings.Repeat("Το μήνυμα είναι μεγάλο. ", 12)
	written, err := gsm.Splitter{Codings: []gsm.Coding{gsm.UCS2}, Method: gsm.UDH8}.Text(long, 5)
	if err != nil {
		t.Fatal(err)
	}
	base := simple("").Message
	base.DataCoding = pdu.DataCodingUCS2
	ids := map[string]bool{}
	for i := range written.Segments {
		ids[c.submit(&pdu.SubmitSM{Message: smpp.Segment(base, &written, i, smpp.MaxShortMessage)})] = true
	}
	for range len(ids) {
		id, _ := c.delivered().TLVs.Text(pdu.TagReceiptedMessageID)
		if !ids[id] {
			t.Errorf("a receipt for %q, or two", id)
		}
		delete(ids, id)
	}
	var parts []gsm.Part
	for _, s := range f.smsc.Submitted() {
		p := smpp.PartOf(s.Message())
		parts = append(parts, p.Part)
	}
	if got, err := (gsm.Encoding{Coding: gsm.UCS2}).DecodeParts(parts); err != nil || got != long {
		t.Errorf("the SMSC got %q, %v", got, err)
	}
}

// A nack becomes a receipt too: a message that nobody can send.
func TestNackThroughTheFleet(t *testing.T) {
	f := startFleet(t)
	c := f.bound(pdu.CmdBindTransceiver)
	c.submit(simple("hi", func(m *pdu.Message) { m.Source = pdu.Address{TON: pdu.TONAlphanumeric, Addr: "far too long"} }))
	if r := c.delivered(); !strings.Contains(string(r.ShortMessage), "stat:REJECTD") {
		t.Errorf("the receipt is %q", r.ShortMessage)
	}
}

// parameters are some of every kind: a vendor's, integers, octets, one twice.
func parameters() pdu.TLVs {
	return pdu.TLVs{
		{Tag: 0x1400, Value: []byte("1101234567890")},
		{Tag: 0x1401, Value: []byte{0, 255}},
		pdu.Short(pdu.TagDestinationPort, 8080), pdu.Byte(pdu.TagPrivacyIndicator, 2),
		{Tag: pdu.TagCallbackNum, Value: []byte("\x01\x01\x0127830000000")},
		{Tag: pdu.TagCallbackNum, Value: []byte("\x01\x01\x0127830000001")},
	}
}

func carries(t *testing.T, what string, got *pdu.Message) {
	t.Helper()
	for _, want := range parameters() {
		if !slices.ContainsFunc(got.TLVs, func(t pdu.TLV) bool { return t.Tag == want.Tag && bytes.Equal(t.Value, want.Value) }) {
			t.Errorf("%s lacks %s: %v", what, want, got.TLVs)
		}
	}
}

// Parameters and types of number that the fleet has no words for arrive as they
// were submitted, and as they were delivered.
func TestParametersThroughTheFleet(t *testing.T) {
	f := startFleet(t)
	c := f.bound(pdu.CmdBindTransceiver)
	short := pdu.Address{TON: pdu.TONNetworkSpecific, NPI: pdu.NPINational, Addr: "9292"}
	person := pdu.Address{TON: pdu.TONNational, NPI: pdu.NPIE164, Addr: "0831234567"}
	c.submit(simple("hello", func(m *pdu.Message) { m.Source, m.Dest, m.TLVs = short, person, parameters() }))
	c.delivered() // its receipt
	m := f.smsc.Submitted()[0].Message()
	carries(t, "the submit_sm", m)
	if m.Source != short || m.Dest != person || text(t, m) != "hello" {
		t.Errorf("the SMSC got %+v", m)
	}
	ctx := within(t)
	delivered := make(chan error, 1)
	go func() {
		delivered <- f.smsc.DeliverPDU(ctx, "", &pdu.DeliverSM{Message: pdu.Message{
			Source: person, Dest: short, ServiceType: "WAP", ShortMessage: []byte("hi"), TLVs: parameters(),
		}})
	}()
	m = c.delivered()
	carries(t, "the deliver_sm", m)
	if m.Source != person || m.Dest != short || m.ServiceType != "WAP" || text(t, m) != "hi" {
		t.Errorf("the customer got %+v", m)
	}
	if err := <-delivered; err != nil {
		t.Error(err)
	}
}
