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
func NewMetrics(set *collectors.Set) *Metrics {
	buckets := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
	return &Metrics{
		bounds:     set.Gauge("bound", "Whether a bind is up: 1 or 0.", "bind"),
		refusals:   set.Counter("bind_refused_total", "Binds the SMSC refused, by command_status.", "bind", "status"),
		windows:    set.Gauge("window", "Submits that may be unanswered at once.", "bind"),
		inUse:      set.Gauge("window_in_use", "Submits that are unanswered.", "bind"),
		submits:    set.Counter("submits_total", "Answers to submit_sm, by command_status.", "bind", "status"),
		roundTrips: set.Histogram("submit_seconds", "Time from submit_sm to its answer.", buckets, "bind"),
		delivers:   set.Counter("delivers_total", "Answers to deliver_sm and data_sm, by command_status.", "bind", "status"),
		rate: set.Gauge("rate", "Submits per second: configured (mt_tps), learned from throttling, and actual; 0 is no bound.",
			"bind", "kind"),
	}
}

func (m *Metrics) bound(bind string, up bool) {
	m.bounds.WithLabelValues(bind).Set(map[bool]float64{true: 1}[up])
}

func (m *Metrics) refused(bind string, s pdu.Status) {
	m.refusals.WithLabelValues(bind, label(s)).Inc()
}

func (m *Metrics) delivered(bind string, s pdu.Status) {
	m.delivers.WithLabelValues(bind, s.String()).Inc()
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
	m.windows.WithLabelValues(name).Set(float64(window))
	m.rate.WithLabelValues(name, "configured").Set(float64(limit))
	submits := m.submits.MustCurryWith(prometheus.Labels{"bind": name})
	return transmitterMetrics{
		inUse:     m.inUse.WithLabelValues(name),
		roundTrip: m.roundTrips.WithLabelValues(name),
		good:      submits.WithLabelValues(pdu.StatusOK.String()), submits: submits,
		learned: m.rate.WithLabelValues(name, "learned"), actual: m.rate.WithLabelValues(name, "actual"),
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
