package smpp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"switchboard/message"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/store"
)

// concat puts long messages together. Their parts are in the state store, so
// that any replica may get any of them:
//
//	<group>/<n>   part n
//	<group>/id    the group: the ID the whole message will have, so that two
//	              replicas that both see the last part make one message
//	<group>/done  which parts the message consisted of, so that one that comes
//	              again is no new message
//
// and each group is noted in a numbered slot, for a process that starts anew to
// find those whose other parts never come.
type concat struct {
	*engine
	mu   sync.Mutex
	open map[string]openGroup // those that this process has seen a part of, or found
}

// openGroup is a message whose parts are not all there.
type openGroup struct {
	Name     string    `json:"name"`
	ID       string    `json:"id"` // of the message to be
	Total    int       `json:"total"`
	Deadline time.Time `json:"deadline"`
	Slot     int64     `json:"slot"`
}

func newConcat(e *engine) *concat { return &concat{engine: e, open: map[string]openGroup{}} }

// doneTTL is how long a finished message's parts are known again.
const doneTTL = 10 * time.Minute

// storedPart is a part as it is kept, with what a message needs besides.
type storedPart struct {
	Payload    []byte         `json:"p"`
	Header     int            `json:"h,omitempty"`
	Coding     gsm.Coding     `json:"c"`
	Locking    gsm.Language   `json:"l,omitempty"`
	Single     gsm.Language   `json:"s,omitempty"`
	Source     pdu.Address    `json:"from"`
	Dest       pdu.Address    `json:"to"`
	DataCoding pdu.DataCoding `json:"d"`
	ESMClass   pdu.ESMClass   `json:"e"`
	Service    string         `json:"t,omitempty"`
	Slot       int64          `json:"g,omitempty"` // its group's; 0 where it is doubtful which it belongs to
}

func (c *concat) group(m *pdu.Message, p gsm.Part) string {
	width := "8"
	if p.Wide {
		width = "16"
	}
	people := url.PathEscape(m.Source.Addr) + "/" + url.PathEscape(m.Dest.Addr) // any octets, which JSON would not keep
	return fmt.Sprintf("%sconcat/%s/%s-%d-%d", c.keys.prefix, people, width, p.Reference, p.Total)
}

// ttl is that of what is kept: longer than the parts wait for each other, so
// that they are there when they are reported.
func (c *concat) ttl() time.Duration { return 2*c.options.ReassemblyTTL.Std() + time.Minute }

// take keeps a part and, when it is the last, receives the message.
func (c *concat) take(ctx context.Context, m *pdu.Message, p gsm.Part, shift gsm.Shift) error {
	part := storedPart{
		Payload: p.Payload, Header: p.HeaderLength, Coding: c.codings.Of(m, shift).Coding, Locking: shift.Locking, Single: shift.Single,
		Source: m.Source, Dest: m.Dest, DataCoding: m.DataCoding, ESMClass: m.ESMClass, Service: m.ServiceType,
	}
	name, n, total := c.group(m, p), int(p.Seq), int(p.Total)
	found, err := c.look(ctx, name, total)
	if err != nil {
		return err
	}
	if found.displacedBy(n, part) {
		if err := c.displace(ctx, found); err != nil {
			return err
		}
		found = groupState{}
	}
	if found.group == nil {
		if found.received(n, part) {
			return c.keepDoubtful(ctx, name, n, part)
		}
		if found.group, err = c.begin(ctx, name, total); err != nil {
			return err
		}
	}
	return c.add(ctx, found, n, part)
}

// add keeps a part of a group, or receives the message when all others are there.
func (c *concat) add(ctx context.Context, before groupState, n int, part storedPart) error {
	g := *before.group
	part.Slot = g.Slot
	if now := before.with(n, part); now.whole() {
		return c.complete(ctx, g, now.parts)
	}
	entry, err := c.partEntry(g.Name, n, part, c.ttl())
	if err != nil {
		return err
	}
	if err := c.state.Set(ctx, entry, store.Entry{Key: c.slotKey(g.Slot), Value: g.encode(), TTL: c.ttl()}); err != nil {
		return fmt.Errorf("keeping a part of a message: %w", err)
	}
	after, err := c.look(ctx, g.Name, g.Total) // two replicas may each have kept the one that the other missed
	switch {
	case err != nil:
		return err
	case after.group == nil || after.group.Slot != g.Slot:
		if after.received(n, part) {
			return nil
		}
		return errTooLate
	case after.whole():
		return c.complete(ctx, g, after.parts)
	}
	c.note(after)
	return nil
}

// errTooLate has the SMSC send a part again that came as the others were given
// up: it makes a message of its own.
var errTooLate = errors.New("the other parts of the message were just received without this one")

