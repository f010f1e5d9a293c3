package chaos

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"switchboard/broker"
	"switchboard/internal/backoff"
	"switchboard/message"
	"switchboard/options"
	"switchboard/smpp/simulator"
)

// people write to the fleet by two SMSCs, and know what each message must become.
type people struct {
	run   string // marks this run's texts: what an earlier one left is none of them
	smscs map[string]*simulator.SMSC

	sent    atomic.Int64
	waiting sync.WaitGroup
	room    chan struct{}

	mu       sync.Mutex
	accepted map[int64]bool
	refused  []error
	answers  map[int64]int
	seen     map[string]uint64 // how far each SMSC's record is read
	poison   int
	wrong    int // messages that are dated wrongly
}

const (
	// maxWaiting is how many messages may wait for the fleet to accept them; more are not written.
	maxWaiting = 2000
	// deliverRetries is how often an SMSC tries again: for ever, as far as a run is concerned.
	deliverRetries = 100_000
)

func newPeople(seed uint64, run string) (p *people, err error) {
	p = &people{
		run: run, smscs: map[string]*simulator.SMSC{}, room: make(chan struct{}, maxWaiting),
		accepted: map[int64]bool{}, answers: map[int64]int{}, seen: map[string]uint64{},
	}
	for i, name := range []string{transportA, transportB} {
		p.smscs[name], err = simulator.Start(simulator.Settings{
			Seed: seed + uint64(i), ResponseTimeout: options.Duration(10 * time.Second), EnquireInterval: options.Duration(5 * time.Second),
			Behaviour: simulator.Behaviour{
				IDs:      &simulator.IDs{Format: "uuid"}, // never those of an earlier run
				Answers:  &simulator.Answers{Delay: simulator.Between(0, 20*time.Millisecond)},
				Receipts: &simulator.Receipts{Delay: simulator.Between(0, time.Second)},
				Delivery: &simulator.Delivery{Window: window, Retries: deliverRetries, Pause: options.Duration(500 * time.Millisecond)},
			},
		})
		if err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *people) close() {
	for _, s := range p.smscs {
		ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
		_ = s.Shutdown(ctx)
		cancel()
	}
}

// write writes messages at a rate until ctx ends. Those that are under way go on under work.
func (p *people) write(ctx, work context.Context, rate int) {
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		select {
		case p.room <- struct{}{}:
		case <-ctx.Done():
			return
		}
		n := p.sent.Add(1)
		via := transportA
		if n%2 == 0 {
			via = transportB
		}
		p.waiting.Go(func() {
			err := p.smscs[via].Deliver(work, simulator.Incoming{From: person(n), To: "1234", Text: p.text(n)})
			<-p.room
			p.took(n, err)
		})
	}
}

func (p *people) took(n int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.refused = append(p.refused, fmt.Errorf("message %d: %w", n, err))
		return
	}
	p.accepted[n] = true
}

// manyPeople take turns, so that each has an order to be kept.
const manyPeople = 500

func person(n int64) string { return fmt.Sprintf("3161%07d", n%manyPeople) }

func (p *people) text(n int64) string { return fmt.Sprintf("chaos %s %d", p.run, n) }

// number is the message that a text is of; 0 for none of this run's.
func (p *people) number(text string) int64 {
	rest, ours := strings.CutPrefix(text, "chaos "+p.run+" ")
	if !ours {
		return 0
	}
	n, err := strconv.ParseInt(rest, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// look counts what came at the SMSCs since the last look.
func (p *people) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, smsc := range p.smscs {
		list, next := smsc.ReceivedSince(p.seen[name])
		p.seen[name] = next
		for i := range list {
			if n := p.number(list[i].Text()); n > 0 && list[i].MessageID != "" {
				p.answers[n]++
			}
		}
	}
}

// watch looks often enough for the SMSCs' records to hold everything.
func (p *people) watch(ctx context.Context) {
	for backoff.Sleep(ctx, pollEvery) {
		p.look()
	}
}

// lost are accepted messages without an answer; again is how many answers came more than once.
func (p *people) count() (accepted int, lost []int64, again int) {
	p.look()
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := range p.accepted {
		if p.answers[n] == 0 {
			lost = append(lost, n)
		}
	}
	for _, times := range p.answers {
		again += times - 1
	}
	return len(p.accepted), lost, again
}

// wrongTimes are those of workers whose clocks are wrong.
var wrongTimes = []time.Time{time.Unix(0, 0), time.Unix(1<<31, 0), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}

// inject publishes a message as a foreign worker does whose clock is wrong.
func (p *people) inject(ctx context.Context, b broker.Publisher, queue string, at time.Time) error {
	n := p.sent.Add(1)
	m := message.New()
	m.From, m.To, m.Content, m.Timestamp = person(n), "1234", p.text(n), at
	m.TransportName, m.TransportType = transportA, "sms"
	if strings.HasPrefix(queue, transportB) {
		m.TransportName = transportB
	}
	err := publish(ctx, b, broker.Publication{Key: m.TransportName + ".inbound", Body: m.Encode()})
	p.mu.Lock()
	p.wrong++
	p.mu.Unlock()
	p.took(n, err)
	return err
}

// publish publishes until the broker takes the body: a queue at its limit refuses it for a while.
func publish(ctx context.Context, b broker.Publisher, what broker.Publication) error {
	for {
		err := b.Publish(ctx, what)
		if !errors.Is(err, broker.ErrRefused) && !errors.Is(err, broker.ErrLost) || !backoff.Sleep(ctx, pollEvery) {
			return err
		}
	}
}

// poisons are bodies that are no messages. They are large: no other command makes them.
var poisons = sync.OnceValue(func() []string {
	return []string{
		"no JSON", "{", "[]", "null", "{}", "\xff\xfe\x00", `{"message_type": "user_message"}`,
		`{"message_type": "user_message", "message_id": ["a"], "content": {"a": 1}}`,
		`{"message_type": "no such", "timestamp": 1e999}`,
		`{"message_type": "user_message", "message_type": "event", "content": "a", "content": 1e400}`,
		strings.Repeat("[", 500_000),
		`{"message_type": "user_message"` + strings.Repeat(`, "k": 0`, 100_000) + `}`,
		`{"message_type": "user_message", "helper_metadata": {"a": "` + strings.Repeat("x", 10<<20) + `"}}`,
	}
})

// poisonAll publishes one of each, to one queue.
func (p *people) poisonAll(ctx context.Context, b broker.Publisher, queue string) error {
	for _, body := range poisons() {
		if err := publish(ctx, b, broker.Publication{Queue: queue, Body: []byte(body)}); err != nil {
			return err
		}
		p.mu.Lock()
		p.poison++
		p.mu.Unlock()
	}
	return nil
}

func (p *people) misdated() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wrong
}
