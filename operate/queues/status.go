package queues

import (
	"context"
	"errors"

	"switchboard/broker"
	"switchboard/operate"
)

// Status is what is known of one queue.
type Status struct {
	Queue     string `json:"queue"`
	Messages  int    `json:"messages"`  // waiting; those in flight are not counted
	Consumers int    `json:"consumers"` // workers' replicas that read it
	Dead      int    `json:"dead"`      // in its dead letters
	State     string `json:"state"`
}

// The states of a queue.
const (
	OK      = "ok"
	Idle    = "no consumer" // and nothing waits
	Stuck   = "stuck"       // messages wait and nobody takes them
	Missing = "missing"     // no worker has declared it yet
)

// Look asks for the status of every queue.
func Look(ctx context.Context, b broker.Admin, queues []string) ([]Status, error) {
	all := make([]Status, 0, len(queues))
	for _, queue := range queues {
		s, err := look(ctx, b, queue)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

func look(ctx context.Context, b broker.Admin, queue string) (Status, error) {
	s := Status{Queue: queue, State: OK}
	info, there, err := inspect(ctx, b, queue)
	if err != nil {
		return s, err
	}
	dead, _, err := inspect(ctx, b, queue+broker.DeadSuffix)
	if err != nil {
		return s, err
	}
	s.Messages, s.Consumers, s.Dead = info.Messages, info.Consumers, dead.Messages
	switch {
	case !there:
		s.State = Missing
	case s.Consumers == 0 && s.Messages > 0:
		s.State = Stuck
	case s.Consumers == 0:
		s.State = Idle
	}
	return s, nil
}

func inspect(ctx context.Context, b broker.Admin, queue string) (info broker.Info, there bool, err error) {
	info, err = b.Inspect(ctx, queue)
	switch {
	case errors.Is(err, broker.ErrNoQueue):
		return broker.Info{}, false, nil
	case err != nil:
		return info, false, operate.Unreachable{Err: err}
	}
	return info, true, nil
}
