package submissions

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"switchboard/internal/catalogue"
	"switchboard/message"
	"switchboard/smpp/receipt"
	"switchboard/store"
)

// Receipt is what an SMSC said of a message.
type Receipt struct {
	ID        string         `json:"id"` // as the SMSC spelt it
	Status    receipt.Status `json:"status"`
	Raw       string         `json:"raw"`
	Error     string         `json:"error,omitempty"`
	Done      time.Time      `json:"done,omitzero"`
	From      string         `json:"from"` // the person the message went to
	To        string         `json:"to"`
	Held      time.Time      `json:"held,omitzero"` // since when it waits for its message
	Reference uint16         `json:"ref,omitempty"` // user_message_reference; 0 for none

	candidates []receipt.Candidate // the ids it may mean; nil where they are not found out yet
}

// match is the submission a receipt is about.
type match struct {
	submission
	key      string // of the submission's row
	by       string // id, reference, address or query
	relation receipt.Relation
	certain  bool // no other id could be meant, nor another person
}

// Receipt reports a receipt, or holds it until its message is known. It returns
// when the broker, or the state store, has it.
func (s *Store) Receipt(ctx context.Context, r Receipt) error {
	r.candidates = s.ids.candidates(r.ID)
	s.awaitRecording(ctx, r)
	m, err := s.find(ctx, r, 0)
	switch {
	case err != nil:
		return err
	case m != nil:
		return s.report(ctx, *m, r)
	}
	return s.hold(ctx, r)
}

// find finds the submission a receipt is about, which has waited for a while; nil
// when there is none yet.
func (s *Store) find(ctx context.Context, r Receipt, waited time.Duration) (*match, error) {
	found, err := s.State.Get(ctx, s.rowKeys(r)...)
	if err != nil {
		return nil, fmt.Errorf("looking for the message of receipt %.70q: %w", r.ID, err)
	}
	return s.match(ctx, found, r, waited)
}

// rowKeys are where what a receipt may be about is stored.
func (s *Store) rowKeys(r Receipt) (keys []string) {
	for _, c := range s.candidatesOf(r) {
		keys = append(keys, s.Prefix+"id/"+c.ID)
	}
	if r.Reference != 0 {
		keys = append(keys, s.referenceKey(r.From, r.Reference))
	}
	if !r.Held.IsZero() {
		keys = append(keys, s.unansweredKey(r.From, r.To))
	}
	return keys
}

func (s *Store) candidatesOf(r Receipt) []receipt.Candidate {
	if r.candidates != nil {
		return r.candidates
	}
	return s.ids.candidates(r.ID)
}

// match is find in rows that were read already.
func (s *Store) match(ctx context.Context, found map[string]string, r Receipt, waited time.Duration) (*match, error) {
	patient := waited >= patience
	if m := s.matchByID(found, r, patient); m != nil {
		return m, nil
	}
	if m, err := s.matchByReference(ctx, found, r); m != nil || err != nil {
		return m, err
	}
	if _, there := found[s.unansweredKey(r.From, r.To)]; there && patient {
		return s.matchByAddress(ctx, r)
	}
	return nil, nil
}

// matchByID finds a submission by the id in a receipt. The id alone is enough only where
// the formats are declared, or the receipt is patient: else the message must have gone to
// the receipt's person too. Nor is it enough for a receipt with another's reference, unless
// the SMSC is not known to bring them back.
func (s *Store) matchByID(found map[string]string, r Receipt, patient bool) *match {
	there := make([]match, 0, 1)
	for _, c := range s.candidatesOf(r) {
		m := match{key: s.Prefix + "id/" + c.ID, by: "id", relation: c.Relation}
		var ok bool
		if m.submission, ok = read[submission](s, found, m.key); ok {
			there = append(there, m)
		}
	}
	for i := range there {
		m := &there[i]
		person := m.isFor(r)
		m.certain = len(there) == 1 && person
		switch {
		case m.Ambiguous:
		case m.contradicts(r) && (s.references.Load() || !patient):
		case person || r.From == "" || !s.ids.detect || patient && m.relation == receipt.Same:
			return m
		}
	}
	return nil
}

