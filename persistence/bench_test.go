package persistence_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/persistence"
	"switchboard/store"
)

// BenchmarkRecorder measures a recorder that works off its queue. An operation is a message
// of 160 characters.
func BenchmarkRecorder(b *testing.B) { benchmarkRecorder(b, openEmbedded) }

func benchmarkRecorder(b *testing.B, open func(testing.TB) (broker.Broker, store.Database)) {
	f := &bench{TB: b, id: message.NewID()[:10]}
	f.broker, f.db = open(b)
	f.sms, f.app = "sms"+f.id, "app"+f.id
	b.Cleanup(f.deleteQueues)
	f.start(f.worker(), f.db)() // the queue is there
	m := f.inbound(strings.Repeat("x", 160))
	var failed atomic.Int64
	confirmed := make(chan struct{}, b.N)
	for range b.N {
		m.ID = message.NewID()
		p := broker.Publication{Key: message.Key(f.sms, message.Inbound), Body: m.Encode()}
		f.broker.PublishAsync(b.Context(), p, func(err error) {
			if err != nil {
				failed.Add(1)
			}
			confirmed <- struct{}{}
		})
	}
	for range b.N {
		<-confirmed
	}
	if n := failed.Load(); n > 0 {
		b.Fatalf("%d messages were not published", n)
	}
	counted := &counter{Database: f.db, want: int64(b.N), done: make(chan struct{})}
	b.ReportAllocs()
	b.ResetTimer()
	f.start(f.worker(), counted)
	<-counted.done
	b.StopTimer()
	if n := f.waiting(persistence.RecordQueue("p" + f.id)); n > 0 {
		b.Errorf("%d messages are left", n)
	}
}

// counter closes done when so many envelopes are recorded.
type counter struct {
	store.Database
	want, n int64
	done    chan struct{}
}

func (c *counter) Record(ctx context.Context, batch []store.Envelope) ([]store.Rejected, error) {
	rejected, err := c.Database.Record(ctx, batch)
	if c.n += int64(len(batch)); err == nil && c.n == c.want {
		close(c.done)
	}
	return rejected, err
}
