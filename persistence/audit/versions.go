package audit

import (
	"context"
	"slices"
)

// FirstVersion returns the classic queues that RabbitMQ keeps as version 1, which 3.10 to 3.13
// do where nobody says otherwise. Version 2 carries more (docs/benchmarks.md).
func (m *Management) FirstVersion(ctx context.Context) ([]string, error) {
	var all []struct {
		Name   string `json:"name"`
		Status struct {
			Version int `json:"version"`
		} `json:"backing_queue_status"`
	}
	if err := m.get(ctx, "name,backing_queue_status", &all); err != nil {
		return nil, err
	}
	var first []string
	for _, q := range all {
		if q.Status.Version == 1 {
			first = append(first, q.Name)
		}
	}
	slices.Sort(first)
	return first, nil
}