// matchByReference finds a submit that was never answered, or was answered without
// an id, by the reference a receipt brings back and the person. The sender does
// not count: SMSCs replace it.
func (s *Store) matchByReference(ctx context.Context, found map[string]string, r Receipt) (*match, error) {
	key := s.referenceKey(r.From, r.Reference)
	row, ok := read[submission](s, found, key)
	switch {
	case r.Reference == 0 || !ok || !samePerson(row.To, r.From):
		return nil, nil
	case row.NoID:
		return &match{submission: row, key: key, by: "reference"}, nil
	}
	return s.answeredBy(ctx, r, row, "reference")
}

// maxUnanswered bounds the unanswered parts between two that are looked at for
// one receipt: all of the longest message, and some of another.
const maxUnanswered = 300

// matchByAddress takes a receipt for that of the submit to the same person, from
// the same sender, that was never answered; unless both have references, and
// different ones. Where several messages fit it is about none.
func (s *Store) matchByAddress(ctx context.Context, r Receipt) (*match, error) {
	s.adopting.Lock()
	defer s.adopting.Unlock()
	prefix := s.unansweredKey(r.From, r.To)
	entries, err := s.State.Range(ctx, prefix+"/", prefix+"0", maxUnanswered) // 0 comes after /
	if err != nil || len(entries) == maxUnanswered {
		return nil, err
	}
	var first *submission // unanswered part of the message
	for _, e := range entries {
		row, ok := read[submission](s, map[string]string{e.Key: e.Value}, e.Key)
		switch {
		case !ok || row.contradicts(r):
		case first == nil || row.ID == first.ID && row.N < first.N:
			first = &row
		case row.ID != first.ID:
			return nil, nil
		}
	}
	if first == nil {
		return nil, nil
	}
	return s.answeredBy(ctx, r, *first, "address")
}

// answeredBy gives the id in a receipt to a part that had no answer: the SMSC has
// it.
func (s *Store) answeredBy(ctx context.Context, r Receipt, row submission, by string) (*match, error) {
	s.Logger.Info("a receipt is taken for that of a submit without an answer", "message_id", row.ID, "smsc_message_id", r.ID, "by", by)
	row.Message = row.Again() // the row is from before it was submitted again, if it was
	m := &match{submission: row, key: s.idKey(r.ID), by: by}
	entries := []store.Entry{s.outcomeEntry(row.Part, Outcome{Accepted: true, ID: r.ID}), s.idEntry(m.key, row)}
	if !r.Status.Final() {
		entries = append(entries, s.firstQuery(row, r.ID)...)
	}
	if err := s.set(ctx, row.ID, entries...); err != nil {
		return nil, err
	}
	return m, s.forgetUnanswered(ctx, row.Part)
}

// report publishes what a receipt says of a message, once. States never go
// backwards: after the final one no other is reported. A receipt that comes while
// it is being reported waits for the outcome.
func (s *Store) report(ctx context.Context, m match, r Receipt) error {
	if m.certain {
		s.ids.observe(m.relation)
	}
	if m.Reference() != 0 && m.Reference() == r.Reference {
		s.references.Store(true) // the chance of it is one in 65,535
	}
	what := m.key + "/" + m.name()
	if !r.Status.Final() {
		what += "/" + r.Raw
	}
	did, err := false, error(nil)
	if m.Final == "" {
		did, err = s.once(what, func() error { return s.reportNow(ctx, m, r) })
	}
	if err != nil {
		return err
	}
	outcome := "repeated"
	if did {
		outcome = "matched"
	}
	s.CountReceipt(outcome)
	return nil
}

// once does work, unless it was done for the same key; while it is being done, the
// outcome is waited for.
func (s *Store) once(key string, work func() error) (did bool, err error) {
	_, err, _ = s.reports.Do(key, func() (any, error) {
		if s.reported.Contains(key) {
			return nil, nil
		}
		did = true
		err := work()
		if err == nil {
			s.reported.Add(key, struct{}{})
		}
		return nil, err
	})
	return did, err
}

func (s *Store) reportNow(ctx context.Context, m match, r Receipt) error {
	if !m.Failed {
		news, err := s.isNews(ctx, m, r)
		if err != nil {
			return err
		}
		if news && s.Publish != nil {
			if err := s.Publish(ctx, deliveryReport(m, r)); err != nil {
				return fmt.Errorf("publishing a delivery report: %w", err)
			}
		}
	}
	if !r.Status.Final() {
		return nil
	}
	m.Final = r.Raw
	over := *m.Message
	over.Routing = nil // nothing more is reported
	m.Message = &over
	// The SMSC is answered meanwhile: the broker has the report, and this process
	// knows it. A receipt that came again after a crash would be the same event.
	return s.State.SetAsync(ctx, func(err error) {
		if err != nil {
			s.warn("recording a final receipt failed; one that comes again is reported again", m.ID, err)
		}
	}, entry(m.key, m.submission, s.FinalTTL))
}

