package smpp

import (
	"hash/fnv"
	"math/rand/v2"
	"sync/atomic"

	"switchboard/smpp/pdu"
)

// reference is the first of a message's user_message_references (§5.3.2.17);
// 0 when it gets none of ours: the message has its own, SMPP 3.3 has none, or
// the operator wants none.
func (r *planner) reference(id string, base *pdu.Message) uint16 {
	_, own := base.TLVs.Get(pdu.TagUserMessageReference)
	if own || !r.options.UserMessageReference || !r.hasParameters() {
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

// concatReferences numbers long texts, so that those that come to one person one
// after the other have different numbers: of 8 bits, where chance would give one
// in 256 its predecessor's. People share counters, since there are many.
type concatReferences struct {
	seed   uint32 // replicas, and this one when it starts again, begin elsewhere
	counts [1 << 10]atomic.Uint32
}

func newConcatReferences() *concatReferences { return &concatReferences{seed: rand.Uint32()} }

func (c *concatReferences) next(to string) uint16 {
	hash := hashOf(to)
	return uint16(c.seed + hash + c.counts[hash%uint32(len(c.counts))].Add(1))
}

// referenceSize is how many octets a reference takes in a submit_sm: tag, length,
// value.
const referenceSize = 6
