package persistence

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	"switchboard/store/sqlite"
	"switchboard/worker"
)

// gauges are the values of a registry's gauges without labels.
func gauges(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if len(m.GetLabel()) == 0 {
				values[f.GetName()] = m.GetGauge().GetValue()
			}
		}
	}
	return values
}

// The metrics tell a message that waits from one that is nowhere.
func TestAuditMetrics(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record.db")
	db, err := sqlite.Open(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	b := memory.New(memory.Settings{})
	defer func() { _ = b.Close(context.Background()) }()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(db.Migrate(t.Context()))
	for _, transport := range []string{"sms", "of another worker"} {
		for range 2 {
			m := message.New()
			m.To, m.TransportName, m.Timestamp = "+27831234567", transport, time.Now().Add(-time.Hour)
			_, err := db.Record(t.Context(), []store.Envelope{{Direction: store.Outbound, Backend: transport, Message: m}})
			must(err)
		}
	}
	raw, err := sql.Open("sqlite", "file:"+path)
	must(err)
	defer func() { _ = raw.Close() }()
	_, err = raw.Exec("UPDATE transmission SET updated = updated - 3600000000") // an hour passes
	must(err)
	must(b.Declare(t.Context(), broker.Queue{Name: "sms.outbound"}))
	must(b.Publish(t.Context(), broker.Publication{Queue: "sms.outbound", Body: []byte("one of them")}))

	p := New()
	p.Name, p.Transports = "keep", options.Names{"sms"}
	reg := prometheus.NewRegistry()
	r := &recorder{Persistence: p, core: worker.Runtime{Dependencies: worker.Dependencies{Name: "keep", Broker: b, Registerer: reg}}, db: db}
	metrics, err := newAuditMetrics(reg)
	must(err)
	found, err := r.look(t.Context())
	must(err)
	metrics.set(found, found.Missing)
	got := gauges(t, reg)
	for name, want := range map[string]float64{"stuck": 4, "missing": 1, "unreported": 0, "orphan_events": 0} {
		if value, there := got["switchboard_audit_"+name]; !there || value != want {
			t.Errorf("%s is %v, want %v", name, value, want)
		}
	}
}
