package smpp

import (
	"errors"

	"switchboard/worker"
)

// guard does work on what came from outside. A panic in it is logged, with its
// stack, and is the work's error; it does not end the process.
func (e *engine) guard(what string, work func() error) error {
	err := worker.Protect(work)
	var panicked *worker.PanicError
	if errors.As(err, &panicked) {
		e.logger.Error("SMPP panicked, and goes on without what it was at; please report this",
			"at", what, "error", err, "stack", string(panicked.Stack))
	}
	return err
}

// guarded is guard for what has no error, to be run by a goroutine of a link: a
// panic ends the link, and it is made anew.
func (b *binder) guarded(k *link, what string, work func()) func() {
	return func() {
		err := b.guard(what+" "+b.name, func() error {
			work()
			return nil
		})
		if err != nil {
			k.end(err)
		}
	}
}
