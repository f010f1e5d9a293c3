//go:build services

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/message"
)

// handsets plays a transport that answers every message at once, and counts
// who got what how often.
type handsets struct {
	t      *testing.T
	broker *rabbitmq.Broker
	name   string
	mu     sync.Mutex
	got    map[string]int // by message ID
	came   chan struct{}
}

func newHandsets(t *testing.T, b *rabbitmq.Broker, name string) *handsets {
	t.Helper()
	h := &handsets{t: t, broker: b, name: name, got: map[string]int{}, came: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	queue := broker.Queue{Name: name + ".outbound", Keys: []string{name + ".outbound"}}
	go func() { done <- b.Consume(ctx, queue, 500, h.take) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("consuming %s: %v", queue.Name, err)
		}
	})
	return h
}

// take answers, and lets go of the message when the answer is safe.
func (h *handsets) take(d *broker.Delivery) {
	m, err := message.Decode(d.Body)
	if err != nil {
		h.t.Errorf("what came out is no message: %v", err)
		d.Ack()
		return
	}
	h.mu.Lock()
	h.got[m.ID]++
	h.mu.Unlock()
	select {
	case h.came <- struct{}{}:
	default:
	}
	ack := message.NewAck(m, "provider-"+m.ID)
	ack.TransportName = h.name
	h.broker.PublishAsync(context.Background(), broker.Publication{Key: h.name + ".event", Body: ack.Encode()}, func(err error) {
		if err != nil {
			d.Requeue()
			return
		}
		d.Ack()
	})
}

// counts says how many different messages came, and how many more than once.
func (h *handsets) counts() (different, again int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.got {
		again += n - 1
	}
	return len(h.got), again
}

// text sends n messages from different people; each is safe with the broker
// when it returns.
func (h *handsets) text(n int) {
	h.t.Helper()
	fates := make(chan error, n)
	for i := range n {
		m := message.New()
		m.From, m.To, m.Content, m.TransportName = fmt.Sprintf("+2783%07d", i), "12345", fmt.Sprintf("hello %d", i), h.name
		h.broker.PublishAsync(h.t.Context(), broker.Publication{Key: h.name + ".inbound", Body: m.Encode()}, func(err error) { fates <- err })
	}
	for range n {
		if err := <-fates; err != nil {
			h.t.Fatal(err)
		}
	}
}

// await waits until n different messages have come.
func (h *handsets) await(n int, within time.Duration) {
	h.t.Helper()
	deadline := time.After(within)
	for {
		if different, _ := h.counts(); different >= n {
			return
		}
		select {
		case <-h.came:
		case <-deadline:
			different, _ := h.counts()
			h.t.Fatalf("%d of %d messages came within %s", different, n, within)
		}
	}
}

// converse sends n messages and waits for their answers, and says how long that
// took.
func (h *handsets) converse(n int) time.Duration {
	h.t.Helper()
	before, _ := h.counts()
	began := time.Now()
	h.text(n)
	h.await(before+n, patience)
	return time.Since(began).Round(time.Millisecond)
}

// load keeps up a conversation of 200 messages a second for a while, and says
// how many those were, and how long the slowest hundred took to be answered.
func (h *handsets) load(while time.Duration) (n int, slowest time.Duration) {
	h.t.Helper()
	const many = 100
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(while); time.Now().Before(end); <-tick.C {
		slowest = max(slowest, h.converse(many))
		n += many
	}
	return n, slowest
}

// operator runs the program as an operator does.
type operator struct {
	t   *testing.T
	env []string
}

func (o *operator) run(args ...string) (out string, err error) {
	o.t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), o.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("switchboard %v: %w\n%s", args, err, stderr.String())
	}
	return stdout.String(), err
}

func (o *operator) must(args ...string) string {
	o.t.Helper()
	out, err := o.run(args...)
	if err != nil {
		o.t.Fatal(err)
	}
	return out
}

// audit is what `switchboard audit --json` counts.
type audit struct {
	Counts []struct {
		Direction string
		State     string
		N         int
	}
	Stuck  []struct{ ID, State string }
	Orphan int
}

// audit adds up the record: messages by direction and state, such as "O S".
func (o *operator) audit() (counts map[string]int, clean bool) {
	o.t.Helper()
	out, err := o.run("audit", "--json", "--stuck", "1ms")
	var a audit
	if bad := json.Unmarshal([]byte(out), &a); bad != nil {
		return nil, false // the database is away
	}
	counts = map[string]int{}
	for _, c := range a.Counts {
		counts[c.Direction+" "+c.State] += c.N
	}
	return counts, err == nil
}

// awaitAudit waits until the record is clean, and has n messages in each of
// these states and none in others.
func (o *operator) awaitAudit(want map[string]int) {
	o.t.Helper()
	var counts map[string]int
	var clean bool
	defer func() {
		if o.t.Failed() {
			o.t.Logf("the last audit: %v, clean %t", counts, clean)
		}
	}()
	eventually(o.t, fmt.Sprintf("the audit is clean with %v", want), func() bool {
		counts, clean = o.audit()
		return clean && fmt.Sprint(counts) == fmt.Sprint(want)
	})
}
