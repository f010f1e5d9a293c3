package smppserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"switchboard/internal/partstate"
	"switchboard/message"
	"switchboard/smpp"
	"switchboard/smpp/pdu"
)

// newAssembler puts a customer's long messages together. Each part is answered
// when it is safe in the state store, the last one when the broker has the
// message.
func (e *engine) newAssembler(c *customer) *smpp.Assembler {
	return smpp.NewAssembler(smpp.AssemblerSettings{
		State: partstate.New(e.state), Prefix: "parts/" + c.systemID + "/", Wait: e.options.ReassemblyTTL.Std(),
		InOrder: true, NewID: message.NewID, Logger: e.log.With("customer", c.systemID),
		Receive: func(ctx context.Context, m *smpp.Assembled, with ...smpp.Entry) error {
			return e.assembled(ctx, c, m, with)
		},
	})
}

// assemble keeps a part, and publishes the message with the last one.
func (e *engine) assemble(ctx context.Context, c *customer, in *submission) (id string, err error) {
	return c.parts.Add(ctx, in.Source.Addr+"\x00"+in.destinationKey, in.body, func() (string, error) { return c.newID(ctx, in) })
}

// assembled publishes a message that came in parts, or gives it up.
func (e *engine) assembled(ctx context.Context, c *customer, m *smpp.Assembled, with []smpp.Entry) error {
	m.Stored = true
	in := readSubmission(m.Parts[0].Body)
	if err := c.check(&in); err != nil {
		return err
	}
	w := outbound{submission: &in, parts: m.Plain(), again: true, with: partstate.Entries(with)}
	var registered pdu.RegisteredDelivery
	for _, p := range m.Parts {
		w.records = append(w.records, recordPart{ID: p.ID, Registered: p.Message.RegisteredDelivery})
		registered |= p.Message.RegisteredDelivery
	}
	in.RegisteredDelivery = registered
	// The last part never is one of the message before that came again.
	w.ids = in.messageIDs(w.records[len(w.records)-1].ID, m.ID)
	if m.GivenUp {
		m.Forget = true
		return e.giveUp(ctx, c, &w)
	}
	refused := len(in.failed)
	if err := e.publish(ctx, c, &w); err != nil {
		return err
	}
	if len(in.failed) > refused { // the part is to come again, and all go out under the same ids
		return refusal(in.failed[refused].Status)
	}
	return nil
}

// giveUp reports the parts of a message as expired where receipts were asked
// for, unless it went out and only the note of that is missing.
func (e *engine) giveUp(ctx context.Context, c *customer, w *outbound) error {
	for _, id := range w.ids {
		known, err := e.record(ctx, id)
		if err != nil || known != nil && known.State != pdu.StateAccepted && (known.State != pdu.StateExpired || len(c.receipts(known)) == 0) {
			return err
		}
	}
	now, id := time.Now(), w.ids[0]
	r := record{
		Customer: c.systemID, Parts: w.records, Source: w.Source, Dest: w.dests[0], State: pdu.StateExpired, Submitted: now, Done: now,
	}
	if len(c.receipts(&r)) == 0 {
		return nil
	}
	if err := e.recordState(ctx, id, &r); err != nil {
		return err
	}
	c.count(1, 0)
	err := e.queues.Put(ctx, c.queue, message.NewDeliveryReport(&message.Message{ID: id}, message.Failed))
	if err != nil {
		c.count(-1, 0)
	}
	return err
}

// messageIDs are those of the messages a submission becomes, one for each
// destination: the answer's where it can be, else made of spare, so that a
// submission that comes again makes the same.
func (in *submission) messageIDs(answered, spare string) []string {
	if len(answered) > shortIDLength {
		spare = answered
	}
	if len(in.dests) == 1 {
		return []string{spare}
	}
	ids := make([]string, len(in.dests))
	for i := range ids {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", spare, i))
		ids[i] = hex.EncodeToString(sum[:16])
	}
	return ids
}
