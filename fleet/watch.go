package fleet

import (
	"context"
	"time"

	"switchboard/internal/backoff"
)

const (
	// watchInterval is how often the files are looked at.
	watchInterval = time.Second
	// settleTime is how long the files must have stayed as they are before they
	// are read: who writes them may not be done.
	settleTime = 500 * time.Millisecond
	// settleLimit is how long a reload waits for that.
	settleLimit = 30 * time.Second
	// retryInterval is how soon a reload is tried again that failed for other
	// reasons than what the files say.
	retryInterval = 15 * time.Second
)

// Watch reloads the configuration when its files change, until ctx ends. It
// looks at their text, so that it sees symlinks swapped as well as edits.
func (p *Process) Watch(ctx context.Context) {
	backoff.Every(ctx, watchInterval, func(time.Time) {
		if p.stale(fingerprint(p.Paths)) {
			_, _ = p.ask(ctx, true) // reported where it happens
		}
	})
}

// stale says that the files are not those read last, or that reading them is
// worth another try.
func (p *Process) stale(now string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.loaded.print == "" {
		return false // not running yet
	}
	return now != p.loaded.print || p.loaded.again && time.Since(p.loaded.tried) > retryInterval
}

// settle waits until the files have not changed for a while and returns their
// fingerprint.
func (p *Process) settle(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, settleLimit)
	defer cancel()
	print := fingerprint(p.Paths)
	for {
		if !backoff.Sleep(ctx, settleTime) {
			return print, errUnsettled
		}
		now := fingerprint(p.Paths)
		if now == print {
			return print, nil
		}
		print = now
	}
}
