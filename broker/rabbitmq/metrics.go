package rabbitmq

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	reconnects     *prometheus.CounterVec // by role
	connected      *prometheus.GaugeVec   // by role
	blocked        *prometheus.GaugeVec   // by role
	blockings      prometheus.Counter
	published      *prometheus.CounterVec // by outcome
	confirmed      prometheus.Counter     // of published, found once
	outstanding    prometheus.Gauge
	redeclarations prometheus.Counter
	acks           prometheus.Counter
	ackBatches     prometheus.Counter
}

// newMetrics registers the metrics; brokers that share a registerer share them.
func newMetrics(r prometheus.Registerer) (*metrics, error) {
	const role, outcome = "role", "outcome"
	var errs []error
	m := &metrics{
		reconnects:     register(r, &errs, prometheus.NewCounterVec(counter("reconnects_total", "Connections to RabbitMQ made again after one was lost."), []string{role})),
		connected:      register(r, &errs, prometheus.NewGaugeVec(gauge("connected", "1 while the connection to RabbitMQ is up."), []string{role})),
		blocked:        register(r, &errs, prometheus.NewGaugeVec(gauge("blocked", "1 while RabbitMQ is short of resources and takes no bodies."), []string{role})),
		blockings:      register(r, &errs, prometheus.NewCounter(counter("blockings_total", "How often RabbitMQ took no bodies for a while."))),
		published:      register(r, &errs, prometheus.NewCounterVec(counter("published_total", "Publications by outcome: confirmed, unroutable, refused, lost, invalid."), []string{outcome})),
		outstanding:    register(r, &errs, prometheus.NewGauge(gauge("confirms_outstanding", "Publications RabbitMQ has not confirmed yet."))),
		redeclarations: register(r, &errs, prometheus.NewCounter(counter("redeclarations_total", "How often everything was declared again because RabbitMQ returned a publication: a queue or binding was deleted."))),
		acks:           register(r, &errs, prometheus.NewCounter(counter("acks_total", "Deliveries acknowledged."))),
		ackBatches:     register(r, &errs, prometheus.NewCounter(counter("ack_batches_total", "Acknowledgement frames sent, each for one delivery or more."))),
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("registering the broker's metrics: %w", err)
	}
	m.confirmed = m.published.WithLabelValues("confirmed")
	return m, nil
}

func counter(name, help string) prometheus.CounterOpts {
	return prometheus.CounterOpts{Namespace: "switchboard", Subsystem: "broker", Name: name, Help: help}
}

func gauge(name, help string) prometheus.GaugeOpts { return prometheus.GaugeOpts(counter(name, help)) }

func register[C prometheus.Collector](r prometheus.Registerer, errs *[]error, c C) C {
	if r == nil {
		return c
	}
	err := r.Register(c)
	if exists, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if same, ok := exists.ExistingCollector.(C); ok {
			return same
		}
	}
	if err != nil {
		*errs = append(*errs, err)
	}
	return c
}

func boolGauge(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