// doubtWait is how long a message waits for a part of which a doubtful one is
// there.
const doubtWait = 10 * time.Second

// note takes down when a group is to be given up.
func (c *concat) note(s groupState) {
	g := *s.group
	if len(s.parts) == g.Total {
		g.Deadline = time.Now().Add(doubtWait)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[g.Name] = g
}

// keepDoubtful keeps a part that is like one of a message that was received: it
// was sent again, or is the first of a message that begins as the other did and
// has its reference. It makes no message without another part.
func (c *concat) keepDoubtful(ctx context.Context, name string, n int, part storedPart) error {
	entry, err := c.partEntry(name, n, part, doneTTL)
	if err != nil {
		return err
	}
	if err := c.state.Set(ctx, entry); err != nil {
		return fmt.Errorf("keeping a part of a message: %w", err)
	}
	return nil
}

func (c *concat) partEntry(name string, n int, part storedPart, ttl time.Duration) (store.Entry, error) {
	text, err := json.Marshal(part)
	if err != nil {
		return store.Entry{}, message.Permanent(err)
	}
	return store.Entry{Key: partKey(name, n), Value: string(text), TTL: ttl}, nil
}

func partKey(group string, n int) string { return group + "/" + strconv.Itoa(n) }

// begin opens a group, unless another process just did.
func (c *concat) begin(ctx context.Context, name string, total int) (*openGroup, error) {
	slot, err := c.state.Increment(ctx, c.keys.prefix+"concat-slots", 1, 0)
	if err != nil {
		return nil, fmt.Errorf("noting a message of several parts: %w", err)
	}
	g := &openGroup{Name: name, ID: message.NewID(), Total: total, Deadline: time.Now().Add(c.options.ReassemblyTTL.Std()), Slot: slot}
	kept, added, err := c.state.Add(ctx, store.Entry{Key: name + "/id", Value: g.encode(), TTL: c.ttl()})
	if err != nil {
		return nil, fmt.Errorf("beginning a message of several parts: %w", err)
	}
	if !added {
		if err := json.Unmarshal([]byte(kept), g); err != nil {
			return nil, fmt.Errorf("reading what is kept of a message's parts: %w", err)
		}
	}
	return g, nil
}

func (g *openGroup) encode() string {
	text, _ := json.Marshal(g) // texts, numbers and a time
	return string(text)
}

// displace receives what is there of a message whose reference another one has
// taken.
func (c *concat) displace(ctx context.Context, s groupState) error {
	c.logger.Warn("another message has the reference of one whose parts are not all there; receiving what is there",
		"message_id", s.group.ID, "parts", len(s.parts), "of", s.group.Total)
	return c.complete(ctx, *s.group, s.parts)
}

func (c *concat) slotKey(slot int64) string {
	return c.keys.prefix + "concat-slot/" + strconv.FormatInt(slot, 10)
}

// complete receives a message of the parts that are there, and forgets them.
func (c *concat) complete(ctx context.Context, g openGroup, parts map[int]storedPart) error {
	r := received{id: g.ID}
	var done strings.Builder
	var first storedPart
	for n := 1; n <= g.Total; n++ {
		p, there := parts[n]
		if !there {
			r.missing = append(r.missing, n)
			continue
		}
		if len(r.parts) == 0 {
			first = p
			r.encoding = gsm.Encoding{Coding: p.Coding, Shift: gsm.Shift{Locking: p.Locking, Single: p.Single}}
		}
		r.parts = append(r.parts, gsm.Part{Total: uint8(g.Total), Seq: uint8(n), HeaderLength: p.Header, Payload: p.Payload})
		done.WriteString(doneMark(n, p.Payload))
	}
	err := c.receive(ctx, &pdu.Message{
		Source: first.Source, Dest: first.Dest, DataCoding: first.DataCoding, ESMClass: first.ESMClass, ServiceType: first.Service,
	}, r)
	if err != nil {
		return err
	}
	return c.forget(ctx, g, done.String())
}

func (c *concat) forget(ctx context.Context, g openGroup, done string) error {
	if err := c.state.Set(ctx, store.Entry{Key: g.Name + "/done", Value: done, TTL: doneTTL}); err != nil {
		return fmt.Errorf("remembering a message's parts: %w", err)
	}
	keys := []string{g.Name + "/id", c.slotKey(g.Slot)}
	for n := range g.Total {
		keys = append(keys, partKey(g.Name, n+1))
	}
	c.drop(g)
	if err := c.state.Delete(ctx, keys...); err != nil {
		c.logger.Warn("forgetting the parts of a message failed; they go by themselves", "error", err)
	}
	return nil
}

// drop forgets a group; one that has its name meanwhile stays.
func (c *concat) drop(g openGroup) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[g.Name].Slot == g.Slot {
		delete(c.open, g.Name)
	}
}
