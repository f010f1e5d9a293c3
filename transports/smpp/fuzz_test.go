package smpp

import (
	"context"
	"errors"
	"testing"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/store/memory"
)

// Whatever a deliver_sm holds, taking it ends without a panic, and what is
// received or reported can be read again.
func FuzzDeliver(f *testing.F) {
	for _, m := range []pdu.Message{
		{ShortMessage: []byte("hello")},
		{ShortMessage: []byte{5, 0, 3, 77, 2, 1, 'x'}, ESMClass: pdu.ESMUDHI},
		{Source: pdu.Address{Addr: "\xd7"}, ShortMessage: []byte{5, 0, 3, 77, 5, 1, '0'}, ESMClass: pdu.ESMUDHI},
		{Source: pdu.Address{Addr: "\xd7"}, ShortMessage: []byte{5, 0, 3, 77, 5, 2, '0'}, ESMClass: pdu.ESMUDHI},
		{ShortMessage: []byte{5, 0, 3, 77, 1, 1, 'x'}, ESMClass: pdu.ESMUDHI, DataCoding: 8},
		{ShortMessage: []byte("id:1 stat:DELIVRD"), ESMClass: pdu.ESMReceipt},
		{TLVs: pdu.TLVs{pdu.CString(pdu.TagReceiptedMessageID, "1"), pdu.Byte(pdu.TagMessageState, 2)}},
		{TLVs: pdu.TLVs{pdu.Byte(pdu.TagUSSDServiceOp, 1), {Tag: pdu.TagITSSessionInfo, Value: []byte{1, 2}}}},
		{TLVs: pdu.TLVs{pdu.Short(pdu.TagSarMsgRefNum, 1), pdu.Byte(pdu.TagSarTotalSegments, 2), pdu.Byte(pdu.TagSarSegmentSeqnum, 2)}},
	} {
		frame, err := (&pdu.PDU{Body: &pdu.DeliverSM{Message: m}}).AppendTo(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame[pdu.HeaderLength:])
	}
	state := memory.New()
	defer func() { _ = state.Close() }()
	tr := connected(f, "127.0.0.1:1", state, nil)
	r, err := newRun(tr, strictLine{})
	if err != nil {
		f.Fatal(err)
	}
	defer func() { _ = r.state.Close() }()
	f.Fuzz(func(t *testing.T, body []byte) {
		frame, err := (&pdu.PDU{Body: &pdu.Raw{ID: pdu.CmdDeliverSM, Data: body}}).AppendTo(nil)
		if err != nil {
			t.Skip()
		}
		p, err := pdu.Decode(frame)
		if err != nil {
			return
		}
		if err := r.receiver.deliver(t.Context(), &p.Body.(*pdu.DeliverSM).Message, message.NewID(), nil); err != nil && !errors.Is(err, errEmpty) {
			t.Fatal(err)
		}
	})
}

// strictLine takes what can be read again.
type strictLine struct{}

func (strictLine) Inbound(_ context.Context, m *message.Message) error {
	_, err := message.Decode(m.Encode())
	return err
}

func (strictLine) Event(_ context.Context, e *message.Event) error {
	_, err := message.DecodeEvent(e.Encode())
	return err
}

func (strictLine) Status(context.Context, *message.Status) error { return nil }
