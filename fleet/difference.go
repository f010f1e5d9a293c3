package fleet

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"switchboard/dispatcher"
	"switchboard/worker"
)

// difference is what is to be done to get from the workers that run to those
// that should.
type difference struct {
	swap, restart map[*instance]*Definition
	start         []*Definition
	stop          []*instance
}

func (p *Process) compare(defs []*Definition) difference {
	diff := difference{swap: map[*instance]*Definition{}, restart: map[*instance]*Definition{}}
	wanted := map[string]*Definition{}
	for _, d := range defs {
		wanted[filepath.Clean(d.Path)] = d
	}
	for _, i := range p.instances() {
		present := p.definition(i)
		path := filepath.Clean(present.Path)
		d := wanted[path]
		delete(wanted, path)
		switch {
		case d == nil:
			diff.stop = append(diff.stop, i)
		case d.doc.Hash() == present.doc.Hash() && !i.ended():
		case present.swappable(d) && !i.ended():
			diff.swap[i] = d
		default:
			diff.restart[i] = d
		}
	}
	for _, d := range defs {
		if wanted[filepath.Clean(d.Path)] != nil {
			diff.start = append(diff.start, d)
		}
	}
	return diff
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
	leave, start := diff.stop, diff.start
	for _, i := range diff.stop {
		changes.Stopped = append(changes.Stopped, p.definition(i).Name)
	}
	for _, d := range diff.start {
		changes.Started = append(changes.Started, d.Name)
	}
	for i, d := range diff.restart {
		leave, start = append(leave, i), append(start, d)
		changes.Restarted = append(changes.Restarted, d.Name)
	}
	p.stop(leave)
	var errs []error
	for i, d := range diff.swap {
		if err := p.swap(ctx, i, d); err != nil {
			errs = append(errs, fmt.Errorf("%s: reloading dispatcher %s: %w", d.Path, d.Name, err))
			continue
		}
		changes.Swapped = append(changes.Swapped, d.Name)
	}
	for _, d := range start {
		i := newInstance(d)
		i.alone = true
		p.start(ctx, i, ended)
	}
	return changes, errors.Join(errs...)
}

// stop stops workers, all at once, and forgets them.
func (p *Process) stop(leave []*instance) {
	for _, i := range leave {
		i.cancel()
	}
	for _, i := range leave {
		<-i.done
		if i.err != nil {
			p.Logger.Error("a worker did not stop cleanly", "worker", p.definition(i).Name, "error", i.err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.workers = slices.DeleteFunc(p.workers, func(i *instance) bool { return slices.Contains(leave, i) })
}

// swap gives a dispatcher its new definition. One that is down at the moment takes
// it when it starts again.
func (p *Process) swap(ctx context.Context, i *instance, d *Definition) error {
	ctx, cancel := context.WithTimeout(ctx, reloadTimeout)
	defer cancel()
	for {
		present := p.present(i)
		if running, is := present.(*dispatcher.Dispatcher); is {
			err := running.Reload(ctx, worker.NewStack(d.layers...), d.Options, d.Router)
			if err != nil && !errors.Is(err, dispatcher.ErrNotRunning) {
				return err
			}
		}
		if p.redefine(i, present, d) {
			return nil
		}
	}
}

func (p *Process) present(i *instance) worker.Worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	return i.worker
}

// redefine is false when the worker has started again meanwhile, by its old
// definition.
func (p *Process) redefine(i *instance, present worker.Worker, d *Definition) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i.worker != present {
		return false
	}
	i.def = d
	return true
}
