package transports_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/options"
	"switchboard/transports"
	"switchboard/worker"
)

var errNobodyKnows = errors.New("nobody knows")

// What follows for a message that has been unanswered for so long.
func TestSettle(t *testing.T) {
	const again = "again"
	for _, c := range []struct {
		policy string
		waited time.Duration
		want   string
	}{
		{transports.UnknownWait, -1, again},
		{transports.UnknownWait, 0, "after 5s"},
		{transports.UnknownWait, 10 * time.Second, "after 10s"},
		{transports.UnknownWait, 9 * time.Minute, "after 1m1s"},
		{transports.UnknownWait, 10 * time.Minute, "after 1s"},
		{transports.UnknownWait, 10*time.Minute + 1, "permanent"},
		{transports.UnknownResend, -1, again},
		{transports.UnknownResend, time.Hour, again},
		{transports.UnknownFail, -1, again},
		{transports.UnknownFail, 0, "permanent"},
	} {
		u := transports.DefaultUnknown()
		u.UnknownPolicy = c.policy
		err := u.Settle(c.waited, errNobodyKnows)
		got := again
		if after, asked := message.RetryDelay(err); asked {
			got = fmt.Sprint("after ", after.Round(time.Second))
		} else if message.IsPermanent(err) {
			got = "permanent"
		}
		if got != c.want || err != nil && !errors.Is(err, errNobodyKnows) {
			t.Errorf("%s, after %s: %s (%v), want %s", c.policy, c.waited, got, err, c.want)
		}
	}
}

func TestUnknownOptions(t *testing.T) {
	for _, c := range []struct {
		policy string
		wait   time.Duration
		wrong  string
	}{
		{transports.UnknownWait, time.Second, ""},
		{transports.UnknownResend, time.Second, ""},
		{transports.UnknownFail, time.Second, ""},
		{"shrug", time.Second, `unknown_policy: is "shrug"; write wait, resend, fail`},
		{"", time.Second, "unknown_policy"},
		{transports.UnknownWait, 0, "unknown_wait: must be above 0"},
	} {
		u := transports.Unknown{UnknownPolicy: c.policy, UnknownWait: options.Duration(c.wait)}
		if err := u.Validate(); (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%q, %s: %v, want %q", c.policy, c.wait, err, c.wrong)
		}
	}
}

// However long unknown_wait is, it ends before the worker's attempts do.
func TestLooksEndWithUnknownWait(t *testing.T) {
	for _, whole := range []time.Duration{time.Second, 10 * time.Minute, 24 * time.Hour, 30 * 24 * time.Hour} {
		u := transports.Unknown{UnknownWait: options.Duration(whole)}
		waited, attempts := time.Duration(0), 1
		for ; waited <= whole; attempts++ {
			waited += u.NextLook(waited)
		}
		if most := worker.DefaultSettings().MaxAttempts; attempts > most-2 || waited > whole+2*time.Second {
			t.Errorf("%s ends at attempt %d of %d, after %s", whole, attempts, most, waited)
		}
	}
}
