package smpp

import (
	"cmp"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/internal/collectors"
	"switchboard/transports/smpp/binds"
)

// metrics are those of one transport; several in a process differ by the label
// transport.
type metrics struct {
	binds          *binds.Metrics
	delivered      *prometheus.CounterVec
	receipts       *prometheus.CounterVec
	protocolErrors *prometheus.CounterVec
	queries        *prometheus.CounterVec
	unknown        prometheus.Counter
}

// newMetrics registers them; without a registry they count for nobody.
func newMetrics(reg prometheus.Registerer, transport string) (*metrics, error) {
	reg = prometheus.WrapRegistererWith(prometheus.Labels{"transport": transport}, cmp.Or[prometheus.Registerer](reg, prometheus.NewRegistry()))
	set := &collectors.Set{Registerer: reg, Prefix: "switchboard_smpp_"}
	return &metrics{
		binds:          binds.NewMetrics(set),
		delivered:      set.Counter("delivered_total", "What deliver_sm and data_sm brought: message or receipt.", "kind"),
		receipts:       set.Counter("receipts_total", "Delivery receipts: matched, held, unmatched, repeated or unreadable.", "outcome"),
		unknown:        set.Counter("unknown_total", "Submits that were never answered in time.").WithLabelValues(),
		queries:        set.Counter("queries_total", "What query_sm told: final, pending, refused, unanswered, or that the question was postponed.", "outcome"),
		protocolErrors: set.Counter("protocol_errors_total", "What the SMSC sent and should not have.", "what"),
	}, set.Err
}

func (m *metrics) receipt(outcome string) { m.receipts.WithLabelValues(outcome).Inc() }

func (m *metrics) query(outcome string) { m.queries.WithLabelValues(outcome).Inc() }

func (m *metrics) protocolError(what string) { m.protocolErrors.WithLabelValues(what).Inc() }
