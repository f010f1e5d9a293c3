package xmpp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"switchboard/message"
	"switchboard/store"
	"switchboard/transports"
	"switchboard/xmpp"
)

// row is what is remembered of a message that was sent, under its stanza's id.
type row struct {
	ID         string                 `json:"m"`
	To         string                 `json:"to"`             // bare
	Routing    json.RawMessage        `json:"r,omitempty"`    // routing_metadata
	Accepted   bool                   `json:"ok,omitempty"`   // the server has it
	Unanswered time.Time              `json:"since,omitzero"` // since when nobody knows
	Final      message.DeliveryStatus `json:"f,omitempty"`    // what was reported last
	Refused    string                 `json:"no,omitempty"`   // why, when a bounce came while nobody knew
}

func newRow(m *message.Message, to xmpp.JID) row {
	r := row{ID: m.ID, To: to.String()}
	if m.RoutingMetadata.Len() > 0 {
		r.Routing = json.RawMessage(m.RoutingMetadata.String())
	}
	return r
}

func (r *row) message() *message.Message {
	m := &message.Message{ID: r.ID}
	if len(r.Routing) > 0 {
		_ = m.RoutingMetadata.UnmarshalJSON(r.Routing) // was JSON when it was stored
	}
	return m
}

// sent remembers what was sent, so that receipts and errors find their messages: days
// later, in another process, and in any order.
type sent struct {
	run    *run
	prefix string
	ttl    time.Duration

	mu       sync.Mutex
	inFlight map[string]*outgoing // by stanza id; the window bounds them
}

// recordTimeout is how long recording what became of a message may take.
const recordTimeout = 30 * time.Second

func (s *sent) begin(out *outgoing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight[out.id] = out
}

func (s *sent) end(out *outgoing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inFlight[out.id] == out {
		delete(s.inFlight, out.id)
	}
	close(out.over)
}

func (s *sent) flying(id string) *outgoing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inFlight[id]
}

func (s *sent) record(id string, r row) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), recordTimeout) // also when there is no more time
	defer cancel()
	return s.run.state.Set(ctx, store.Entry{Key: s.prefix + id, Value: string(text), TTL: s.ttl})
}

func (s *sent) find(ctx context.Context, id string) (r row, found bool, err error) {
	rows, err := s.run.state.Get(ctx, s.prefix+id)
	if text, there := rows[s.prefix+id]; there {
		found = json.Unmarshal([]byte(text), &r) == nil
	}
	return r, found, err
}

// accepted records that the server has a message.
func (s *sent) accepted(out *outgoing) error {
	out.row.Accepted = true
	if err := s.record(out.id, out.row); err != nil {
		return fmt.Errorf("recording that the server has the message: %w", err)
	}
	return nil
}

// unknown records that nobody knows of a message, and says what follows.
func (s *sent) unknown(out *outgoing, why error) error {
	if s.run.options.UnknownPolicy == transports.UnknownFail {
		return message.Permanent(why)
	}
	out.row.Unanswered = time.Now()
	if err := s.record(out.id, out.row); err != nil {
		return err
	}
	return message.RetryAfter(s.run.options.NextLook(0), why)
}

// look says whether a message that was in flight before is settled.
func (s *sent) look(ctx context.Context, out *outgoing) (known bool, err error) {
	r, found, err := s.find(ctx, out.id)
	switch {
	case err != nil || !found:
		return false, err
	case r.Accepted, r.Final == message.Delivered:
		return true, nil
	case r.Refused != "":
		return true, message.Permanent(errors.New(r.Refused))
	case r.Unanswered.IsZero():
		return false, nil
	}
	err = s.run.options.Unknown.Settle(time.Since(r.Unanswered), errUnknown)
	return err != nil, err
}

// about finds the message that something received from somebody is about; one in
// flight is waited for.
func (s *sent) about(ctx context.Context, id string, from xmpp.JID) (r row, found bool, err error) {
	if out := s.flying(id); out != nil {
		select {
		case <-out.over:
		case <-ctx.Done():
			return r, false, ctx.Err()
		}
	}
	r, found, err = s.find(ctx, id)
	return r, found && r.To == from.Bare().String(), err
}

// delivered takes the word of somebody's client that a message arrived (XEP-0184);
// the first of several clients counts. It heals an error that came before.
func (s *sent) delivered(ctx context.Context, id string, from xmpp.JID, word string) error {
	if out := s.flying(id); out != nil && out.row.To == from.Bare().String() {
		out.settle(nil) // it arrived, so the server had it
	}
	r, found, err := s.about(ctx, id, from)
	if err != nil || !found || r.Final == message.Delivered {
		s.run.metrics.count(matched("receipt", found && r.Final != message.Delivered))
		return err
	}
	s.run.metrics.count("receipt")
	return s.report(ctx, id, r, message.Delivered, nil, word)
}

// refused takes an error about a message in flight. It does not block: the server's
// acknowledgement may be the next it says, and is not to overtake it.
func (s *sent) refused(e *xmpp.Element) bool {
	out := s.flying(e.Attr("id"))
	if out == nil || out.row.To != e.From().Bare().String() {
		return false
	}
	s.run.metrics.count("bounce")
	out.settle(refusal(xmpp.ErrorOf(e)))
	return true
}

// bounced takes an error about a message. It is never a message itself, though it may
// carry the text of ours.
func (s *sent) bounced(ctx context.Context, id string, from xmpp.JID, why *xmpp.StanzaError) error {
	r, found, err := s.about(ctx, id, from)
	if err != nil || !found || r.Final != "" {
		s.run.metrics.count(matched("bounce", found && r.Final == ""))
		return err
	}
	s.run.metrics.count("bounce")
	if !r.Accepted { // nobody knew; now it is known
		r.Refused = refusal(why).Error()
		return s.record(id, r)
	}
	return s.report(ctx, id, r, message.Failed, why, "error")
}

func matched(kind string, is bool) string {
	if is {
		return kind
	}
	return kind + "_unmatched"
}

// report publishes a delivery report, and remembers that it did.
func (s *sent) report(ctx context.Context, id string, r row, status message.DeliveryStatus, why *xmpp.StanzaError, word string) error {
	e := message.NewDeliveryReport(r.message(), status)
	sum := sha256.Sum256([]byte(id + "\x00" + string(status))) // one outcome is one event
	e.ID = hex.EncodeToString(sum[:16])
	e.TransportMetadata.Set("xmpp_id", id)
	e.TransportMetadata.Set("xmpp_receipt", word)
	if why != nil {
		e.SetExtra("failure_code", why.Condition)
		e.SetExtra("failure_reason", refusal(why).Error())
	}
	if err := s.run.publisher.Event(ctx, e); err != nil {
		return err
	}
	r.Final = status
	return s.record(id, r)
}

// refusal is an error as Send returns it: one to be tried again, or for good.
func refusal(e *xmpp.StanzaError) error {
	err := fmt.Errorf("the XMPP server refused the message: %w", e)
	switch {
	case e.Blocked:
		err = fmt.Errorf("the person blocks this address: %w", e)
	case e.Type == "wait", e.Condition == "remote-server-timeout", e.Condition == "remote-server-not-found", e.Condition == "resource-constraint":
		return err
	}
	return message.Permanent(err)
}
