package persistence

import (
	"testing"
	"time"

	"switchboard/broker"
)

// Batches that are full, by number or bytes, follow each other at once, and a small prefetch
// does not make the record slow.
func TestPauseAfterABatch(t *testing.T) {
	for name, c := range map[string]struct {
		bodies, size, prefetch int
		want                   time.Duration
	}{
		"one":              {1, 100, 0, recordPause},
		"full":             {500, 100, 0, 0},
		"full by bytes":    {2, maxBatchBytes / 2, 0, 0},
		"a small prefetch": {1, 100, 15, recordPause / 100},
		"a large prefetch": {1, 100, 10_000, recordPause},
	} {
		p := New()
		p.Prefetch = c.prefetch
		bodies := make([]received, c.bodies)
		for i := range bodies {
			bodies[i].delivery = &broker.Delivery{Body: make([]byte, c.size)}
		}
		if got := (&recorder{Persistence: p}).pauseAfter(bodies); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
