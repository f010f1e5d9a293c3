// Package submissions remembers what was submitted to an SMSC, so that delivery
// receipts find their messages: in any order, days later, in another replica,
// and after a crash. Section numbers (§) are those of SMPP 3.4, issue 1.2.
//
// A Store writes typed rows to the state store. Their keys begin with the
// transport's prefix:
//
//	part/<message>/<n>                    Outcome of a part
//	id/<id>                               submission that was given an id
//	reference/<person>/<n>                submission without an id, by its user_message_reference
//	unanswered/<to>/<from>                some submit between the two went unanswered
//	unanswered/<to>/<from>/<message>/<n>  submission without an answer
//	held/<id>                             Receipt without a message yet
//	held-for/<to>/<from>/<id>             where the receipt is held
//	report/<message>/<n>                  final status of a part
//	report/<message>/end                  which part's receipt was the message's last
//	ask/<due>/<id>                        Query: a final receipt that is missing
//	asking/<due>/<id>                     claim of the replica that asks
//
// A receipt finds its message by the id in it; else by the reference it brings
// back; else, after a while, by its addresses, where one unanswered message fits.
package submissions

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	lru "github.com/hashicorp/golang-lru/v2"

	"switchboard/internal/loglimit"
	"switchboard/message"
	"switchboard/smpp/receipt"
	"switchboard/store"
)

// Message is what is remembered of a message. It is not changed once it is made.
type Message struct {
	ID              string          `json:"m"`
	To              string          `json:"to"`
	From            string          `json:"from,omitempty"`
	Routing         json.RawMessage `json:"r,omitempty"` // routing_metadata
	Parts           int             `json:"t"`
	Reference       uint16          `json:"u,omitempty"` // user_message_reference of the first part; 0 for none
	ConcatReference uint16          `json:"j,omitempty"` // marks several parts as those of one text; 0 for none
	Attempt         int             `json:"a,omitempty"` // of a broadcast; 0 for none
	Resubmitted     bool            `json:"g,omitempty"` // a part may have been submitted more than once, and have several ids
	NoReceipt       bool            `json:"q,omitempty"` // no final receipt is expected
}

// Part is one submit_sm of a message.
type Part struct {
	*Message
	N int `json:"n"` // from 1
}

// Again is the message as one of which a part is submitted once more.
func (m *Message) Again() *Message {
	again := *m
	again.Resubmitted = true
	return &again
}

// maxReference is how many different references there are: 0 is none.
const maxReference = 1<<16 - 1

// Reference is the part's own user_message_reference (§5.3.2.17): each submit_sm
// is a message to the SMSC, and has a receipt of its own. 0 is none.
func (p Part) Reference() uint16 {
	if p.Message.Reference == 0 {
		return 0
	}
	return uint16((int(p.Message.Reference)+p.N-2)%maxReference + 1)
}

func (p Part) same(o Part) bool { return p.ID == o.ID && p.N == o.N && p.Attempt == o.Attempt }

// Outcome is what became of a part so far; the zero value is nothing.
type Outcome struct {
	Accepted        bool      `json:"ok,omitempty"`
	ID              string    `json:"id,omitempty"`      // the SMSC's, where accepted; may be empty
	Refused         string    `json:"refused,omitempty"` // why, for good
	Unanswered      time.Time `json:"since,omitzero"`    // when it was found so
	ConcatReference uint16    `json:"concat,omitempty"`  // of the message, in the try this is from
}

// submission is a row: a part, and what is known of it.
type submission struct {
	Part
	Final     string `json:"f,omitempty"` // the final status that was reported, as the SMSC wrote it
	Failed    bool   `json:"x,omitempty"` // the message has failed: nobody waits for a receipt
	NoID      bool   `json:"l,omitempty"` // it was accepted without an id that tells it apart
	Ambiguous bool   `json:"y,omitempty"` // of an id's row: several parts that await receipts have the id
}

