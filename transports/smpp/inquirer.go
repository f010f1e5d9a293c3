package smpp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"switchboard/store"
)

// What was accepted, and whose last receipt is missing, is asked about by
// query_sm. What there is to ask about is in the state store, in the order in
// which it falls due, so that a million outstanding messages take no memory and
// survive a restart:
//
//	ask/<due>/<id>     an inquiry; due is in Unix milliseconds, of 13 digits
//	asking/<due>/<id>  held for a while by the replica that asks
const (
	// inquireEvery is how often what has fallen due is looked for, or sooner where
	// query_after is short.
	inquireEvery = time.Second
	inquireShare = 4
	// askBatch is how many inquiries are looked at together.
	askBatch = 500
	// maxAsking is how many query_sm are unanswered at once, and maxToAsk how many
	// wait to be sent.
	maxAsking = 5
	maxToAsk  = 100
	// askClaim is how long other replicas leave an inquiry to the one that asks.
	askClaim = time.Minute
	// askShare is the part of mt_tps that is left to query_sm.
	askShare = 0.1
	// maxRefusals is how often an SMSC may refuse to say what became of a message
	// before it is let be.
	maxRefusals = 3
	// maxAskPause is the longest time between two inquiries about a message.
	maxAskPause = 24 * time.Hour
)

// inquiry is a message, or a part of one, that may have to be asked about.
type inquiry struct {
	ID      string `json:"id"`          // as the SMSC spelt it
	Asked   int    `json:"n,omitempty"` // how often
	Refused int    `json:"r,omitempty"` // how often the SMSC did not say

	name string // <due>/<id>
	key  string // of what is known of the id
}

func (i *inquiry) encode() string {
	text, _ := json.Marshal(i) // a text and two numbers
	return string(text)
}

// inquiries is what there is to ask about a part that was accepted: nothing, or
// one.
func (e *engine) inquiries(s *submitted, id string) []store.Entry {
	if e.options.QueryAfter == 0 || !s.expected {
		return nil
	}
	return []store.Entry{e.inquiry(&inquiry{ID: id})}
}

// inquiry is an entry that falls due twice as late each time.
func (e *engine) inquiry(i *inquiry) store.Entry {
	first := e.options.QueryAfter.Std()
	pause := first
	for range i.Asked {
		pause = min(2*pause, max(first, maxAskPause))
	}
	due := time.Now().Add(pause).UnixMilli()
	return store.Entry{
		Key:   fmt.Sprintf("%sask/%013d/%s", e.keys.prefix, due, e.ids.kept(i.ID)),
		Value: i.encode(), TTL: e.options.ThirdPartyIDExpiry.Std(),
	}
}

// inquirer is what of a transport asks.
type inquirer struct {
	*engine
	pace  *rate.Limiter
	queue chan *inquiry

	mu   sync.Mutex
	busy map[string]bool // the names of those in the queue, or being asked about
}

var errNoQueries = errors.New("the SMSC knows no query_sm")

