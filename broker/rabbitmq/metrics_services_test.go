//go:build services

package rabbitmq_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/internal/testutil"
)

// TestBlocked: RabbitMQ says connection.blocked and later connection.unblocked
// (rabbitmq.com/docs/connection-blocked).
func TestBlocked(t *testing.T) {
	const connectionClass, blocked, unblocked = 10, 60, 61
	p := newProxy(t)
	registry := prometheus.NewRegistry()
	var log logBuffer
	b := openClosed(t, rabbitmq.Settings{URL: p.url, Metrics: registry, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	q := newQueue(t)
	must(t, b.Publish(testContext(t), broker.Publication{Queue: q.Name}))
	reason := "low on memory"
	p.inject(connectionClass, blocked, append([]byte{byte(len(reason))}, reason...)...)
	testutil.Eventually(t, "the state says so", func() bool { return b.State().Blocked == reason })
	if gather(t, registry)["switchboard_broker_blocked"] == 0 {
		t.Error("the metric does not say so")
	}
	if gather(t, registry)["switchboard_broker_blockings_total"] == 0 {
		t.Error("it was not counted")
	}
	if text := log.String(); !strings.Contains(text, "takes no bodies") || !strings.Contains(text, reason) {
		t.Errorf("the log says %s", text)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.Publish(ctx, broker.Publication{Queue: q.Name}); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), reason) {
		t.Errorf("publishing: %v", err)
	}
	if _, err := b.Inspect(testContext(t), q.Name); err != nil {
		t.Errorf("inspecting meanwhile: %v", err)
	}
	p.inject(connectionClass, unblocked)
	must(t, b.Publish(testContext(t), broker.Publication{Queue: q.Name}))
	if st := b.State(); st.Blocked != "" || st.Reconnects != 0 {
		t.Errorf("state %+v", st)
	}
}

// gather sums each metric over its labels.
func gather(t testing.TB, r *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := r.Gather()
	must(t, err)
	sums := make(map[string]float64)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			sums[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sums
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	b := open(t, rabbitmq.Settings{URL: amqpURL(t), Metrics: registry})
	sharing := open(t, rabbitmq.Settings{URL: amqpURL(t), Metrics: registry})
	must(t, sharing.Close(testContext(t)))
	q := newQueue(t)
	ctx, stop := context.WithCancel(testContext(t))
	for range 3 {
		must(t, b.Publish(ctx, broker.Publication{Queue: q.Name}))
	}
	b.Publish(ctx, broker.Publication{Key: "nobody." + q.Name})
	seen := 0
	must(t, b.Consume(ctx, q, 10, func(d *broker.Delivery) {
		d.Ack()
		if seen++; seen == 3 {
			stop()
		}
	}))
	must(t, b.Close(testContext(t)))
	got := gather(t, registry)
	for name, want := range map[string]float64{
		"published_total": 4, "acks_total": 3, "confirms_outstanding": 0, "connected": 0, "reconnects_total": 0,
	} {
		if value, there := got["switchboard_broker_"+name]; value != want || !there && want != 0 {
			t.Errorf("%s is %v, want %v", name, value, want)
		}
	}
	if n := got["switchboard_broker_ack_batches_total"]; n < 1 || n > 3 {
		t.Errorf("%v acknowledgements for 3 bodies", n)
	}
}
