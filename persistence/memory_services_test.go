//go:build services

package persistence_test

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/persistence"
	"switchboard/store"
	"switchboard/worker"
)

// Whatever waits in its queue, a recorder with GOMEMLIMIT=96MiB needs less than 128 MiB.
func TestMemoryIsBounded(t *testing.T) {
	b := &bench{TB: t, id: message.NewID()[:10]}
	b.broker, b.db = openServers(t)
	b.sms, b.app = "sms"+b.id, "app"+b.id
	t.Cleanup(b.deleteQueues)
	b.start(b.worker(), b.db)() // the queue is there
	const large, small, huge = 1500, 3000, 30
	waiting := []struct{ bodies, bytes int }{{small, 100}, {large, 100_000}, {huge, 10_000_000}}
	for _, w := range waiting {
		b.publishMany(w.bodies, strings.Repeat("x", w.bytes))
	}
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(96 << 20))
	used := peakMemory(t)
	b.start(b.worker(), b.db)
	testutil.EventuallyWithin(t, 3*time.Minute, "all is recorded or dead-lettered", func() bool {
		audit, err := b.db.Audit(t.Context(), store.AuditLimits{})
		return err == nil && len(audit.Counts) == 1 && audit.Counts[0].N == large+small &&
			b.waiting(persistence.RecordQueue("p"+b.id)+broker.DeadSuffix) == huge
	})
	const most = 128 << 20
	if n := used(); n > most {
		t.Errorf("%d MiB were used, more than %d", n>>20, most>>20)
	} else {
		t.Logf("%d MiB were used", n>>20)
	}
	b.must(b.broker.Browse(t.Context(), persistence.RecordQueue("p"+b.id)+broker.DeadSuffix, 1, func(d *broker.Delivery) (broker.Verdict, error) {
		if text := d.Headers[worker.HeaderError]; !strings.Contains(text, fmt.Sprint(len(d.Body))) {
			t.Errorf("a dead letter of %d bytes does not say its size: %q", len(d.Body), text)
		}
		return broker.Keep, nil
	}))
}

func (b *bench) publishMany(n int, text string) {
	m := b.inbound(text)
	failed := make(chan error, n)
	for range n {
		m.ID = message.NewID()
		p := broker.Publication{Key: message.Key(b.sms, message.Inbound), Body: m.Encode()}
		b.broker.PublishAsync(b.Context(), p, func(err error) { failed <- err })
	}
	for range n {
		b.must(<-failed)
	}
}

// peakMemory samples the memory that the process has from the system, without what it gave
// back; used ends that and returns the greatest.
func peakMemory(t *testing.T) (used func() uint64) {
	t.Helper()
	debug.FreeOSMemory()
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		for tick := time.Tick(5 * time.Millisecond); ; {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.Sys-m.HeapReleased)
			select {
			case <-tick:
			case <-stop:
				peak <- most
				return
			}
		}
	}()
	return func() uint64 {
		close(stop)
		return <-peak
	}
}
