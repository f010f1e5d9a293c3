package smpp

import (
	"context"

	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/transports/smpp/submissions"
)

// readReceipt reads a deliver_sm as a receipt; is is false when it is a
// message from a person.
func (e *engine) readReceipt(m *pdu.Message) (r submissions.Receipt, is bool) {
	declared := m.ESMClass.IsReceipt()
	_, hasID := m.TLVs.Get(pdu.TagReceiptedMessageID)
	_, hasState := m.TLVs.Get(pdu.TagMessageState)
	if !declared && !(hasID && hasState) && e.options.DeliveryReportUseESMClass {
		return r, false
	}
	text := e.receiptText(m)
	read, err := e.parser.Parse(m.TLVs, text)
	if err != nil {
		if declared {
			e.metrics.receipt("unreadable")
			e.logger.Warn("a delivery receipt cannot be read and is dropped", "from", m.Source.Addr, "error", err)
			e.logger.Debug("its text, which may quote the message", "from", m.Source.Addr, "text", text)
		}
		return r, declared
	}
	reference, _ := m.TLVs.Uint(pdu.TagUserMessageReference)
	return submissions.Receipt{
		ID: read.ID, Status: read.Status, Raw: read.RawStatus, Error: read.Error, Done: read.Done,
		From: m.Source.Addr, To: m.Dest.Addr, Reference: uint16(reference),
	}, true
}

// receiptText is a receipt's text. SMSCs write it in ASCII, also where they say
// that it is their default alphabet: an id's _ must not become §.
func (e *engine) receiptText(m *pdu.Message) string {
	encoding := e.codings.Of(m, gsm.Shift{})
	if _, overridden := e.codings[m.DataCoding]; encoding.Coding == gsm.GSM7 && !overridden || encoding.Coding == gsm.Octets {
		encoding.Coding = gsm.Latin1
	}
	text, _ := encoding.Decode(m.Payload(), 0)
	return text
}

// takeReceipt reports a receipt, or holds it until its message is known.
func (e *engine) takeReceipt(ctx context.Context, r submissions.Receipt) error {
	if r.ID == "" { // unreadable: trying again mends nothing
		return nil
	}
	return e.submissions.Receipt(ctx, r)
}
