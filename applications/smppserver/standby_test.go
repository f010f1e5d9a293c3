package smppserver

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"switchboard/applications"
	"switchboard/options"
	"switchboard/smpp/pdu"
	"switchboard/store"
	"switchboard/store/lease"
	"switchboard/worker"
)

// Of two processes of one name the second takes nothing and opens no port until
// the first ends; then it has what the first kept.
func TestStandby(t *testing.T) {
	b := begin(t)
	first := b.stop
	second, port := New(), 0
	second.SMPPPort, second.Interface = &port, "127.0.0.1"
	second.Customers = options.Map[Customer]{{Key: "acme", Value: acme()}}
	env := worker.Dependencies{Name: "server", Kind: worker.KindApplication, Broker: b.broker, State: b.state, Logger: b.logger()}
	conf := applications.DefaultOptions()
	conf.TransportName = connector
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- applications.New(env, conf, second).Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the second ended with %v", err)
		}
	}()
	b.eventually("the second stands by", func() bool { return strings.Contains(b.log.String(), "standing by") })
	for range 50 { // the memory broker would deal them out to both
		b.says("hi")
	}
	b.eventually("the first keeps all", func() bool { return b.queued() == 50 })
	first()
	b.app = second
	c := b.bound(pdu.CmdBindReceiver)
	for range 50 {
		c.delivered()
	}
	_ = c.conn.Close()
}

// A process whose customers were taken over says so and ends, to stand by.
func TestTakenOver(t *testing.T) {
	b := begin(t)
	b.stop()
	app, port := New(), 0
	app.SMPPPort, app.Interface = &port, "127.0.0.1"
	app.Customers = options.Map[Customer]{{Key: "acme", Value: acme()}}
	if err := app.Provision(t.Context(), applications.Env{Name: "server", State: b.state, Logger: b.logger()}); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- app.Run(t.Context(), never{}) }()
	b.app = app
	c := b.bound(pdu.CmdBindTransceiver)
	if err := app.env.State.Set(t.Context(), store.Entry{Key: leaseKey, Value: `{"id":"another"}`, TTL: time.Hour}); err != nil {
		t.Fatal(err)
	}
	c.ended()
	if err := <-ended; !errors.Is(err, lease.ErrTaken) {
		t.Errorf("it ended with %v", err)
	}
	found, err := app.env.State.Get(t.Context(), leaseKey)
	if err != nil || len(found) != 1 {
		t.Errorf("the other's lease is %v, %v", found, err)
	}
}
