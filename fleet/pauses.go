package fleet

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/options"
	"switchboard/worker"
)

// queues are all queues that the process's workers read or publish to.
func (p *Process) queues() (names []string) {
	for _, i := range p.workers {
		names = append(names, i.def.queues()...)
	}
	return names
}

// DescribePause is what a line about a paused queue says after its name.
func DescribePause(pause worker.Pause) string {
	text := "is paused since " + stamp(pause.Since)
	if pause.Who != "" {
		text += " by " + pause.Who
	}
	if pause.Why != "" {
		text += ": " + pause.Why
	}
	return text
}

// servePause pauses ?queue=, for ?why=, and serveResume ends that, for all processes that
// share the state.
func (p *Process) servePause(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	p.onQueue(w, r, "paused", func(ctx context.Context, queue string) error {
		return worker.SetPause(ctx, p.State, queue, worker.Pause{Who: query.Get("who"), Why: query.Get("why"), Since: time.Now().UTC()})
	})
}

func (p *Process) serveResume(w http.ResponseWriter, r *http.Request) {
	p.onQueue(w, r, "resumed", func(ctx context.Context, queue string) error { return worker.Resume(ctx, p.State, queue) })
}

func (p *Process) onQueue(w http.ResponseWriter, r *http.Request, done string, do func(ctx context.Context, queue string) error) {
	queue := r.URL.Query().Get("queue")
	p.mu.Lock()
	known, pauses := p.queues(), p.pauses
	p.mu.Unlock()
	if !slices.Contains(known, queue) {
		http.Error(w, fmt.Sprintf("?queue=%s is none of this process's queues%s", queue, options.DidYouMean(queue, known)), http.StatusNotFound)
		return
	}
	err := do(r.Context(), queue)
	if err == nil {
		err = pauses.Look(r.Context())
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, done)
}

// pauseCollector tells which queues are paused.
type pauseCollector struct{ process *Process }

var pausedDesc = prometheus.NewDesc("switchboard_queue_paused", "Queues of this process that an operator has paused; always 1.", []string{"queue"}, nil)

// Describe implements prometheus.Collector.
func (pauseCollector) Describe(out chan<- *prometheus.Desc) { out <- pausedDesc }

// Collect implements prometheus.Collector.
func (c pauseCollector) Collect(out chan<- prometheus.Metric) {
	c.process.mu.Lock()
	paused := c.process.pauses.Of(c.process.queues()...)
	c.process.mu.Unlock()
	for queue := range paused {
		out <- prometheus.MustNewConstMetric(pausedDesc, prometheus.GaugeValue, 1, queue)
	}
}
