package chaos

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"switchboard/internal/backoff"
)

const (
	// slowBy is the latency of a slow link, each way.
	slowBy = 100 * time.Millisecond
	// leastStop is the least stop_timeout that a reload sets; each sets another.
	leastStop = 19 * time.Second
)

// strike does what an event says, and mends it.
func (r *run) strike(ctx context.Context, e Event) {
	busy := r.servers[e.Target]
	p := r.processes[e.Target]
	if p != nil {
		busy = &p.busy
	}
	if busy == nil {
		busy = &sync.Mutex{} // of messages
	}
	busy.Lock()
	defer busy.Unlock()
	if ctx.Err() != nil {
		return
	}
	r.Say(e.String())
	r.mu.Lock()
	r.result.Faults[e.Kind]++
	r.result.Bound += repeats(e, p)
	r.mu.Unlock()
	hold := func() { backoff.Sleep(ctx, e.For) }
	var err error
	switch {
	case e.Link != "":
		r.strikeLink(p, e, hold)
	case p != nil:
		err = r.strikeProcess(ctx, p, e, hold)
	case r.servers[e.Target] != nil:
		err = r.strikeServer(ctx, e, hold)
	default:
		err = r.strikeMessages(ctx, e)
	}
	if err != nil && ctx.Err() == nil {
		r.problem("%s: %v", e, err)
	}
}

// repeats is how many answers may come again for an event: what was in flight between a
// transport and its SMSC, both ways. What dispatchers and applications repeat has the same
// message_id, and the transports do not send it again.
func repeats(e Event, p *process) int {
	const inFlight = window + window
	switch {
	case p != nil && p.role != roleTransport, e.Kind == Poison, e.Kind == WrongClock:
		return 0
	case p != nil:
		return inFlight
	}
	return 2 * inFlight // a server: both transports
}

func (r *run) strikeLink(p *process, e Event, hold func()) {
	link := p.links[e.Link]
	change := map[Kind]func(on bool){
		Cut: func(bool) { link.Cut() }, HalfOpen: link.BlackHole, Mute: link.HoldAnswers, Refuse: link.Refuse,
		Slow: func(on bool) {
			if on {
				link.Latency(slowBy)
			} else {
				link.Latency(0)
			}
		},
	}[e.Kind]
	change(true)
	hold()
	change(false)
}

func (r *run) strikeProcess(ctx context.Context, p *process, e Event, hold func()) error {
	switch e.Kind {
	case Pause:
		p.signal(syscall.SIGSTOP)
		hold()
		p.signal(syscall.SIGCONT)
		return nil
	case ReloadGood:
		p.reloads++
		return p.reload(ctx, fmt.Sprintf("%sstop_timeout: %dms\n", p.text, leastStop.Milliseconds()+int64(p.reloads)))
	case ReloadBad:
		err := p.refuse(ctx, p.text+"no_such_key: true\n")
		hold()
		return errors.Join(err, p.reload(ctx, p.text))
	}
	signal := syscall.SIGKILL
	if e.Kind == Restart {
		signal = syscall.SIGTERM
	}
	err := p.end(signal, stopTimeout)
	hold()
	return errors.Join(err, p.start())
}

// limitPolicy has queues refuse more than a few messages.
const limitPolicy = `{"max-length": 5, "overflow": "reject-publish"}`

func (r *run) strikeServer(ctx context.Context, e Event, hold func()) error {
	begin, end := []string{}, []string{}
	switch e.Kind {
	case StopRabbit:
		begin, end = []string{"stop-rabbitmq"}, []string{"start-rabbitmq"}
	case KillRabbit:
		begin, end = []string{"kill-rabbitmq"}, []string{"start-rabbitmq"}
	case StopPostgres:
		begin, end = []string{"stop-postgres"}, []string{"start-postgres"}
	case KillPostgres:
		begin, end = []string{"kill-postgres"}, []string{"start-postgres"}
	case QueueLimit:
		begin = []string{"rabbitmqctl", "set_policy", "--apply-to", "queues", "chaos", `^chaos_[a-z]+\.(inbound|outbound|event)$`, limitPolicy}
		end = []string{"rabbitmqctl", "clear_policy", "chaos"}
	case MemoryAlarm:
		begin = []string{"rabbitmqctl", "set_vm_memory_high_watermark", "0.000001"}
		end = []string{"rabbitmqctl", "set_vm_memory_high_watermark", "0.4"}
	}
	err := r.services(ctx, begin...)
	hold()
	return errors.Join(err, r.services(context.WithoutCancel(ctx), end...))
}

func (r *run) strikeMessages(ctx context.Context, e Event) error {
	if e.Kind == Poison {
		return r.people.poisonAll(ctx, r.broker, e.Target)
	}
	for _, at := range wrongTimes {
		if err := r.people.inject(ctx, r.broker, e.Target, at); err != nil {
			return err
		}
	}
	return nil
}