// isNews: a receipt is worth reporting. A message of several parts is delivered when all
// are, and failed when one is. Of several receipts one has the final word, also when it
// comes again because the broker was away.
func (s *Store) isNews(ctx context.Context, m match, r Receipt) (bool, error) {
	if m.Parts <= 1 && !m.Resubmitted {
		return true, nil
	}
	end := s.reportKey(m.Message, "end")
	if !r.Status.Final() {
		found, err := s.State.Get(ctx, end)
		if err != nil {
			return false, fmt.Errorf("looking for the final state of a message: %w", err)
		}
		return found[end] == "", nil
	}
	if ends, err := s.endsMessage(ctx, m, r); err != nil || !ends {
		return false, err
	}
	own := m.key + " " + strconv.Itoa(m.N)
	first, _, err := s.State.Add(ctx, store.Entry{Key: end, Value: own, TTL: s.IDTTL})
	if err != nil {
		return false, fmt.Errorf("recording the final state of a message: %w", err)
	}
	return first == own, nil
}

// endsMessage says whether a part's final receipt ends its message too.
func (s *Store) endsMessage(ctx context.Context, m match, r Receipt) (bool, error) {
	if m.Parts <= 1 {
		return true, nil
	}
	own := store.Entry{Key: s.reportKey(m.Message, strconv.Itoa(m.N)), Value: string(r.Status), TTL: s.IDTTL}
	if err := s.State.Set(ctx, own); err != nil {
		return false, fmt.Errorf("recording a part's receipt: %w", err)
	}
	if r.Status == receipt.Failed {
		return true, nil
	}
	keys := make([]string, m.Parts)
	for i := range keys {
		keys[i] = s.reportKey(m.Message, strconv.Itoa(i+1))
	}
	found, err := s.State.Get(ctx, keys...)
	if err != nil {
		return false, fmt.Errorf("looking for other parts' receipts: %w", err)
	}
	for _, status := range found {
		if status != string(r.Status) {
			return false, nil
		}
	}
	return len(found) == m.Parts, nil
}

// deliveryReport is the event.
func deliveryReport(m match, r Receipt) *message.Event {
	about := &message.Message{ID: m.ID}
	if len(m.Routing) > 0 {
		_ = about.RoutingMetadata.UnmarshalJSON(m.Routing) // was JSON when it was stored
	}
	e := message.NewDeliveryReport(about, message.DeliveryStatus(r.Status))
	e.ID = eventID(m, r)
	meta := &e.TransportMetadata
	meta.Set("smpp_delivery_status", r.Raw)
	meta.Set("smpp_message_id", r.ID)
	if r.Error != "" {
		meta.Set("smpp_error_code", r.Error)
	}
	if !r.Done.IsZero() {
		meta.Set("smpp_done_date", message.FormatTime(r.Done))
	}
	if m.by != "id" {
		meta.Set("smpp_matched_by", m.by)
	}
	if r.Status == receipt.Failed {
		e.SetExtra("failure_code", cmp.Or(r.Error, r.Raw))
		reason := "the SMSC reported " + r.Raw
		if p, known := catalogue.Receipt(r.Raw, r.Error); known {
			reason += ". " + p.Sentence("", "")
		}
		e.SetExtra("failure_reason", reason)
	}
	return e
}

// eventID follows from what an event says, so that what is said twice is one event: by a
// receipt taken again, or by two replicas; by a receipt and the answer to a query_sm; and by
// the receipts of two parts, or of two submits, each of which may be the final one.
func eventID(m match, r Receipt) string {
	about, word := m.key, r.Raw
	if r.Status.Final() {
		about, word = strconv.Itoa(m.Attempt), ""
	}
	sum := sha256.Sum256([]byte(m.ID + "\x00" + about + "\x00" + string(r.Status) + "\x00" + word))
	return hex.EncodeToString(sum[:16])
}
