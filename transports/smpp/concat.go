package smpp

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"switchboard/message"
	"switchboard/store"
	"switchboard/transports/smpp/gsm"
	"switchboard/transports/smpp/pdu"
)

// concat puts long messages together. Their parts are in the state store, so
// that any replica may get any of them:
//
//	<group>/<n>   part n
//	<group>/id    the ID the whole message will have, so that two replicas that
//	              both see the last part make one message
//	<group>/done  which parts the message consisted of, so that one that comes
//	              again is no new message
//
// and each group is noted in a numbered slot, for a process that starts anew to
// find those whose other parts never come.
type concat struct {
	*engine
	mu   sync.Mutex
	open map[string]openGroup // those that this process began or found
}

type openGroup struct {
	Name     string    `json:"name"`
	Total    int       `json:"total"`
	Deadline time.Time `json:"deadline"`
	slot     int64
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
}

func (c *concat) group(m *pdu.Message, p gsm.Part) string {
	width := "8"
	if p.Wide {
		width = "16"
	}
	people := strings.ReplaceAll(m.Source.Addr, "/", "_") + "/" + strings.ReplaceAll(m.Dest.Addr, "/", "_")
	return fmt.Sprintf("%sconcat/%s/%s-%d-%d", c.keys.prefix, people, width, p.Reference, p.Total)
}

// ttl is that of what is kept: longer than the parts wait for each other, so
// that they are there when they are reported.
func (c *concat) ttl() time.Duration { return 2*c.options.ReassemblyTTL.Std() + time.Minute }

// take keeps a part and, when it is the last, receives the message.
func (c *concat) take(ctx context.Context, m *pdu.Message, p gsm.Part, shift gsm.Shift) error {
	encoding := c.encoding(m.DataCoding, shift)
	group := c.group(m, p)
	if again, err := c.seen(ctx, group, p.Payload); again || err != nil {
		return err
	}
	id, err := c.begin(ctx, group, int(p.Total))
	if err != nil {
		return err
	}
	text, err := json.Marshal(storedPart{
		Payload: p.Payload, Header: p.HeaderLength, Coding: encoding.Coding, Locking: shift.Locking, Single: shift.Single,
		Source: m.Source, Dest: m.Dest, DataCoding: m.DataCoding, ESMClass: m.ESMClass, Service: m.ServiceType,
	})
	if err != nil {
		return message.Permanent(err)
	}
	if err := c.state.Set(ctx, store.Entry{Key: partKey(group, int(p.Seq)), Value: string(text), TTL: c.ttl()}); err != nil {
		return fmt.Errorf("keeping a part of a message: %w", err)
	}
	parts, err := c.parts(ctx, group, int(p.Total))
	if err != nil || len(parts) < int(p.Total) {
		return err
	}
	return c.complete(ctx, group, id, int(p.Total), parts)
}

func partKey(group string, n int) string { return group + "/" + strconv.Itoa(n) }

func digest(payload []byte) string {
	sum := sha256.Sum256(payload)
	return hex.EncodeToString(sum[:8])
}

// seen says whether a part belongs to a message that was received already.
func (c *concat) seen(ctx context.Context, group string, payload []byte) (bool, error) {
	key := group + "/done"
	found, err := c.state.Get(ctx, key)
	if err != nil {
		return false, fmt.Errorf("looking for a message's parts: %w", err)
	}
	return strings.Contains(found[key], digest(payload)), nil
}

// begin finds the ID of the message to be, and notes a new group.
func (c *concat) begin(ctx context.Context, group string, total int) (id string, err error) {
	id, added, err := c.state.Add(ctx, store.Entry{Key: group + "/id", Value: message.NewID(), TTL: c.ttl()})
	if err != nil {
		return "", fmt.Errorf("beginning a message of several parts: %w", err)
	}
	if !added {
		return id, nil
	}
	slot, err := c.state.Increment(ctx, c.keys.prefix+"concat-slots", 1, 0)
	if err != nil {
		return "", fmt.Errorf("noting a message of several parts: %w", err)
	}
	g := openGroup{Name: group, Total: total, Deadline: time.Now().Add(c.options.ReassemblyTTL.Std()), slot: slot}
	text, err := json.Marshal(g)
	if err != nil {
		return "", message.Permanent(err)
	}
	if err := c.state.Set(ctx, store.Entry{Key: c.slotKey(slot), Value: string(text), TTL: c.ttl()}); err != nil {
		return "", fmt.Errorf("noting a message of several parts: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[group] = g
	return id, nil
}

func (c *concat) slotKey(slot int64) string {
	return c.keys.prefix + "concat-slot/" + strconv.FormatInt(slot, 10)
}

// parts are those that are there, by number.
func (c *concat) parts(ctx context.Context, group string, total int) (map[int]storedPart, error) {
	keys := make([]string, total)
	for i := range keys {
		keys[i] = partKey(group, i+1)
	}
	found, err := c.state.Get(ctx, keys...)
	if err != nil {
		return nil, fmt.Errorf("looking for a message's parts: %w", err)
	}
	parts := map[int]storedPart{}
	for i, key := range keys {
		var p storedPart
		if text, there := found[key]; there && json.Unmarshal([]byte(text), &p) == nil {
			parts[i+1] = p
		}
	}
	return parts, nil
}

// complete receives a message of the parts that are there, and forgets them.
func (c *concat) complete(ctx context.Context, group, id string, total int, parts map[int]storedPart) error {
	r := received{id: id}
	var digests []string
	var first storedPart
	for n := range total {
		p, there := parts[n+1]
		if !there {
			r.missing = append(r.missing, n+1)
			continue
		}
		if len(r.parts) == 0 {
			first = p
			r.encoding = gsm.Encoding{Coding: p.Coding, Shift: gsm.Shift{Locking: p.Locking, Single: p.Single}}
		}
		r.parts = append(r.parts, gsm.Part{Total: uint8(total), Seq: uint8(n + 1), HeaderLength: p.Header, Payload: p.Payload})
		digests = append(digests, digest(p.Payload))
	}
	err := c.receive(ctx, &pdu.Message{
		Source: first.Source, Dest: first.Dest, DataCoding: first.DataCoding, ESMClass: first.ESMClass, ServiceType: first.Service,
	}, r)
	if err != nil {
		return err
	}
	return c.forget(ctx, group, total, strings.Join(digests, " "))
}

func (c *concat) forget(ctx context.Context, group string, total int, digests string) error {
	if err := c.state.Set(ctx, store.Entry{Key: group + "/done", Value: digests, TTL: doneTTL}); err != nil {
		return fmt.Errorf("remembering a message's parts: %w", err)
	}
	keys := []string{group + "/id"}
	for n := range total {
		keys = append(keys, partKey(group, n+1))
	}
	c.mu.Lock()
	if g, ours := c.open[group]; ours {
		keys = append(keys, c.slotKey(g.slot))
		delete(c.open, group)
	}
	c.mu.Unlock()
	if err := c.state.Delete(ctx, keys...); err != nil {
		c.logger.Warn("forgetting the parts of a message failed; they go by themselves", "error", err)
	}
	return nil
}
