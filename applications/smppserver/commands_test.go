package smppserver

import (
	"io"
	"strings"
	"testing"
	"time"

	"switchboard/options"
	"switchboard/smpp/pdu"
)

// Every request is done or refused with what SMPP has for it, whatever the bind
// (§2.3, table 2-1).
func TestEveryRequestIsAnswered(t *testing.T) {
	b := begin(t)
	const (
		ok     = pdu.StatusOK
		state  = pdu.StatusInvBndSts
		no     = pdu.StatusInvCmdID
		cancel = pdu.StatusCancelFail
	)
	person := pdu.Address{TON: pdu.TONInternational, NPI: pdu.NPIE164, Addr: "27831234567"}
	payload := pdu.TLVs{{Tag: pdu.TagMessagePayload, Value: []byte("hi")}}
	for _, s := range []struct {
		name                                 string
		body                                 func(id string) pdu.Body
		unbound, transmitter, receiver, both pdu.Status
	}{
		{"submit_sm", func(string) pdu.Body { return simple("hi") }, state, ok, state, ok},
		{"data_sm", func(string) pdu.Body { return &pdu.DataSM{Dest: person, TLVs: payload} }, state, ok, ok, ok},
		{"submit_multi", func(string) pdu.Body {
			return &pdu.SubmitMulti{Message: simple("hi").Message, Dests: []pdu.Destination{{Address: person}}}
		}, state, ok, state, ok},
		{"query_sm", func(id string) pdu.Body { return &pdu.QuerySM{MessageID: id} }, state, ok, state, ok},
		{"query_sm of nothing", func(string) pdu.Body { return &pdu.QuerySM{MessageID: "0"} }, state, pdu.StatusQueryFail, state, pdu.StatusQueryFail},
		{"cancel_sm", func(id string) pdu.Body { return &pdu.CancelSM{MessageID: id} }, state, cancel, state, cancel},
		{"cancel_sm of all to one", func(string) pdu.Body { return &pdu.CancelSM{Dest: person} }, state, cancel, state, cancel},
		{"replace_sm", func(id string) pdu.Body { return &pdu.ReplaceSM{MessageID: id} }, state, pdu.StatusReplaceFail, state, pdu.StatusReplaceFail},
		{"enquire_link", func(string) pdu.Body { return new(pdu.EnquireLink) }, ok, ok, ok, ok},
		{"deliver_sm", func(string) pdu.Body { return new(pdu.DeliverSM) }, state, no, state, no},
		{"broadcast_sm", func(string) pdu.Body { return &pdu.Raw{ID: 0x111} }, no, no, no, no},
	} {
		t.Run(s.name, func(t *testing.T) {
			for kind, want := range map[pdu.CommandID]pdu.Status{
				0: s.unbound, pdu.CmdBindTransmitter: s.transmitter, pdu.CmdBindReceiver: s.receiver, pdu.CmdBindTransceiver: s.both,
			} {
				c, id := b.dial(), ""
				if kind != 0 {
					c.ask(login(kind))
				}
				if kind == pdu.CmdBindTransmitter || kind == pdu.CmdBindTransceiver {
					id = c.submit(simple("hi"))
				}
				sequence := c.send(s.body(id))
				if p := c.next(); p.Sequence != sequence || p.Status != want {
					t.Errorf("by %s it got %s, want %s", kind, p, want)
				}
				if p := c.ask(new(pdu.EnquireLink)); p.Status != pdu.StatusOK {
					t.Errorf("and then enquire_link got %s", p)
				}
				_ = c.conn.Close()
			}
			b.eventually("all are gone", func() bool { return b.metric("switchboard_smpp_server_binds", nil) == 0 })
		})
	}
}

// Who guesses passwords is answered slowly, once for each connection, and holds
// up nobody; the operator is told in words.
func TestGuessingIsSlow(t *testing.T) {
	const delay = 300 * time.Millisecond
	b := begin(t, func(a *Application) { a.RefusedBindDelay = options.Duration(delay) })
	wrong := login(pdu.CmdBindTransceiver)
	wrong.Password = "guess-01"
	c := b.dial()
	began := time.Now()
	c.send(wrong)
	b.bound(pdu.CmdBindTransceiver)
	honest := time.Since(began)
	p := c.next()
	if took := time.Since(began); p.Status != pdu.StatusInvPaswd || took < delay || honest > took {
		t.Errorf("a guess got %s after %s; somebody else bound after %s", p, took, honest)
	}
	if _, err := c.reader.Read(); err != io.EOF {
		t.Errorf("after its answer: %v", err)
	}
	if said := b.log.String(); !strings.Contains(said, `reason="wrong password"`) || !strings.Contains(said, "system_id=acme") {
		t.Errorf("the log says %s", said)
	}
	if n := b.metric("switchboard_smpp_server_binds_refused_total", map[string]string{"reason": "wrong password"}); n != 1 {
		t.Errorf("%v were counted", n)
	}
}

// A stop waits for no answer that is held back.
func TestStopDuringARefusal(t *testing.T) {
	b := begin(t, func(a *Application) { a.RefusedBindDelay = options.Duration(time.Hour) })
	wrong := login(pdu.CmdBindTransceiver)
	wrong.Password = "guess-01"
	b.dial().send(wrong)
	b.eventually("it is refused", func() bool { return strings.Contains(b.log.String(), "a bind is refused") })
	began := time.Now()
	b.stop()
	if took := time.Since(began); took > stopPatience {
		t.Errorf("it took %s", took)
	}
}
