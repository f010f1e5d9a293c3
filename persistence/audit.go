package persistence

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/store"
)

// What the auditor counts, and how often.
const (
	auditEvery  = time.Minute
	auditSince  = 24 * time.Hour
	auditStuck  = 15 * time.Minute
	auditMostly = 1000 // more stuck messages than these are not counted
)

// auditMetrics are the counts of the record, as the newest audit found them.
type auditMetrics struct {
	messages *prometheus.GaugeVec
	stuck    prometheus.Gauge
	orphans  prometheus.Gauge
	audited  prometheus.Gauge
}

// newAuditMetrics registers the metrics, or finds those of another worker of
// the process.
func newAuditMetrics(reg prometheus.Registerer) (*auditMetrics, error) {
	m := &auditMetrics{
		messages: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "switchboard_audit_messages",
			Help: "Messages of the last 24 hours in the record, by transport, application, direction (I, O) and state (Q R P S D E).",
		}, []string{"transport", "application", "direction", "state"}),
		stuck: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "switchboard_audit_stuck",
			Help: "Messages that have been waiting for longer than 15 minutes; 1000 stands for more.",
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
	var errs [4]error
	m.messages, errs[0] = registered(reg, m.messages)
	m.stuck, errs[1] = registered(reg, m.stuck)
	m.orphans, errs[2] = registered(reg, m.orphans)
	m.audited, errs[3] = registered(reg, m.audited)
	return m, errors.Join(errs[:]...)
}

func registered[C prometheus.Collector](reg prometheus.Registerer, c C) (C, error) {
	err := reg.Register(c)
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if existing, same := there.ExistingCollector.(C); same {
			return existing, nil
		}
	}
	return c, err
}

// audit counts what is in the record, for the metrics.
func (r *recorder) audit(ctx context.Context) error {
	metrics, err := newAuditMetrics(r.core.Registerer)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		audit, err := r.db.Audit(ctx, store.AuditLimits{Since: time.Now().Add(-auditSince), Stuck: auditStuck, MaxStuck: auditMostly})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			r.core.Logger.Warn("auditing the record failed; trying again later", "error", err, "in", auditEvery)
		default:
			metrics.set(audit)
		}
		sleep(ctx, auditEvery)
	}
	return nil
}

func (m *auditMetrics) set(a *store.Audit) {
	m.messages.Reset()
	for _, c := range a.Counts {
		m.messages.WithLabelValues(c.Backend, c.Application, string(c.Direction), string(c.Status)).Set(float64(c.N))
	}
	m.stuck.Set(float64(len(a.Stuck)))
	m.orphans.Set(float64(a.Orphan))
	m.audited.SetToCurrentTime()
}
