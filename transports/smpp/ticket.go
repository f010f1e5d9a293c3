package smpp

import (
	"time"

	"switchboard/smpp/pdu"
	"switchboard/transports/smpp/submissions"
)

// ticket is one submit_sm, or query_sm, on its way: it waits in the gate, is written to a
// bind, and is answered, once each time it is handed in.
type ticket struct {
	frame   []byte // the encoded PDU; its sequence number is filled in when it is written
	part    submissions.Part
	query   bool         // a query_sm: nothing is submitted
	ours    bool         // the frame ends in a user_message_reference that may be left out
	outcome chan outcome // has room for the ticket's one
	sending *sending     // nil of a query_sm

	// Guarded by the gate's mutex.
	elem      *ticket // next in its queue
	queued    bool
	resting   *time.Timer // until it is queued again; nil when it does not rest
	mark      *mark
	lane      *lane  // the last it was written to,
	sequence  uint32 // and as what
	refers    bool   // with user_message_reference
	refusedAt time.Time

	id string // the SMSC's, of the last answer

	// Of the sending alone.
	settled  bool
	resends  int // submits after one that went unanswered
	refusals int // answers that asked for less traffic
}

// end gives the ticket's outcome to whoever waits for it.
func (t *ticket) end(o outcome) {
	o.of = t
	t.outcome <- o
}

// outcome is what became of a submit_sm, or of a query_sm.
type outcome struct {
	of        *ticket
	status    pdu.Status
	id        string
	averse    bool   // it goes out again: the SMSC does not bear our user_message_reference
	repeated  bool   // another message was given the same id
	unknown   bool   // no answer came
	unknowing string // why not
	state     *pdu.QuerySMResp
}

// answerTo is what an answer may be to.
type answerTo int

const (
	toAny answerTo = iota
	toSubmit
	toQuery
)

func (a answerTo) fits(t *ticket) bool { return a == toAny || t.query == (a == toQuery) }
