package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// reloadTimeout bounds what a reload waits for besides its files: a broker that
// is out of reach.
const reloadTimeout = 30 * time.Second

var (
	errUnsettled = errors.New("the configuration files keep changing; nothing was read")
	errNoPaths   = errors.New("this process was not started from files that can be read again")
)

// loaded is what the process knows of its configuration.
type loaded struct {
	at      time.Time // when what is in use was taken into use
	changes Changes   // what that changed
	count   int       // successful reloads
	tried   time.Time // when a reload was last tried
	err     error     // why that failed; nil when it did not
	again   bool      // it failed for a reason that may pass
	print   string    // fingerprint of the files read last
}

// Changes are what a reload did, by the workers' names.
type Changes struct {
	Swapped   []string `json:"swapped,omitempty"`   // dispatchers reloaded without a stop
	Restarted []string `json:"restarted,omitempty"` // workers stopped and started again
	Started   []string `json:"started,omitempty"`
	Stopped   []string `json:"stopped,omitempty"`
}

// String is one line for people.
func (c Changes) String() string {
	var parts []string
	for _, part := range []struct {
		did   string
		names []string
	}{{"reloaded", c.Swapped}, {"restarted", c.Restarted}, {"started", c.Started}, {"stopped", c.Stopped}} {
		if len(part.names) > 0 {
			parts = append(parts, part.did+" "+strings.Join(part.names, ", "))
		}
	}
	if len(parts) == 0 {
		return "nothing changed"
	}
	return strings.Join(parts, "; ")
}

// request asks the running process for a reload.
type request struct {
	ctx     context.Context
	ifStale bool // only where the files are not those read last
	done    chan outcome
}

type outcome struct {
	changes Changes
	err     error
}

func (p *Process) requests() chan request {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked == nil {
		p.asked = make(chan request)
	}
	return p.asked
}

// Reload reads the configuration again and takes it into use.
//
//   - The files are read when they have not changed for half a second, checked
//     as a whole, and refused as a whole: an error changes nothing.
//   - A dispatcher takes its new routes without a stop, unless an option every
//     worker has changed; any other worker whose file changed is stopped,
//     finishing what is in flight, and started with the new file.
//   - Workers whose files are new are started, those whose files are gone
//     stopped; the rest is left alone.
func (p *Process) Reload(ctx context.Context) (Changes, error) { return p.ask(ctx, false) }

func (p *Process) ask(ctx context.Context, ifStale bool) (Changes, error) {
	if len(p.Paths) == 0 {
		return Changes{}, errNoPaths
	}
	r := request{ctx, ifStale, make(chan outcome, 1)}
	select {
	case p.requests() <- r:
	case <-ctx.Done():
		return Changes{}, fmt.Errorf("waiting for the process to reload: %w", ctx.Err())
	}
	select {
	case o := <-r.done:
		return o.changes, o.err
	case <-ctx.Done():
		return Changes{}, fmt.Errorf("waiting for the process to reload: %w", ctx.Err())
	}
}

func (p *Process) reload(ctx context.Context, r request, ended chan<- struct{}) outcome {
	if r.ifStale && !p.stale(fingerprint(p.Paths)) {
		return outcome{} // another reload came first
	}
	reading, cancel := context.WithCancel(r.ctx)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	print, defs, err := p.read(reading)
	if reading.Err() != nil {
		return outcome{err: fmt.Errorf("reading the configuration: %w", reading.Err())}
	}
	if err != nil {
		p.reportReload(print, Changes{}, err, errors.Is(err, errUnsettled))
		return outcome{err: err}
	}
	changes, err := p.apply(ctx, p.compare(defs), ended)
	p.reportReload(print, changes, err, true)
	return outcome{changes, err}
}

// read returns definitions and the fingerprint of the files they came from.
func (p *Process) read(ctx context.Context) (string, []*Definition, error) {
	for {
		print, err := p.settle(ctx)
		if err != nil {
			return print, nil, err
		}
		defs, err := p.Classes.Load(p.Paths...)
		if fingerprint(p.Paths) == print {
			return print, defs, err
		}
	}
}

// reportReload notes a reload's outcome for /status, the metrics and the log.
func (p *Process) reportReload(files string, changes Changes, err error, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loaded.print, p.loaded.tried, p.loaded.err = files, time.Now(), err
	p.loaded.again = err != nil && again
	if err != nil {
		p.config.good.Set(0)
		p.config.reloads.WithLabelValues("failed").Inc()
		p.Logger.Error("the configuration cannot be taken into use; the old one stays", "error", err)
	} else {
		p.loaded.at, p.loaded.changes = p.loaded.tried, changes
		p.loaded.count++
		p.config.inUse(p.loaded.at)
		p.config.reloads.WithLabelValues("ok").Inc()
		p.Logger.Info("configuration reloaded", "changes", changes.String())
	}
	var defs []*Definition
	for _, i := range p.workers {
		defs = append(defs, i.def)
	}
	p.config.show(defs)
}
