//go:build services

package e2e

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/message"
)

// people play a foreign transport: they write, and count what comes back.
type people struct {
	t      *testing.T
	broker *rabbitmq.Broker
	name   string // of the transport
	// acks says that each message is answered with an ack, before it leaves its
	// queue.
	acks bool

	mu   sync.Mutex
	got  map[string]int // by the ID of the message answered, or of the first message
	came chan struct{}  // something was added to got
}

func newPeople(t *testing.T, b *rabbitmq.Broker, name string, acks bool) *people {
	t.Helper()
	p := &people{t: t, broker: b, name: name, acks: acks, got: map[string]int{}, came: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	queue := broker.Queue{Name: name + ".outbound", Keys: []string{name + ".outbound"}}
	go func() { done <- b.Consume(ctx, queue, 500, p.receive) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("consuming %s: %v", queue.Name, err)
		}
	})
	return p
}

func (p *people) receive(d *broker.Delivery) {
	m, err := message.Decode(d.Body)
	if err != nil {
		p.t.Errorf("what came out is no message: %v", err)
		d.Ack()
		return
	}
	p.mu.Lock()
	p.got[cmp.Or(m.InReplyTo, m.ID)]++
	p.mu.Unlock()
	select {
	case p.came <- struct{}{}:
	default:
	}
	if !p.acks {
		d.Ack()
		return
	}
	ack := message.NewAck(m, "provider-"+m.ID)
	ack.TransportName = p.name
	p.broker.PublishAsync(context.Background(), broker.Publication{Key: p.name + ".event", Body: ack.Encode()}, func(err error) {
		if err != nil {
			d.Requeue()
			return
		}
		d.Ack()
	})
}

// counts says how many different messages came, and how many more than once.
func (p *people) counts() (different, again int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, n := range p.got {
		again += n - 1
	}
	return len(p.got), again
}

// send sends n messages from different people; each is safe with the broker
// when it returns.
func (p *people) send(n int) (ids []string) {
	p.t.Helper()
	ids, err := p.trySend(n)
	if err != nil {
		p.t.Fatal(err)
	}
	return ids
}

// trySend is send for other goroutines than the test's.
func (p *people) trySend(n int) (ids []string, err error) {
	var lost []broker.Publication
	confirms := make(chan error, n)
	publications := make([]broker.Publication, n)
	for i := range publications {
		m := message.New()
		m.From, m.To, m.Content = fmt.Sprintf("+2783%07d", i), "12345", fmt.Sprintf("hello %d", i)
		m.TransportName, m.TransportType = p.name, "sms"
		ids = append(ids, m.ID)
		publications[i] = broker.Publication{Key: p.name + ".inbound", Body: m.Encode()}
		p.broker.PublishAsync(p.t.Context(), publications[i], func(err error) { confirms <- err })
	}
	for _, publication := range publications { // confirms come in the order of publishing
		if err := <-confirms; err != nil {
			lost = append(lost, publication)
		}
	}
	for _, publication := range lost {
		if err := p.broker.Publish(p.t.Context(), publication); err != nil {
			return ids, err
		}
	}
	return ids, nil
}

// await waits until n different messages have come.
func (p *people) await(n int, within time.Duration) {
	p.t.Helper()
	deadline := time.After(within)
	for {
		different, _ := p.counts()
		if different >= n {
			return
		}
		select {
		case <-p.came:
		case <-deadline:
			p.t.Fatalf("%d of %d messages came within %s", different, n, within)
		}
	}
}

// awaitAnswers waits until each of these messages is answered.
func (p *people) awaitAnswers(ids []string) {
	p.t.Helper()
	p.await(len(ids), patience)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		if p.got[id] == 0 {
			p.t.Errorf("message %s was never answered", id)
		}
	}
}

// converse sends n messages, waits for their answers, and returns how long that
// took.
func (p *people) converse(n int) time.Duration {
	p.t.Helper()
	before, _ := p.counts()
	began := time.Now()
	p.send(n)
	p.await(before+n, patience)
	return time.Since(began).Round(time.Millisecond)
}

// load sends 200 messages a second for a while. It returns how many, and how
// long the slowest hundred took to be answered.
func (p *people) load(while time.Duration) (n int, slowest time.Duration) {
	p.t.Helper()
	const hundred = 100
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(while); time.Now().Before(end); <-tick.C {
		slowest = max(slowest, p.converse(hundred))
		n += hundred
	}
	return n, slowest
}
