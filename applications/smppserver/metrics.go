package smppserver

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/smpp/pdu"
)

// metrics are those of one worker. A nil *metrics counts nothing.
type metrics struct {
	bounds     *prometheus.GaugeVec
	refusals   *prometheus.CounterVec
	submits    *prometheus.CounterVec
	delivers   *prometheus.CounterVec
	waiting    *prometheus.GaugeVec
	unreadable *prometheus.CounterVec
	active     *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	if reg == nil {
		return nil, nil
	}
	const prefix = "switchboard_smpp_server_"
	var errs []error
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: prefix + name, Help: help}, labels)
		errs = append(errs, reg.Register(c))
		return c
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + name, Help: help}, labels)
		errs = append(errs, reg.Register(g))
		return g
	}
	m := &metrics{
		bounds:     gauge("binds", "Binds there are, by customer and kind.", "customer", "kind"),
		refusals:   counter("binds_refused_total", "Binds refused, by reason.", "reason"),
		submits:    counter("submits_total", "Submits answered, by customer and command_status.", "customer", "status"),
		delivers:   counter("delivers_total", "Receipts and messages to customers, by outcome: delivered, deferred, refused, unanswered, expired.", "customer", "kind", "outcome"),
		waiting:    gauge("kept", "Receipts and messages that wait for a customer.", "customer"),
		unreadable: counter("unreadable_total", "What customers sent and was no valid PDU, by kind.", "kind"),
		active:     gauge("active", "1 where this process serves the customers, 0 where it stands by for another that does."),
	}
	return m, errors.Join(errs...)
}

func (m *metrics) activate(active bool) {
	switch {
	case m == nil:
	case active:
		m.active.WithLabelValues().Set(1)
	default:
		m.active.WithLabelValues().Set(0)
	}
}

func (m *metrics) bound(customer string, kind pdu.CommandID, by float64) {
	if m != nil {
		m.bounds.WithLabelValues(customer, kind.String()).Add(by)
	}
}

func (m *metrics) refused(reason string) {
	if m != nil {
		m.refusals.WithLabelValues(reason).Inc()
	}
}

func (m *metrics) submitted(customer string, s pdu.Status) {
	if m != nil {
		m.submits.WithLabelValues(customer, s.String()).Inc()
	}
}

func (m *metrics) delivered(customer, kind, outcome string) {
	if m != nil {
		m.delivers.WithLabelValues(customer, kind, outcome).Inc()
	}
}

func (m *metrics) kept(customer string, n int) {
	if m != nil {
		m.waiting.WithLabelValues(customer).Set(float64(n))
	}
}

func (m *metrics) spoilt(kind pdu.Kind) {
	if m != nil {
		m.unreadable.WithLabelValues(kind.String()).Inc()
	}
}
