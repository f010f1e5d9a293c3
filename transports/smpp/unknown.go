package smpp

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/store"
)

// What is written down of a part of a message that is not done with: "=ID" the
// SMSC has it, "!REASON" it was refused, "?SECONDS" it went unanswered at that
// time. In a line of its own follows what marks the message's parts.
const (
	partAccepted = '='
	partRefused  = '!'
	partUnknown  = '?'
)

// saveParts writes down what a further try must know.
func (e *engine) saveParts(ctx context.Context, s *submitted, parts []fate) error {
	var entries []store.Entry
	for i, f := range parts {
		p := part{s, i + 1}
		switch {
		case f.accepted:
			entries = append(entries, e.acceptedEntry(p, f.id))
		case f.unknown:
			since := strconv.FormatInt(time.Now().Unix(), 10)
			entries = append(entries, e.partEntry(p, partUnknown, since))
			entries = append(entries, e.unknownEntries(p)...)
		}
	}
	return e.mustSet(ctx, s.id, entries...)
}

func (e *engine) acceptedEntry(p part, id string) store.Entry {
	return e.partEntry(p, partAccepted, id)
}

func (e *engine) partEntry(p part, kind byte, what string) store.Entry {
	if p.joint != 0 {
		what += "\n" + strconv.Itoa(int(p.joint))
	}
	return store.Entry{Key: e.keys.part(p.submitted, p.n), Value: string(kind) + what, TTL: e.options.SubmitSMExpiry.Std()}
}

// unknownEntries are by what a receipt finds a part without an answer.
func (e *engine) unknownEntries(p part) []store.Entry {
	text, ttl := p.encode(), e.options.SubmitSMExpiry.Std()
	entries := []store.Entry{
		{Key: e.keys.unknown(p.to, p.from), Value: p.id, TTL: ttl}, {Key: e.keys.unanswered(p.submitted), Value: text, TTL: ttl},
	}
	if reference := p.reference(); reference != 0 {
		entries = append(entries, store.Entry{Key: e.keys.reference(p.to, reference), Value: text, TTL: ttl})
	}
	return entries
}

// awaitWord leaves a message with unanswered parts to a later try, by which a
// late answer or a receipt may have come.
func (e *engine) awaitWord(ctx context.Context, s *submitted, parts []fate, failure error) error {
	if err := e.saveParts(ctx, s, parts); err != nil {
		return err
	}
	return message.RetryAfter(e.nextLook(0), failure)
}

const (
	// firstLook is when a message without an answer is looked at again; each
	// further wait is as long as all before it,
	firstLook = 5 * time.Second
	// or longer, where unknown_wait would not end within so many looks: each is
	// one of the worker's max_attempts.
	looks = 7
)

func (e *engine) nextLook(waited time.Duration) time.Duration {
	whole := e.options.UnknownWait.Std()
	first := min(firstLook, whole/4)
	growth := max(2, math.Pow(float64(whole)/float64(first), 1./looks))
	next := max(time.Duration(float64(waited)*(growth-1)), first)
	return min(next, max(whole-waited, 0)+time.Second)
}

// sendAgain goes on where earlier tries at a message ended.
func (e *engine) sendAgain(ctx context.Context, m *message.Message) (providerID string, err error) {
	p, err := e.plan(m, 0)
	if err != nil {
		return "", message.Permanent(err)
	}
	keys := make([]string, p.total)
	for i := range keys {
		keys[i] = e.keys.part(p.submitted, i+1)
	}
	found, err := e.state.Get(ctx, keys...)
	if err != nil {
		return "", fmt.Errorf("asking what was submitted of message %s: %w", m.ID, err)
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
	case waited < 0 || e.options.UnknownPolicy == unknownResend:
		return e.send(ctx, m, known)
	case e.options.UnknownPolicy == unknownFail:
		return "", message.Permanent(errUnknown)
	case waited > e.options.UnknownWait.Std():
		return "", message.Permanent(fmt.Errorf("%w: there was neither an answer nor a receipt within %s", errUnknown, e.options.UnknownWait.Std()))
	}
	return "", message.RetryAfter(e.nextLook(waited), errUnknown)
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
	what, joint, _ := strings.Cut(value[1:], "\n")
	mark, _ := strconv.ParseUint(joint, 10, 16)
	f.joint = uint16(mark)
	switch value[0] {
	case partAccepted:
		f.accepted, f.id = true, what
	case partRefused:
		f.refused = message.Permanent(fmt.Errorf("the SMSC refused submit_sm: %s", what))
	default:
		seconds, _ := strconv.ParseInt(what, 10, 64)
		f.unknown, since = true, time.Unix(seconds, 0)
	}
	return f, since
}

