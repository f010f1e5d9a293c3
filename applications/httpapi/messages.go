package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	"switchboard/worker"
)

// outgoing is a message to a person, as a request or the webhook's answer has it.
type outgoing struct {
	To           string `json:"to"`
	From         string `json:"from"`
	Content      string `json:"content"`
	ReplyTo      string `json:"reply_to"`      // the id of the message it answers
	SessionEvent string `json:"session_event"` // close ends the session
	Transport    string `json:"transport"`
	Endpoint     string `json:"endpoint"`
	// Metadata is added to the message's helper_metadata.
	Metadata map[string]json.RawMessage `json:"metadata"`
	// SendAt makes it a scheduled message: a broadcast to one person.
	SendAt *time.Time `json:"send_at"`
}

const (
	// maxMessages is how many messages a request may have.
	maxMessages = 100
	maxAddress  = 255 // bytes
	maxContent  = 64 << 10
)

func (o *outgoing) check() error {
	invalid := func(field, format string, args ...any) error {
		return problems.invalid.with(fmt.Sprintf(format, args...)).at("/" + field)
	}
	switch {
	case o.To == "" && o.ReplyTo == "":
		return invalid("to", "to or reply_to is missing")
	case o.SendAt != nil && (o.ReplyTo != "" || o.Transport == "" || o.SessionEvent != "" || o.Metadata != nil):
		return invalid("send_at", "a scheduled message has to, transport and content, and may have from and endpoint")
	case o.ReplyTo != "" && (o.To != "" || o.From != "" || o.Transport != "" || o.Endpoint != ""):
		return invalid("reply_to", "a reply goes where its message came from: leave out to, from, transport and endpoint")
	case len(o.To) > maxAddress || len(o.From) > maxAddress:
		return invalid("to", "an address may have %d bytes", maxAddress)
	case len(o.Content) > maxContent:
		return invalid("content", "a text may have %d bytes", maxContent)
	case o.Content == "" && o.SessionEvent != string(message.SessionClose):
		return invalid("content", "content is missing")
	case o.SessionEvent != "" && o.SessionEvent != string(message.SessionResume) && o.SessionEvent != string(message.SessionClose):
		return invalid("session_event", "is %.20q, not resume or close", o.SessionEvent)
	}
	return nil
}

// readMessages reads one message or an array of them.
func readMessages(body []byte) (list []outgoing, many bool, err error) {
	if many = bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")); many {
		err = decode(body, &list)
	} else {
		list = make([]outgoing, 1)
		err = decode(body, &list[0])
	}
	switch {
	case err != nil:
		return nil, many, err
	case len(list) == 0 || len(list) > maxMessages:
		return nil, many, problems.invalid.with(fmt.Sprintf("an array has 1 to %d messages; a broadcast has any number of recipients", maxMessages))
	}
	for i := range list {
		if err := inMany(list[i].check(), many, i); err != nil {
			return nil, many, err
		}
	}
	return list, many, nil
}

// inMany says which of several messages an error is about.
func inMany(err error, many bool, i int) error {
	if p, is := errors.AsType[*problem](err); is && many {
		return p.at("/" + strconv.Itoa(i) + p.Pointer)
	}
	return err
}

// accepted is a message that the broker has.
type accepted struct {
	ID        string `json:"id"`
	Broadcast int64  `json:"broadcast,omitempty"` // of a scheduled message
}

// postMessages sends one message or several: all of them are valid, or none is sent.
func (r *run) postMessages(q *request) (any, error) {
	list, many, err := readMessages(q.body)
	if err != nil {
		return nil, err
	}
	if err := q.client.spend(len(list)); err != nil {
		return nil, err
	}
	scheduled := slices.ContainsFunc(list, func(o outgoing) bool { return o.SendAt != nil })
	if scheduled && !slices.Contains(q.client.scopes, scopeBroadcast) {
		return nil, problems.forbidden.with("a scheduled message needs the scope broadcast")
	}
	return r.once(q, func(ctx context.Context, name *namer) (any, error) {
		if scheduled {
			if err := name.unrepeatable(); err != nil {
				return nil, err
			}
		}
		messages, err := r.composeAll(ctx, name, list, many)
		if err != nil {
			return nil, err
		}
		answers := make([]accepted, len(list))
		if scheduled {
			if err := name.storing(r.scheduleAll(ctx, list, many, answers)); err != nil {
				return nil, err
			}
		}
		name.begun = true
		for i, m := range messages {
			if m == nil {
				continue
			}
			answers[i].ID = m.ID
			if err := r.send(ctx, m); err != nil {
				return nil, inMany(err, many, i)
			}
		}
		if !many {
			return answers[0], nil
		}
		return answers, nil
	})
}

