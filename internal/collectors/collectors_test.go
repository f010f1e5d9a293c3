package collectors_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/internal/collectors"
)

func TestCollectorsAreShared(t *testing.T) {
	reg := prometheus.NewRegistry()
	one, two := collectors.Set{Registerer: reg, Prefix: "x_"}, collectors.Set{Registerer: reg, Prefix: "x_"}
	if one.Gauge("up", "Help.", "a") != two.Gauge("up", "Help.", "a") || one.Err != nil || two.Err != nil {
		t.Errorf("a second gauge of the name: %v, %v", one.Err, two.Err)
	}
	if two.Counter("up", "Help.", "a"); two.Err == nil {
		t.Error("a counter of a gauge's name is no error")
	}
}
