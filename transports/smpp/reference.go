package smpp

import (
	"hash/fnv"

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
	h := fnv.New32a()
	_, _ = h.Write([]byte(id))
	return uint16(h.Sum32() ^ h.Sum32()>>16)
}

// referenceSize is how many octets a reference takes in a submit_sm: tag, length,
// value.
const referenceSize = 6
