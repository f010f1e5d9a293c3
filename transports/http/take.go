package http

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"switchboard/internal/backoff"
	"switchboard/message"
	"switchboard/store"
)

// taken is what a request or an answer brings.
type taken struct {
	messages []*inbound
	receipts []*receipt
}

// inbound is a message from a person.
type inbound struct {
	*message.Message
	replay string // what a repeated request repeats; "" where nothing does
	join   string // what the parts of a long message have in common; "" of a whole one
	number int
	total  int
}

// pickAll picks everything before anything is published, so that what is malformed
// is refused as a whole. An item that lacks something is left out where others
// have it.
func (r *run) pickAll(messages []*messagePick, receipts []*receiptPick, s scope) (*taken, error) {
	t := &taken{}
	var wrong error
	note := func(err error) {
		if err != nil {
			wrong = cmp.Or(wrong, err)
		}
	}
	for _, p := range messages {
		err := items(s["body"], p.Each, func(it, up any) error {
			m, err := r.pickMessage(p, s.with(scope{"it": it, "up": up}))
			if note(err); m != nil {
				t.messages = append(t.messages, m)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	for _, p := range receipts {
		err := items(s["body"], p.Each, func(it, up any) error {
			found, err := r.pickReceipt(p, s.with(scope{"it": it, "up": up}))
			if note(err); found != nil {
				t.receipts = append(t.receipts, found)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if wrong != nil && len(t.messages)+len(t.receipts) == 0 {
		return nil, wrong
	}
	if wrong != nil {
		r.metrics.reject(r.transport.TransportName, "incomplete")
		r.complain.Do(func() { r.logger.Warn("a part of a request was left out", "error", wrong) })
	}
	return t, nil
}

// pickMessage makes a message; nil when the item is none.
func (r *run) pickMessage(p *messagePick, s scope) (*inbound, error) {
	if is, err := p.when.holds(s); err != nil || !is {
		return nil, err
	}
	m := message.New()
	in := &inbound{Message: m}
	var id, at, session string
	for _, f := range []struct {
		name string
		pick *pick
		into *string
	}{
		{"from", p.from, &m.From},
		{"to", p.to, &m.To},
		{"text", p.text, &m.Content},
		{"group", p.group, &m.Group},
		{"provider", p.provider, &m.Provider},
		{"id", p.id, &id},
		{"replay", p.replay, &in.replay},
		{"time", p.time, &at},
		{"session", p.session, &session},
	} {
		var err error
		if *f.into, err = f.pick.text(s); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		*f.into = strings.ToValidUTF8(*f.into, "\uFFFD")
	}
	if m.From == "" {
		return nil, errors.New("the message comes from nobody: its sender is missing")
	}
	if m.SessionEvent = message.SessionEvent(session); !slices.Contains([]string{"", "new", "resume", "close"}, session) {
		return nil, fmt.Errorf("session is %.20q, not new, resume or close", session)
	}
	m.TransportType = cmp.Or(r.transport.TransportType, r.channel.TransportType)
	if in.replay = cmp.Or(in.replay, id); in.replay != "" {
		m.ID = hashed(r.transport.TransportName, in.replay) // a second copy has the same
	}
	if p.messageID != nil {
		given, err := p.messageID.text(s)
		if err != nil {
			return nil, fmt.Errorf("message_id: %w", err)
		}
		m.ID = cmp.Or(given, m.ID)
	}
	if id != "" {
		m.TransportMetadata.Set("external_id", id)
	}
	if when, ok := parseTime(at); ok {
		m.TransportMetadata.Set("provider_time", message.FormatTime(when))
	}
	for _, pair := range p.metadata {
		value, err := pair.of(s)
		if err != nil {
			return nil, fmt.Errorf("metadata.%s: %w", pair.key, err)
		}
		if value != nil {
			m.TransportMetadata.Set(pair.key, value)
		}
	}
	return in, r.pickPart(p, s, in)
}

// maxParts bounds of how many parts a long message may be.
const maxParts = 255

func (r *run) pickPart(p *messagePick, s scope, in *inbound) error {
	if p.Part == nil {
		return nil
	}
	reference, err := p.reference.text(s)
	number, err2 := p.number.text(s)
	total, err3 := p.total.text(s)
	if err := errors.Join(err, err2, err3); err != nil {
		return fmt.Errorf("part: %w", err)
	}
	in.number, _ = strconv.Atoi(number)
	in.total, _ = strconv.Atoi(total)
	if reference == "" || in.total < 2 {
		return nil
	}
	if in.number < 1 || in.number > in.total || in.total > maxParts {
		return fmt.Errorf("is part %q of %q", number, total)
	}
	in.join = hashed(in.From, in.To, reference, total)
	return nil
}

// pickReceipt makes a receipt; nil when the item is none.
func (r *run) pickReceipt(p *receiptPick, s scope) (*receipt, error) {
	if is, err := p.when.holds(s); err != nil || !is {
		return nil, err
	}
	found := &receipt{}
	var detail, at, parts string
	for _, f := range []struct {
		name string
		pick *pick
		into *string
	}{
		{"id", p.id, &found.ID},
		{"message", p.message, &found.Message},
		{"status", p.status, &found.Word},
		{"code", p.code, &found.Code},
		{"detail", p.detail, &detail},
		{"time", p.time, &at},
		{"parts", p.parts, &parts},
		{"replay", p.replay, &found.Replay},
	} {
		var err error
		if *f.into, err = f.pick.text(s); err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	if found.ID == "" && found.Message == "" {
		return nil, errors.New("the receipt is of no message: its id is missing")
	}
	found.Parts, _ = strconv.Atoi(parts)
	found.Time, _ = parseTime(at)
	switch {
	case has(p.Ignored, found.Word):
		return nil, nil
	case has(p.Delivered, found.Word):
		found.Status = message.Delivered
	case has(p.Failed, found.Word):
		found.Status = message.Failed
		problem := r.channel.problems.receipt(found.Code, found.Word)
		found.Class, found.Reason = problem.Class, problem.Sentence("", detail)
	case has(p.Pending, found.Word):
		found.Status = message.Pending
	default:
		found.Status = message.Pending
		r.metrics.reject(r.transport.TransportName, "unknown status")
		r.complain.Do(func() {
			r.logger.Warn("a receipt has a status that the description does not know; it is taken as pending", "status", found.Word)
		})
	}
	return found, nil
}

func has(words []string, word string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, word) })
}

// receipt is what the code or the word of a failed receipt means.
func (c problems) receipt(code, word string) Problem {
	for _, key := range []string{code, word} {
		if p, known := c[key]; known && key != "" {
			return p
		}
	}
	return Problem{Class: Permanent, Text: "The message was not delivered.", Do: "The provider gives no further reason."}
}

// takeAll publishes what was picked, in its order.
func (r *run) takeAll(ctx context.Context, t *taken) error {
	for _, m := range t.messages {
		if err := r.takeMessage(ctx, m); err != nil {
			return err
		}
	}
	for _, found := range t.receipts {
		if err := r.memory.take(ctx, found, r.report); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) takeMessage(ctx context.Context, in *inbound) error {
	switch {
	case in.join != "":
		return r.takePart(ctx, in)
	case in.replay == "":
		return r.publish(ctx, in.Message)
	}
	// The message's ID may be the provider's own, which says nothing of repeated requests.
	received := store.Entry{Key: "in/" + hashed(in.replay), Value: "1", TTL: r.transport.RememberReceived.Std()}
	first, err := r.memory.deliveries.Once(ctx, received, func(ctx context.Context, unsure error) error {
		if unsure != nil { // whoever handles it looks whether it has been
			in.RoutingMetadata.Set(message.AgainKey, true)
		}
		return r.publish(ctx, in.Message)
	})
	if err == nil && !first {
		r.metrics.reject(r.transport.TransportName, "repeated")
	}
	return err
}

func (r *run) publish(ctx context.Context, m *message.Message) error {
	m.TransportName = r.transport.TransportName
	return r.publisher.Inbound(ctx, m)
}

// storedPart is a part of a long message that waits for the others.
type storedPart struct {
	At      time.Time        `json:"a"`
	Message *message.Message `json:"m"`
}

const partsPrefix = "concat/"

// takePart stores a part, and publishes the message when that was the last.
func (r *run) takePart(ctx context.Context, in *inbound) error {
	key := partsPrefix + in.join + "/"
	taken := store.Entry{Key: "in/" + hashed(in.join, in.replay, strconv.Itoa(in.number)), Value: "1", TTL: r.transport.RememberReceived.Std()}
	_, err := r.memory.deliveries.Once(ctx, taken, func(ctx context.Context, unsure error) error {
		if unsure != nil {
			return unsure // it could be one that the message had
		}
		value, err := json.Marshal(storedPart{r.transport.env.Now(), in.Message})
		if err != nil {
			return err
		}
		// Twice the time, so that flushParts finds it, and as long as the channel may be down.
		ttl := 2*r.transport.ReassemblyTTL.Std() + r.transport.RememberReceived.Std()
		part := store.Entry{Key: fmt.Sprintf("%s%03d", key, in.number), Value: string(value), TTL: ttl}
		if err := r.memory.state.Set(ctx, part); err != nil {
			return err
		}
		publish := func() (any, error) {
			parts, err := r.memory.state.Range(ctx, key, partsPrefix+in.join+"0", maxParts+1)
			if err != nil || len(parts) < in.total {
				return nil, err
			}
			return nil, r.publishParts(ctx, parts)
		}
		_, err, shared := r.memory.flights.Do(key, publish)
		if err == nil && shared { // it may have looked before this part was there
			_, err, _ = r.memory.flights.Do(key, publish)
		}
		return err
	})
	return err
}

// publishParts publishes what there is of a long message.
func (r *run) publishParts(ctx context.Context, parts []store.Entry) error {
	var whole *message.Message
	keys := make([]string, len(parts))
	for i, part := range parts {
		keys[i] = part.Key
		var stored storedPart
		if err := json.Unmarshal([]byte(part.Value), &stored); err != nil || stored.Message == nil {
			continue // not ours
		}
		if whole == nil {
			whole = stored.Message
			continue
		}
		whole.Content += stored.Message.Content
	}
	if whole != nil {
		if err := r.publish(ctx, whole); err != nil {
			return err
		}
	}
	return r.memory.state.Delete(ctx, keys...)
}

func (ch *channel) joinsParts() bool {
	for _, route := range ch.routes {
		if slices.ContainsFunc(route.messages, func(p *messagePick) bool { return p.Part != nil }) {
			return true
		}
	}
	return false
}

const (
	// flushEvery is how often parts are looked for whose others do not come.
	flushEvery = time.Minute
	// flushMany is how many are looked at.
	flushMany = 1000
)

// flushParts publishes long messages of which parts are missing for too long.
func (r *run) flushParts(ctx context.Context) {
	for backoff.Sleep(ctx, min(flushEvery, r.transport.ReassemblyTTL.Std())) {
		if err := r.flushOnce(ctx); err != nil && ctx.Err() == nil {
			r.logger.Warn("receiving incomplete long messages failed; it is tried again", "error", err)
		}
	}
}

func (r *run) flushOnce(ctx context.Context) error {
	waiting, err := r.memory.state.Range(ctx, partsPrefix, "concat0", flushMany)
	if err != nil {
		return err
	}
	groups := map[string][]store.Entry{}
	for _, entry := range waiting {
		key := entry.Key[:strings.LastIndexByte(entry.Key, '/')]
		groups[key] = append(groups[key], entry)
	}
	for _, parts := range groups {
		if !slices.ContainsFunc(parts, r.isOverdue) {
			continue
		}
		if err := r.publishParts(ctx, parts); err != nil {
			return err
		}
	}
	return nil
}

// isOverdue says whether a part has waited for the others long enough.
func (r *run) isOverdue(part store.Entry) bool {
	var stored storedPart
	return json.Unmarshal([]byte(part.Value), &stored) != nil || r.transport.env.Now().Sub(stored.At) >= r.transport.ReassemblyTTL.Std()
}

// timeShapes are the dates of providers, beside seconds and milliseconds.
var timeShapes = [...]string{
	time.RFC3339Nano, "2006-01-02T15:04:05.999-0700", "2006-01-02T15:04:05.999", "2006-01-02 15:04:05.999-0700", "2006-01-02 15:04:05.999",
	"2006.01.02 15:04:05", "2006-01-02 15:04", "01-02-06 15:04", "20060102150405", time.RFC1123Z, time.RFC1123,
}

// parseTime reads a date in any shape that providers write, as UTC where it has no
// zone.
func parseTime(text string) (time.Time, bool) {
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && len(text) != len("20060102150405") && len(text) >= len("2000000000") {
		if len(text) > len("20000000000") {
			return time.UnixMilli(n).UTC(), true
		}
		return time.Unix(n, 0).UTC(), true
	}
	for _, shape := range timeShapes {
		if t, err := time.Parse(shape, text); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}
