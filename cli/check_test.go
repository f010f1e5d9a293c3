package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Where RabbitMQ's management is known, check names the queues of version 1; where it is
// away, the files are checked all the same.
func TestCheckNamesQueuesOfVersion1(t *testing.T) {
	t.Setenv("RABBITMQ_MANAGEMENT_URL", "")
	s := newSender(t)
	file := s.file("join.yaml", "router_class: simple\ntransport_names: sms\nexposed_names: survey\nroute_mappings: {sms: survey}\n")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `[
			{"name": "sms.inbound", "backing_queue_status": {"version": 1, "len": 0}},
			{"name": "sms.outbound", "backing_queue_status": {"version": 2, "len": 0}},
			{"name": "another.inbound", "backing_queue_status": {"version": 1, "len": 0}}
		]`)
	}))
	defer server.Close()
	for url, want := range map[string]string{
		server.URL: "keeps 1 of these queues as version 1 (sms.inbound, …)", "http://127.0.0.1:1": "the version of the queues is not known: ", "": "",
	} {
		var out, errs output
		root := rootOn("test", testClasses(), nil)
		root.SetArgs([]string{"check", "--amqp-url", "amqp://127.0.0.1/", "--management-url", url, file})
		root.SetOut(&out)
		root.SetErr(&errs)
		err := root.ExecuteContext(t.Context())
		if err != nil || !strings.Contains(errs.String(), want) || want == "" && errs.String() != "" || !strings.Contains(out.String(), "nothing wrong") {
			t.Errorf("%q: %v\n%s%s", url, err, out.String(), errs.String())
		}
	}
}
