package simulator

import "github.com/prometheus/client_golang/prometheus"

const namespace = "switchboard_smsc_"

// collector shows the counters to Prometheus.
type collector struct{ smsc *SMSC }

// Describe sends nothing: the metrics are made when they are collected.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect writes the counters.
func (c collector) Collect(out chan<- prometheus.Metric) {
	n := c.smsc.Counters()
	count := func(name, help string, value uint64) {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(namespace+name, help, nil, nil), prometheus.CounterValue, float64(value))
	}
	gauge := func(name, help string, value int) {
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(namespace+name, help, nil, nil), prometheus.GaugeValue, float64(value))
	}
	by := func(name, help, label string, values map[string]uint64) {
		desc := prometheus.NewDesc(namespace+name, help, []string{label}, nil)
		for key, value := range values {
			out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(value), key)
		}
	}
	count("connections_total", "Connections accepted.", n.Connections)
	count("binds_total", "Binds granted.", n.Binds)
	count("binds_refused_total", "Binds refused.", n.Refused)
	count("dropped_total", "Connections dropped on purpose.", n.Dropped)
	count("unreadable_total", "PDUs that were none.", n.Unreadable)
	count("submits_total", "Messages submitted.", n.Submits)
	count("accepted_total", "Messages given an id.", n.Accepted)
	count("lost_answers_total", "Answers withheld on purpose.", n.LostAnswers)
	count("receipts_total", "Receipts sent.", n.Receipts)
	count("receipts_taken_total", "Receipts answered with ESME_ROK.", n.ReceiptsTaken)
	count("messages_total", "Mobile-originated messages sent, by segment.", n.Messages)
	count("messages_taken_total", "Of them answered with ESME_ROK.", n.MessagesTaken)
	count("undeliverable_total", "Receipts and messages given up.", n.Undeliverable)
	gauge("bound", "Sessions that are bound.", n.Bound)
	gauge("delivering", "Receipts and messages without an answer yet.", n.Delivering)
	gauge("waiting", "Receipts and messages that wait for room in a window.", n.Waiting)
	gauge("submits_per_second", "Submits in the last second.", n.PerSecond)
	gauge("submits_per_second_peak", "The most submits in any one second.", n.PeakPerSecond)
	by("received_total", "PDUs that came.", "command", n.Received)
	by("answers_total", "Answers to submits.", "status", n.Answers)
	by("delivery_answers_total", "Answers to receipts and messages.", "status", n.DeliveryAnswers)
}
