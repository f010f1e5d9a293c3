package telnet_test

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"switchboard/applications"
	"switchboard/applications/guess"
	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/message"
	state "switchboard/store/memory"
	"switchboard/transports"
	"switchboard/transports/telnet"
	"switchboard/transports/transporttest"
	"switchboard/worker"
)

// fleet is a telnet transport and, directly on its connector, a game.
type fleet struct {
	t      *testing.T
	env    worker.Dependencies
	telnet *telnet.Transport
}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	b, s := memory.New(memory.Settings{}), state.New()
	t.Cleanup(func() { _ = b.Close(context.Background()); _ = s.Close() })
	f := &fleet{
		t: t, telnet: telnet.New(),
		env: worker.Dependencies{Name: "telnet", Broker: b, State: s, Logger: slog.New(slog.DiscardHandler)},
	}
	f.telnet.TwistedEndpoint, f.telnet.ToAddr = "tcp:0:interface=127.0.0.1", "9292"
	options := transports.DefaultOptions()
	options.TransportName = "vr_telnet"
	f.start(transports.New(f.env, options, f.telnet))
	return f
}

func (f *fleet) start(w worker.Worker) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				f.t.Errorf("the worker ended with %v", err)
			}
		case <-time.After(2 * transporttest.Patience):
			f.t.Error("the worker does not end")
		}
	})
}

func (f *fleet) startGame() {
	options := applications.DefaultOptions()
	options.TransportName = "vr_telnet"
	f.start(applications.New(f.env, options, guess.New()))
}

func (f *fleet) connect() (net.Conn, *bufio.Reader) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), transporttest.Patience)
	defer cancel()
	addr, err := f.telnet.Addr(ctx)
	if err != nil {
		f.t.Fatal(err)
	}
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(transporttest.Patience))
	return conn, bufio.NewReader(conn)
}

// body is the next body of a queue, as Vumi's workers would read it.
func (f *fleet) body(queue string) map[string]any {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), transporttest.Patience)
	defer cancel()
	var body []byte
	err := f.env.Broker.Consume(ctx, broker.Queue{Name: queue, Keys: []string{queue}}, 1, func(d *broker.Delivery) {
		body = d.Body
		d.Ack()
		cancel()
	})
	if err != nil || body == nil {
		f.t.Fatalf("nothing came to %s: %v", queue, err)
	}
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		f.t.Fatal(err)
	}
	return members
}

func TestAGameByTelnet(t *testing.T) {
	f := startFleet(t)
	f.startGame()
	conn, in := f.connect()
	for _, turn := range []struct{ types, reads string }{
		{"", "I am thinking of a number between 1 and 100."},
		{"0\r\n", "The number is between 1 and 100."},
		{"new\r\n", "I am thinking of a number"},
		{"quit\r\n", "Goodbye!"},
	} {
		if _, err := conn.Write([]byte(turn.types)); err != nil {
			t.Fatal(err)
		}
		if got, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(got, turn.reads) {
			t.Fatalf("after %q came %q and %v, want %q", turn.types, got, err, turn.reads)
		}
	}
	if _, err := in.ReadByte(); err == nil {
		t.Error("quit did not hang up")
	}
}

// The bodies have what those of Vumi's own telnet transport have.
func TestBodiesAreVumis(t *testing.T) {
	f := startFleet(t)
	conn, _ := f.connect()
	if _, err := conn.Write([]byte("hello vumi\r\n/quit\r\n")); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct{ session, content any }{{"new", nil}, {"resume", "hello vumi"}, {"close", nil}} {
		got := f.body("vr_telnet.inbound")
		for key, value := range map[string]any{
			"session_event": want.session, "content": want.content, "from_addr": conn.LocalAddr().String(), "to_addr": "9292",
			"transport_name": "vr_telnet", "transport_type": "telnet", "in_reply_to": nil, "group": nil, "provider": nil,
			"from_addr_type": nil, "to_addr_type": nil, "message_type": "user_message", "message_version": "20110921",
		} {
			if found, there := got[key]; !there || found != value {
				t.Errorf("%s of the %s message is %v, want %v", key, want.session, found, value)
			}
		}
	}
}

func TestAnUnknownAddressGetsANack(t *testing.T) {
	f := startFleet(t)
	if _, err := f.telnet.Addr(t.Context()); err != nil {
		t.Fatal(err)
	}
	m := message.New()
	m.To, m.From, m.Content, m.TransportName = "127.0.0.1:1", "9292", "anybody?", "vr_telnet"
	queue := broker.Queue{Name: "vr_telnet.outbound", Keys: []string{"vr_telnet.outbound"}}
	if err := f.env.Broker.Declare(t.Context(), queue); err != nil {
		t.Fatal(err)
	}
	if err := f.env.Broker.Publish(t.Context(), broker.Publication{Key: queue.Name, Body: m.Encode()}); err != nil {
		t.Fatal(err)
	}
	got := f.body("vr_telnet.event")
	if got["event_type"] != "nack" || got["nack_reason"] != "Unknown address." || got["user_message_id"] != m.ID || got["transport_name"] != "vr_telnet" {
		t.Errorf("got %v", got)
	}
}
