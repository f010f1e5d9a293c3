//go:build services

package e2e

import (
	"encoding/json"
	"testing"

	"switchboard/operate/chaos"
)

// Ten seconds of `switchboard chaos`, with its servers killed too: no message is lost, what
// comes again was in flight, and the audit agrees. A seed names a plan.
func TestChaos(t *testing.T) {
	t.Parallel()
	s := startServers(t, "rabbitmq", "postgres")
	o := &operator{t, []string{
		"AMQP_URL=" + s.url("AMQP_URL"), "DATABASE_URL=" + s.url("DATABASE_URL"),
		"SERVICES=../scripts/services", "SERVICES_DIR=" + s.dir, "SERVICES_RABBITMQ=private", "SERVICES_POSTGRES=private",
	}}
	out, err := o.run("chaos", "--seed", "32", "--duration", "10s", "--json", "--dir", t.TempDir())
	if err != nil {
		t.Error(err)
	}
	var result chaos.Result
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if len(result.Faults) == 0 || !result.Servers || result.Accepted < 100 || result.Poison == 0 {
		t.Errorf("it attacked little: %s", out)
	}
	t.Logf("%d messages, %d lost, %d answered again of at most %d, all done after %v: %v",
		result.Accepted, len(result.Lost), result.Again, result.Bound, result.Drained, result.Faults)
}
