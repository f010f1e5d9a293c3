package http

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"switchboard/internal/backoff"
	"switchboard/message"
)

const (
	// throttleMin and throttleMax bound how long a line rests that a provider
	// throttles without saying for how long.
	throttleMin = time.Second
	throttleMax = time.Minute
	// alertMin and alertMax bound how often a line that cannot send is tried.
	alertMin = 5 * time.Second
	alertMax = 5 * time.Minute
	// longestWait bounds what a provider may ask for.
	longestWait = 6 * time.Hour
)

// line is what all requests of a channel share: its rate, and whether the provider
// takes anything at all. While it does not, one message at a time tries.
type line struct {
	limiter *rate.Limiter // nil without a limit
	pace    func()        // called when a request waits for its turn
	tell    func(health message.Health, kind, text string)
	// stopping is closed when nobody may wait any more.
	stopping <-chan struct{}

	mu       sync.Mutex
	class    Class // Throttled or Alert while it rests, else Sent
	until    time.Time
	probing  bool
	changed  chan struct{} // closed at each change; nil while nobody waits
	throttle backoff.Backoff
	alert    backoff.Backoff
}

func newLine(perSecond float64, pace func(), stopping <-chan struct{}, tell func(message.Health, string, string)) *line {
	l := &line{
		pace: pace, tell: tell, stopping: stopping, class: Sent,
		throttle: backoff.Backoff{Min: throttleMin, Max: throttleMax}, alert: backoff.Backoff{Min: alertMin, Max: alertMax},
	}
	if perSecond > 0 {
		l.limiter = rate.NewLimiter(rate.Limit(perSecond), 1)
	}
	return l
}

// enter waits until a request may be made. Its outcome must be told to leave.
func (l *line) enter(ctx context.Context) error {
	for {
		wait, changed := l.look()
		if wait == 0 && changed == nil {
			break
		}
		timer := time.NewTimer(max(wait, 0))
		if wait < 0 {
			timer.Stop()
		}
		select {
		case <-timer.C:
		case <-changed:
		case <-l.stopping:
			timer.Stop()
			return context.Canceled
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		timer.Stop()
	}
	if l.limiter == nil {
		return ctx.Err()
	}
	if l.limiter.Tokens() < 1 {
		l.pace()
	}
	if err := l.limiter.Wait(ctx); err != nil {
		l.leave(Temporary, 0, "")
		if ctx.Err() == nil { // the deadline comes before the turn
			return context.DeadlineExceeded
		}
		return ctx.Err()
	}
	return nil
}

// look returns 0 and nil when a request may be made now; else what to wait for,
// a negative time for a change alone.
func (l *line) look() (wait time.Duration, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.class == Sent {
		return 0, nil
	}
	wait = time.Until(l.until)
	if wait <= 0 && !l.probing {
		l.probing = true
		return 0, nil
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	if l.probing {
		wait = -1
	}
	return wait, l.changed
}

// leave takes the outcome of a request; wait is what the provider asks for, 0
// where it asks for nothing.
func (l *line) leave(class Class, wait time.Duration, reason string) {
	l.mu.Lock()
	before := l.class
	l.probing = false
	switch class {
	case Throttled:
		l.rest(Throttled, wait, &l.throttle)
	case Alert:
		l.rest(Alert, wait, &l.alert)
	default:
		if before != Sent && class != Temporary && class != Unknown || before == Throttled {
			l.class = Sent
			l.throttle.Reset()
			l.alert.Reset()
		}
	}
	after := l.class
	if l.changed != nil && (after != before || before != Sent) {
		close(l.changed)
		l.changed = nil
	}
	l.mu.Unlock()
	if after == before && after != Alert {
		return
	}
	switch after {
	case Throttled:
		l.tell(message.Degraded, "throttled", "The provider asks for less traffic; messages wait. "+reason)
	case Alert:
		l.tell(message.Down, "alert", "The provider takes nothing from this account; messages wait. "+reason)
	default:
		l.tell(message.OK, "sending", "The provider takes messages.")
	}
}

func (l *line) rest(class Class, wait time.Duration, b *backoff.Backoff) {
	if l.class == class && wait == 0 && time.Now().Before(l.until) {
		return // another request of the same moment
	}
	if wait == 0 {
		wait = b.Next()
	}
	until := time.Now().Add(min(wait, longestWait))
	if l.class != class || until.After(l.until) {
		l.class, l.until = class, until
	}
}
