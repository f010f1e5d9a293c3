package worker

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/broker"
	"switchboard/message"
)

// Metrics count what workers of one process do. A nil *Metrics counts nothing.
type Metrics struct {
	recorded  *prometheus.CounterVec
	recording *prometheus.HistogramVec
	messages  *prometheus.CounterVec
	publishes *prometheus.CounterVec
	handling  *prometheus.HistogramVec
	inFlights *prometheus.GaugeVec
	limits    *prometheus.GaugeVec
	up        *prometheus.GaugeVec
}

// NewMetrics registers the workers' metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchboard_messages_total",
			Help: "Messages and events handled, by worker, connector, flow and outcome (ok, discarded, retried, requeued, dead).",
		}, []string{"worker", "connector", "flow", "outcome"}),
		publishes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchboard_published_total",
			Help: "Messages and events published, by worker, connector, flow and outcome (ok, unroutable, error).",
		}, []string{"worker", "connector", "flow", "outcome"}),
		handling: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "switchboard_handling_seconds",
			Help:    "Time from receiving a message or event to settling it.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"worker", "connector", "flow"}),
		inFlights: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "switchboard_in_flight",
			Help: "Messages and events received and not yet settled.",
		}, []string{"worker", "connector", "flow"}),
	}
	m.limits = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "switchboard_in_flight_limit",
		Help: "How many messages and events are in flight at most: amqp_prefetch_count, or what the worker chose.",
	}, []string{"worker", "connector", "flow"})
	m.up = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "switchboard_dependency_up",
		Help: "Whether what a worker depends on is there, by kind (link, state, database) and name: 1, or 0 where it is down.",
	}, []string{"worker", "kind", "dependency"})
	m.recorded = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "switchboard_recorded_total",
		Help: "Bodies recorded, by worker and outcome (ok, rejected).",
	}, []string{"worker", "outcome"})
	m.recording = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "switchboard_recording_seconds",
		Help: "Time to record one batch.",
	}, []string{"worker"})
	reg.MustRegister(m.recorded, m.recording, m.messages, m.publishes, m.handling, m.inFlights, m.limits, m.up)
	return m
}

// inFlight is the gauge of a subscription.
func (m *Metrics) inFlight(worker, connector string, flow message.Flow) prometheus.Gauge {
	if m == nil {
		return prometheus.NewGauge(prometheus.GaugeOpts{})
	}
	return m.inFlights.WithLabelValues(worker, connector, string(flow))
}

// limit is the gauge of a subscription's limit.
func (m *Metrics) limit(worker, connector string, flow message.Flow) prometheus.Gauge {
	if m == nil {
		return prometheus.NewGauge(prometheus.GaugeOpts{})
	}
	return m.limits.WithLabelValues(worker, connector, string(flow))
}

func (m *Metrics) dependency(worker, kind, name string, health message.Health) {
	if m == nil {
		return
	}
	up := 1.0
	if health == message.Down {
		up = 0
	}
	m.up.WithLabelValues(worker, kind, name).Set(up)
}

func (m *Metrics) forget(worker, kind, name string) {
	if m != nil {
		m.up.DeleteLabelValues(worker, kind, name)
	}
}

func (m *Metrics) handled(worker, connector string, flow message.Flow, outcome string, took time.Duration) {
	if m != nil {
		m.messages.WithLabelValues(worker, connector, string(flow), outcome).Inc()
		m.handling.WithLabelValues(worker, connector, string(flow)).Observe(took.Seconds())
	}
}

func (m *Metrics) published(worker string, e *message.Envelope, err error) {
	if m == nil {
		return
	}
	outcome := "ok"
	switch {
	case errors.Is(err, broker.ErrUnroutable):
		outcome = "unroutable"
	case err != nil:
		outcome = "error"
	}
	m.publishes.WithLabelValues(worker, e.Connector, string(e.Flow), outcome).Inc()
}

// Recorded counts a batch that the record has taken: its bodies, those of them
// it refused, and how long it took.
func (m *Metrics) Recorded(worker string, recorded, rejected int, took time.Duration) {
	if m != nil {
		m.recorded.WithLabelValues(worker, "ok").Add(float64(recorded))
		m.recorded.WithLabelValues(worker, "rejected").Add(float64(rejected))
		m.recording.WithLabelValues(worker).Observe(took.Seconds())
	}
}
