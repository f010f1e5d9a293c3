package rabbitmq

import (
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

// ledger is RabbitMQ's side of a channel: it knows which deliveries are
// outstanding and refuses, as RabbitMQ does by closing the channel, to hear of
// any other.
type ledger struct {
	mu          sync.Mutex
	outstanding []uint64
	requeued    []uint64
	wrong       []uint64
	frames      int
}

func (l *ledger) Ack(tag uint64, multiple bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frames++
	l.take(tag, multiple)
	return nil
}

func (l *ledger) Nack(tag uint64, multiple, _ bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frames++
	l.take(tag, multiple)
	l.requeued = append(l.requeued, tag)
	return nil
}

func (l *ledger) IsClosed() bool { return false }

func (l *ledger) take(tag uint64, multiple bool) {
	if !slices.Contains(l.outstanding, tag) {
		l.wrong = append(l.wrong, tag)
	}
	l.outstanding = slices.DeleteFunc(l.outstanding, func(t uint64) bool { return t == tag || multiple && t < tag })
}

func testMetrics(t testing.TB) *metrics {
	m, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestAcksTellTheTruth settles deliveries in any order while others arrive, and
// checks after each step that RabbitMQ heard exactly that.
func TestAcksTellTheTruth(t *testing.T) {
	m := testMetrics(t)
	rapid.Check(t, func(t *rapid.T) {
		l := &ledger{}
		a := newAcks(l, m)
		open := map[uint64]*unsettled{}
		var next uint64
		var requeued []uint64
		var acked, requeuedBuf []uint64
		t.Repeat(map[string]func(*rapid.T){
			"deliver": func(t *rapid.T) {
				next++
				l.outstanding = append(l.outstanding, next)
				open[next] = a.add(next)
			},
			"settle": func(t *rapid.T) {
				if len(open) == 0 {
					t.Skip("nothing is open")
				}
				tags := slices.Collect(func(yield func(uint64) bool) {
					for tag := range open {
						if !yield(tag) {
							return
						}
					}
				})
				slices.Sort(tags)
				tag := rapid.SampledFrom(tags).Draw(t, "tag")
				requeue := rapid.Bool().Draw(t, "requeue")
				if !a.settle(open[tag], requeue) || a.settle(open[tag], !requeue) {
					t.Fatal("the first verdict, and only that, must count")
				}
				delete(open, tag)
				if requeue {
					requeued = append(requeued, tag)
				}
			},
			"send": func(t *rapid.T) {
				var below uint64
				acked, requeuedBuf, below, _ = a.take(acked, requeuedBuf)
				a.send(acked, requeuedBuf, below)
				if len(l.wrong) > 0 {
					t.Fatalf("told RabbitMQ of %v, which it does not know", l.wrong)
				}
				if len(l.outstanding) != len(open) {
					t.Fatalf("RabbitMQ has %v outstanding, the handlers %d", l.outstanding, len(open))
				}
				for _, tag := range l.outstanding {
					if open[tag] == nil {
						t.Fatalf("%d is settled and RabbitMQ does not know", tag)
					}
				}
				if !slices.Equal(slices.Sorted(slices.Values(requeued)), slices.Sorted(slices.Values(l.requeued))) {
					t.Fatalf("requeued %v, RabbitMQ heard %v", requeued, l.requeued)
				}
			},
		})
	})
}

// TestAcksTogether: what was settled while nothing was sent goes in one frame.
func TestAcksTogether(t *testing.T) {
	l := &ledger{}
	a := newAcks(l, testMetrics(t))
	for tag := range uint64(100) {
		l.outstanding = append(l.outstanding, tag+1)
		a.settle(a.add(tag+1), false)
	}
	draining := make(chan struct{})
	close(draining)
	a.run(draining)
	if l.frames != 1 || len(l.outstanding) != 0 {
		t.Fatalf("%d frames, %d outstanding", l.frames, len(l.outstanding))
	}
}
