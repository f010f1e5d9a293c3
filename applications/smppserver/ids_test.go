package smppserver

import (
	"regexp"
	"strings"
	"testing"

	"switchboard/message"
	"switchboard/options"
	"switchboard/smpp"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
)

// boundAs is a client of a version of SMPP that is bound as a customer.
func (b *bundle) boundAs(systemID string, version uint8) *esme {
	b.Helper()
	c, l := b.dial(), login(pdu.CmdBindTransceiver)
	l.SystemID, l.InterfaceVersion = systemID, version
	if answer := c.ask(l); answer.Status != pdu.StatusOK {
		b.Fatalf("bind: %s", answer.Status)
	}
	return c
}

var eightDigits = regexp.MustCompile(`^[0-9A-F]{8}$`)

// A client of SMPP 3.3 gets ids it can hold, in answers, receipts and query_sm;
// the fleet's own stay what they are.
func TestOldClientsGetShortIDs(t *testing.T) {
	b := begin(t)
	old := b.boundAs("acme", pdu.Version33)
	seen := map[string]bool{}
	for range 3 {
		id := old.submit(simple("hi"))
		m := b.sent()
		if !eightDigits.MatchString(id) || seen[id] || len(m.ID) != 32 {
			t.Fatalf("got %q, and again %t; the fleet's id is %q", id, seen[id], m.ID)
		}
		seen[id] = true
		if p := old.ask(&pdu.QuerySM{MessageID: id}); p.Status != pdu.StatusOK || p.Body.(*pdu.QuerySMResp).MessageID != id {
			t.Errorf("query_sm got %s", p)
		}
		b.event(report(m, message.Delivered))
		if r := old.delivered(); !strings.HasPrefix(string(r.ShortMessage), "id:"+id+" ") || len(r.TLVs) > 0 {
			t.Errorf("the receipt is %q %v", r.ShortMessage, r.TLVs)
		}
		p := old.ask(&pdu.QuerySM{MessageID: strings.ToLower(id)})
		if p.Status != pdu.StatusOK || p.Body.(*pdu.QuerySMResp).State != pdu.StateDelivered {
			t.Errorf("query_sm in lower case got %s", p)
		}
	}
	if id := b.boundAs("acme", pdu.Version34).submit(simple("hi")); len(id) != 32 {
		t.Errorf("a client of 3.4 got %q", id)
	}
}

// What was given out before a restart is not given out again, and still known.
func TestShortIDsAfterARestart(t *testing.T) {
	b := begin(t)
	c := b.boundAs("acme", pdu.Version33)
	before := c.submit(simple("hi"))
	m := b.sent()
	_ = c.conn.Close()
	b.stop()
	b.run()
	c = b.boundAs("acme", pdu.Version33)
	if after := c.submit(simple("hi")); after == before {
		t.Errorf("%s was given out twice", after)
	}
	b.event(report(m, message.Delivered))
	if r := c.delivered(); !strings.HasPrefix(string(r.ShortMessage), "id:"+before+" ") {
		t.Errorf("the receipt is %q", r.ShortMessage)
	}
}

// Each customer has numbers of its own, and nobody learns of another's messages.
func TestShortIDsAreACustomersOwn(t *testing.T) {
	b := begin(t, func(a *Application) {
		other := acme()
		other.ShortIDs = true
		a.Customers = append(a.Customers, options.Pair[Customer]{Key: "other", Value: other})
	})
	one, two := b.boundAs("acme", pdu.Version33), b.boundAs("other", pdu.Version34)
	own, others := one.submit(simple("mine")), two.submit(simple("yours"))
	if own != others || !eightDigits.MatchString(others) {
		t.Fatalf("the first ids are %q and %q", own, others)
	}
	sent := map[string]*message.Message{}
	for range 2 {
		m := b.sent()
		sent[m.Content] = m
	}
	b.event(report(sent["mine"], message.Delivered))
	one.delivered()
	if p := two.ask(&pdu.QuerySM{MessageID: others}); p.Body.(*pdu.QuerySMResp).State != pdu.StateAccepted {
		t.Errorf("the other's message is %s", p)
	}
	long := b.boundAs("acme", pdu.Version34).submit(simple("long"))
	if p := two.ask(&pdu.QuerySM{MessageID: long}); p.Status != pdu.StatusQueryFail {
		t.Errorf("another's id got %s", p)
	}
}

// The parts of a long message, and the people of submit_multi, have short ids
// too.
func TestShortIDsOfMoreThanOne(t *testing.T) {
	b := begin(t)
	c := b.boundAs("acme", pdu.Version33)
	written, err := gsm.Splitter{Method: gsm.UDH8}.Text(strings.Repeat("0123456789", 20), 7)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for i := range written.Segments {
		ids[c.submit(&pdu.SubmitSM{Message: smpp.Segment(simple("").Message, &written, i, smpp.MaxShortMessage)})] = true
	}
	m := b.sent()
	if len(ids) != 2 || len(m.ID) != 32 {
		t.Fatalf("got %v for message %s", ids, m.ID)
	}
	b.event(report(m, message.Delivered))
	for range 2 {
		id := string(c.delivered().ShortMessage)[3:11]
		if !ids[id] {
			t.Errorf("a receipt for %q, or two", id)
		}
		delete(ids, id)
	}
	many := c.submit(&pdu.SubmitMulti{Message: simple("to many").Message, Dests: []pdu.Destination{
		{Address: pdu.Address{Addr: "111"}}, {Address: pdu.Address{Addr: "222"}},
	}})
	for range 2 {
		m := b.sent()
		b.event(report(m, message.Delivered))
		if r := c.delivered(); !strings.HasPrefix(string(r.ShortMessage), "id:"+many+" ") || r.Source.Addr != m.To {
			t.Errorf("the receipt from %s is %q", r.Source.Addr, r.ShortMessage)
		}
	}
}
