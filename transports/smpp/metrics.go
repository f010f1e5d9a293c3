package smpp

import (
	"github.com/prometheus/client_golang/prometheus"

	"switchboard/internal/collectors"
	"switchboard/transports/smpp/binds"
)

// metrics are those of one transport; several in a process differ by the label
// transport. A nil *metrics counts nothing.
type metrics struct {
	transport      string
	binds          *binds.Metrics
	kinds          *prometheus.CounterVec
	receipts       *prometheus.CounterVec
	unknowns       *prometheus.CounterVec
	protocolErrors *prometheus.CounterVec
	queries        *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer, transport string) (*metrics, error) {
	if reg == nil {
		return nil, nil
	}
	set := &collectors.Set{Registerer: reg, Prefix: "switchboard_smpp_"}
	m := &metrics{
		transport:      transport,
		binds:          binds.NewMetrics(set, transport),
		kinds:          set.Counter("delivered_total", "What deliver_sm and data_sm brought: message or receipt.", "transport", "kind"),
		receipts:       set.Counter("receipts_total", "Delivery receipts: matched, held, unmatched, repeated or unreadable.", "transport", "outcome"),
		unknowns:       set.Counter("unknown_total", "Submits that were never answered in time.", "transport"),
		queries:        set.Counter("queries_total", "What query_sm told: final, pending, refused, unanswered, or that the question was postponed.", "transport", "outcome"),
		protocolErrors: set.Counter("protocol_errors_total", "What the SMSC sent and should not have.", "transport", "what"),
	}
	return m, set.Err
}

func (m *metrics) bindMetrics() *binds.Metrics {
	if m == nil {
		return nil
	}
	return m.binds
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
