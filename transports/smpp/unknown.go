package smpp

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"switchboard/message"
	"switchboard/store"
	"switchboard/transports/smpp/pdu"
)

// What is written down of a part of a message that is not done with: "=ID" the
// SMSC has it, "!REASON" it was refused, "?SECONDS" it went unanswered at that
// time.
const (
	partAccepted = '='
	partRefused  = '!'
	partUnknown  = '?'
)

// saveParts writes down what a further try must know.
func (e *engine) saveParts(ctx context.Context, s *submitted, parts []fate) {
	var entries []store.Entry
	for i, f := range parts {
		value := ""
		switch {
		case f.accepted:
			value = string(partAccepted) + f.id
		case f.unknown:
			value = string(partUnknown) + strconv.FormatInt(time.Now().Unix(), 10)
		default:
			continue
		}
		entries = append(entries, store.Entry{Key: e.keys.part(s.id, i+1), Value: value, TTL: e.options.SubmitSMExpiry.Std()})
		if f.unknown {
			entries = append(entries, e.unknownEntries(part{s, i + 1})...)
		}
	}
	e.mustSet(ctx, s.id, entries...)
}

// unknownEntries are by what a receipt finds a part without an answer.
func (e *engine) unknownEntries(p part) []store.Entry {
	text, ttl := p.encode(), e.options.SubmitSMExpiry.Std()
	entries := []store.Entry{{Key: e.keys.unknown(p.to, p.from), Value: text, TTL: ttl}}
	if reference := p.reference(); reference != 0 {
		entries = append(entries, store.Entry{Key: e.keys.reference(p.to, reference), Value: text, TTL: ttl})
	}
	return entries
}

// awaitWord leaves a message with unanswered parts to a later try, by which a
// late answer or a receipt may have come.
func (e *engine) awaitWord(ctx context.Context, s *submitted, parts []fate, failure error) error {
	e.saveParts(ctx, s, parts)
	return message.RetryAfter(e.nextLook(0), failure)
}

// firstLook is when a message without an answer is looked at again; each
// further wait is as long as all before it.
const firstLook = 5 * time.Second

func (e *engine) nextLook(waited time.Duration) time.Duration {
	whole := e.options.UnknownWait.Std()
	return min(max(waited, min(firstLook, whole/4)), max(whole-waited, 0)+time.Second)
}

// sendAgain goes on where earlier tries at a message ended.
func (e *engine) sendAgain(ctx context.Context, m *message.Message) (providerID string, err error) {
	p, err := e.plan(m)
	if err != nil {
		return "", message.Permanent(err)
	}
	keys := make([]string, p.total)
	for i := range keys {
		keys[i] = e.keys.part(m.ID, i+1)
	}
	found, err := e.state.Get(ctx, keys...)
	if err != nil {
		return "", fmt.Errorf("asking what was submitted of message %s: %w", m.ID, err)
	}
	if len(found) == 0 {
		return e.send(ctx, m, nil)
	}
	known, waited, err := readFates(keys, found)
	if err != nil {
		return "", err
	}
	if waited >= 0 {
		adopted, err := e.adoptHeld(ctx, m)
		if err != nil {
			return "", err
		}
		if adopted {
			return e.sendAgain(ctx, m)
		}
	}
	switch {
	case waited > e.options.UnknownWait.Std():
		return "", message.Permanent(fmt.Errorf("%w: there was neither an answer nor a receipt within %s", errUnknown, e.options.UnknownWait.Std()))
	case waited >= 0:
		return "", message.RetryAfter(e.nextLook(waited), errUnknown)
	}
	return e.send(ctx, m, known)
}

// readFates reads what is written down of a message's parts, and for how long
// one has gone unanswered; below 0 when none has. It fails when one was refused.
func readFates(keys []string, found map[string]string) (known []fate, waited time.Duration, err error) {
	known, waited = make([]fate, len(keys)), -1
	for i, key := range keys {
		f, since := readFate(found[key])
		if f.refused != nil {
			return nil, 0, f.refused
		}
		if f.unknown {
			waited = max(waited, time.Since(since))
		}
		known[i] = f
	}
	return known, waited, nil
}

func readFate(value string) (f fate, since time.Time) {
	if value == "" {
		return f, since
	}
	rest := value[1:]
	switch value[0] {
	case partAccepted:
		return fate{accepted: true, id: rest}, since
	case partRefused:
		return fate{refused: message.Permanent(fmt.Errorf("the SMSC refused submit_sm: %s", rest))}, since
	}
	seconds, _ := strconv.ParseInt(rest, 10, 64)
	return fate{unknown: true}, time.Unix(seconds, 0)
}

// lateTimeout is how long writing down a late answer may take.
const lateTimeout = 30 * time.Second

// lately takes an answer that came after its time, or after a mistaken one that
// brought another message's id.
func (e *engine) lately(p part, o outcome, mistaken string) {
	if e.options.UnknownPolicy == unknownResend {
		p.again.Store(true)
	}
	e.work.Go(func() {
		_ = e.guard("taking a late answer", func() error {
			e.takeLate(p, o, mistaken)
			return nil
		})
	})
}

func (e *engine) takeLate(p part, o outcome, mistaken string) {
	ctx, cancel := context.WithTimeout(context.Background(), lateTimeout)
	defer cancel()
	value := string(partRefused) + o.status.String() + ": " + o.status.Words()
	if o.status == pdu.StatusOK {
		value = string(partAccepted) + o.id
		if !e.accepted(ctx, p, o.id) {
			e.rememberIDs(ctx, p.submitted, p.only(o.id), false)
		}
		e.unshare(ctx, p, mistaken)
	}
	e.mustSet(ctx, p.id, store.Entry{Key: e.keys.part(p.id, p.n), Value: value, TTL: e.options.SubmitSMExpiry.Std()})
	if err := e.forgetUnknown(ctx, p); err != nil {
		e.logger.Debug("forgetting an unanswered submit failed", "message_id", p.id, "error", err)
	}
}

// accepted: a receipt has told already that a part has this id, and may have
// said the last word on it.
func (e *engine) accepted(ctx context.Context, p part, id string) bool {
	key := e.keys.part(p.id, p.n)
	found, err := e.state.Get(ctx, key)
	return err == nil && found[key] == string(partAccepted)+id
}

// only are the message's parts of which the SMSC has this one.
func (p part) only(id string) []fate {
	parts := make([]fate, p.total)
	parts[p.n-1] = fate{accepted: true, id: id}
	return parts
}

const (
	setTries = 5
	setPause = time.Second
)

// mustSet writes what cannot be found out again, patiently.
func (e *engine) mustSet(ctx context.Context, messageID string, entries ...store.Entry) {
	if len(entries) == 0 {
		return
	}
	var err error
	for range setTries {
		if err = e.state.Set(ctx, entries...); err == nil {
			return
		}
		select {
		case <-time.After(setPause):
		case <-ctx.Done():
		case <-e.gate.done:
		}
	}
	e.logger.Error("remembering what was submitted failed; receipts of the message will find nobody",
		"message_id", messageID, "error", err)
}
