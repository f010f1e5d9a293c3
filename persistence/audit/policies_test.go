package audit_test

import (
	"maps"
	"testing"

	"switchboard/persistence/audit"
)

// A policy under which RabbitMQ drops bodies is found, whoever set it.
func TestLossyQueues(t *testing.T) {
	address := management(t, `[
		{"name": "plain"},
		{"name": "unlimited", "delivery_limit": "unlimited"},
		{"name": "four", "delivery_limit": 20},
		{"name": "limited", "policy": "p", "effective_policy_definition": {"delivery-limit": 5}, "delivery_limit": 5},
		{"name": "lifted", "policy": "p", "effective_policy_definition": {"delivery-limit": -1}, "delivery_limit": 20},
		{"name": "short", "policy": "p", "operator_policy": "o", "effective_policy_definition": {"max-length": 10, "message-ttl": 60000}},
		{"name": "rejecting", "policy": "p", "effective_policy_definition": {"max-length": 10, "overflow": "reject-publish"}},
		{"name": "expiring", "policy": "p", "effective_policy_definition": {"expires": 1000}}
	]`)
	m, err := audit.NewManagement(address, myFleet)
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.Lossy(t.Context())
	want := map[string]string{
		"four":     "delivery-limit 20: what returned to it so often is dropped",
		"limited":  "delivery-limit 5: what returned to it so often is dropped (policy p)",
		"short":    "max-length 10: what exceeds it is dropped, message-ttl 60000: what exceeds it is dropped (policy p, o)",
		"expiring": "expires 1000: without consumers it is deleted (policy p)",
	}
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("%v\ngot  %v\nwant %v", err, got, want)
	}
}
