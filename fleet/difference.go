package fleet

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"switchboard/dispatcher"
	"switchboard/worker"
)

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
