package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math"
	"strconv"
	"time"

	"switchboard/message"
	"switchboard/store"
)

// newBroadcast is one text to many, as a request has it.
type newBroadcast struct {
	Name       string      `json:"name"`
	Transport  string      `json:"transport"`
	From       string      `json:"from"`
	Content    string      `json:"content"` // may have personal fields: Hi {{name}}
	Endpoint   string      `json:"endpoint"`
	Recipients []recipient `json:"recipients"`
	SendAt     *time.Time  `json:"send_at"`
	Rate       float64     `json:"rate"` // messages a second at most; 0 is no limit
}

// recipient is an address, alone or with personal fields.
type recipient struct {
	Address string            `json:"address"`
	Fields  map[string]string `json:"fields"`
}

// UnmarshalJSON reads an address, or an object.
func (r *recipient) UnmarshalJSON(text []byte) error {
	if json.Unmarshal(text, &r.Address) == nil {
		return nil
	}
	type object recipient
	return decode(text, (*object)(r))
}

func (b *newBroadcast) check() error {
	invalid := func(field, what string) error { return problems.invalid.with(what).at("/" + field) }
	switch {
	case b.Content == "" || len(b.Content) > maxContent:
		return invalid("content", fmt.Sprintf("content must have 1 to %d bytes", maxContent))
	case b.Transport == "":
		return invalid("transport", "transport is missing: a broadcast goes to one of the channels")
	case len(b.Recipients) == 0:
		return invalid("recipients", "recipients is missing")
	case len(b.From) > maxAddress:
		return invalid("from", fmt.Sprintf("an address may have %d bytes", maxAddress))
	}
	for i, to := range b.Recipients {
		if to.Address == "" || len(to.Address) > maxAddress {
			return invalid("recipients/"+strconv.Itoa(i), fmt.Sprintf("an address must have 1 to %d bytes", maxAddress))
		}
	}
	return nil
}

func (b *newBroadcast) all() iter.Seq2[store.Recipient, error] {
	return func(yield func(store.Recipient, error) bool) {
		for _, to := range b.Recipients {
			if !yield(store.Recipient{Address: store.Address{Backend: b.Transport, Identity: to.Address}, Fields: to.Fields}, nil) {
				return
			}
		}
	}
}

// ownKey is where it is kept that a broadcast is this application's: the newest has the first
// of these keys.
func ownKey(id int64) string { return fmt.Sprintf("%s%019d", ownPrefix, math.MaxInt64-id) }

const ownPrefix = "broadcast/"

const maxBroadcasts = 500 // that are listed

func (r *run) ownsBroadcast(ctx context.Context, id int64) (bool, error) {
	found, err := r.state.Get(ctx, ownKey(id))
	return len(found) > 0, err
}

// created is a broadcast that is stored.
type created struct {
	ID         int64 `json:"id"`
	Total      int64 `json:"total"`
	Duplicates int64 `json:"duplicates"`
	OptedOut   int64 `json:"opted_out"`

	messageID string
}

// broadcast stores a broadcast, which the persistence workers hand over.
func (r *run) broadcast(ctx context.Context, b *newBroadcast) (created, error) {
	if r.env.Record == nil {
		return created{}, errNoRecord
	}
	if err := r.checkTransport(b.Transport); err != nil {
		return created{}, err
	}
	wanted := store.Broadcast{Name: b.Name, Text: b.Content, From: b.From, Endpoint: b.Endpoint, Rate: b.Rate}
	if b.SendAt != nil {
		wanted.Start = *b.SendAt
	}
	made, err := r.env.Record.Create(ctx, wanted, b.all())
	if errors.Is(err, store.ErrNoRecipients) {
		return created{}, problems.invalid.with(fmt.Sprintf("no recipient is left: %d opted out", made.OptedOut)).at("/recipients")
	}
	if message.IsPermanent(err) {
		return created{}, problems.invalid.with(err.Error())
	}
	if err == nil { // from now on it is sent
		ctx, cancel := outlast(ctx)
		defer cancel()
		err = r.state.Set(ctx, store.Entry{Key: ownKey(made.ID), Value: b.Name})
	}
	return created{made.ID, made.Total, made.Duplicates, made.OptedOut, made.MessageID}, err
}

var errNoRecord = problems.noRecord.with("set DATABASE_URL, and run a worker of class persistence")

func (r *run) postBroadcast(q *request) (any, error) {
	var b newBroadcast
	err := decode(q.body, &b)
	if err == nil {
		err = b.check()
	}
	if err == nil {
		err = q.client.spend(1)
	}
	if err != nil {
		return nil, err
	}
	return r.once(q, func(ctx context.Context, name *namer) (any, error) {
		if err := name.unrepeatable(); err != nil {
			return nil, err
		}
		made, err := r.broadcast(ctx, &b)
		return made, name.storing(err)
	})
}

