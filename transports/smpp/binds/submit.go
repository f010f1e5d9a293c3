package binds

import (
	"time"

	"switchboard/smpp/pdu"
)

// Submit is one submit_sm, or query_sm, on its way: it waits in a Queue, is sent
// through a bind, and is answered, each time it is handed in.
type Submit struct {
	Body pdu.Raw // the encoded body
	// Reference is how many octets at the end of Body are a
	// user_message_reference, which binds without optional parameters leave out.
	Reference int
	Query     bool // it is a query_sm: nothing is submitted
	// Done gets what became of it, once each time it is handed in, and again for
	// an answer that came late. It must not block. It reports whether the answer
	// is another submit's, so that a further one is waited for.
	Done func(Result) (mistaken bool)

	// Guarded by the queue's mutex.
	next      *Submit // in its list
	list      *list   // nil while it does not wait
	resting   *time.Timer
	attempt   *attempt // nil while no answer is waited for
	refusedAt time.Time
}

// Result is what became of a Submit.
type Result struct {
	Status     pdu.Status
	ID         string           // the SMSC's message_id
	Query      *pdu.QuerySMResp // the answer to a query_sm
	Unanswered error            // why no answer came; nil when one did
	Late       bool             // the answer is one after Unanswered, or after a mistaken one
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

// list is a list of submits in their order.
type list struct{ head, tail *Submit }

func (l *list) push(s *Submit) {
	s.list, s.next = l, nil
	if l.head == nil {
		l.head, l.tail = s, s
		return
	}
	l.tail.next = s
	l.tail = s
}

func (l *list) pushFront(s *Submit) {
	s.list, s.next = l, l.head
	if l.head = s; l.tail == nil {
		l.tail = s
	}
}

func (l *list) pop() *Submit {
	s := l.head
	if s != nil {
		l.remove(s)
	}
	return s
}

func (l *list) remove(s *Submit) {
	var before *Submit
	for at := l.head; at != s; at = at.next {
		before = at
	}
	if before == nil {
		l.head = s.next
	} else {
		before.next = s.next
	}
	if l.tail == s {
		l.tail = before
	}
	s.list, s.next = nil, nil
}
