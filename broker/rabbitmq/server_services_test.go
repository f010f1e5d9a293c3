//go:build services

package rabbitmq_test

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// server is a RabbitMQ of the test's own.
type server struct {
	t   *testing.T
	env []string
	url string
}

var urlLine = regexp.MustCompile(`\bAMQP_URL=(\S+)`)

func newServer(t *testing.T) *server {
	s := &server{t: t, env: append(os.Environ(), "SERVICES_DIR="+t.TempDir())}
	s.services("up", "--private", "rabbitmq")
	t.Cleanup(func() { s.services("down") })
	found := urlLine.FindStringSubmatch(s.services("env"))
	if found == nil {
		t.Fatal("scripts/services names no AMQP_URL")
	}
	s.url = found[1]
	return s
}

func (s *server) services(args ...string) string {
	s.t.Helper()
	cmd := exec.Command("../../scripts/services", args...)
	cmd.Env = s.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("scripts/services %v: %v\n%s", args, err, out)
	}
	return string(out)
}
