package fleet

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// configMetrics tell what configuration a process runs with.
type configMetrics struct {
	info    *prometheus.GaugeVec
	good    prometheus.Gauge
	when    prometheus.Gauge
	reloads *prometheus.CounterVec
}

func (p *Process) registerInfo(defs []*Definition) {
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "switchboard_build_info", Help: "The version of this program; always 1.",
	}, []string{"version"})
	build.WithLabelValues(p.Version).Set(1)
	m := &configMetrics{
		info: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "switchboard_config_info", Help: "The configuration each worker runs with, by the hash of its text; always 1.",
		}, []string{"worker", "file", "hash"}),
		good: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "switchboard_config_last_reload_successful", Help: "Whether the configuration that was read last is the one in use: 1 or 0.",
		}),
		when: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "switchboard_config_last_reload_success_timestamp_seconds", Help: "When a configuration was last taken into use.",
		}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "switchboard_config_reloads_total", Help: "Reloads by outcome: ok or failed.",
		}, []string{"outcome"}),
	}
	p.Registry.MustRegister(retryCollector{p}, build, m.info, m.good, m.when, m.reloads)
	p.config = m
	m.show(defs)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.loaded = loaded{at: time.Now(), print: fingerprint(p.Paths)}
	if outdated(defs) {
		p.loaded.print = "edited before the start" // so that Watch sees it
	}
	m.inUse(p.loaded.at)
}

func (m *configMetrics) inUse(at time.Time) {
	m.good.Set(1)
	m.when.Set(float64(at.UnixMilli()) / 1000)
}

// show replaces what the metrics say about the workers.
func (m *configMetrics) show(defs []*Definition) {
	m.info.Reset()
	for _, d := range defs {
		m.info.WithLabelValues(d.Name, d.Path, d.doc.Hash()).Set(1)
	}
}

// retryCollector counts what waits for its next try, which ends by itself, and says how old
// what is held is.
type retryCollector struct{ process *Process }

var retrying = prometheus.NewDesc("switchboard_retrying",
	"Messages and events that a worker has put off since it started, and that wait for their next try, by queue.",
	[]string{"worker", "queue"}, nil)

var retryingTry = prometheus.NewDesc("switchboard_retrying_try",
	"The highest try that one of switchboard_retrying waits for; 2 after the first failure.",
	[]string{"worker", "queue"}, nil)

var oldest = prometheus.NewDesc("switchboard_oldest_seconds",
	"Age of the oldest message or event that a worker holds, since it was made, by queue.",
	[]string{"worker", "queue"}, nil)

func (retryCollector) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- retrying
	descriptions <- retryingTry
	descriptions <- oldest
}

func (c retryCollector) Collect(metrics chan<- prometheus.Metric) {
	for _, i := range c.process.instances() {
		waiting, tries := i.monitor.Retrying()
		for queue, n := range waiting {
			metrics <- prometheus.MustNewConstMetric(retrying, prometheus.GaugeValue, float64(n), c.process.definition(i).Name, queue)
			metrics <- prometheus.MustNewConstMetric(retryingTry, prometheus.GaugeValue, float64(tries[queue]), c.process.definition(i).Name, queue)
		}
		for queue, made := range i.monitor.Oldest() {
			metrics <- prometheus.MustNewConstMetric(oldest, prometheus.GaugeValue, time.Since(made).Seconds(), c.process.definition(i).Name, queue)
		}
	}
}