// scheduleAll stores those of several messages that are to be sent later, or none of them.
func (r *run) scheduleAll(ctx context.Context, list []outgoing, many bool, answers []accepted) error {
	for i := range list {
		if list[i].SendAt == nil {
			continue
		}
		made, err := r.schedule(ctx, &list[i])
		if err != nil {
			if failed := r.cancelAll(ctx, answers[:i]); failed != nil {
				return failed
			}
			return inMany(err, many, i)
		}
		answers[i] = made
	}
	return nil
}

func (r *run) cancelAll(ctx context.Context, scheduled []accepted) error {
	ctx, cancel := outlast(ctx)
	defer cancel()
	for _, one := range scheduled {
		if one.Broadcast == 0 {
			continue
		}
		if err := r.env.Record.Cancel(ctx, one.Broadcast); err != nil {
			return fmt.Errorf("cancelling a message that was scheduled with one that is not valid: %w", err)
		}
	}
	return nil
}

// schedule stores a message that is to be sent later, as a broadcast to one.
func (r *run) schedule(ctx context.Context, o *outgoing) (accepted, error) {
	made, err := r.broadcast(ctx, &newBroadcast{
		Name: "scheduled message", Transport: o.Transport, From: o.From, Content: o.Content, Endpoint: o.Endpoint,
		Recipients: []recipient{{Address: o.To}}, SendAt: o.SendAt,
	})
	return accepted{ID: made.messageID, Broadcast: made.ID}, err
}

// broadcastInfo is a broadcast with its progress.
type broadcastInfo struct {
	ID        int64     `json:"id"`
	Name      string    `json:"name,omitempty"`
	Content   string    `json:"content"`
	State     string    `json:"state"` // running, paused, cancelled, done, scheduled, retrying or handed over
	Start     time.Time `json:"start"`
	Total     int64     `json:"total"`
	Open      int64     `json:"open"` // neither sent nor given up
	Sent      int64     `json:"sent"`
	Delivered int64     `json:"delivered"`
	Error     int64     `json:"error"`
}

func (r *run) info(ctx context.Context, id int64) (*broadcastInfo, error) {
	i, err := r.env.Record.Broadcast(ctx, id)
	if err != nil {
		return nil, err
	}
	return infoOf(i), nil
}

func infoOf(i *store.BroadcastInfo) *broadcastInfo {
	return &broadcastInfo{
		ID: i.ID, Name: i.Name, Content: i.Text, State: i.Phase(time.Now()), Start: i.Start,
		Total: i.Total, Open: i.Open, Sent: i.Sent, Delivered: i.Delivered, Error: i.Error,
	}
}

// own is the id of a broadcast of the application's, from the request's path.
func (r *run) own(q *request) (int64, error) {
	if err := q.client.spend(1); err != nil {
		return 0, err
	}
	if r.env.Record == nil {
		return 0, errNoRecord
	}
	id, err := strconv.ParseInt(q.PathValue("id"), 10, 64)
	if err == nil {
		var own bool
		if own, err = r.ownsBroadcast(q.Context(), id); own || err != nil {
			return id, err
		}
	}
	return 0, problems.notFound.with("the application has no broadcast of this id")
}

func (r *run) getBroadcast(q *request) (any, error) {
	id, err := r.own(q)
	if err != nil {
		return nil, err
	}
	return r.info(q.Context(), id)
}

// controlBroadcast pauses, resumes or cancels a broadcast.
func (r *run) controlBroadcast(q *request) (any, error) {
	id, err := r.own(q)
	if err != nil {
		return nil, err
	}
	do, known := map[string]func(context.Context, int64) error{
		"pause": r.env.Record.Pause, "resume": r.env.Record.Resume, "cancel": r.env.Record.Cancel,
	}[q.PathValue("action")]
	if !known {
		return nil, problems.notFound.with("a broadcast has pause, resume and cancel")
	}
	if err := do(q.Context(), id); err != nil {
		return nil, err
	}
	return r.info(q.Context(), id)
}

// listBroadcasts are the newest of the application's.
func (r *run) listBroadcasts(q *request) (any, error) {
	if err := q.client.spend(1); err != nil {
		return nil, err
	}
	if r.env.Record == nil {
		return nil, errNoRecord
	}
	own, err := r.state.Range(q.Context(), ownPrefix, ownPrefix+"\xff", maxBroadcasts)
	if err != nil {
		return nil, err
	}
	ids := make([]int64, 0, len(own))
	for _, e := range own {
		if n, err := strconv.ParseInt(e.Key[len(ownPrefix):], 10, 64); err == nil {
			ids = append(ids, math.MaxInt64-n)
		}
	}
	list := []*broadcastInfo{}
	if len(ids) == 0 {
		return map[string]any{"broadcasts": list}, nil
	}
	all, err := r.env.Record.List(q.Context(), maxBroadcasts, ids...)
	for i := range all {
		list = append(list, infoOf(&all[i]))
	}
	return map[string]any{"broadcasts": list}, err
}
