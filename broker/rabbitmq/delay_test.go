package rabbitmq

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"switchboard/broker"
)

func TestLadder(t *testing.T) {
	all := steps()
	if !slices.IsSorted(all) || all[0] != time.Second || all[len(all)-1] != broker.MaxDelay {
		t.Fatalf("the ladder goes from 1s to %v, in order: %v", broker.MaxDelay, all)
	}
	for _, seconds := range []int{1, 3, 9, 27, 81, 243, 729, 2187, 3600} {
		if !slices.Contains(all, time.Duration(seconds)*time.Second) {
			t.Errorf("no step for a retry after %ds", seconds)
		}
	}
}

// TestDelayRoute: never before 80 % of what was asked, never after it, on the
// smallest step that holds it.
func TestDelayRoute(t *testing.T) {
	d := newDelays(&Broker{topology: newTopology()})
	for asked, step := range map[time.Duration]string{
		time.Millisecond: "1s", time.Second: "1s", 1001 * time.Millisecond: "3s", 9 * time.Second: "9s",
		time.Hour: "3600s", 90 * time.Minute: "7200s", broker.MaxDelay: "86400s",
	} {
		at, _ := slices.BinarySearch(d.steps, asked)
		d.note(delayTarget{step: d.steps[at], queue: "q"})
		for range 100 {
			r, err := d.route(t.Context(), broker.Publication{Queue: "q", Delay: asked})
			if err != nil {
				t.Fatal(err)
			}
			if r.exchange != delayPrefix+step || r.key != "q" {
				t.Fatalf("%v travels through %q to %q", asked, r.exchange, r.key)
			}
			ms, err := strconv.ParseInt(r.expiration, 10, 64)
			if wait := time.Duration(ms) * time.Millisecond; err != nil || wait < asked*8/10 || wait > asked+delayRoundedUp {
				t.Fatalf("%v waits for %q ms", asked, r.expiration)
			}
		}
	}
}