// lately takes an answer that came after its time, or after a mistaken one that
// brought another message's id.
func (e *engine) lately(t *ticket, o outcome) {
	mistaken := t.id
	if e.options.UnknownPolicy == unknownResend {
		t.part.again.Store(true)
	}
	e.work.Go(func() {
		err := e.guard("taking a late answer", func() error {
			if o.status == pdu.StatusOK {
				return e.acceptedLate(t, o.id, mistaken)
			}
			return e.refusedLate(t, o.status)
		})
		if err != nil {
			e.logger.Warn("taking down a late answer failed", "message_id", t.part.id, "error", err)
		}
	})
}

func (e *engine) acceptedLate(t *ticket, id, mistaken string) error {
	ctx, p := context.Background(), t.part // for as long as the transport runs
	if !e.accepted(ctx, p, id) {
		if err := e.rememberIDs(ctx, p.submitted, p.only(id), false); err != nil {
			return err
		}
	}
	if err := e.unshare(ctx, p, mistaken); err != nil {
		return err
	}
	t.sending.over.Wait() // or it would write down that there was no answer
	if err := e.mustSet(ctx, p.id, e.acceptedEntry(p, id)); err != nil {
		return err
	}
	return e.forgetUnknown(ctx, p)
}

// refusedLate takes down that a part without an answer was refused. When not for
// good, it is as if it had never been submitted, and the next look submits it.
func (e *engine) refusedLate(t *ticket, status pdu.Status) error {
	t.sending.over.Wait()
	ctx, p := context.Background(), t.part
	key := e.keys.part(p.submitted, p.n)
	found, err := e.state.Get(ctx, key)
	if err != nil {
		return err
	}
	if f, _ := readFate(found[key]); !f.unknown { // it was submitted again, or a receipt has told more
		return nil
	}
	if status.Temporary() || ours(status) {
		err = e.state.Delete(ctx, key)
	} else {
		err = e.mustSet(ctx, p.id, e.partEntry(p, partRefused, status.String()+": "+status.Words()))
	}
	if err != nil {
		return err
	}
	return e.forgetUnknown(ctx, p)
}

// accepted: a receipt has told already that a part has this id, and may have
// said the last word on it.
func (e *engine) accepted(ctx context.Context, p part, id string) bool {
	key := e.keys.part(p.submitted, p.n)
	found, err := e.state.Get(ctx, key)
	f, _ := readFate(found[key])
	return err == nil && f.accepted && f.id == id
}

// only are the message's parts of which the SMSC has this one.
func (p part) only(id string) []fate {
	parts := make([]fate, p.total)
	parts[p.n-1] = fate{accepted: true, id: id}
	return parts
}

// setPause is how long it is until what could not be written is written again,
// twice as long each time, up to maxSetPause.
const (
	setPause    = 50 * time.Millisecond
	maxSetPause = time.Second
)

// mustSet writes what cannot be found out again, until it is written or the
// transport stops: the messages in hand meanwhile are all that is submitted
// while the store is away.
func (e *engine) mustSet(ctx context.Context, messageID string, entries ...store.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	for pause := setPause; ; pause = min(2*pause, maxSetPause) {
		err := e.state.Set(ctx, entries...)
		if err == nil {
			return nil
		}
		last, now := e.storeAway.Load(), time.Now().UnixNano()
		if now-last > int64(oddPause) && e.storeAway.CompareAndSwap(last, now) {
			e.logger.Warn("remembering what was submitted failed; trying until it works", "message_id", messageID, "error", err)
		}
		select {
		case <-time.After(pause):
			continue
		case <-ctx.Done():
		case <-e.gate.done:
		}
		e.logger.Error("what was submitted could not be remembered; receipts of the message will find nobody",
			"message_id", messageID, "error", err)
		return fmt.Errorf("%w, and remembering what was submitted failed: %w", errStopped, err)
	}
}
