package smpp

import (
	"bytes"
	"context"

	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/smpp/receipt"
	"switchboard/transports/smpp/submissions"
)

// readReceipt reads a deliver_sm as a receipt; is is false when it is a
// message from a person.
func (r *receiver) readReceipt(m *pdu.Message) (found submissions.Receipt, is bool) {
	declared := m.ESMClass.IsReceipt()
	_, hasID := m.TLVs.Get(pdu.TagReceiptedMessageID)
	_, hasState := m.TLVs.Get(pdu.TagMessageState)
	if !declared && !(hasID && hasState) && r.options.DeliveryReportUseESMClass {
		return found, false
	}
	read, err := r.parseReceipt(m)
	if err != nil {
		if declared {
			r.metrics.receipt("unreadable")
			r.logger.Warn("a delivery receipt cannot be read and is dropped", "from", m.Source.Addr, "error", err)
			r.logger.Debug("its octets, which may quote the message", "from", m.Source.Addr, "octets", m.Payload())
		}
		return found, declared
	}
	if m.ESMClass.Type() == pdu.ESMIntermediate && read.RawStatus == pdu.StateAccepted.String() {
		read.Status = receipt.Pending
	}
	reference, _ := m.TLVs.Uint(pdu.TagUserMessageReference)
	return submissions.Receipt{
		ID: read.ID, Status: read.Status, Raw: read.RawStatus, Error: read.Error, Done: read.Done,
		From: m.Source.Addr, To: m.Dest.Addr, Reference: uint16(reference),
	}, true
}

// parseReceipt reads a receipt from the first of its texts that has one. SMSCs
// write receipts in ASCII whatever data_coding says, so the octets come first, as
// long as they are printable: the _ of GSM 03.38 is not, and UCS2 has NULs.
func (r *receiver) parseReceipt(m *pdu.Message) (read receipt.Receipt, err error) {
	octets := m.Payload()
	if m.ESMClass.UDHI() && !isPrintable(octets) {
		if part, _, err := gsm.ParsePart(octets); err == nil {
			octets = part.Payload
		}
	}
	codings := []gsm.Coding{gsm.GSM7, r.codings.Of(m, gsm.Shift{}).Coding, gsm.UCS2, gsm.UCS2LE, gsm.Latin1}
	if text := bytes.TrimRight(octets, "\x00"); isPrintable(text) {
		octets, codings[0] = text, gsm.Latin1
	}
	for _, coding := range codings {
		text, _ := gsm.Encoding{Coding: coding}.Decode(octets, 0)
		if read, err = r.parser.Parse(m.TLVs, text); err == nil {
			break
		}
	}
	return read, err
}

func isPrintable(octets []byte) bool {
	return !bytes.ContainsFunc(octets, func(r rune) bool { return r < ' ' && r != '\r' && r != '\n' && r != '\t' })
}

// takeReceipt reports a receipt, or holds it until its message is known.
func (r *receiver) takeReceipt(ctx context.Context, found submissions.Receipt) error {
	if found.ID == "" { // unreadable: trying again mends nothing
		return nil
	}
	return r.submissions.Receipt(ctx, found)
}
