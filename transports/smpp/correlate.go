package smpp

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"switchboard/smpp/receipt"
	"switchboard/store"
)

// ids knows how the SMSC spells its ids in answers and in receipts.
type ids struct {
	submit, receipt idFormat
	mu              sync.Mutex
	detector        receipt.Detector
}

// kept is the spelling under which the id of a submit_sm_resp is kept.
func (i *ids) kept(id string) string { return i.submit.normal(id) }

// candidates are the kept spellings a receipt's id may mean, the likeliest first.
func (i *ids) candidates(id string) []receipt.Candidate {
	if !i.receipt.auto() {
		return []receipt.Candidate{{ID: i.receipt.normal(id)}}
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.detector.Submitted(id)
}

func (i *ids) observe(r receipt.Relation) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.detector.Observe(r)
}

// held is the spelling under which a receipt waits for its id.
func (i *ids) held(receiptID string) string { return i.receipt.normal(receiptID) }

// heldFor are the spellings under which a receipt for the id of a
// submit_sm_resp may wait.
func (i *ids) heldFor(submitID string) []string {
	if !i.submit.auto() {
		return []string{i.submit.normal(submitID)}
	}
	return receipt.Spellings(submitID)
}

// rememberIDs keeps which message the SMSC's ids stand for, and then takes the
// receipts that came before them. A receipt looks for its id, and is held, and
// looks again; so one of both sides sees the other.
func (e *engine) rememberIDs(ctx context.Context, s *submitted, parts []fate, dead bool) error {
	var entries []store.Entry
	var waiting []string
	var given []match
	for i, f := range parts {
		if !f.accepted {
			continue
		}
		m := e.match(part{s, i + 1}, f.id)
		m.Dead = dead
		if f.id == "" || e.twins.worthless(m.key) {
			entries = append(entries, e.nameless(m.known)...)
			continue
		}
		given = append(given, m)
		if !e.twins.are(m.key) && (dead || !f.noted) { // a receipt may have come to what is noted
			entries = append(entries, e.idEntry(m))
		}
		if !dead {
			entries = append(entries, e.inquiries(s, f.id)...)
		}
		for _, spelling := range e.ids.heldFor(f.id) {
			waiting = append(waiting, e.keys.held(spelling))
		}
	}
	if err := e.mustSet(ctx, s.id, entries...); err != nil || len(given) == 0 {
		return err
	}
	for _, m := range given {
		if e.twins.are(m.key) { // also if they became so meanwhile
			if err := e.share(ctx, m.key, m.known); err != nil {
				return err
			}
		}
	}
	found, err := e.state.Get(ctx, waiting...)
	if err != nil {
		e.logger.Warn("looking for early receipts failed", "message_id", s.id, "error", err)
		return nil
	}
	for key, value := range found {
		e.release(ctx, key, value)
	}
	return nil
}

// match is what an id of the SMSC's stands for when it is given to a part.
func (e *engine) match(p part, id string) match {
	return match{known: p.known(), key: e.keys.id(e.ids.kept(id))}
}

func (e *engine) idEntry(m match) store.Entry {
	return store.Entry{Key: m.key, Value: m.encode(), TTL: e.options.ThirdPartyIDExpiry.Std()}
}

// release gives a held receipt to the message whose id has come.
func (e *engine) release(ctx context.Context, key, value string) {
	var h heldReceipt
	if err := json.Unmarshal([]byte(value), &h); err != nil {
		e.logger.Warn("a held receipt cannot be read", "key", key, "error", err)
		return
	}
	m, err := e.find(ctx, h, false)
	if err == nil && m != nil {
		err = e.settleHeld(ctx, key, *m, h)
	}
	if err != nil {
		e.logger.Warn("reporting an early receipt failed; it stays held", "smsc_message_id", h.ID, "error", err)
	}
}

// match is the message a receipt is about.
type match struct {
	known
	key      string // of known, in the state
	relation receipt.Relation
	certain  bool // no other id could be meant, nor another person
	how      string
}

// find finds the message of a receipt; nil when there is none yet. An id that
// can be read in several ways, or that comes before it is known, may be another
// message's; so the message must have gone to the receipt's person too. Only
// where the formats are declared, or the receipt has waited long enough for a
// better match, is the id alone enough. From an SMSC that brings references back
// another submit's is a reason to wait as long: it may have begun to count anew.
func (e *engine) find(ctx context.Context, h heldReceipt, patient bool) (*match, error) {
	_, keys := e.places(h)
	found, err := e.state.Get(ctx, keys...)
	if err != nil {
		return nil, fmt.Errorf("looking for the message of receipt %.70q: %w", h.ID, err)
	}
	return e.findAmong(found, h, patient), nil
}

// places are the ids that a receipt may mean, the likeliest first, and the keys
// of what is known of them.
func (e *engine) places(h heldReceipt) (candidates []receipt.Candidate, keys []string) {
	candidates = e.ids.candidates(h.ID)
	for _, c := range candidates {
		keys = append(keys, e.keys.id(c.ID))
	}
	return candidates, keys
}

// findAmong is find in what the store has.
func (e *engine) findAmong(found map[string]string, h heldReceipt, patient bool) *match {
	candidates, keys := e.places(h)
	there := only(keys, func(key string) bool { return found[key] != "" })
	for i, key := range keys {
		if found[key] == "" {
			continue
		}
		m := &match{key: key, relation: candidates[i].Relation, certain: len(there) == 1, how: "id"}
		if err := json.Unmarshal([]byte(found[key]), &m.known); err != nil {
			e.logger.Warn("what is kept about an id cannot be read", "key", key, "error", err)
			continue
		}
		if e.isAbout(m, h, patient) {
			return m
		}
	}
	return nil
}

// isAbout: the receipt is about the message, or about one of those that share
// its id; then m becomes that one.
func (e *engine) isAbout(m *match, h heldReceipt, patient bool) (is bool) {
	if m.Many || e.twins.worthless(m.key) {
		return false
	}
	if len(m.Same) > 0 {
		m.certain = false
		m.known, is = m.meant(h)
		return is
	}
	if e.twins.unwritten(m.key) || m.contradicts(h) && (e.twins.are(m.key) || e.echoes.Load() && !patient) {
		return false // it is another's, who is not known yet
	}
	people := m.isFor(h)
	m.certain = m.certain && people
	return people || h.From == "" || !e.ids.receipt.auto() || patient && m.relation == receipt.Same
}

// isFor: the message went to the person whose receipt it is. Some SMSCs swap
// the two.
func (k known) isFor(h heldReceipt) bool { return samePerson(k.To, h.From) || samePerson(k.To, h.To) }

// contradicts: the receipt has another submit's reference, or one that the SMSC
// made up.
func (k known) contradicts(h heldReceipt) bool { return k.Ref != 0 && h.Ref != 0 && k.Ref != h.Ref }
