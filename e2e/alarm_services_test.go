//go:build services

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/internal/testutil"
	"switchboard/persistence"
)

// RabbitMQ is short of memory and takes no messages: workers go on to consume what they can
// handle without publishing, say what is wrong, end within their stop_timeout, and deliver
// everything afterwards.
func TestMemoryAlarm(t *testing.T) {
	t.Parallel()
	s := startServers(t, "rabbitmq")
	env := []string{"AMQP_URL=" + s.url("AMQP_URL"), "DATABASE_URL=sqlite:" + t.TempDir() + "/record.db"}
	b := connect(t, s.url("AMQP_URL"))
	load := newPeople(t, b, "load", false)
	const (
		stopTimeout = 3 * time.Second
		stopMargin  = 6 * time.Second // handlers notice within two, and so does the socket
	)
	route := routeYAML + fmt.Sprintf("stop_timeout: %s\n", stopTimeout)
	record := fmt.Sprintf(recordYAML, "keep")
	start(t, "echo", echoYAML, env...)
	start(t, "keep", record, env...).stop()
	start(t, "join", route, env...).stop()
	ids := load.send(2000)

	s.run("rabbitmqctl", "set_vm_memory_high_watermark", "0.000001")
	launchYAML(t, "keep", record, env...)
	join := launchYAML(t, "join", route, env...)
	eventually(t, "the recorder consumes and acknowledges", func() bool {
		info, err := b.Inspect(t.Context(), persistence.RecordQueue("keep"))
		return err == nil && info.Messages == 0
	})
	eventually(t, "the dispatcher says that it cannot publish", func() bool {
		code, text := join.get("/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(text, "the broker accepts no messages: ")
	})
	if _, text := join.get("/status"); !strings.Contains(text, "broker accepts no messages now: ") {
		t.Errorf("/status: %s", text)
	}
	if _, text := join.get("/metrics"); !strings.Contains(text, `switchboard_broker_blocked{role="publish"} 1`) {
		t.Error("the metric does not say that the broker is blocked")
	}

	began := time.Now()
	_ = join.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-join.done:
	case <-time.After(patience):
		t.Fatalf("the dispatcher did not stop:\n%s", join.logged())
	}
	if code := join.cmd.ProcessState.ExitCode(); code == 0 || !strings.Contains(join.logged(), "it returns to its queue") {
		t.Errorf("ended with %d:\n%s", code, join.logged())
	}
	if took := time.Since(began); took > stopTimeout+stopMargin {
		t.Errorf("with stop_timeout %v it ended after %v", stopTimeout, took)
	}
	testutil.EventuallyWithin(t, patience, "all is back on its queue", func() bool {
		info, err := b.Inspect(t.Context(), "load.inbound")
		return err == nil && info.Messages == len(ids)
	})

	join = launchYAML(t, "join", route, env...)
	s.run("rabbitmqctl", "set_vm_memory_high_watermark", "0.4")
	join.await("/readyz")
	load.awaitAnswers(ids)
	for _, queue := range []string{"load.inbound", "echo.inbound", "echo.outbound"} {
		eventually(t, queue+" is empty", func() bool {
			info, err := b.Inspect(t.Context(), queue)
			return err == nil && info.Messages == 0 || errors.Is(err, broker.ErrNoQueue)
		})
	}
	if _, again := load.counts(); again > 0 {
		t.Logf("%d answers came twice", again)
	}
}

// get asks the process's port.
func (p *process) get(path string) (code int, text string) {
	p.t.Helper()
	answer, err := http.Get(p.http + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}
