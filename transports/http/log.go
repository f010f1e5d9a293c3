package http

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	nethttp "net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"switchboard/internal/redact"
	"switchboard/store"
)

// Logged is one request and its answer, without secrets.
type Logged struct {
	At        time.Time `json:"at"`
	Transport string    `json:"transport"`
	Direction string    `json:"direction"` // out: we asked; in: the provider did
	Messages  []string  `json:"messages"`  // what it was about
	Request   string    `json:"request"`
	Answer    string    `json:"answer,omitempty"`
	Outcome   string    `json:"outcome,omitempty"`
	Took      string    `json:"took,omitempty"`
}

// logScope is the scope of the channels' log in the state store: ring/<transport>/
// <slot> holds what was logged, m/<message id> the slots it is in.
const logScope = "http_log"

const (
	// maxLogged bounds each of request and answer, in bytes.
	maxLogged = 4 << 10
	// maxLoggedIDs bounds the messages that one entry is found by.
	maxLoggedIDs = 100
)

// channelLog keeps the last requests of a channel in the state store, where other
// processes find them.
type channelLog struct {
	transport *Transport
	state     *store.Batcher
	slot      atomic.Uint64
}

func newChannelLog(t *Transport) *channelLog {
	l := &channelLog{transport: t}
	if t.ChannelLog > 0 {
		l.state = store.NewBatcher(t.env.Shared(logScope), store.BatchSettings{})
		l.slot.Store(rand.Uint64N(uint64(t.ChannelLog))) // replicas share the ring
	}
	return l
}

func (l *channelLog) keeps() bool { return l.state != nil }

func (l *channelLog) close() {
	if l.state != nil {
		_ = l.state.Close() // what is queued is written
	}
}

// add stores an entry without waiting. A store that is away is no reason to wait
// or to fail.
func (l *channelLog) add(ctx context.Context, e Logged) {
	if !l.keeps() {
		return
	}
	e.Transport = l.transport.TransportName
	e.Request, e.Answer = l.shown(e.Request), l.shown(e.Answer)
	e.Messages = e.Messages[:min(len(e.Messages), maxLoggedIDs)]
	value, err := json.Marshal(e)
	if err != nil {
		return
	}
	key := fmt.Sprintf("ring/%s/%d", e.Transport, l.slot.Add(1)%uint64(l.transport.ChannelLog))
	ttl := l.transport.ChannelLogExpiry.Std()
	entries := []store.Entry{{Key: key, Value: string(value), TTL: ttl}}
	for _, id := range e.Messages {
		entries = append(entries, store.Entry{Key: fmt.Sprintf("m/%s/%d", id, e.At.UnixNano()), Value: key, TTL: ttl})
	}
	_ = l.state.SetAsync(ctx, func(error) {}, entries...) // the log is no reason to fail
}

func (l *channelLog) shown(text string) string {
	text = store.Printable(l.transport.mask.text(text))
	if len(text) > maxLogged {
		text = strings.ToValidUTF8(text[:maxLogged], "") + "…"
	}
	return text
}

func (l *channelLog) sent(ctx context.Context, messages []*sending, a *exchanged, outcomes []outcome) {
	if !l.keeps() {
		return
	}
	ids := make([]string, len(messages))
	for i, m := range messages {
		ids[i] = m.ID
	}
	result := string(outcomes[0].Class)
	if outcomes[0].Reason != "" {
		result += ": " + outcomes[0].Reason
	}
	l.add(ctx, Logged{
		At: a.at, Direction: "out", Messages: ids, Request: a.request, Answer: a.describe(), Outcome: l.transport.mask.text(result),
		Took: a.took.Round(time.Millisecond).String(),
	})
}

func (l *channelLog) polled(ctx context.Context, a *exchanged, t *taken) {
	l.add(ctx, Logged{At: a.at, Direction: "out", Messages: t.ids(), Request: a.request, Answer: a.describe(), Took: a.took.Round(time.Millisecond).String()})
}

func (l *channelLog) received(ctx context.Context, s scope, t *taken) {
	if ids := t.ids(); l.keeps() && len(ids) > 0 {
		l.add(ctx, Logged{
			At: time.Now(), Direction: "in", Messages: ids,
			Request: fmt.Sprintf("%s %s\n\n%s", asText(s["method"]), asText(s["url"]), asText(s["raw"])),
		})
	}
}

func (t *taken) ids() (ids []string) {
	for _, m := range t.messages {
		ids = append(ids, m.ID)
	}
	for _, found := range t.receipts {
		if found.Message != "" {
			ids = append(ids, found.Message)
		}
	}
	return ids
}

// secretHeaders are those that say who we are.
var secretHeaders = map[string]bool{"authorization": true, "proxy-authorization": true, "cookie": true, "apikey": true}

func writeHeader(b *strings.Builder, header nethttp.Header) {
	for _, name := range sortedKeys(header) {
		value := strings.Join(header[name], ", ")
		if secretHeaders[strings.ToLower(name)] {
			if scheme, _, two := strings.Cut(value, " "); two {
				value = scheme + " " + redact.Mask
			} else {
				value = redact.Mask
			}
		}
		fmt.Fprintf(b, "%s: %s\n", name, value)
	}
}

// describeRequest writes a request down; its body is put back.
func describeRequest(q *nethttp.Request) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", q.Method, q.URL)
	writeHeader(&b, q.Header)
	body, _ := io.ReadAll(q.Body) // from memory
	q.Body = io.NopCloser(strings.NewReader(string(body)))
	b.WriteString("\n")
	b.Write(body)
	return b.String()
}

func (a *exchanged) describe() string {
	if a.err != nil {
		return "no answer: " + a.err.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s\n", a.status, nethttp.StatusText(a.status))
	writeHeader(&b, a.header)
	b.WriteString("\n" + a.raw)
	return b.String()
}

// Log finds what was logged of a message, the oldest first.
func Log(ctx context.Context, state store.State, messageID string) ([]Logged, error) {
	prefix := "shared/" + logScope + "/"
	from := prefix + "m/" + messageID + "/"
	found, err := state.Range(ctx, from, prefix+"m/"+messageID+"0", maxLoggedIDs)
	if err != nil {
		return nil, fmt.Errorf("reading the channels' log: %w", err)
	}
	var all []Logged
	for _, entry := range found {
		key := prefix + entry.Value
		values, err := state.Get(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("reading the channels' log: %w", err)
		}
		var e Logged
		if json.Unmarshal([]byte(values[key]), &e) == nil && slices.Contains(e.Messages, messageID) { // its slot may have another one by now
			all = append(all, e)
		}
	}
	return all, nil
}
