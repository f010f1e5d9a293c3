package http

import (
	"github.com/prometheus/client_golang/prometheus"

	"switchboard/internal/collectors"
)

// metrics count what a channel does.
type metrics struct {
	rejected *prometheus.CounterVec
	outcomes *prometheus.CounterVec
	receipts *prometheus.CounterVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	set := &collectors.Set{Registerer: reg, Prefix: "switchboard_http_"}
	m := &metrics{
		rejected: set.Counter("rejected_total", "Requests, or parts of them, that were not taken, by transport and reason.", "transport", "reason"),
		outcomes: set.Counter("outcomes_total", "Answers to messages that were sent, by transport and class.", "transport", "class"),
		receipts: set.Counter("receipts_total", "Receipts reported, by transport and status.", "transport", "status"),
	}
	return m, set.Err
}

func (m *metrics) reject(transport, reason string) {
	m.rejected.WithLabelValues(transport, reason).Inc()
}

func (m *metrics) sent(transport string, class Class) {
	m.outcomes.WithLabelValues(transport, string(class)).Inc()
}

func (m *metrics) receipt(transport, status string) {
	m.receipts.WithLabelValues(transport, status).Inc()
}
