package http

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sync/singleflight"

	"switchboard/message"
	"switchboard/store"
	"switchboard/transports"
)

// memory is what a channel remembers in the state store, which its replicas share. Of
// a message that was sent it remembers each attempt, by its attemptID:
//
//	in/<key>              a message from a person that the broker has, or a part of one
//	m/<attempt id>        what was sent, by our own identifier
//	id/<provider's id>    what was sent, by the provider's
//	early/<ref>/<status>  a receipt that came before its message was known
//	rc/<ref>/<key>        a receipt that was reported: the provider's id in it
//	of/<attempt id>       how many parts are delivered; n/<attempt id>: of how many
//	did/<attempt id>      the provider's ids of the parts that were sent so far
//	unk/<attempt id>      since when it is unknown whether the message was sent
//	cursor/<number>       where polling goes on
//	concat/<key>/<part>   parts of long messages
type memory struct {
	state      *store.Batcher
	options    *Transport
	deliveries *transports.Deliveries // while the channel runs
	flights    singleflight.Group     // of messages that parts make
	unreported chan struct{}          // wakes who reports early receipts that could not be
}

// sentMessage is what is remembered of a message that was sent.
type sentMessage struct {
	ID      string          `json:"i"`
	Routing json.RawMessage `json:"r,omitempty"`
	Part    int             `json:"p,omitempty"` // of several, from 1
	Parts   int             `json:"n,omitempty"`
	To      string          `json:"t,omitempty"`
}

func remembered(m *message.Message, part, parts int) sentMessage {
	s := sentMessage{ID: m.ID, To: m.To}
	if m.RoutingMetadata.Len() > 0 {
		s.Routing = json.RawMessage(m.RoutingMetadata.String())
	}
	if parts > 1 {
		s.Part, s.Parts = part, parts
	}
	return s
}

// message is what an event about s needs of it.
func (s sentMessage) message() *message.Message {
	m := &message.Message{ID: s.ID}
	if len(s.Routing) > 0 {
		_ = m.RoutingMetadata.UnmarshalJSON(s.Routing) // was JSON when it was stored
	}
	return m
}

// attemptID is our own identifier of one attempt at a message: the attempts of a
// broadcast at it share the message's.
func attemptID(m *message.Message) string {
	if attempt := store.Attempt(m); attempt > 1 {
		return m.ID + "-" + strconv.Itoa(attempt)
	}
	return m.ID
}

func (s sentMessage) entry(key string, ttl time.Duration) store.Entry {
	value, _ := json.Marshal(s) // texts and numbers: cannot fail
	return store.Entry{Key: key, Value: string(value), TTL: ttl}
}

