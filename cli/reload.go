package cli

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"switchboard/fleet"
)

// runFiles is run for workers whose files can be read again.
func (f *processFlags) runFiles(ctx context.Context, version string, classes fleet.Classes, defs []*fleet.Definition, paths []string, watch bool) error {
	f.paths = paths
	p, err := f.open(ctx, processName(defs), version, classes)
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(ctx)
	var group sync.WaitGroup
	group.Go(func() { p.reloadOnHangup(watching) })
	if watch {
		group.Go(func() { p.Watch(watching) })
	}
	err = p.Run(ctx, defs)
	stop()
	group.Wait()
	return errors.Join(err, p.Close())
}

// reloadOnHangup reloads at SIGHUP, until ctx ends.
func (p *process) reloadOnHangup(ctx context.Context) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			_, _ = p.Reload(ctx) // reported where it happens
		}
	}
}
