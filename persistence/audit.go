package persistence

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/internal/backoff"
	"switchboard/persistence/audit"
	"switchboard/store"
)

const (
	auditEvery      = time.Minute
	auditSince      = 24 * time.Hour
	auditStuck      = 15 * time.Minute
	auditUnreported = time.Hour
	auditTimeout    = auditEvery / 2 // for looking into the queues and the record
)

// auditMetrics are the results of the newest audit.
type auditMetrics struct {
	messages   *prometheus.GaugeVec
	missing    prometheus.Gauge
	stuck      prometheus.Gauge
	unreported prometheus.Gauge
	orphans    prometheus.Gauge
	audited    prometheus.Gauge
}

// newAuditMetrics registers the metrics, or returns those of another worker of the process.
func newAuditMetrics(reg prometheus.Registerer) (*auditMetrics, error) {
	m := &auditMetrics{
		messages: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "switchboard_audit_messages",
			Help: "Messages of the last 24 hours in the record, by transport, application, direction (I, O) and state (Q R P S D E).",
		}, []string{"transport", "application", "direction", "state"}),
		missing: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "switchboard_audit_missing",
			Help: "Stuck messages that no queue can hold, as two audits in a row found.",
		}),
		stuck: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "switchboard_audit_stuck",
			Help: "Messages that have been waiting for longer than 15 minutes.",
		}),
		unreported: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "switchboard_audit_unreported",
			Help: "Messages of the last 24 hours that were sent over an hour ago and have no delivery report, though their transport reports on others.",
		}),
		orphans: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "switchboard_audit_orphan_events",
			Help: "Events whose message has not come.",
		}),
		audited: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "switchboard_audit_timestamp_seconds",
			Help: "When the record was last audited, in seconds since 1970.",
		}),
	}
	if reg == nil {
		return m, nil
	}
	var errs [6]error
	m.messages, errs[0] = registered(reg, m.messages)
	m.stuck, errs[1] = registered(reg, m.stuck)
	m.orphans, errs[2] = registered(reg, m.orphans)
	m.audited, errs[3] = registered(reg, m.audited)
	m.missing, errs[4] = registered(reg, m.missing)
	m.unreported, errs[5] = registered(reg, m.unreported)
	return m, errors.Join(errs[:]...)
}

func registered[C prometheus.Collector](reg prometheus.Registerer, c C) (C, error) {
	err := reg.Register(c)
	if there, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if existing, same := there.ExistingCollector.(C); same {
			return existing, nil
		}
	}
	return c, err
}

func (r *recorder) auditor() *audit.Auditor {
	return &audit.Auditor{
		Record: r.db, Broker: r.core.Broker, Depths: r.core.Depths,
		Fleet: audit.Fleet{
			Connectors: slices.Concat(r.Transports, r.Exposed), RecordQueues: []string{r.queue().Name}, Silent: len(r.Exposed) == 0,
		},
		Limits: store.AuditLimits{Since: time.Now().Add(-auditSince), Stuck: auditStuck, Unreported: auditUnreported},
	}
}

// audit audits the record for the metrics.
func (r *recorder) audit(ctx context.Context) error {
	metrics, err := newAuditMetrics(r.core.Registerer)
	if err != nil {
		return err
	}
	var before int64 // missing at the last audit
	for ctx.Err() == nil {
		found, err := r.look(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			r.core.Logger.Warn("auditing the record failed; trying again later", "error", err, "in", auditEvery)
		default:
			metrics.set(found, min(before, found.Missing))
			before = found.Missing
		}
		backoff.Sleep(ctx, auditEvery)
	}
	return nil
}

func (r *recorder) look(ctx context.Context) (*audit.Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	return r.auditor().Look(ctx)
}

func (m *auditMetrics) set(a *audit.Finding, missing int64) {
	m.messages.Reset()
	for _, c := range a.Counts {
		m.messages.WithLabelValues(c.Backend, c.Application, string(c.Direction), string(c.Status)).Set(float64(c.N))
	}
	m.missing.Set(float64(missing))
	m.stuck.Set(total(a.StuckCounts))
	m.unreported.Set(total(a.UnreportedCounts))
	m.orphans.Set(float64(a.Orphan))
	m.audited.SetToCurrentTime()
}

func total(counts []store.Count) (n float64) {
	for _, c := range counts {
		n += float64(c.N)
	}
	return n
}
