package queues

import (
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"switchboard/fleet"
	"switchboard/operate"
)

func TestDialingWhatCannotBe(t *testing.T) {
	for _, url := range []string{
		"memory:", "amqp://user:sekret@host:port/", "amqp://user:sek ret@host/%", "http://user:sekret@host/", "user:sekret@host", "",
	} {
		b, err := Connect(t.Context(), url)
		var wrong operate.Misuse
		if b != nil || !errors.As(err, &wrong) || strings.Contains(err.Error(), "sek") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// Nobody listens: the error says where, and not the password.
func TestAwaitingNobody(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	b, err := fleet.OpenBroker("amqp://user:sekret@"+address+"/", "test", slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = fleet.CloseBroker(b) }()
	err = awaitConnected(t.Context(), b, 300*time.Millisecond)
	if err == nil || strings.Contains(err.Error(), "sekret") || !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "AMQP_URL") {
		t.Errorf("got %v", err)
	}
}
