package smpp

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync/atomic"

	"switchboard/smpp/pdu"
	"switchboard/store"
)

// reference is the first of a message's user_message_references (§5.3.2.17);
// 0 when it gets none of ours: the message has its own, SMPP 3.3 has none, or
// the operator wants none.
func (e *engine) reference(id string, base *pdu.Message) uint16 {
	_, own := base.TLVs.Get(pdu.TagUserMessageReference)
	if own || !e.options.UserMessageReference || !e.hasParameters() || !e.gate.refers.Load() {
		return 0
	}
	return max(1, referenceOf(id))
}

// referenceOf is the same for each try at a message.
func referenceOf(id string) uint16 {
	sum := hashOf(id)
	return uint16(sum ^ sum>>16)
}

func hashOf(text string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(text))
	return h.Sum32()
}

// joints numbers long texts, so that those that come to one person one after the
// other have different numbers: of 8 bits, where chance would give one in 256
// its predecessor's. People share counters, since there are many.
type joints struct {
	seed   uint32 // replicas, and this one when it starts again, begin elsewhere
	counts [1 << 10]atomic.Uint32
}

func newJoints() *joints { return &joints{seed: rand.Uint32()} }

func (j *joints) next(to string) uint16 {
	hash := hashOf(to)
	return uint16(j.seed + hash + j.counts[hash%uint32(len(j.counts))].Add(1))
}

// referenceSize is how many octets it takes in a submit_sm: tag, length, value.
const referenceSize = 6

// maxReference is how many different references there are: 0 is none of ours.
const maxReference = 1<<16 - 1

// reference is the part's own: each submit_sm is a message to the SMSC, and each
// has a receipt. It has nothing to do with sar_msg_ref_num, which the parts
// share (§5.3.2.22).
func (p part) reference() uint16 {
	if p.submitted.reference == 0 {
		return 0
	}
	return uint16((int(p.submitted.reference)+p.n-2)%maxReference + 1)
}

// recognize takes a receipt for that of a submit that was never answered, or was
// answered without an id, by the reference it brings back and the person it went
// to. The sender is not asked for: SMSCs replace it.
func (e *engine) recognize(ctx context.Context, h heldReceipt) (*match, error) {
	if h.Ref == 0 {
		return nil, nil
	}
	found, err := e.state.Get(ctx, e.keys.reference(h.From, h.Ref))
	if err != nil {
		return nil, err
	}
	return e.recognizeAmong(ctx, found, h)
}

// recognizeAmong is recognize in what the store has.
func (e *engine) recognizeAmong(ctx context.Context, found map[string]string, h heldReceipt) (*match, error) {
	key := e.keys.reference(h.From, h.Ref)
	if h.Ref == 0 || found[key] == "" {
		return nil, nil
	}
	var k known
	if err := json.Unmarshal([]byte(found[key]), &k); err != nil {
		return nil, fmt.Errorf("reading what is kept of a submit without an answer: %w", err)
	}
	if !samePerson(k.To, h.From) {
		return nil, nil
	}
	if k.Nameless {
		return &match{known: k, key: key, how: "reference"}, nil
	}
	return e.settleUnknown(ctx, h, k, "reference")
}

// settleUnknown gives a receipt, and the id in it, to a part without an answer:
// the SMSC has it.
func (e *engine) settleUnknown(ctx context.Context, h heldReceipt, k known, how string) (*match, error) {
	e.logger.Info("a receipt is taken for that of a submit without an answer",
		"message_id", k.Message, "smsc_message_id", h.ID, "by", how)
	k.Again = true // what is kept is from before it was submitted again, if it was
	m := &match{known: k, key: e.keys.id(e.ids.kept(h.ID)), how: how}
	s := k.submitted()
	p := part{s, max(k.N, 1)}
	kept, err := e.sharing(ctx, m.key)
	if err != nil {
		return nil, err
	}
	var entries []store.Entry
	if len(kept) > 0 { // the id says nothing: others have it
		m.key = e.keys.nameless(k)
		entries = e.nameless(k)
	} else {
		entries = []store.Entry{{Key: m.key, Value: k.encode(), TTL: e.options.ThirdPartyIDExpiry.Std()}}
		if !h.Status.Final() {
			entries = append(entries, e.inquiries(s, h.ID)...)
		}
	}
	if err := e.mustSet(ctx, s.id, entries...); err != nil {
		return nil, err
	}
	if err := e.saveParts(ctx, s, p.only(h.ID)); err != nil {
		return nil, err
	}
	return m, e.forgetUnknown(ctx, p)
}

// submitted is the message of which k is known.
func (k known) submitted() *submitted {
	s := &submitted{id: k.Message, to: k.To, from: k.From, routing: string(k.Routing), total: max(k.Total, 1), reference: k.firstRef(), expected: true, attempt: k.Attempt, joint: k.Joint}
	s.again.Store(k.Again)
	return s
}

// firstRef is the reference of the message's first part.
func (k known) firstRef() uint16 {
	if k.Ref == 0 {
		return 0
	}
	return uint16((int(k.Ref)-max(k.N, 1)+maxReference)%maxReference + 1)
}

// forgetUnknown takes down that a part is known to be there. The next receipt
// for the same person that has no reference is that of the message's next part
// without an answer.
func (e *engine) forgetUnknown(ctx context.Context, p part) error {
	next, err := e.nextUnknown(ctx, p.submitted)
	if err != nil {
		return err
	}
	var over []string
	if key := e.keys.reference(p.to, p.reference()); p.reference() != 0 {
		found, err := e.state.Get(ctx, key)
		if err != nil {
			return err
		}
		var k known
		if json.Unmarshal([]byte(found[key]), &k) == nil && k.Message == p.id && !k.Nameless {
			over = append(over, key)
		}
	}
	key := e.keys.unanswered(p.submitted)
	if next == 0 {
		return e.state.Delete(ctx, append(over, key)...)
	}
	if err := e.state.Set(ctx, store.Entry{Key: key, Value: part{p.submitted, next}.encode(), TTL: e.options.SubmitSMExpiry.Std()}); err != nil {
		return err
	}
	return e.state.Delete(ctx, over...)
}

// nextUnknown is the first of a message's parts without an answer; 0 when there
// is none.
func (e *engine) nextUnknown(ctx context.Context, s *submitted) (n int, err error) {
	keys := make([]string, s.total)
	for i := range keys {
		keys[i] = e.keys.part(s, i+1)
	}
	found, err := e.state.Get(ctx, keys...)
	if err != nil {
		return 0, err
	}
	for i, key := range keys {
		if f, _ := readFate(found[key]); f.unknown {
			return i + 1, nil
		}
	}
	return 0, nil
}
