package fleet

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"switchboard/dispatcher"
	"switchboard/worker"
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
	Swapped   []string `json:"swapped,omitempty"`   // dispatchers that went over without a stop
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
	ctx  context.Context
	done chan outcome
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
//   - A dispatcher goes over to its new routes without a stop, unless an option
//     every worker has changed; any other worker whose file changed is stopped,
//     finishing what it has in hand, and started with the new file.
//   - Workers whose files are new are started, those whose files are gone
//     stopped; the rest is left alone.
func (p *Process) Reload(ctx context.Context) (Changes, error) {
	if len(p.Paths) == 0 {
		return Changes{}, errNoPaths
	}
	r := request{ctx, make(chan outcome, 1)}
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
	print, defs, err := p.read(r.ctx)
	if err != nil {
		p.reportReload(print, Changes{}, err, errors.Is(err, errUnsettled))
		return outcome{err: err}
	}
	changes, err := p.apply(ctx, compare(p.crew(), defs), ended)
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
func (p *Process) reportReload(print string, changes Changes, err error, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loaded.print, p.loaded.tried, p.loaded.err = print, time.Now(), err
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
	for _, r := range p.workers {
		defs = append(defs, r.def)
	}
	p.config.show(defs)
}

// difference is what is to be done to get from the workers that run to those
// that should.
type difference struct {
	swap, restart map[*running]*Definition
	start         []*Definition
	stop          []*running
}

func compare(crew []*running, defs []*Definition) difference {
	diff := difference{swap: map[*running]*Definition{}, restart: map[*running]*Definition{}}
	wanted := map[string]*Definition{}
	for _, d := range defs {
		wanted[filepath.Clean(d.Path)] = d
	}
	for _, r := range crew {
		path := filepath.Clean(r.def.Path)
		d := wanted[path]
		delete(wanted, path)
		switch {
		case d == nil:
			diff.stop = append(diff.stop, r)
		case d.doc.Hash() == r.def.doc.Hash() && !r.ended():
		case r.def.swappable(d) && !r.ended():
			diff.swap[r] = d
		default:
			diff.restart[r] = d
		}
	}
	for _, d := range defs {
		if wanted[filepath.Clean(d.Path)] != nil {
			diff.start = append(diff.start, d)
		}
	}
	return diff
}

func (r *running) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// swappable says whether a running worker can go over to next without a stop.
func (d *Definition) swappable(next *Definition) bool {
	return d.Kind == KindDispatcher && next.Kind == KindDispatcher && d.Name == next.Name &&
		dispatcher.CanReload(d.Options, next.Options)
}

// apply first stops what must stop, so that ports and names are free, and
// starts what must start last.
func (p *Process) apply(ctx context.Context, diff difference, ended chan<- struct{}) (Changes, error) {
	var changes Changes
	leave := diff.stop
	for _, r := range diff.stop {
		changes.Stopped = append(changes.Stopped, r.def.Name)
	}
	start := diff.start
	for _, d := range diff.start {
		changes.Started = append(changes.Started, d.Name)
	}
	for r, d := range diff.restart {
		leave, start = append(leave, r), append(start, d)
		changes.Restarted = append(changes.Restarted, d.Name)
	}
	p.dismiss(leave)
	var errs []error
	for r, d := range diff.swap {
		if err := p.swap(ctx, r, d); err != nil {
			errs = append(errs, fmt.Errorf("%s: reloading dispatcher %s: %w", d.Path, d.Name, err))
			continue
		}
		changes.Swapped = append(changes.Swapped, d.Name)
	}
	for _, d := range start {
		r := hire(d)
		r.patient = true
		p.start(ctx, r, ended)
	}
	return changes, errors.Join(errs...)
}

// dismiss stops workers, all at once, and forgets them.
func (p *Process) dismiss(leave []*running) {
	for _, r := range leave {
		r.cancel()
	}
	gone := map[*running]bool{}
	for _, r := range leave {
		<-r.done
		gone[r] = true
		if r.err != nil {
			p.Logger.Error("a worker did not stop cleanly", "worker", r.def.Name, "error", r.err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	left := p.workers[:0:0]
	for _, r := range p.workers {
		if !gone[r] {
			left = append(left, r)
		}
	}
	p.workers = left
}

// swap takes a dispatcher over to its new definition. One that is down at the
// moment takes it when it starts again.
func (p *Process) swap(ctx context.Context, r *running, d *Definition) error {
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	for {
		present := p.present(r)
		if running, is := present.(*dispatcher.Dispatcher); is {
			err := running.Reload(ctx, worker.NewStack(d.layers...), d.Options, d.Router)
			if err != nil && !errors.Is(err, dispatcher.ErrNotRunning) {
				return err
			}
		}
		if p.redefine(r, present, d) {
			return nil
		}
	}
}

func (p *Process) present(r *running) worker.Worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	return r.worker
}

// redefine is false when the worker has started again meanwhile, by its old
// definition.
func (p *Process) redefine(r *running, present worker.Worker, d *Definition) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.worker != present {
		return false
	}
	r.def = d
	return true
}