// composeAll makes the messages that are sent at once; those that are scheduled are nil.
func (r *run) composeAll(ctx context.Context, name *namer, list []outgoing, many bool) ([]*message.Message, error) {
	messages := make([]*message.Message, len(list))
	for i := range list {
		if list[i].SendAt != nil {
			continue
		}
		m, err := r.compose(ctx, &list[i], nil)
		if err != nil {
			return nil, inMany(err, many, i)
		}
		name.name(m, i)
		if err := r.queues.CheckSize(m); err != nil {
			return nil, inMany(problems.invalid.with(err.Error()), many, i)
		}
		messages[i] = m
	}
	return messages, nil
}

// compose makes the message. known is one that may be replied to; others are looked up.
func (r *run) compose(ctx context.Context, o *outgoing, known *message.Message) (m *message.Message, err error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.ReplyTo == "" {
		m = message.New()
		m.To, m.From, m.Content, m.TransportName = o.To, o.From, o.Content, o.Transport
		if o.Endpoint != "" {
			m.SetEndpoint(o.Endpoint)
		}
		if o.Transport != "" {
			err = r.checkTransport(o.Transport)
		}
	} else {
		if known == nil || known.ID != o.ReplyTo {
			known, err = r.recall(ctx, o.ReplyTo)
		} else {
			err = r.checkSession(ctx, known)
		}
		if err == nil {
			m = known.Reply(o.Content)
		}
	}
	if err != nil {
		return nil, err
	}
	m.SessionEvent = message.SessionEvent(o.SessionEvent)
	for key, value := range o.Metadata {
		m.HelperMetadata.Set(key, value)
	}
	return m, nil
}

func (r *run) checkTransport(name string) error {
	if len(r.ChannelNames) == 0 {
		if err := worker.CheckConnector(name); err != nil {
			return problems.invalid.with(err.Error()).at("/transport")
		}
		return nil
	}
	if !slices.Contains(r.ChannelNames, name) {
		return problems.invalid.with(fmt.Sprintf("transport is %.40q%s; GET /channels lists them", name, options.DidYouMean(name, r.ChannelNames))).at("/transport")
	}
	return nil
}

// send returns when the broker has the message.
func (r *run) send(ctx context.Context, m *message.Message) error {
	err := r.out.Send(ctx, m)
	if message.IsPermanent(err) {
		return problems.invalid.with(err.Error())
	}
	if err == nil && m.SessionEvent == message.SessionClose && m.InReplyTo != "" {
		back := *m
		back.From, back.To = m.To, m.From
		if err := r.closeSession(ctx, &back); err != nil { // it is sent all the same
			r.complain.Do(func() {
				r.log.Warn("the end of a session is not remembered; a later reply in it is not refused", "message_id", m.ID, "error", err)
			})
		}
	}
	return err
}

// recorded is a message as the record has it.
type recorded struct {
	ID           string     `json:"id"`
	Direction    string     `json:"direction"` // in or out
	State        string     `json:"state"`     // queued, processed, passing, sent, delivered or error
	Progress     string     `json:"progress"`
	Reason       string     `json:"reason,omitempty"`
	Transport    string     `json:"transport"`
	Address      string     `json:"address"`
	OwnAddress   string     `json:"own_address,omitempty"`
	Content      string     `json:"content"`
	SessionEvent string     `json:"session_event,omitempty"`
	InReplyTo    string     `json:"in_reply_to,omitempty"`
	ProviderID   string     `json:"provider_id,omitempty"`
	Broadcast    int64      `json:"broadcast,omitempty"`
	Date         time.Time  `json:"date"`
	Sent         *time.Time `json:"sent,omitempty"`
	Delivered    *time.Time `json:"delivered,omitempty"`
	Events       []event    `json:"events,omitempty"` // of one that is asked for by its id
}

// stateWords are the record's letters in words.
var stateWords = map[store.Status]string{
	store.StatusQueued: "queued", store.StatusProcessed: "processed", store.StatusPassing: "passing",
	store.StatusSent: "sent", store.StatusDelivered: "delivered", store.StatusError: "error",
}

var directions = map[store.Direction]string{store.Inbound: "in", store.Outbound: "out"}

func recordedOf(m *store.Record) recorded {
	some := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	return recorded{
		ID: m.ID, Direction: directions[m.Direction], State: stateWords[m.Status], Progress: m.Progress, Reason: m.Reason, Transport: m.Backend,
		Address: m.Address, OwnAddress: m.OwnAddress, Content: m.Text, SessionEvent: m.SessionEvent, InReplyTo: m.InResponseTo,
		ProviderID: m.ProviderID, Broadcast: m.Broadcast, Date: m.Date, Sent: some(m.Sent), Delivered: some(m.Delivered),
	}
}

