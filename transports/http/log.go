package http

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	nethttp "net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"switchboard/internal/backoff"
	"switchboard/internal/redact"
	"switchboard/message"
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
	// maxUnwritten bounds what is not written yet, in bytes.
	maxUnwritten = 1 << 20
	// logEvery is how often it is written; of what comes faster the last is kept.
	logEvery = time.Second
	// logTimeout is how long the last writing may take.
	logTimeout = 2 * time.Second
)

// channelLog keeps the last requests of a channel in the state store, where other
// processes find them.
type channelLog struct {
	transport *Transport
	state     store.State // nil where nothing is kept
	slot      uint64
	found     map[uint64][]string // by slot, the keys that find what this run wrote there

	mu        sync.Mutex
	unwritten []entry
	bytes     int
}

// entry is made when it is written: most are not where there are many.
type entry struct {
	size int
	of   func() Logged
}

func newChannelLog(t *Transport) *channelLog {
	l := &channelLog{transport: t, found: map[uint64][]string{}}
	if t.ChannelLog > 0 {
		l.state = t.env.Shared(logScope)
		l.slot = rand.Uint64N(uint64(t.ChannelLog)) // replicas share the ring
	}
	return l
}

func (l *channelLog) run(ctx context.Context) {
	for backoff.Sleep(ctx, logEvery) {
		l.write(ctx)
	}
}

func (l *channelLog) close() {
	ctx, cancel := context.WithTimeout(context.Background(), logTimeout)
	defer cancel()
	l.write(ctx)
}

// add takes an entry of about size bytes.
func (l *channelLog) add(size int, of func() Logged) {
	if l.state == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.unwritten, l.bytes = append(l.unwritten, entry{size, of}), l.bytes+size
	for len(l.unwritten) > l.transport.ChannelLog || l.bytes > maxUnwritten && len(l.unwritten) > 1 {
		l.bytes -= l.unwritten[0].size
		l.unwritten = l.unwritten[1:]
	}
}

// write writes what came since the last time. A store that is away loses it: the log is
// no reason to wait.
func (l *channelLog) write(ctx context.Context) {
	l.mu.Lock()
	unwritten := l.unwritten
	l.unwritten, l.bytes = nil, 0
	l.mu.Unlock()
	if len(unwritten) == 0 {
		return
	}
	var entries []store.Entry
	var old []string
	ttl := l.transport.ChannelLogExpiry.Std()
	for _, one := range unwritten {
		e := one.of()
		e.Transport = l.transport.TransportName
		e.Request, e.Answer, e.Outcome = l.shown(e.Request), l.shown(e.Answer), l.shown(e.Outcome)
		e.Messages = e.Messages[:min(len(e.Messages), maxLoggedIDs)]
		value, _ := json.Marshal(e) // texts: cannot fail
		l.slot = (l.slot + 1) % uint64(l.transport.ChannelLog)
		key := fmt.Sprintf("ring/%s/%d", e.Transport, l.slot)
		entries = append(entries, store.Entry{Key: key, Value: string(value), TTL: ttl})
		old = append(old, l.found[l.slot]...)
		l.found[l.slot] = nil
		for _, id := range e.Messages {
			finds := fmt.Sprintf("m/%s/%d/%d", id, e.At.UnixNano(), l.slot)
			entries = append(entries, store.Entry{Key: finds, Value: key, TTL: ttl})
			l.found[l.slot] = append(l.found[l.slot], finds)
		}
	}
	if err := errors.Join(l.state.Delete(ctx, old...), l.state.Set(ctx, entries...)); err != nil {
		l.transport.logger.Debug("writing the channel's log failed", "error", err)
	}
}

func (l *channelLog) shown(text string) string {
	text = store.Printable(l.transport.mask.text(text))
	if len(text) > maxLogged {
		text = strings.ToValidUTF8(text[:maxLogged], "") + "…"
	}
	return text
}

func (l *channelLog) sent(messages []*sending, a *exchanged, outcomes []outcome) {
	l.add(a.size(), func() Logged {
		ids := make([]string, len(messages))
		for i, m := range messages {
			ids[i] = m.ID
		}
		result := string(outcomes[0].Class)
		if outcomes[0].Reason != "" {
			result += ": " + outcomes[0].Reason
		}
		return a.logged(ids, result)
	})
}

func (l *channelLog) polled(a *exchanged, t *taken) {
	l.add(a.size(), func() Logged { return a.logged(t.ids(), "") })
}

func (l *channelLog) received(s scope, t *taken) {
	e := Logged{At: time.Now(), Direction: "in", Messages: t.ids()}
	if len(e.Messages) == 0 {
		return
	}
	method, url, raw := asText(s["method"]), asText(s["url"]), asText(s["raw"])
	l.add(len(url)+len(raw), func() Logged {
		e.Request = fmt.Sprintf("%s %s\n\n%s", method, url, raw)
		return e
	})
}

func (l *channelLog) replied(s scope, m *message.Message) {
	e := Logged{
		At: time.Now(), Direction: "in", Messages: []string{m.ID}, Request: asText(s["method"]) + " " + asText(s["url"]), Answer: m.Content,
		Outcome: "sent in the answer",
	}
	l.add(len(e.Request)+len(e.Answer), func() Logged { return e })
}

func (a *exchanged) size() int { return len(a.body) + len(a.raw) }

func (a *exchanged) logged(ids []string, outcome string) Logged {
	return Logged{
		At: a.at, Direction: "out", Messages: ids, Request: a.describeRequest(), Answer: a.describe(), Outcome: outcome,
		Took: a.took.Round(time.Millisecond).String(),
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

func (a *exchanged) describeRequest() string {
	if a.request == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", a.request.Method, a.request.URL)
	writeHeader(&b, a.request.Header)
	b.WriteString("\n")
	b.Write(a.body)
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
