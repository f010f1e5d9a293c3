package doors

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"switchboard/message"
)

// Of a host that fails a few calls are made at a time, until one is taken.
func TestAHostThatFailsIsLeftAloneByMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h hosts
		const dead = "http://dead.example/dlr"
		enter := func() func(error) {
			leave, err := h.enter(t.Context(), dead)
			if err != nil {
				t.Fatal(err)
			}
			return leave
		}
		failure := errors.New("the webhook answered HTTP 503")
		for range failsAfter - 1 {
			enter()(failure)
		}
		enter()(context.Canceled) // says nothing
		var calls []func(error)
		for range probes + 1 {
			calls = append(calls, enter())
		}
		for _, leave := range calls {
			leave(message.Permanent(failure)) // it answers, so nothing has failed in a row
		}
		for range failsAfter {
			enter()(failure)
		}
		calls = calls[:0]
		for range probes {
			calls = append(calls, enter())
		}
		if _, err := h.enter(t.Context(), dead); !errors.Is(err, errFails) {
			t.Errorf("beyond the probes it ended with %v", err)
		}
		if leave, err := h.enter(t.Context(), "http://living.example/dlr"); err != nil {
			t.Error(err)
		} else {
			leave(nil)
		}
		for _, leave := range calls {
			leave(nil)
		}
		if len(h.byIt) != 0 {
			t.Errorf("%d hosts are remembered that nobody calls", len(h.byIt))
		}
	})
}

// Those who wait for a place at a host that begins to fail do not wait for its timeouts.
func TestWaitingEndsWhenAHostFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h hosts
		const dead = "http://dead.example/dlr"
		var calls []func(error)
		for range perHost {
			leave, err := h.enter(t.Context(), dead)
			if err != nil {
				t.Fatal(err)
			}
			calls = append(calls, leave)
		}
		left := make(chan error, 300)
		for range 300 {
			go func() {
				_, err := h.enter(t.Context(), dead)
				left <- err
			}()
		}
		synctest.Wait()
		for _, leave := range calls {
			leave(errors.New("no answer within 10s"))
		}
		synctest.Wait()
		if refused := len(left); refused < 300-failsAfter-probes {
			t.Errorf("%d of 300 wait no longer", refused)
		}
	})
}