// isOwn says whether a recorded message is this application's.
func (r *run) isOwn(ctx context.Context, m *store.Record) (bool, error) {
	if m.Broadcast != 0 {
		return r.ownsBroadcast(ctx, m.Broadcast)
	}
	return m.Application == r.connector || m.Application == "" && m.Backend == r.connector, nil
}

// getMessage is a message of the application's, with what became of it.
func (r *run) getMessage(q *request) (any, error) {
	if err := q.client.spend(1); err != nil {
		return nil, err
	}
	if r.env.Record == nil {
		return nil, errNoRecord
	}
	id := q.PathValue("id")
	unknown := problems.notFound.with("the record has no message of this id of this application; it takes a moment to be recorded")
	trace, err := r.env.Record.Trace(q.Context(), id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, unknown
	}
	if err != nil {
		return nil, err
	}
	for i := range trace.Records {
		m := &trace.Records[i]
		if m.ID != id && m.MessageID != id {
			continue
		}
		own, err := r.isOwn(q.Context(), m)
		if err != nil {
			return nil, err
		}
		if !own {
			continue
		}
		found := recordedOf(m)
		for _, step := range trace.Steps {
			if e := step.Event; e != nil && e.MessageID == m.ID {
				found.Events = append(found.Events, event{
					ID: e.ID, MessageID: e.MessageID, Type: e.Type, Status: e.Status, Reason: e.Reason, ProviderID: e.ProviderID,
					Transport: e.Backend, Date: e.Date,
				})
			}
		}
		return found, nil
	}
	return nil, unknown
}

const (
	defaultPage = 50
	maxPage     = 500
)

// page is a part of a search.
type page struct {
	Messages []recorded `json:"messages"`
	// Next is the cursor of the next page; empty on the last.
	Next string `json:"next,omitempty"`
}

// searchMessages finds messages of the application's, the newest first.
func (r *run) searchMessages(q *request) (any, error) {
	if err := q.client.spend(1); err != nil {
		return nil, err
	}
	if r.env.Record == nil {
		return nil, errNoRecord
	}
	f, err := readFilter(q)
	if err != nil {
		return nil, err
	}
	if f.Broadcast == 0 {
		f.Application = r.connector
	} else if own, err := r.ownsBroadcast(q.Context(), f.Broadcast); err != nil || !own {
		return page{Messages: []recorded{}}, err
	}
	found, last, limit := page{Messages: []recorded{}}, "", f.Limit
	f.Limit++
	for m, err := range r.env.Record.Messages(q.Context(), f) {
		if err != nil {
			return nil, err
		}
		if len(found.Messages) == limit {
			found.Next = last
			break
		}
		found.Messages = append(found.Messages, recordedOf(&m))
		last = m.Cursor()
	}
	return found, nil
}

func readFilter(q *request) (f store.Filter, err error) {
	f.Limit = defaultPage
	for name, values := range q.URL.Query() {
		value := values[0]
		wrong := func(what string) error {
			return problems.invalid.with(fmt.Sprintf("%s is %.40q, not %s", name, value, what))
		}
		switch name {
		case "address":
			f.Address = value
		case "transport":
			f.Backend = value
		case "text":
			f.Text = value
		case "cursor":
			if f.Cursor = value; f.Check() != nil {
				err = wrong("one that a search gave")
			}
		case "state":
			if f.Status = keyOf(stateWords, value); f.Status == "" {
				err = wrong("queued, processed, passing, sent, delivered or error")
			}
		case "direction":
			if f.Direction = keyOf(directions, value); f.Direction == "" {
				err = wrong("in or out")
			}
		case "since", "until":
			var at time.Time
			if at, err = time.Parse(time.RFC3339, value); err != nil {
				err = wrong("a time such as 2026-01-31T12:00:00Z")
			}
			if name == "since" {
				f.Since = at
			} else {
				f.Until = at
			}
		case "broadcast":
			if f.Broadcast, err = strconv.ParseInt(value, 10, 64); err != nil || f.Broadcast < 1 {
				err = wrong("a broadcast's id")
			}
		case "limit":
			if f.Limit, err = strconv.Atoi(value); err != nil || f.Limit < 1 || f.Limit > maxPage {
				err = wrong("a number from 1 to " + strconv.Itoa(maxPage))
			}
		default:
			err = problems.invalid.with(fmt.Sprintf("there is no parameter %.40q", name))
		}
		if err != nil {
			return f, err
		}
	}
	return f, nil
}

func keyOf[K ~string](words map[K]string, word string) K {
	for key, value := range words {
		if value == strings.ToLower(word) {
			return key
		}
	}
	return ""
}
