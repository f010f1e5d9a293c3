package sqlstore

import (
	"errors"
	"fmt"
	"time"

	"switchboard/message"
	"switchboard/store"
)

// What is longer is no identifier, and would not fit an index.
const (
	maxID      = 255
	maxAddress = 1000
)

// wireID is how a transmission is known on the wireID.
type wireID struct {
	id        string
	direction store.Direction
}

// item is an envelope made ready for the tables.
type item struct {
	index   int
	backend string // its name
	arrival *arrival
	// handed is what a broadcast's message says of its transmission, which was
	// stored before it was sent: there is no row to insert.
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

// body is the message as it travelled.
func (a *arrival) body() string { return body(a.envelope.Body, a.envelope.Message.Encode) }

// transmission is a row of that table.
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

// event is a row of that table.
type event struct {
	wireID    // of the message it is about
	id        string
	name      string // under which it is stored: its id, unless another has that
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

// update is what an envelope says of a transmission that may be there or not.
type update struct {
	wireID
	event   string // a name of its own, under which it waits for its message
	backend int64  // 0 is any
	fact    store.Progress
	attempt int // 0 is the present one
	at      time.Time
	month   int64 // the transmission's, where it is known
	reason  string
	prov    string
	app     string
	applied bool
}

// newItem checks an envelope.
func newItem(index int, e *store.Envelope, now time.Time) (*item, error) {
	it := &item{index: index, backend: store.Printable(e.Backend)}
	if len(it.backend) > maxID {
		return nil, fmt.Errorf("transport's name has %d bytes, more than %d", len(it.backend), maxID)
	}
	switch {
	case e.Message != nil:
		return it, it.message(e, now)
	case e.Event != nil:
		return it, it.outcome(e, now)
	case e.Receipt != nil:
		return it, it.receipt(e, now)
	}
	return nil, errors.New("envelope is empty")
}

func identifier(what, id string) (string, error) {
	id = store.Printable(id)
	if id == "" {
		return "", fmt.Errorf("%s is empty", what)
	}
	if len(id) > maxID {
		return "", fmt.Errorf("%s has %d bytes, more than %d", what, len(id), maxID)
	}
	return id, nil
}

// short cuts what is too long for an index; all of it is in the body.
func short(text string) string {
	if text = store.Printable(text); len(text) > maxID {
		return store.Printable(text[:maxID])
	}
	return text
}

func (it *item) message(e *store.Envelope, now time.Time) error {
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
		if attempt > 0 {
			it.handed = a.asUpdate()
		}
		a.address, a.own = m.To, m.From
		if a.replyTo != "" {
			it.updates = append(it.updates, a.answers())
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

// answers is what a reply says of the message it answers.
func (a *arrival) answers() *update {
	return &update{
		wireID: wireID{a.replyTo, store.Inbound}, event: short("reply:" + a.id), fact: store.Replied, at: a.date, app: a.app,
	}
}

func (it *item) outcome(e *store.Envelope, now time.Time) error {
	ev := e.Event
	id, err := identifier("event_id", ev.ID)
	if err != nil {
		return err
	}
	about, err := identifier("user_message_id", ev.MessageID)
	if err != nil {
		return err
	}
	fact, reason, err := progressOf(ev)
	if err != nil {
		return err
	}
	it.event = &event{
		wireID: wireID{about, store.Outbound}, id: id, month: keyMonth(ev.Timestamp, now), kind: string(ev.Type),
		status: string(ev.DeliveryStatus), reason: reason, provider: short(ev.SentMessageID), app: short(e.Application),
		date: utc(ev.Timestamp), body: body(e.Body, ev.Encode),
	}
	it.says(fact)
	it.updates[0].attempt = store.AttemptOf(ev)
	return nil
}

// progressOf is what an event makes known, with the reason of an error.
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

// failure is a failed report's reason, as Vumi's transports give it.
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

func (it *item) receipt(e *store.Envelope, now time.Time) error {
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
		it.says(store.Processed)
	case store.OutcomeErrored:
		ev.reason = reasonOr(r.Reason, "the application failed without a reason")
		it.says(store.Errored)
	default:
		return fmt.Errorf("receipt's outcome is %.40q, not processed or errored", string(r.Outcome))
	}
	return nil
}

// says turns the item's event into a update.
func (it *item) says(fact store.Progress) {
	ev := it.event
	it.updates = append(it.updates, &update{
		wireID: ev.wireID, event: ev.id, fact: fact, at: ev.date, reason: ev.reason, prov: ev.provider, app: ev.app,
	})
}
