package xmpp

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/internal/collectors"
)

// metrics are those of one transport; several in a process differ by the label
// transport.
type metrics struct {
	received *prometheus.CounterVec
	unknown  prometheus.Counter
	connects *prometheus.CounterVec
	people   prometheus.Gauge
}

// newMetrics registers them; without a registry they count for nobody.
func newMetrics(reg prometheus.Registerer, transport string) (*metrics, error) {
	if reg == nil {
		reg = prometheus.NewRegistry()
	}
	set := &collectors.Set{Registerer: reg, Prefix: "switchboard_xmpp_"}
	labels := prometheus.Labels{"transport": transport}
	received := set.Counter("stanzas_total", "What stanzas brought: message, copy, receipt, bounce, or why one is no message.", "transport", "kind")
	connects := set.Counter("connects_total", "Connections: resumed, bound, or failed.", "transport", "outcome")
	unknown := set.Counter("unknown_total", "Messages of which nobody knows whether the server has them.", "transport")
	people := set.Gauge("subscribers", "People who see the account's presence.", "transport")
	return &metrics{
		received: received.MustCurryWith(labels), connects: connects.MustCurryWith(labels),
		unknown: unknown.With(labels), people: people.With(labels),
	}, set.Err
}

func (m *metrics) count(kind string) { m.received.WithLabelValues(kind).Inc() }

func itoa(n int) string { return strconv.Itoa(n) }
