package transports

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"switchboard/message"
	"switchboard/options"
)

// The policies of Unknown.
const (
	UnknownWait   = "wait"
	UnknownResend = "resend"
	UnknownFail   = "fail"
)

// Unknown says what becomes of a message that went unanswered: nobody knows whether the
// outside has it.
type Unknown struct {
	// UnknownPolicy is what follows when a message goes unanswered, or the connection is lost
	// before its answer: wait for a late answer or a receipt, and fail when none comes within
	// unknown_wait; resend, which may send twice; or fail. Default wait.
	UnknownPolicy string `yaml:"unknown_policy"`
	// UnknownWait is how long wait waits. Default 10m.
	UnknownWait options.Duration `yaml:"unknown_wait"`
}

// DefaultUnknown waits.
func DefaultUnknown() Unknown {
	return Unknown{UnknownPolicy: UnknownWait, UnknownWait: options.Duration(10 * time.Minute)}
}

// Validate checks the options.
func (u *Unknown) Validate() error {
	policies := []string{UnknownWait, UnknownResend, UnknownFail}
	return errors.Join(
		options.If(!slices.Contains(policies, u.UnknownPolicy), "unknown_policy", "is %q; write %s", u.UnknownPolicy, strings.Join(policies, ", ")),
		options.Positive("unknown_wait", u.UnknownWait))
}

// unknownShares is how many times longer UnknownWait is than the first wait. Each further
// wait is as long as all before it, so that there are fewer looks than the worker's
// max_attempts.
const unknownShares = 128

// NextLook is how long after having waited a message is looked at again.
func (u *Unknown) NextLook(waited time.Duration) time.Duration {
	total := u.UnknownWait.Std()
	return min(max(waited, total/unknownShares), max(total-waited, 0)+time.Second)
}

// Settle says what follows for a message that has been unanswered for so long; below 0 is
// for one that is not. Nil is to send it again; why is that nobody knows of it.
func (u *Unknown) Settle(waited time.Duration, why error) error {
	switch {
	case waited < 0 || u.UnknownPolicy == UnknownResend:
		return nil
	case u.UnknownPolicy == UnknownFail:
		return message.Permanent(why)
	case waited > u.UnknownWait.Std():
		return message.Permanent(fmt.Errorf("%w: no answer and no receipt came within %s", why, u.UnknownWait.Std()))
	}
	return message.RetryAfter(u.NextLook(waited), why)
}
