package smpp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/store"
	"switchboard/transports/transporttest"
)

// constantly is an SMSC that gives every message the same id, or "", and says the
// end of each at once, with its reference.
func constantly(t *testing.T, id string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		answerConstantly(conn, id)
	}()
	return l.Addr().String()
}

func answerConstantly(conn net.Conn, id string) {
	r := pdu.NewReader(conn, 0)
	for n := uint32(1); ; n++ {
		p, err := r.Read()
		if err != nil {
			return
		}
		if p.Command().IsResponse() {
			continue
		}
		answer := p.Respond(pdu.StatusOK)
		switch body := answer.Body.(type) {
		case *pdu.SubmitSMResp:
			body.MessageID = id
		case *pdu.BindResp:
			body.TLVs.Set(pdu.Byte(pdu.TagSCInterfaceVersion, pdu.Version34))
		}
		if _, err := answer.WriteTo(conn); err != nil {
			return
		}
		s, is := p.Body.(*pdu.SubmitSM)
		if !is {
			continue
		}
		reference, _ := s.TLVs.Uint(pdu.TagUserMessageReference)
		report := &pdu.PDU{Sequence: n, Body: &pdu.DeliverSM{Message: pdu.Message{
			Source: s.Dest, Dest: s.Source, ESMClass: pdu.ESMReceipt,
			ShortMessage: fmt.Appendf(nil, "id:%s stat:DELIVRD", cmp.Or(id, fmt.Sprint(7000+n))),
			TLVs:         pdu.TLVs{pdu.Short(pdu.TagUserMessageReference, uint16(reference))},
		}}}
		if _, err := report.WriteTo(conn); err != nil {
			return
		}
	}
}

// An id that every message gets, or none, tells nothing: receipts find their
// messages by reference, and what is kept does not grow.
func TestWorthlessIDs(t *testing.T) {
	for _, id := range []string{"0", ""} {
		t.Run("id "+id, func(t *testing.T) {
			state := remember(t)
			tr := connected(t, constantly(t, id), state, nil, func(o *Transport) { o.ReceiptIDFormat, o.SubmitIDFormat = "verbatim", "verbatim" })
			line := transporttest.NewLine()
			transporttest.Start(t, tr, line)
			const many = 10 * maxSharers
			waiting := map[string]bool{}
			for i := range many {
				m := outgoing("hello")
				m.To = fmt.Sprintf("2783%07d", i%(many/2)) // two to each person
				waiting[m.ID] = true
				if _, err := tr.Send(within(t), m); err != nil {
					t.Fatal(err)
				}
			}
			for len(waiting) > maxSharers { // those that came first may have found another's place
				e := line.NextEvent(t)
				if !waiting[e.MessageID] || e.DeliveryStatus != message.Delivered {
					t.Fatalf("event = %s", e.Encode())
				}
				delete(waiting, e.MessageID)
			}
			found, err := state.Get(t.Context(), "smpp/smpp_transport/id/"+id)
			if text := found["smpp/smpp_transport/id/"+id]; err != nil || len(text) > 4096 {
				t.Errorf("%d octets are kept of the id: %v", len(text), err)
			}
		})
	}
}

// readless is a state that cannot be read for a while.
type readless struct {
	store.State
	failing atomic.Int32 // reads that fail
}

func (s *readless) Get(ctx context.Context, keys ...string) (map[string]string, error) {
	if s.failing.Add(-1) >= 0 {
		return nil, errors.New("the database is starting up")
	}
	return s.State.Get(ctx, keys...)
}

// Who had an id first is not forgotten because the store is away as a second
// gets it.
func TestSharedIDOutlivesAnOutage(t *testing.T) {
	state := &readless{State: remember(t)}
	tr := connected(t, "127.0.0.1:1", state, nil)
	transporttest.Start(t, tr, transporttest.NewLine())
	e, err := tr.running(within(t))
	if err != nil {
		t.Fatal(err)
	}
	key := e.keys.id("7")
	first, second := known{Message: "first", To: "27831"}, known{Message: "second", To: "27832"}
	if err := e.state.Set(t.Context(), store.Entry{Key: key, Value: first.encode(), TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	state.failing.Store(1)
	if err := e.share(within(t), key, second); err != nil {
		t.Fatal(err)
	}
	if list, err := e.sharing(t.Context(), key); err != nil || len(list) != 2 {
		t.Errorf("the id is that of %+v, %v; want both", list, err)
	}
}

// Of two messages to one person without answers, a receipt that may be either's
// is neither's; of one, it is that one's.
func TestAmbiguousUnansweredSubmits(t *testing.T) {
	tr := connected(t, "127.0.0.1:1", remember(t), nil)
	line := transporttest.NewLine()
	transporttest.Start(t, tr, line)
	ctx := within(t)
	e, err := tr.running(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var parts []part
	for _, id := range []string{"one", "two"} {
		p := part{&submitted{id: id, to: "27831234567", from: "9292", total: 1}, 1}
		if err := e.saveParts(ctx, p.submitted, []fate{{unknown: true}}); err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p)
	}
	h := heldReceipt{ID: "77", Status: "failed", Raw: "UNDELIV", From: "27831234567", To: "9292"}
	if m, err := e.adopt(ctx, h); m != nil || err != nil {
		t.Fatalf("a receipt that may be either's is taken for %+v, %v", m, err)
	}
	if err := e.state.Set(ctx, store.Entry{Key: e.keys.part(parts[0].submitted, 1), Value: "=76", TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	if err := e.forgetUnknown(ctx, parts[0]); err != nil { // its answer came
		t.Fatal(err)
	}
	if m, err := e.adopt(ctx, h); err != nil || m == nil || m.Message != "two" {
		t.Errorf("the receipt is taken for %+v, %v; want two", m, err)
	}
	if m, err := e.adopt(ctx, heldReceipt{ID: "78", From: "27831234567", To: "9292"}); m != nil || err != nil {
		t.Errorf("another receipt is taken for %+v, %v", m, err)
	}
}
