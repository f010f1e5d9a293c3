package simulator

import (
	"sync"
	"time"

	"switchboard/smpp/pdu"
)

// entry is a message the SMSC has taken.
type entry struct {
	account   *account
	id        string
	receiptID string
	message   *pdu.Message
	dests     []pdu.Address
	submitted time.Time

	mu        sync.Mutex
	state     pdu.MessageState
	errorCode uint8
	final     time.Time
}

// end sets the final state, unless there is one; it returns what is then true.
func (e *entry) end(state pdu.MessageState, code uint8) (pdu.MessageState, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.final.IsZero() {
		return e.state, false
	}
	e.state, e.errorCode, e.final = state, code, time.Now()
	return state, true
}

// store keeps the newest messages for query_sm, cancel_sm and replace_sm.
type store struct {
	mu   sync.Mutex
	keep int
	byID map[string]*entry
	ring []*entry
	next int
}

func newStore(keep int) *store { return &store{keep: keep, byID: map[string]*entry{}} }

func (s *store) add(e *entry) {
	if s.keep <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byID[e.id] = e
	if len(s.ring) < s.keep {
		s.ring = append(s.ring, e)
		return
	}
	if old := s.ring[s.next]; s.byID[old.id] == old {
		delete(s.byID, old.id)
	}
	s.ring[s.next] = e
	s.next = (s.next + 1) % s.keep
}

func (s *store) get(a *account, id string) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byID[id]; e != nil && e.account == a {
		return e
	}
	return nil
}

// between returns the messages of an account from one address to another.
func (s *store) between(a *account, source, dest string) (list []*entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.ring {
		if e.account == a && e.message.Source.Addr == source && len(e.dests) == 1 && e.dests[0].Addr == dest {
			list = append(list, e)
		}
	}
	return list
}