// hashed keeps keys short, whatever the outside calls its things.
func hashed(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// receipt is what a provider says became of a message.
type receipt struct {
	ID      string                 `json:"id,omitempty"`
	Message string                 `json:"m,omitempty"`
	Status  message.DeliveryStatus `json:"s"`
	Word    string                 `json:"w"`
	Code    string                 `json:"c,omitempty"`
	Reason  string                 `json:"r,omitempty"`
	Class   Class                  `json:"k,omitempty"`
	Replay  string                 `json:"y,omitempty"`
	Parts   int                    `json:"n,omitempty"`
	Time    time.Time              `json:"t,omitzero"`
}

func (r *receipt) ref() string {
	if r.Message != "" {
		return "m/" + r.Message
	}
	return "id/" + r.ID
}

// reporter publishes what a receipt says of a message.
type reporter func(context.Context, sentMessage, *receipt) error

// take reports a receipt, or holds it until its message is known.
func (m *memory) take(ctx context.Context, r *receipt, report reporter) error {
	ref := r.ref()
	found, err := m.state.Get(ctx, ref)
	if err != nil {
		return err
	}
	value, known := found[ref]
	if !known {
		held, _ := json.Marshal(r) // texts and numbers: cannot fail
		early := store.Entry{Key: "early/" + ref + "/" + string(r.Status), Value: string(held), TTL: m.options.HeldReceiptExpiry.Std()}
		if err := m.state.Set(ctx, early); err != nil {
			return err
		}
		// Its message may have become known meanwhile; its sender looks after that.
		if found, err = m.state.Get(ctx, ref); err != nil || found[ref] == "" {
			return err
		}
		value = found[ref]
	}
	var sent sentMessage
	if err := json.Unmarshal([]byte(value), &sent); err != nil {
		return nil // not ours
	}
	return m.report(ctx, ref, sent, r, report)
}

func (m *memory) report(ctx context.Context, ref string, sent sentMessage, r *receipt, report reporter) error {
	key := "rc/" + ref + "/" + cmp.Or(r.Replay, hashed(string(r.Status), r.Word, r.Code, r.ID))
	reported := store.Entry{Key: key, Value: r.ID, TTL: m.options.ThirdPartyIDExpiry.Std()}
	_, err := m.deliveries.Once(ctx, reported, func(ctx context.Context, unsure error) error {
		if unsure != nil {
			return unsure // it would count a part twice
		}
		whole, err := m.whole(ctx, sent, r)
		if err != nil || !whole {
			return err
		}
		return report(ctx, sent, r)
	})
	return err
}

// whole says whether a receipt speaks of the whole message: delivered it is when
// all of its parts are.
func (m *memory) whole(ctx context.Context, sent sentMessage, r *receipt) (bool, error) {
	id, ttl := attemptID(sent.message()), m.options.ThirdPartyIDExpiry.Std()
	if r.Parts > 1 && r.Status == message.Pending {
		return true, m.state.Set(ctx, store.Entry{Key: "n/" + id, Value: strconv.Itoa(r.Parts), TTL: ttl})
	}
	if r.Status != message.Delivered {
		return true, nil
	}
	parts := max(sent.Parts, r.Parts)
	if r.Replay != "" { // the only receipts that come for each part under one id
		found, err := m.state.Get(ctx, "n/"+id)
		if err != nil {
			return false, err
		}
		n, _ := strconv.Atoi(found["n/"+id])
		parts = max(parts, n)
	}
	if parts < 2 {
		return true, nil
	}
	n, err := m.state.Increment(ctx, "of/"+id, 1, ttl)
	return n >= int64(parts), err
}

// remember stores what was sent under the provider's id, and reports what came
// for it before. What cannot be reported is left to reportEarly.
func (m *memory) remember(ctx context.Context, id string, sent sentMessage, report reporter) error {
	ref := "id/" + id
	if err := m.state.Set(ctx, sent.entry(ref, m.options.ThirdPartyIDExpiry.Std())); err != nil {
		return err
	}
	early := []string{
		"early/" + ref + "/" + string(message.Pending), "early/" + ref + "/" + string(message.Failed), "early/" + ref + "/" + string(message.Delivered),
	}
	found, err := m.state.Get(ctx, early...)
	if err != nil {
		return err
	}
	for _, key := range early {
		var r receipt
		if value, there := found[key]; there && json.Unmarshal([]byte(value), &r) == nil {
			if err := m.report(ctx, ref, sent, &r, report); err != nil {
				select {
				case m.unreported <- struct{}{}:
				default:
				}
				return err
			}
		}
	}
	return nil
}

// earlyMany is how many early receipts are looked at together.
const earlyMany = 500

// reportEarly reports the early receipts whose messages are known by now: reporting
// failed, or the process died, when they became known.
func (m *memory) reportEarly(ctx context.Context, report reporter) error {
	for from := "early/"; ; {
		early, err := m.state.Range(ctx, from, "early0", earlyMany)
		if err != nil {
			return err
		}
		for _, entry := range early {
			var r receipt
			var sent sentMessage
			if json.Unmarshal([]byte(entry.Value), &r) != nil {
				continue // not ours
			}
			ref := r.ref()
			found, err := m.state.Get(ctx, ref)
			if err != nil {
				return err
			}
			if json.Unmarshal([]byte(found[ref]), &sent) != nil {
				continue // not known yet
			}
			if err := errors.Join(m.report(ctx, ref, sent, &r, report), m.state.Delete(ctx, entry.Key)); err != nil {
				return err
			}
		}
		if len(early) < earlyMany {
			return nil
		}
		from = early[len(early)-1].Key + "0"
	}
}
