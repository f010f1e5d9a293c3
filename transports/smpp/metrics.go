package smpp

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/smpp/pdu"
)

// metrics are those of one transport; several in a process share the
// collectors and differ by the label transport. A nil *metrics counts nothing.
type metrics struct {
	transport      string
	bounds         *prometheus.GaugeVec
	refusals       *prometheus.CounterVec
	windows        *prometheus.GaugeVec
	inUse          *prometheus.GaugeVec
	submits        *prometheus.CounterVec
	roundTrips     *prometheus.HistogramVec
	delivers       *prometheus.CounterVec
	kinds          *prometheus.CounterVec
	receipts       *prometheus.CounterVec
	rate           *prometheus.GaugeVec
	unknowns       *prometheus.CounterVec
	protocolErrors *prometheus.CounterVec
	queries        *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, transport string) (*metrics, error) {
	if reg == nil {
		return nil, nil
	}
	var errs []error
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return shared(reg, &errs, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "switchboard_smpp_" + name, Help: help}, labels))
	}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return shared(reg, &errs, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "switchboard_smpp_" + name, Help: help}, labels))
	}
	m := &metrics{
		transport:      transport,
		bounds:         gauge("bound", "Whether a bind is up: 1 or 0.", "transport", "bind"),
		refusals:       counter("bind_refused_total", "Binds the SMSC refused, by command_status.", "transport", "bind", "status"),
		windows:        gauge("window", "Submits that may be unanswered at once.", "transport", "bind"),
		inUse:          gauge("window_in_use", "Submits that are unanswered.", "transport", "bind"),
		submits:        counter("submits_total", "Answers to submit_sm, by command_status.", "transport", "bind", "status"),
		delivers:       counter("delivers_total", "Answers to deliver_sm and data_sm, by command_status.", "transport", "bind", "status"),
		kinds:          counter("delivered_total", "What deliver_sm and data_sm brought: message or receipt.", "transport", "kind"),
		receipts:       counter("receipts_total", "Delivery receipts: matched, held, unmatched, repeated or unreadable.", "transport", "outcome"),
		rate:           gauge("rate", "Submits per second: configured (mt_tps), learned from throttling, and actual; 0 is no bound.", "transport", "bind", "kind"),
		unknowns:       counter("unknown_total", "Submits that were never answered in time.", "transport"),
		queries:        counter("queries_total", "What query_sm told: final, pending, refused, unanswered, or that the question was postponed.", "transport", "outcome"),
		protocolErrors: counter("protocol_errors_total", "What the SMSC sent and should not have.", "transport", "what"),
	}
	m.roundTrips = shared(reg, &errs, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "switchboard_smpp_submit_seconds", Help: "Time from submit_sm to its answer.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"transport", "bind"}))
	return m, errors.Join(errs...)
}

// shared registers a collector, or takes the one that another transport of this
// process has registered.
func shared[C prometheus.Collector](reg prometheus.Registerer, errs *[]error, c C) C {
	err := reg.Register(c)
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if same, ok := there.ExistingCollector.(C); ok {
			return same
		}
	}
	if err != nil {
		*errs = append(*errs, err)
	}
	return c
}

func (m *metrics) bound(bind string, up bool) {
	if m == nil {
		return
	}
	value := 0.0
	if up {
		value = 1
	}
	m.bounds.WithLabelValues(m.transport, bind).Set(value)
}

func (m *metrics) refused(bind string, s pdu.Status) {
	if m != nil {
		m.refusals.WithLabelValues(m.transport, bind, label(s)).Inc()
	}
}

func (m *metrics) configured(l *lane) {
	if m != nil {
		m.windows.WithLabelValues(m.transport, l.name).Set(float64(l.window))
		m.rate.WithLabelValues(m.transport, l.name, "configured").Set(float64(l.pace.limit))
	}
}

func (m *metrics) rates(l *lane, learned, actual float64) {
	if m != nil {
		m.rate.WithLabelValues(m.transport, l.name, "learned").Set(learned)
		m.rate.WithLabelValues(m.transport, l.name, "actual").Set(actual)
	}
}

func (m *metrics) window(l *lane) {
	if m == nil {
		return
	}
	if l.inUse == nil {
		l.inUse = m.inUse.WithLabelValues(m.transport, l.name)
	}
	l.inUse.Set(float64(len(l.pending)))
}

func (m *metrics) answered(l *lane, s pdu.Status, took time.Duration) {
	if m == nil {
		return
	}
	if l.roundTrip == nil {
		l.roundTrip = m.roundTrips.WithLabelValues(m.transport, l.name)
		l.good = m.submits.WithLabelValues(m.transport, l.name, pdu.StatusOK.String())
	}
	l.roundTrip.Observe(took.Seconds())
	if s == pdu.StatusOK {
		l.good.Inc()
		return
	}
	m.submits.WithLabelValues(m.transport, l.name, label(s)).Inc()
}

// label bounds how many statuses a metric may have: an SMSC may make them up.
func label(s pdu.Status) string {
	if name := s.String(); name[0] == 'E' {
		return name
	}
	return "other"
}

func (m *metrics) delivered(bind string, s pdu.Status) {
	if m != nil {
		m.delivers.WithLabelValues(m.transport, bind, s.String()).Inc()
	}
}

func (m *metrics) took(kind string) {
	if m != nil {
		m.kinds.WithLabelValues(m.transport, kind).Inc()
	}
}

func (m *metrics) receipt(outcome string) {
	if m != nil {
		m.receipts.WithLabelValues(m.transport, outcome).Inc()
	}
}

func (m *metrics) unknown() {
	if m != nil {
		m.unknowns.WithLabelValues(m.transport).Inc()
	}
}

func (m *metrics) protocolError(what string) {
	if m != nil {
		m.protocolErrors.WithLabelValues(m.transport, what).Inc()
	}
}

func (m *metrics) query(outcome string) {
	if m != nil {
		m.queries.WithLabelValues(m.transport, outcome).Inc()
	}
}
