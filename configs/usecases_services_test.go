//go:build services

package configs_test

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/fleet"
	"switchboard/internal/xmpptest"
	"switchboard/message"
	"switchboard/smpp/simulator"
	"switchboard/xmpp"
)

func TestUseCasesOnRabbitMQ(t *testing.T) {
	address := os.Getenv("AMQP_URL")
	if address == "" {
		t.Fatal("AMQP_URL is not set; `make test` sets it")
	}
	for _, c := range useCases {
		t.Run(c.name, func(t *testing.T) {
			b, err := fleet.OpenBroker(address, t.Name(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			if err != nil {
				t.Fatal(err)
			}
			r := start(t, filepath.Join("use-cases", c.name), message.NewID()[:8]+"-", c.ports, b)
			r.converse(c.said)
		})
	}
}

// The dispatcher of Vumi's manual, word for word, joins an SMSC and an XMPP server to
// one application.
func TestSMSAndXMPP(t *testing.T) {
	t.Run("memory", func(t *testing.T) { smsAndXMPP(t, "", memory.New(memory.Settings{})) })
	t.Run("rabbitmq", func(t *testing.T) { // whose queues others use, too
		b, err := fleet.OpenBroker(os.Getenv("AMQP_URL"), t.Name(), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		smsAndXMPP(t, message.NewID()[:8]+"-", b)
	})
}

func smsAndXMPP(t *testing.T, prefix string, b broker.Broker) {
	smsc, err := simulator.Start(simulator.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = smsc.Close() })
	server := xmpptest.Find(t)
	bot := server.Account(t, "bot")
	host, port, _ := net.SplitHostPort(smsc.Addr())
	for name, value := range map[string]string{
		"SMPP_HOST": host, "SMPP_PORT": port,
		"XMPP_USERNAME": bot, "XMPP_PASSWORD": xmpptest.Password, "XMPP_HOST": server.Addr, "XMPP_CA": server.CA,
	} {
		t.Setenv(name, value)
	}
	dir := t.TempDir()
	for _, file := range []string{
		"vumi-classic/dispatcher.yaml", "use-cases/sms-and-xmpp/smpp_transport.yaml",
		"use-cases/sms-and-xmpp/xmpp_transport.yaml", "use-cases/sms-and-xmpp/my_application.yaml",
	} {
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(file)), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r := start(t, dir, prefix, nil, b)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := smsc.WaitBound(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if err := smsc.Deliver(ctx, simulator.Incoming{From: "27831234567", To: "12345", Text: "hello by SMS"}); err != nil {
		t.Fatal(err)
	}
	if err := smsc.Wait(ctx, "an answered submit", func(c simulator.Counters) bool { return c.Accepted == 1 }); err != nil {
		t.Fatal(err)
	}
	if list := smsc.Submitted(); list[0].Text() != "hello by SMS" {
		t.Errorf("the phone got %v", list)
	}
	people, err := xmpptest.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(people.Close)
	p := people.Join(t, server)
	p.Send(t, xmpp.New(xmpp.NSClient, "message", xmpp.NewText(xmpp.NSClient, "body", "hello by XMPP")).Set("to", bot).Set("type", "chat").Set("id", "m1"))
	if got := p.Message(t).ChildText(xmpp.NSClient, "body"); got != "hello by XMPP" {
		t.Errorf("the person got %q", got)
	}
	r.await("my_application", "inbound", 2)
	r.await("my_application", "event", 4) // of each an ack and a delivery report
}
