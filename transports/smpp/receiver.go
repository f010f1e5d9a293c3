package smpp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
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
	options     *Options
	logger      *slog.Logger
	metrics     *metrics
	publisher   transports.Publisher
	submissions *submissions.Store
	parser      receipt.Parser
	codings     smpp.Codings

	parts *smpp.Assembler // of long messages
	dedup *deliverDedup
}

// accept takes a deliver_sm or data_sm in the order of its coming, and returns
// the work to be done for it.
func (r *receiver) accept(p *pdu.PDU, m *pdu.Message) func(context.Context) error {
	now := time.Now()
	pending, again := r.dedup.enter(p, now)
	var part *smpp.Adding
	if !again {
		_ = guard(r.logger, "taking a part of a message", func() error {
			part = r.enterPart(m, pending.messageID)
			return nil
		})
	}
	return func(ctx context.Context) error {
		return r.dedup.work(ctx, pending, now.Add(r.options.DeliverTimeout.Std()), func(ctx context.Context) error {
			return guard(r.logger, "taking a message", func() error { return r.deliver(ctx, m, pending.messageID, part) })
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
		return r.takeReceipt(ctx, found)
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
func (r *receiver) assembler(state *store.Batcher, prefix string) *smpp.Assembler {
	return smpp.NewAssembler(smpp.AssemblerSettings{
		State: partstate.New(state), Prefix: prefix + "concat/", Wait: r.options.ReassemblyTTL.Std(), NewID: message.NewID, Logger: r.logger,
		Receive: func(ctx context.Context, m *smpp.Assembled, _ ...smpp.Entry) error {
			parts := make([]smpp.Part, len(m.Parts))
			for i := range m.Parts {
				parts[i] = m.Parts[i].Part
			}
			return r.receive(ctx, m.ID, parts, m.Missing)
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
	text, err := r.codings.Text(parts)
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
