package store_test

import (
	"testing"
	"time"

	"switchboard/store"
)

func TestPhase(t *testing.T) {
	now := time.Now()
	for want, info := range map[string]store.BroadcastInfo{
		"scheduled":   {State: store.BroadcastRunning, Start: now.Add(time.Hour), Batches: 1, Open: 1},
		"running":     {State: store.BroadcastRunning, Batches: 1, Retrying: 1, Open: 1},
		"retrying":    {State: store.BroadcastRunning, Retrying: 1, Open: 1},
		"handed over": {State: store.BroadcastRunning, Open: 1},
		"paused":      {State: store.BroadcastPaused, Start: now.Add(time.Hour), Open: 1},
		"done":        {State: store.BroadcastDone},
	} {
		if got := info.Phase(now); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