// inquire asks about what has fallen due until ctx ends, or until the SMSC says
// that it cannot be asked.
func (e *engine) inquire(ctx context.Context) {
	q := &inquirer{
		engine: e, pace: rate.NewLimiter(e.options.queryRate(), 1),
		queue: make(chan *inquiry, maxToAsk), busy: map[string]bool{},
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var group sync.WaitGroup
	for range maxAsking {
		group.Go(func() { stop(q.askOn(ctx)) })
	}
	q.look(ctx)
	group.Wait()
	if errors.Is(context.Cause(ctx), errNoQueries) {
		e.logger.Error("the SMSC does not know query_sm and is asked no more; set query_after to 0")
	}
}

// look finds what has fallen due until ctx ends.
func (q *inquirer) look(ctx context.Context) {
	tick := time.NewTicker(max(time.Millisecond, min(inquireEvery, q.options.QueryAfter.Std()/inquireShare)))
	defer tick.Stop()
	for ctx.Err() == nil {
		more := false
		err := q.guard("looking for messages to ask about", func() (err error) {
			more, err = q.lookOnce(ctx)
			return err
		})
		if err != nil && ctx.Err() == nil {
			q.logger.Warn("looking for messages to ask about failed; trying again", "error", err)
		}
		if more && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// askOn asks about what is in the queue until ctx ends, or it is no use.
func (q *inquirer) askOn(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case i := <-q.queue:
			err := q.guard("asking about a message", func() error { return q.askOne(ctx, i) })
			q.mu.Lock()
			delete(q.busy, i.name)
			q.mu.Unlock()
			switch {
			case errors.Is(err, errNoQueries):
				return err
			case err != nil && ctx.Err() == nil:
				q.logger.Warn("asking what became of a message failed; trying again", "smsc_message_id", i.ID, "error", err)
			}
		}
	}
}

// askOne asks about one, unless another replica does.
func (q *inquirer) askOne(ctx context.Context, i *inquiry) error {
	_, mine, err := q.state.Add(ctx, store.Entry{Key: q.keys.prefix + "asking/" + i.name, TTL: askClaim})
	if err != nil || !mine {
		return err
	}
	if err := q.pace.Wait(ctx); err != nil {
		return err
	}
	return q.ask(ctx, i)
}

func (o *Options) queryRate() rate.Limit {
	most := rate.Limit(o.QueryTPS)
	if o.MTTPS > 0 {
		most = min(most, rate.Limit(float64(o.MTTPS*o.Binds)*askShare))
	}
	return most
}

// lookOnce deals with the inquiries that fell due first: those of which the last
// word was said are forgotten, the others asked about, or put off when there are
// too many. More says that there may be others.
func (q *inquirer) lookOnce(ctx context.Context) (more bool, err error) {
	due, err := q.dueInquiries(ctx)
	if err != nil || len(due) == 0 {
		return false, err
	}
	open, err := q.stillOpen(ctx, due)
	if err != nil {
		return false, err
	}
	var late []*inquiry
	for _, i := range open {
		if !q.enqueue(i) {
			late = append(late, i)
		}
	}
	return len(due) == askBatch, q.postpone(ctx, late)
}

// enqueue is false when the queue is full.
func (q *inquirer) enqueue(i *inquiry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.busy[i.name] {
		return true
	}
	select {
	case q.queue <- i:
		q.busy[i.name] = true
		return true
	default:
		return false
	}
}

// postpone leaves inquiries for another time: more fall due than may be asked.
func (q *inquirer) postpone(ctx context.Context, list []*inquiry) error {
	if len(list) == 0 {
		return nil
	}
	var entries []store.Entry
	for _, i := range list {
		q.metrics.query("postponed")
		entries = append(entries, q.inquiry(i))
	}
	if err := q.state.Set(ctx, entries...); err != nil {
		return err
	}
	return q.forgetInquiries(ctx, list...)
}

func (e *engine) dueInquiries(ctx context.Context) (due []*inquiry, err error) {
	prefix := e.keys.prefix + "ask/"
	list, err := e.state.Range(ctx, prefix, fmt.Sprintf("%s%013d", prefix, time.Now().UnixMilli()), askBatch)
	if err != nil {
		return nil, err
	}
	for _, entry := range list {
		i := &inquiry{name: strings.TrimPrefix(entry.Key, prefix)}
		if err := json.Unmarshal([]byte(entry.Value), i); err != nil {
			e.logger.Warn("an inquiry cannot be read", "key", entry.Key, "error", err)
		}
		i.key = e.keys.id(e.ids.kept(i.ID))
		due = append(due, i)
	}
	return due, nil
}

// stillOpen are those of which the last word was not said. The others are
// forgotten.
func (e *engine) stillOpen(ctx context.Context, due []*inquiry) (open []*inquiry, err error) {
	keys := make([]string, len(due))
	for n, i := range due {
		keys[n] = i.key
	}
	found, err := e.state.Get(ctx, keys...)
	if err != nil {
		return nil, err
	}
	var over []*inquiry
	for _, i := range due {
		if k := readKnown(found[i.key]); k == nil {
			over = append(over, i)
		} else {
			open = append(open, i)
		}
	}
	return open, e.forgetInquiries(ctx, over...)
}

// readKnown is what an id stands for, where one message waits for its last
// receipt; else nil. Of an id that several were given no answer would say which
// it is about.
func readKnown(text string) *known {
	var k known
	if text == "" || json.Unmarshal([]byte(text), &k) != nil || k.Final != "" || k.Dead || k.Many || len(k.Same) > 0 {
		return nil
	}
	return &k
}

func (e *engine) forgetInquiries(ctx context.Context, list ...*inquiry) error {
	if len(list) == 0 {
		return nil
	}
	keys := make([]string, len(list))
	for n, i := range list {
		keys[n] = e.keys.prefix + "ask/" + i.name
	}
	return e.state.Delete(ctx, keys...)
}