// Settings are what a Store needs.
type Settings struct {
	State   *store.Batcher
	Prefix  string // of all keys
	Logger  *slog.Logger
	Stopped <-chan struct{} // closed when the transport ends: writes that fail are given up

	Publish      func(context.Context, *message.Event) error // nil publishes no delivery reports
	CountReceipt func(outcome string)                        // matched, held, unmatched or repeated
	Guard        func(what string, work func() error) error  // turns a panic into an error

	SubmitFormat, ReceiptFormat receipt.IDFormat // both are Auto, or neither
	OutcomeTTL, IDTTL           time.Duration    // of unfinished parts, and of ids
	SentTTL                     time.Duration    // of messages of one part that are sent; 0 remembers none
	FinalTTL, HeldTTL           time.Duration    // of ids after the final receipt, and of held receipts
	QueryAfter                  time.Duration    // when a missing receipt is asked for; 0 is never
}

// Store remembers submits. Its methods are safe from several goroutines.
type Store struct {
	Settings
	ids        *idFormats
	given      *givenIDs
	held       *lru.Cache[string, Receipt] // those this process found no message for, by their keys
	recording  recording
	references atomic.Bool // the SMSC brings references back as they are
	adopting   sync.Mutex  // held while a receipt is matched by address

	reports  singleflight.Group
	reported *lru.Cache[string, struct{}]

	limiter *loglimit.Limiter // of the log's words on writes that fail
}

// maxReported is how many reports a process knows not to repeat, beside what the
// state store says.
const maxReported = 10_000

// New makes a Store.
func New(s Settings) *Store {
	reported, _ := lru.New[string, struct{}](maxReported) // fails for sizes below 1
	held, _ := lru.New[string, Receipt](maxHeld)
	return &Store{
		Settings: s, ids: &idFormats{detect: s.SubmitFormat == receipt.Auto, submit: s.SubmitFormat, receipt: s.ReceiptFormat},
		given: newGivenIDs(maxRecentIDs), held: held, recording: recording{open: map[uint64]chan struct{}{}}, reported: reported,
		limiter: loglimit.New(time.Minute),
	}
}

func (s *Store) idKey(id string) string { return s.Prefix + "id/" + s.ids.stored(id) }

func (s *Store) partKey(p Part) string { return s.Prefix + "part/" + p.name() }

func (p Part) name() string { return attempt(p.Message) + strconv.Itoa(p.N) }

func (s *Store) reportKey(m *Message, of string) string {
	return s.Prefix + "report/" + attempt(m) + of
}

func attempt(m *Message) string {
	if m.Attempt > 0 {
		return m.ID + "/" + strconv.Itoa(m.Attempt) + "/"
	}
	return m.ID + "/"
}

func (s *Store) referenceKey(to string, reference uint16) string {
	return s.Prefix + "reference/" + lastDigits(to) + "/" + strconv.Itoa(int(reference))
}

func (s *Store) unansweredKey(to, from string) string {
	return s.Prefix + "unanswered/" + between(to, from)
}

func entry(key string, row any, ttl time.Duration) store.Entry {
	text, _ := json.Marshal(row) // rows are texts, numbers, times, and a Routing that was JSON
	return store.Entry{Key: key, Value: string(text), TTL: ttl}
}

// read reads the row under a key; ok is false where there is none.
func read[T any](s *Store, found map[string]string, key string) (row T, ok bool) {
	text, there := found[key]
	if !there {
		return row, false
	}
	if err := json.Unmarshal([]byte(text), &row); err != nil {
		s.Logger.Warn("a row of the SMPP state cannot be read", "key", key, "error", err)
		return row, false
	}
	return row, true
}

const (
	// retryPause is the first pause before a write is repeated. It doubles up to
	// maxRetryPause.
	retryPause    = 50 * time.Millisecond
	maxRetryPause = time.Second
)

// ErrStopped is returned for what could not be recorded before the transport
// stopped.
var ErrStopped = fmt.Errorf("the transport has stopped: %w", context.Canceled)

// record does a write of what cannot be found out again, until it succeeds or
// the transport stops.
func (s *Store) record(ctx context.Context, messageID string, write func() error) error {
	for pause := retryPause; ; pause = min(2*pause, maxRetryPause) {
		err := write()
		if err == nil {
			return nil
		}
		s.warn("recording a submit failed; trying until it succeeds", messageID, err)
		select {
		case <-time.After(pause):
			continue
		case <-ctx.Done():
		case <-s.Stopped:
		}
		s.Logger.Error("a submit could not be recorded; its receipts will find no message", "message_id", messageID, "error", err)
		return fmt.Errorf("%w, and recording a submit failed: %w", ErrStopped, err)
	}
}

