package fleet

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/internal/backoff"
	"switchboard/message"
	"switchboard/persistence"
)

const (
	lossyFirst   = 15 * time.Second // when the queues are declared, and the management knows them
	lossyEvery   = time.Minute      // policies may change
	lossyTimeout = 30 * time.Second
)

// queues are all queues that the worker reads or publishes to.
func (d *Definition) queues() (names []string) {
	for _, connector := range d.Connectors() {
		for _, flow := range [...]message.Flow{message.Inbound, message.Outbound, message.EventFlow} {
			names = append(names, message.Key(connector, flow))
		}
	}
	if d.Class == "persistence" {
		names = append(names, persistence.RecordQueue(d.Name), persistence.TaskQueue(d.Name))
	}
	return append(names, d.OwnQueues()...)
}

// watchLossy looks until ctx ends for policies under which RabbitMQ drops bodies of the
// process's queues. AMQP does not tell: without the management it does nothing.
func (p *Process) watchLossy(ctx context.Context) {
	if p.Lossy == nil {
		return
	}
	gauge := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "switchboard_lossy_queue", Help: "Queues of this process of which RabbitMQ drops bodies by a policy; always 1.",
	}, []string{"queue"})
	p.Registry.MustRegister(gauge)
	for again := lossyFirst; backoff.Sleep(ctx, again); again = lossyEvery {
		asking, cancel := context.WithTimeout(ctx, lossyTimeout)
		all, err := p.Lossy(asking)
		cancel()
		if err != nil && ctx.Err() == nil {
			p.Logger.Warn("whether a policy makes RabbitMQ drop messages is not known", "error", err, "again_in", lossyEvery)
		}
		if err == nil {
			p.noteLossy(all, gauge)
		}
	}
}

// noteLossy keeps what concerns this process's queues, and logs what is new of it.
func (p *Process) noteLossy(all map[string]string, gauge *prometheus.GaugeVec) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.lossy
	p.lossy = map[string]string{}
	gauge.Reset()
	for _, queue := range p.queues() {
		if why, is := all[queue]; is {
			p.lossy[queue] = why
			gauge.WithLabelValues(queue).Set(1)
		}
	}
	for _, queue := range slices.Sorted(maps.Keys(p.lossy)) {
		if before[queue] != p.lossy[queue] {
			p.Logger.Warn("RabbitMQ drops messages of a queue unseen; "+lossyAdvice, "queue", queue, "why", p.lossy[queue])
		}
	}
}

const lossyAdvice = "take the queue out of the policy's pattern, or clear it (rabbitmqctl list_policies, clear_policy)"
