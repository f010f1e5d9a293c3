package sqlstore

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"switchboard/message"
	"switchboard/store"
)

// Longer ids are stored as short returns them; longer addresses are rejected.
const (
	maxID      = 255
	maxAddress = 1000
)

// wireID identifies a transmission on the wire.
type wireID struct {
	id        string
	direction store.Direction
}

// item is an envelope as rows and updates.
type item struct {
	index   int
	backend string // its name
	arrival *arrival
	// handed is the update by a broadcast's message, whose row was stored before it was sent.
	handed  *update
	event   *event
	updates []*update
}

// arrival is a user message: a row of message and one of transmission.
type arrival struct {
	transmission
	address  string
	text     string
	own      string
	session  string
	external string
	replyTo  string
	envelope *store.Envelope
}

func (a *arrival) body() string { return body(a.envelope.Body, a.envelope.Message.Encode) }

type transmission struct {
	wireID
	store.AttemptProgress
	backend    int64
	month      int64
	messageID  string
	connection int64
	broadcast  int64
	reason     string
	provider   string
	app        string
	date       time.Time
	sent       time.Time
	delivered  time.Time
}

type event struct {
	wireID    // of the message it is about
	id        string
	name      string // the stored id: differs from id when another event has that
	month     int64
	kind      string
	status    string
	reason    string
	provider  string
	app       string
	date      time.Time
	body      string
	backendID int64
}

// update is what an envelope says about a transmission, which may not be stored yet.
type update struct {
	wireID
	event    string // the id in the table early, while its message is not stored
	backend  int64  // 0 is any
	progress store.Progress
	attempt  int // 0 is the newest
	at       time.Time
	month    int64 // the transmission's; 0 when unknown
	reason   string
	prov     string
	app      string
	applied  bool
}

// newItem checks an envelope.
func newItem(index int, e *store.Envelope, now time.Time) (*item, error) {
	it := &item{index: index, backend: store.Printable(e.Backend)}
	if len(it.backend) > maxID {
		return nil, fmt.Errorf("transport's name has %d bytes, more than %d", len(it.backend), maxID)
	}
	switch {
	case e.Message != nil:
		return it, it.fromMessage(e, now)
	case e.Event != nil:
		return it, it.fromEvent(e, now)
	case e.Receipt != nil:
		return it, it.fromReceipt(e, now)
	}
	return nil, errors.New("envelope is empty")
}

func identifier(what, id string) (string, error) {
	id = store.Printable(id)
	if id == "" {
		return "", fmt.Errorf("%s is empty", what)
	}
	return short(id), nil
}