// warn tells of writes that fail, once in a while.
func (s *Store) warn(what, messageID string, err error) {
	if others, ok := s.limiter.Allow(what, time.Now()); ok {
		s.Logger.Warn(what, "message_id", messageID, "error", err, "others_before", others)
	}
}

func (s *Store) set(ctx context.Context, messageID string, entries ...store.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	return s.record(ctx, messageID, func() error { return s.State.Set(ctx, entries...) })
}

// Submitted returns what earlier tries left of a message's parts, and for how long the
// oldest has gone unanswered: below 0 when none has. Held receipts are matched first.
func (s *Store) Submitted(ctx context.Context, m *Message) (parts []Outcome, waited time.Duration, err error) {
	for matched := true; matched; {
		if parts, waited, err = s.outcomes(ctx, m); err != nil || waited < 0 {
			return parts, waited, err
		}
		if matched, err = s.matchHeldFor(ctx, m); err != nil {
			return nil, 0, err
		}
	}
	return parts, waited, nil
}

func (s *Store) outcomes(ctx context.Context, m *Message) (parts []Outcome, waited time.Duration, err error) {
	keys := make([]string, m.Parts)
	for i := range keys {
		keys[i] = s.partKey(Part{m, i + 1})
	}
	found, err := s.State.Get(ctx, keys...)
	if err != nil {
		return nil, 0, fmt.Errorf("looking for what was submitted of message %s: %w", m.ID, err)
	}
	parts, waited = make([]Outcome, m.Parts), -1
	for i, key := range keys {
		parts[i], _ = read[Outcome](s, found, key)
		if since := parts[i].Unanswered; !since.IsZero() {
			waited = max(waited, time.Since(since))
		}
	}
	return parts, waited, nil
}

func (s *Store) outcomeEntry(p Part, o Outcome) store.Entry {
	o.ConcatReference = p.ConcatReference
	return entry(s.partKey(p), o, s.OutcomeTTL)
}

// Accepted records that the SMSC has a part, and its id, and then reports the
// receipts that came before: a receipt looks for its id, is held, and looks again,
// so that one of both sides sees the other.
func (s *Store) Accepted(ctx context.Context, p Part, id string) error {
	defer s.recordingOf(p, id, s.recording.end)
	record := func(repeated bool) error {
		return s.record(ctx, p.ID, func() error {
			entries, err := s.acceptedEntries(ctx, p, id, repeated)
			if err != nil {
				return err
			}
			return s.State.Set(ctx, entries...)
		})
	}
	repeated := s.given.isRepeated(s.ids.stored(id))
	if err := record(repeated); err != nil || id == "" {
		return err
	}
	if !repeated && s.given.isRepeated(s.ids.stored(id)) { // it was given to another meanwhile
		if err := record(true); err != nil {
			return err
		}
	}
	if err := s.takeHeld(ctx, id); err != nil {
		s.Logger.Warn("reporting an early receipt failed; it is looked at again", "message_id", p.ID, "error", err)
	}
	return nil
}

// acceptedEntries are what is recorded of a part that the SMSC has. Where several parts
// await receipts under one id, those find them by their references.
func (s *Store) acceptedEntries(ctx context.Context, p Part, id string, repeated bool) (entries []store.Entry, err error) {
	row, key := submission{Part: p}, s.idKey(id)
	accepted := Outcome{Accepted: true, ID: id}
	entries = make([]store.Entry, 0, 3)
	if p.Parts > 1 { // the others may take long, and the message be taken up again meanwhile
		entries = append(entries, s.outcomeEntry(p, accepted))
	} else if s.SentTTL > 0 {
		entries = append(entries, entry(s.partKey(p), accepted, s.SentTTL))
	}
	if repeated {
		found, err := s.State.Get(ctx, key)
		if err != nil {
			return nil, err
		}
		if other, there := read[submission](s, found, key); there && other.open() && (other.Ambiguous || !other.same(p)) {
			row.Ambiguous = true
			entries = append(entries, s.withoutID(other)...)
		}
	}
	if id == "" || repeated {
		entries = append(entries, s.withoutID(row)...)
	}
	if id != "" {
		entries = append(append(entries, s.idEntry(key, row)), s.firstQuery(row, id)...)
	}
	return entries, nil
}

