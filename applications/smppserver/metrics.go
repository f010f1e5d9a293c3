package smppserver

import (
	"cmp"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/internal/collectors"
)

// metrics are those of one worker.
type metrics struct {
	active       prometheus.Gauge
	binds        *prometheus.GaugeVec   // by customer and kind
	bindsRefused *prometheus.CounterVec // by reason
	submits      *prometheus.CounterVec // by customer and command_status
	delivers     *prometheus.CounterVec // by customer, kind and outcome
	queued       *prometheus.GaugeVec   // by customer
	unreadable   *prometheus.CounterVec // by kind
}

// newMetrics makes metrics; those without a registry are seen by nobody.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	s := collectors.Set{Registerer: cmp.Or[prometheus.Registerer](reg, prometheus.NewRegistry()), Prefix: "switchboard_smpp_server_"}
	m := &metrics{
		active:       s.Gauge("active", "1 where this process serves the customers, 0 where it stands by for another that does.").WithLabelValues(),
		binds:        s.Gauge("binds", "Binds there are, by customer and kind.", "customer", "kind"),
		bindsRefused: s.Counter("binds_refused_total", "Binds refused, by reason.", "reason"),
		submits:      s.Counter("submits_total", "Submits answered, by customer and command_status.", "customer", "status"),
		delivers: s.Counter("delivers_total", "Receipts and messages to customers, by outcome: delivered, deferred, refused, unanswered, expired.",
			"customer", "kind", "outcome"),
		queued:     s.Gauge("queued", "Receipts and messages that wait for a customer.", "customer"),
		unreadable: s.Counter("unreadable_total", "What customers sent and was no valid PDU, by kind.", "kind"),
	}
	return m, s.Err
}