// short is an id as it is stored: a longer one as its beginning and its hash, which together
// identify it. The body has all of it.
func short(id string) string {
	if id = store.Printable(id); len(id) <= maxID {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return strings.ToValidUTF8(id[:maxID-2*len(sum)], "") + hex.EncodeToString(sum[:])
}

func (it *item) fromMessage(e *store.Envelope, now time.Time) error {
	m := e.Message
	id, err := identifier("message_id", m.ID)
	if err != nil {
		return err
	}
	if it.backend == "" {
		return errors.New("transport is not named")
	}
	a := &arrival{
		text: store.Printable(m.Content), session: string(m.SessionEvent), replyTo: short(m.InReplyTo),
		external: short(e.ExternalID), envelope: e,
		transmission: transmission{
			messageID: id, date: utc(m.Timestamp), month: keyMonth(m.Timestamp, now),
			provider: short(e.ExternalID), app: short(e.Application),
		},
	}
	switch e.Direction {
	case store.Inbound:
		a.wireID = wireID{id, store.Inbound}
		a.AttemptProgress = store.AttemptProgress{Attempt: 1, Progress: store.Received}
		a.address, a.own = m.From, m.To
	case store.Outbound:
		a.wireID = wireID{id, store.Outbound}
		attempt := store.Attempt(m)
		a.AttemptProgress = store.AttemptProgress{Attempt: max(1, attempt), Progress: store.HandedOver}
		if e.Refused != "" {
			a.Progress, a.reason = store.NotHandedOver, store.Printable(e.Refused)
		}
		if attempt > 0 {
			it.handed = a.asUpdate()
		}
		a.address, a.own = m.To, m.From
		if a.replyTo != "" {
			it.updates = append(it.updates, a.replied())
		}
	default:
		return fmt.Errorf("direction is %.10q, not I or O", string(e.Direction))
	}
	if a.address == "" {
		a.address = m.Group
	}
	a.address, a.own = store.Printable(a.address), store.Printable(a.own)
	if len(a.address) > maxAddress {
		return fmt.Errorf("address has %d bytes, more than %d", len(a.address), maxAddress)
	}
	it.arrival = a
	return nil
}

func body(raw []byte, encode func() []byte) string {
	if raw == nil {
		raw = encode()
	}
	return store.Printable(string(raw))
}

// replied is the update of the message that a reply answers.
func (a *arrival) replied() *update {
	return &update{
		wireID: wireID{a.replyTo, store.Inbound}, event: short("reply:" + a.id), progress: store.Replied, at: a.date, app: a.app,
	}
}

func (it *item) fromEvent(e *store.Envelope, now time.Time) error {
	ev := e.Event
	id, err := identifier("event_id", ev.ID)
	if err != nil {
		return err
	}
	about, err := identifier("user_message_id", ev.MessageID)
	if err != nil {
		return err
	}
	progress, reason, err := progressOf(ev)
	if err != nil {
		return err
	}
	it.event = &event{
		wireID: wireID{about, store.Outbound}, id: id, month: keyMonth(ev.Timestamp, now), kind: string(ev.Type),
		status: string(ev.DeliveryStatus), reason: reason, provider: short(ev.SentMessageID), app: short(e.Application),
		date: utc(ev.Timestamp), body: body(e.Body, ev.Encode),
	}
	it.addUpdate(progress)
	it.updates[0].attempt = store.AttemptOf(ev)
	return nil
}

// progressOf is the progress an event stands for, and the reason of an error.
func progressOf(ev *message.Event) (store.Progress, string, error) {
	switch {
	case ev.Type == message.Ack:
		return store.Sent, "", nil
	case ev.Type == message.Nack:
		return store.Refused, reasonOr(ev.NackReason, "nack without a reason"), nil
	case ev.Type == message.DeliveryReport && ev.DeliveryStatus == message.Pending:
		return store.Pending, "", nil
	case ev.Type == message.DeliveryReport && ev.DeliveryStatus == message.Delivered:
		return store.Delivered, "", nil
	case ev.Type == message.DeliveryReport && ev.DeliveryStatus == message.Failed:
		return store.Undelivered, failure(ev), nil
	}
	return 0, "", fmt.Errorf("event is a %.40q of status %.40q", ev.Type, ev.DeliveryStatus)
}

// failure is the reason of a failed report, as Vumi's transports write it.
func failure(ev *message.Event) string {
	extra := ev.Extra()
	code, text := extra.Text("failure_code"), extra.Text("failure_reason")
	switch {
	case code != "" && text != "":
		return store.Printable(code + ": " + text)
	case code != "" || text != "":
		return store.Printable(code + text)
	}
	return "delivery failed"
}

func reasonOr(reason, otherwise string) string {
	if reason == "" {
		return otherwise
	}
	return store.Printable(reason)
}

func (it *item) fromReceipt(e *store.Envelope, now time.Time) error {
	r := e.Receipt
	about, err := identifier("the receipt's message_id", r.MessageID)
	if err != nil {
		return err
	}
	id := r.ID
	if id == "" {
		id = "receipt:" + r.MessageID + ":" + r.Application + ":" + string(r.Outcome)
	}
	at := utc(r.Timestamp)
	if r.Timestamp.IsZero() {
		at = utc(now)
	}
	ev := &event{
		wireID: wireID{about, store.Inbound}, id: short(id), month: keyMonth(at, now), kind: string(r.Outcome),
		app: short(r.Application), date: at, body: body(e.Body, func() []byte { return nil }),
	}
	it.event = ev
	switch r.Outcome {
	case store.OutcomeProcessed:
		ev.reason = store.Printable(r.Reason)
		it.addUpdate(store.Processed)
	case store.OutcomeErrored:
		ev.reason = reasonOr(r.Reason, "the application failed without a reason")
		it.addUpdate(store.Errored)
	case store.OutcomeDeleted:
		ev.direction = store.Outbound
		ev.reason = reasonOr(r.Reason, "deleted without a reason")
		it.addUpdate(store.Deleted)
	default:
		return fmt.Errorf("receipt's outcome is %.40q, not processed, errored or deleted", string(r.Outcome))
	}
	return nil
}

// addUpdate adds the update of the item's event.
func (it *item) addUpdate(progress store.Progress) {
	ev := it.event
	it.updates = append(it.updates, &update{
		wireID: ev.wireID, event: ev.id, progress: progress, at: ev.date, reason: ev.reason, prov: ev.provider, app: ev.app,
	})
}
