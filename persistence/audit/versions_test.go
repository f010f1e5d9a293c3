package audit_test

import (
	"slices"
	"testing"

	"switchboard/persistence/audit"
)

// RabbitMQ 3.10's answer names the version of classic queues alone; 4 names none.
func TestFirstVersion(t *testing.T) {
	m, err := audit.NewManagement(management(t, `[
		{"name": "quorum"},
		{"name": "old", "backing_queue_status": {"version": 1, "len": 0, "delta": ["delta", "undefined", 0, 0, "undefined"]}},
		{"name": "new", "backing_queue_status": {"version": 2, "len": 0}}
	]`), myFleet)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := m.FirstVersion(t.Context()); err != nil || !slices.Equal(got, []string{"old"}) {
		t.Errorf("got %q, %v", got, err)
	}
}
