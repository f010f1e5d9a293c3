package audit_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"switchboard/persistence/audit"
	"switchboard/store"
)

// management answers as RabbitMQ's plugin does to whoever may ask.
func management(t *testing.T, answers ...string) (address string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, password, _ := r.BasicAuth()
		if name != "me" || password != "s3cret" || r.URL.EscapedPath() != "/api/queues/my%2Ffleet" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answer := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		_, _ = fmt.Fprint(w, answer)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func counted(queue string, ready, unacked int) string {
	return fmt.Sprintf(`{"name":%q,"messages_ready":%d,"messages_unacknowledged":%d}`, queue, ready, unacked)
}

const myFleet = "amqp://me:s3cret@localhost/my%2Ffleet"

// What the broker cannot tell, the management does: a consumer with nothing
// in flight does not account for a message.
func TestManagementCountsWhatIsInHand(t *testing.T) {
	b := newBench(t)
	b.passed(store.Outbound, "m1", "m2")
	b.put("sms.outbound", "another")
	b.hold("sms.outbound", 1)
	b.wants()
	for hand, missing := range map[int][]string{0: {"m1", "m2"}, 1: {"m1"}, 2: nil} {
		address := management(t, "["+counted("other", 9, 9)+`,{"name":"sms.outbound"}]`, "["+counted("sms.outbound", 0, hand)+"]")
		m, err := audit.NewManagement(address+"/", myFleet)
		b.must(err)
		b.look.Depths = m.Depths
		b.wants(missing...)
	}
}

func TestManagementOutOfReach(t *testing.T) {
	b := newBench(t)
	b.passed(store.Outbound, "m")
	for broker, want := range map[string]string{
		"amqp://me:other@localhost/my%2Ffleet": "401",
		"amqp://me:s3cret@localhost/":          "401",
		myFleet:                                "EOF",
	} {
		m, err := audit.NewManagement(management(t, `[{"name":`), broker)
		b.must(err)
		b.look.Depths = m.Depths
		_, err = b.look.Audit(t.Context())
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", broker, err)
		}
	}
	for _, address := range []string{"", "localhost:15672", "amqp://me:s3cret@localhost", "http://", ":s3cret"} {
		if _, err := audit.NewManagement(address, myFleet); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("the address %q: %v", address, err)
		}
	}
}
