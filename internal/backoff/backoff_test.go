package backoff

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestDelaysDoubleUpToTheLongest(t *testing.T) {
	b := Backoff{Min: time.Second, Max: 5 * time.Second}
	for range 2 {
		for _, want := range []time.Duration{1, 2, 4, 5, 5} {
			want *= time.Second
			if got := b.Next(); got < want/2 || got > want {
				t.Errorf("delay %v, want %v to %v", got, want/2, want)
			}
		}
		b.Reset()
	}
}

func TestJitterOfNothing(t *testing.T) {
	for _, d := range []time.Duration{0, 1} {
		if got := Jitter(d); got < 0 || got > d {
			t.Errorf("Jitter(%d) = %d", d, got)
		}
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Backoff{Min: time.Minute, Max: time.Hour}
		began := time.Now()
		if !b.Wait(t.Context()) || time.Since(began) < 30*time.Second {
			t.Errorf("waited %v, want at least half a minute", time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if b.Wait(ctx) {
			t.Error("waited to the end of the delay though the context had ended")
		}
	})
}
