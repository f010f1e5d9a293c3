package smpp

import (
	"cmp"
	"fmt"
	"net"
	"testing"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/smpp/receipt"
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
func TestOverusedIDs(t *testing.T) {
	for _, id := range []string{"0", ""} {
		t.Run("id "+id, func(t *testing.T) {
			state := remember(t)
			tr := connected(t, constantly(t, id), state, nil, func(o *Transport) { o.ReceiptIDFormat, o.SubmitIDFormat = receipt.Verbatim, receipt.Verbatim })
			line := transporttest.NewPublisher()
			transporttest.Start(t, tr, line)
			const many = 80
			waiting := map[string]bool{}
			for i := range many {
				m := outgoing("hello")
				m.To = fmt.Sprintf("2783%07d", i%(many/2)) // two to each person
				waiting[m.ID] = true
				if _, err := tr.Send(within(t), m); err != nil {
					t.Fatal(err)
				}
			}
			for len(waiting) > 8 { // those that came first may have found another's place
				e := line.NextEvent(t)
				if !waiting[e.MessageID] || e.DeliveryStatus != message.Delivered {
					t.Fatalf("event = %s", e.Encode())
				}
				delete(waiting, e.MessageID)
			}
			found, err := memoryOf(state).Get(t.Context(), "smpp/smpp_transport/id/"+id)
			if text := found["smpp/smpp_transport/id/"+id]; err != nil || len(text) > 4096 {
				t.Errorf("%d octets are kept of the id: %v", len(text), err)
			}
		})
	}
}
