package binds

import (
	"container/list"
	"time"

	"switchboard/smpp/pdu"
)

// Submit is one submit_sm, or query_sm, on its way: it waits in a Queue, is sent
// through a bind, and is answered, each time it is handed in.
type Submit struct {
	Body  pdu.Body
	Plain pdu.Body // Body without our user_message_reference; nil where it has none
	Query bool     // it is a query_sm: nothing is submitted
	// Done gets what became of it, once each time it is handed in, and again for
	// an answer that came late. It must not block.
	Done func(Result)

	// Guarded by the queue's mutex.
	in        *list.List // where it waits; nil while it does not
	at        *list.Element
	attempt   *attempt // nil while no answer is waited for
	refusedAt time.Time
}

func (s *Submit) join(l *list.List) { s.in, s.at = l, l.PushBack(s) }

func (s *Submit) leave() {
	s.in.Remove(s.at)
	s.in, s.at = nil, nil
}

// Result is what became of a Submit.
type Result struct {
	Status     pdu.Status
	ID         string           // the SMSC's message_id
	Query      *pdu.QuerySMResp // the answer to a query_sm
	Unanswered error            // why no answer came; nil when one did
	Late       bool             // the answer is one after Unanswered
}

func resultOf(p *pdu.PDU) Result {
	r := Result{Status: p.Status}
	switch body := p.Body.(type) {
	case *pdu.SubmitSMResp:
		r.ID = body.MessageID
	case *pdu.QuerySMResp:
		r.Query = body
	case *pdu.GenericNack:
		if p.Status == pdu.StatusOK {
			r.Status = pdu.StatusUnknownErr // a refusal that does not say why
		}
	}
	return r
}