// open: the part awaits its final receipt.
func (row submission) open() bool { return row.Final == "" && !row.Failed }

// Failed records that a message has failed for good, though the SMSC accepted
// some of its parts: nobody waits for their receipts.
func (s *Store) Failed(ctx context.Context, m *Message, parts []Outcome) error {
	var entries []store.Entry
	for i, o := range parts {
		if o.Accepted && o.ID != "" && !s.given.isRepeated(s.ids.stored(o.ID)) {
			entries = append(entries, s.idEntry(s.idKey(o.ID), submission{Part: Part{m, i + 1}, Failed: true}))
		}
	}
	return s.set(ctx, m.ID, entries...)
}

func (s *Store) idEntry(key string, row submission) store.Entry { return entry(key, row, s.IDTTL) }

// withoutID is by what the receipt of a part is found whose id tells nothing: its
// reference, where it has one.
func (s *Store) withoutID(row submission) []store.Entry {
	if row.Reference() == 0 {
		return nil
	}
	row.NoID, row.Ambiguous = true, false
	return []store.Entry{entry(s.referenceKey(row.To, row.Reference()), row, s.IDTTL)}
}

// Unanswered records which parts went unanswered, and by what their receipts find
// them.
func (s *Store) Unanswered(ctx context.Context, m *Message, parts []Outcome) error {
	var entries []store.Entry
	for i, o := range parts {
		if p := (Part{m, i + 1}); !o.Unanswered.IsZero() {
			entries = append(append(entries, s.outcomeEntry(p, o)), s.unansweredEntries(p)...)
		}
	}
	return s.set(ctx, m.ID, entries...)
}

func (s *Store) unansweredEntries(p Part) []store.Entry {
	row, between := submission{Part: p}, s.unansweredKey(p.To, p.From)
	entries := []store.Entry{
		{Key: between, Value: p.ID, TTL: s.OutcomeTTL}, entry(between+"/"+p.name(), row, s.OutcomeTTL),
	}
	if p.Reference() != 0 {
		entries = append(entries, entry(s.referenceKey(p.To, p.Reference()), row, s.OutcomeTTL))
	}
	return entries
}

// Answered records the late answer to a part. A refusal counts only while the
// part is unanswered; one that is not for good (the zero Outcome) makes it as if
// the part had never been submitted.
func (s *Store) Answered(ctx context.Context, p Part, o Outcome) error {
	if o.Accepted {
		defer s.recordingOf(p, o.ID, s.recording.end)
	}
	key := s.partKey(p)
	found, err := s.State.Get(ctx, key)
	if err != nil {
		return err
	}
	before, _ := read[Outcome](s, found, key)
	switch {
	case o.Accepted && before.Accepted && before.ID == o.ID:
		// A receipt has told the id already, and its final status must not be lost.
	case o.Accepted:
		if err := s.Accepted(ctx, p, o.ID); err != nil {
			return err
		}
	case before.Unanswered.IsZero():
		return nil // it was submitted again, or a receipt has told more
	}
	if o == (Outcome{}) {
		err = s.State.Delete(ctx, key)
	} else {
		err = s.set(ctx, p.ID, s.outcomeEntry(p, o))
	}
	if err != nil {
		return err
	}
	return s.forgetUnanswered(ctx, p)
}

// forgetUnanswered deletes by what a receipt finds an unanswered part. A row for
// a part without an id stays.
func (s *Store) forgetUnanswered(ctx context.Context, p Part) error {
	keys := []string{s.unansweredKey(p.To, p.From) + "/" + p.name()}
	if p.Reference() != 0 {
		key := s.referenceKey(p.To, p.Reference())
		found, err := s.State.Get(ctx, key)
		if err != nil {
			return err
		}
		if row, ok := read[submission](s, found, key); ok && row.ID == p.ID && !row.NoID {
			keys = append(keys, key)
		}
	}
	return s.State.Delete(ctx, keys...)
}
