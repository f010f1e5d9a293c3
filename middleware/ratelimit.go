package middleware

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"switchboard/internal/msisdn"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	"switchboard/worker"
)

// RateLimit bounds how many messages go to, or come from, one person. Each
// person has a bucket of `burst` tokens that fills at `limit` tokens per `per`;
// a message takes one.
type RateLimit struct {
	// Limit is how many messages a person may have in each `per`.
	Limit int `yaml:"limit"`
	// Per is the time in which limit counts.
	Per options.Duration `yaml:"per"`
	// Burst is how many may come at once after silence; the limit when 0.
	Burst int `yaml:"burst"`
	// Flows says which messages: inbound, outbound, or both, each counted apart.
	Flows options.Names `yaml:"flows"`
	// Exempt are addresses without a limit.
	Exempt options.Names `yaml:"exempt"`
	// Country is whose national numbers these are: with ZA, 0821234567 and
	// +27821234567 are one person. Without it only the spellings of international
	// numbers are known.
	Country string `yaml:"country"`
	// OverLimit says what becomes of a message above the limit: retry waits
	// until there is a token (each wait is one of the worker's max_attempts;
	// later messages may overtake it), discard drops it with a reason, and
	// the application of an outbound message gets a nack.
	OverLimit string `yaml:"over_limit"`
	// Shared counts in the state store, for all replicas together, limit
	// messages in each period of `per` since 1970 (burst has no meaning then),
	// at the price of one request to the store a message. Otherwise every
	// process counts for itself.
	Shared bool `yaml:"shared"`

	state   store.State
	now     func() time.Time
	numbers *msisdn.Numbers
	exempt  map[string]bool
	buckets buckets
}

var _ worker.Middleware = (*RateLimit)(nil)

// The values of over_limit.
const (
	overRetry   = "retry"
	overDiscard = "discard"
)

// defaultPer is the time in which limit counts.
const defaultPer = time.Minute

// maxWait is the longest wait for a token before a message is tried again;
// brokers hold nothing back for more than a day.
const maxWait = 12 * time.Hour

// maxBuckets bounds the people remembered in one process; see buckets.
const maxBuckets = 100_000

// NewRateLimit makes the middleware with its defaults; limit has none.
func NewRateLimit() *RateLimit {
	return &RateLimit{Per: options.Duration(defaultPer), Flows: options.Names{string(message.Outbound)}, OverLimit: overRetry}
}

// Validate checks the options.
func (r *RateLimit) Validate() error {
	switch {
	case r.Limit < 1:
		return options.Fieldf("limit", "must be at least 1")
	case r.Burst < 0:
		return options.Fieldf("burst", "must not be negative")
	case r.Per.Std() < time.Millisecond:
		return options.Fieldf("per", "must be at least 1ms")
	}
	if err := checkCountry(&r.Country); err != nil {
		return err
	}
	r.numbers = msisdn.NewNumbers(r.Country)
	r.exempt = map[string]bool{}
	for _, address := range r.Exempt {
		r.exempt[r.numbers.Normal(address)] = true
	}
	burst := r.Burst
	if burst == 0 {
		burst = r.Limit
	}
	r.buckets = newBuckets(burst, r.Per.Std()/time.Duration(r.Limit), maxBuckets)
	return errors.Join(
		oneOf("over_limit", r.OverLimit, overRetry, overDiscard),
		someOf("flows", r.Flows, string(message.Inbound), string(message.Outbound)),
	)
}

// Provision takes the middleware's state and the clock.
func (r *RateLimit) Provision(_ context.Context, env worker.Env) error {
	r.state, r.now = env.State, env.Now
	return nil
}

// Wrap counts.
func (r *RateLimit) Wrap(flow message.Flow, next worker.Handler) worker.Handler {
	if !slices.Contains(r.Flows, string(flow)) {
		return next
	}
	return func(ctx context.Context, e *message.Envelope) error {
		if err := r.count(ctx, e); err != nil {
			return err
		}
		return next(ctx, e)
	}
}

func (r *RateLimit) count(ctx context.Context, e *message.Envelope) error {
	person := r.numbers.Normal(e.Person())
	if person == "" || r.exempt[person] {
		return nil
	}
	wait, err := r.take(ctx, string(e.Flow)+"/"+person)
	if err != nil || wait <= 0 {
		return err
	}
	return r.over(e, wait)
}

// take says how long to wait for a token; 0 took one.
func (r *RateLimit) take(ctx context.Context, key string) (time.Duration, error) {
	if !r.Shared {
		return r.buckets.take(key, r.now()), nil
	}
	per := r.Per.Std()
	now := r.now()
	period := now.UnixNano() / int64(per)
	n, err := r.state.Increment(ctx, key+"/"+strconv.FormatInt(period, 10), 1, per)
	if err != nil {
		return 0, fmt.Errorf("counting messages for rate_limit: %w", err)
	}
	if n <= int64(r.Limit) {
		return 0, nil
	}
	return time.Unix(0, (period+1)*int64(per)).Sub(now), nil
}

func (r *RateLimit) over(e *message.Envelope, wait time.Duration) error {
	reason := fmt.Sprintf("%s has more than %d messages in %s", e.Person(), r.Limit, r.Per.Std())
	if r.OverLimit == overDiscard {
		return message.Reject(reason)
	}
	return message.RetryAfter(min(wait, maxWait), errors.New(reason))
}
