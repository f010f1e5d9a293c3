package smpp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"switchboard/internal/partstate"
	"switchboard/message"
	"switchboard/smpp"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/smpp/receipt"
	"switchboard/store"
	"switchboard/transports"
	"switchboard/transports/smpp/submissions"
)

// receiver takes what the SMSC delivers: messages of people, and receipts.
type receiver struct {
	shared
	publisher transports.Publisher
	parts     *smpp.Assembler // of long messages
	dedup     *deliverDedup
}

// accept takes a deliver_sm or data_sm in the order of its coming, and returns
// the work to be done for it.
func (r *receiver) accept(p *pdu.PDU, m *pdu.Message) func(context.Context) error {
	now := time.Now()
	pending, again := r.dedup.enter(p, now)
	var part *smpp.Adding
	if !again {
		_ = r.guard("taking a part of a message", func() error {
			part = r.enterPart(m, pending.messageID)
			return nil
		})
	}
	return func(ctx context.Context) error {
		return r.dedup.work(ctx, pending, now.Add(r.options.DeliverTimeout.Std()), func(ctx context.Context) error {
			return r.guard("taking a message", func() error { return r.deliver(ctx, m, pending.messageID, part) })
		})
	}
}

// enterPart begins to put a part of a long message together with those that come
// right before and after it; nil is for what is none.
func (r *receiver) enterPart(m *pdu.Message, id string) *smpp.Adding {
	if !smpp.PartOf(m).Multipart() || m.ESMClass.IsReceipt() {
		return nil
	}
	if _, is := r.readReceipt(m); is {
		return nil
	}
	return r.parts.Enter(m.Source.Addr+"\x00"+m.Dest.Addr, &pdu.DeliverSM{Message: *m}, id, nil)
}

// deliver takes a deliver_sm: a receipt, a message, which gets id, or a part of
// one, which may have been entered. It returns when the broker has what came of it.
func (r *receiver) deliver(ctx context.Context, m *pdu.Message, id string, part *smpp.Adding) error {
	if found, is := r.readReceipt(m); is {
		r.metrics.delivered.WithLabelValues("receipt").Inc()
		if found.ID == "" { // unreadable: trying again mends nothing
			return nil
		}
		return r.submissions.Receipt(ctx, found)
	}
	r.metrics.delivered.WithLabelValues("message").Inc()
	if part == nil {
		part = r.enterPart(m, id)
	}
	if part != nil {
		_, err := part.Wait(ctx)
		return err
	}
	_, step := m.TLVs.Uint(pdu.TagUSSDServiceOp)
	if len(m.Payload()) == 0 && !step && !r.options.AllowEmptyMessages { // a step of a session may well be empty
		return errEmpty
	}
	return r.receive(ctx, id, []smpp.Part{smpp.PartOf(m)}, nil)
}

// assembler puts long messages together.
func (r *receiver) assembler(state *store.Batcher) *smpp.Assembler {
	return smpp.NewAssembler(smpp.AssemblerSettings{
		State: partstate.New(state), Prefix: r.options.statePrefix() + "concat/", Wait: r.options.ReassemblyTTL.Std(), NewID: message.NewID, Logger: r.logger,
		Receive: func(ctx context.Context, m *smpp.Assembled, _ ...smpp.Entry) error {
			return r.receive(ctx, m.ID, m.Plain(), m.Missing)
		},
	})
}

var errEmpty = message.Permanent(errors.New("the message is empty; allow_empty_messages: true takes such"))

// withEmptyText makes a content "" that would be null on the wire: there is a
// text, of no characters.
func withEmptyText(m *message.Message) *message.Message {
	body := bytes.Replace(m.Encode(), []byte(`"content": null`), []byte(`"content": ""`), 1)
	if read, err := message.Decode(body); err == nil {
		return read
	}
	return m
}

// receive publishes a person's message, of which parts may be missing.
func (r *receiver) receive(ctx context.Context, id string, parts []smpp.Part, missing []int) error {
	first := parts[0].Message
	in := message.New()
	in.ID = id
	in.From, in.To = smpp.FormatAddress(first.Source), smpp.FormatAddress(first.Dest)
	in.TransportType = r.options.TransportType
	event, isUSSD := smpp.USSDSession(first.TLVs)
	if isUSSD {
		in.TransportType, in.SessionEvent = typeUSSD, message.SessionEvent(event)
	}
	described := smpp.Describe(first)
	text, err := r.parsed.codings.Text(parts)
	if err != nil {
		described.Payload = octets(parts)
		if !errors.Is(err, gsm.ErrNotText) {
			described.DecodingError = err.Error()
		}
	}
	if parts[0].Multipart() {
		described.Parts = int(parts[0].Total)
	}
	described.MissingParts = missing
	in.Content = text
	in.TransportMetadata.Set(smpp.DeliverKey, described)
	if len(parts) == 1 && len(first.Payload()) == 0 && !isUSSD {
		in = withEmptyText(in)
	}
	if err := r.publisher.Inbound(ctx, in); err != nil {
		return fmt.Errorf("receiving a message from %s: %w", in.From, err)
	}
	return nil
}

// octets are a message's as they came: with the user data header, which may
// name the ports, where it is one message; else the parts' one after the other.
func octets(parts []smpp.Part) []byte {
	if len(parts) == 1 && !parts[0].Multipart() {
		return parts[0].Message.Payload()
	}
	return smpp.Octets(parts)
}

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

// parseReceipt reads a receipt from the first of its texts that has one. SMSCs write
// receipts in ASCII whatever data_coding says, so printable octets come first.
func (r *receiver) parseReceipt(m *pdu.Message) (read receipt.Receipt, err error) {
	octets := m.Payload()
	if m.ESMClass.UDHI() && !isPrintable(octets) {
		if part, _, err := gsm.ParsePart(octets); err == nil {
			octets = part.Payload
		}
	}
	codings := []gsm.Coding{gsm.GSM7, r.parsed.codings.Of(m, gsm.Shift{}).Coding, gsm.UCS2, gsm.UCS2LE, gsm.Latin1}
	if text := bytes.TrimRight(octets, "\x00"); isPrintable(text) {
		octets, codings[0] = text, gsm.Latin1
	}
	for _, coding := range codings {
		text, _ := gsm.Encoding{Coding: coding}.Decode(octets, 0)
		if read, err = r.parsed.receipts.Parse(m.TLVs, text); err == nil {
			break
		}
	}
	return read, err
}

func isPrintable(octets []byte) bool {
	return !bytes.ContainsFunc(octets, func(r rune) bool { return r < ' ' && r != '\r' && r != '\n' && r != '\t' })
}
