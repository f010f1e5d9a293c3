package binds

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/internal/collectors"
	"switchboard/smpp/pdu"
)

// Metrics are those of one transport's binds; several transports of a process
// differ by the label transport.
type Metrics struct {
	transport  string
	bounds     *prometheus.GaugeVec
	refusals   *prometheus.CounterVec
	windows    *prometheus.GaugeVec
	inUse      *prometheus.GaugeVec
	submits    *prometheus.CounterVec
	roundTrips *prometheus.HistogramVec
	delivers   *prometheus.CounterVec
	rate       *prometheus.GaugeVec
}

// NewMetrics makes the metrics of a transport's binds.
func NewMetrics(set *collectors.Set, transport string) *Metrics {
	buckets := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	return &Metrics{
		transport:  transport,
		bounds:     set.Gauge("bound", "Whether a bind is up: 1 or 0.", "transport", "bind"),
		refusals:   set.Counter("bind_refused_total", "Binds the SMSC refused, by command_status.", "transport", "bind", "status"),
		windows:    set.Gauge("window", "Submits that may be unanswered at once.", "transport", "bind"),
		inUse:      set.Gauge("window_in_use", "Submits that are unanswered.", "transport", "bind"),
		submits:    set.Counter("submits_total", "Answers to submit_sm, by command_status.", "transport", "bind", "status"),
		roundTrips: set.Histogram("submit_seconds", "Time from submit_sm to its answer.", buckets, "transport", "bind"),
		delivers:   set.Counter("delivers_total", "Answers to deliver_sm and data_sm, by command_status.", "transport", "bind", "status"),
		rate: set.Gauge("rate", "Submits per second: configured (mt_tps), learned from throttling, and actual; 0 is no bound.",
			"transport", "bind", "kind"),
	}
}

func (m *Metrics) bound(bind string, up bool) {
	value := 0.0
	if up {
		value = 1
	}
	m.bounds.WithLabelValues(m.transport, bind).Set(value)
}

func (m *Metrics) refused(bind string, s pdu.Status) {
	m.refusals.WithLabelValues(m.transport, bind, label(s)).Inc()
}

func (m *Metrics) delivered(bind string, s pdu.Status) {
	m.delivers.WithLabelValues(m.transport, bind, s.String()).Inc()
}

// label bounds how many statuses a metric may have: an SMSC may make them up.
func label(s pdu.Status) string {
	if name := s.String(); name[0] == 'E' {
		return name
	}
	return "other"
}

// transmitterMetrics are the series of one transmitter, looked up once.
type transmitterMetrics struct {
	inUse           prometheus.Gauge
	roundTrip       prometheus.Observer
	good            prometheus.Counter
	submits         *prometheus.CounterVec // by status
	learned, actual prometheus.Gauge
}

func (m *Metrics) transmitter(name string, window, limit int) transmitterMetrics {
	m.windows.WithLabelValues(m.transport, name).Set(float64(window))
	m.rate.WithLabelValues(m.transport, name, "configured").Set(float64(limit))
	submits := m.submits.MustCurryWith(prometheus.Labels{"transport": m.transport, "bind": name})
	return transmitterMetrics{
		inUse:     m.inUse.WithLabelValues(m.transport, name),
		roundTrip: m.roundTrips.WithLabelValues(m.transport, name),
		good:      submits.WithLabelValues(pdu.StatusOK.String()), submits: submits,
		learned: m.rate.WithLabelValues(m.transport, name, "learned"), actual: m.rate.WithLabelValues(m.transport, name, "actual"),
	}
}

func (m *transmitterMetrics) answered(s pdu.Status, took time.Duration) {
	m.roundTrip.Observe(took.Seconds())
	if s == pdu.StatusOK {
		m.good.Inc()
		return
	}
	m.submits.WithLabelValues(label(s)).Inc()
}
