// Package collectors makes Prometheus collectors that several workers of one
// process share: each is registered once, and differs by its labels.
package collectors

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// Set makes collectors whose names begin with Prefix. Err says what could not be
// registered.
type Set struct {
	Registerer prometheus.Registerer
	Prefix     string
	Err        error
}

// Gauge makes a gauge.
func (s *Set) Gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return Shared(s, prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: s.Prefix + name, Help: help}, labels))
}

// Counter makes a counter.
func (s *Set) Counter(name, help string, labels ...string) *prometheus.CounterVec {
	return Shared(s, prometheus.NewCounterVec(prometheus.CounterOpts{Name: s.Prefix + name, Help: help}, labels))
}

// Histogram makes a histogram.
func (s *Set) Histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return Shared(s, prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: s.Prefix + name, Help: help, Buckets: buckets}, labels))
}

// Shared registers a collector, or returns the one that is registered already.
func Shared[C prometheus.Collector](s *Set, c C) C {
	err := s.Registerer.Register(c)
	if there, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if same, ok := there.ExistingCollector.(C); ok {
			return same
		}
	}
	s.Err = errors.Join(s.Err, err)
	return c
}
