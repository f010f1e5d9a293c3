package smppserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"switchboard/message"
	"switchboard/smpp"
	"switchboard/smpp/pdu"
	"switchboard/store"
)

// newAssembler puts a customer's long messages together. Each part is answered
// when it is safe in the state store, the last one when the broker has the
// message.
func (e *engine) newAssembler(c *customer) *smpp.Assembler {
	return smpp.NewAssembler(smpp.AssemblerSettings{
		State: partState{e.state}, Prefix: "parts/" + c.systemID + "/", Wait: e.options.ReassemblyTTL.Std(),
		InOrder: true, NewID: message.NewID, Logger: e.log.With("customer", c.systemID),
		Receive: func(ctx context.Context, m *smpp.Assembled, with ...smpp.Entry) error {
			return e.assembled(ctx, c, m, with)
		},
	})
}

// assemble keeps a part, and publishes the message with the last one.
func (e *engine) assemble(ctx context.Context, c *customer, in *submission) (id string, err error) {
	id, err = c.parts.Add(ctx, in.Source.Addr+"\x00"+in.destinationKey, in.body, func() (string, error) { return c.newID(ctx, in) })
	if errors.Is(err, smpp.ErrNotNoted) { // the broker has it
		e.log.Warn("a long message will be looked at again when its parts would be given up", "customer", c.systemID, "error", err)
		return id, nil
	}
	return id, err
}

// assembled publishes a message that came in parts, or gives it up.
func (e *engine) assembled(ctx context.Context, c *customer, m *smpp.Assembled, with []smpp.Entry) error {
	in := readSubmission(m.Parts[0].Body)
	if err := c.check(&in); err != nil {
		return err
	}
	w := outbound{submission: &in, again: true}
	for _, e := range with {
		w.with = append(w.with, store.Entry(e))
	}
	var registered pdu.RegisteredDelivery
	for _, p := range m.Parts {
		w.parts = append(w.parts, p.Part)
		w.records = append(w.records, recordPart{p.ID, p.Message.RegisteredDelivery})
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
		if err != nil || known != nil && known.State != pdu.StateAccepted {
			return err
		}
	}
	now := time.Now()
	r := record{
		Customer: c.systemID, Parts: w.records, Source: w.Source, Dest: w.dests[0], State: pdu.StateExpired, Submitted: now, Done: now,
	}
	receipts := c.receipts(&r)
	if len(receipts) == 0 {
		return nil
	}
	return c.queue.add(ctx, receipts)
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

// partState is the state store as an Assembler wants it.
type partState struct{ *store.Batcher }

func (s partState) Set(ctx context.Context, entries ...smpp.Entry) error {
	list := make([]store.Entry, len(entries))
	for i, e := range entries {
		list[i] = store.Entry(e)
	}
	return s.Batcher.Set(ctx, list...)
}

func (s partState) Add(ctx context.Context, e smpp.Entry) (string, bool, error) {
	return s.Batcher.Add(ctx, store.Entry(e))
}

func (s partState) Range(ctx context.Context, from, to string, limit int) (list []smpp.Entry, err error) {
	found, err := s.Batcher.Range(ctx, from, to, limit)
	for _, e := range found {
		list = append(list, smpp.Entry(e))
	}
	return list, err
}
