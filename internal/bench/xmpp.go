package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/internal/tlsfiles"
	"switchboard/message"
	"switchboard/xmpp"
)

const (
	xmppBot      = "benchbot"
	xmppSink     = "benchsink"
	xmppDomain   = "xmpp.test"
	xmppPassword = "bench"
	// xmppPeople is how many addresses the messages go to.
	xmppPeople = 1000
	// xmppLonger is how many times the messages of the row above the last row has:
	// memory is to be the same.
	xmppLonger = 3
)

// xmppBareMode is the argument that makes this program the yardstick of XMPP.
const xmppBareMode = "xmpp-bare-loop"

// xmppSection sends messages through Prosody to somebody who is online.
func xmppSection(ctx context.Context, s settings) (string, error) {
	b, err := rabbitmq.Open(rabbitmq.Settings{URL: s.amqpURL, Name: "bench"})
	if err != nil {
		return "", err
	}
	defer func() { _ = b.Close(context.Background()) }()
	for _, name := range [...]string{xmppBot, xmppSink} {
		file := filepath.Join(os.Getenv("XMPP_ACCOUNTS"), name+".dat")
		if err := os.WriteFile(file, []byte("return { [\"password\"] = \""+xmppPassword+"\"; };\n"), 0o644); err != nil {
			return "", fmt.Errorf("making an account at Prosody (XMPP_ACCOUNTS; make bench sets it): %w", err)
		}
		defer func() { _ = os.Remove(file) }()
	}
	stop, err := xmppListen(ctx)
	if err != nil {
		return "", err
	}
	defer stop()
	var out strings.Builder
	out.WriteString("Messages wait in `<transport>.outbound`; the clock runs until `<transport>.event` holds all acks,\n" +
		"each of a stanza that Prosody has acknowledged. The bare client writes the same stanzas, with the\n" +
		"same number unacknowledged; it has no broker and remembers nothing. Prosody has one thread, delivers\n" +
		"each message to a client, and shares the machine.\n\n" +
		"| window, messages | bare client, messages/s | transport, messages/s | of the bare client | CPU a message | peak memory |\n|---|---:|---:|---:|---:|---:|\n")
	for _, c := range []xmppCase{{10, s.n, false}, {100, s.n, false}, {100, s.n, true}, {100, xmppLonger * s.n, true}} {
		if err := xmppRow(ctx, b, s, c, &out); err != nil {
			return "", err
		}
	}
	return strings.TrimRight(out.String(), "\n"), nil
}

// xmppCase is a row.
type xmppCase struct {
	window, n int
	database  bool // what was sent is remembered in PostgreSQL, else in memory
}

func xmppRow(ctx context.Context, b *rabbitmq.Broker, s settings, c xmppCase, out *strings.Builder) error {
	rounds := s.rounds
	if c.n > s.n {
		rounds = 1 // only its memory is of interest
	}
	var bare, ours []measure
	name, database := fmt.Sprintf("%d, %d, state in memory", c.window, c.n), "memory:"
	if c.database {
		l, err := newLedger(ctx, s, "bench_xmpp")
		if err != nil {
			return err
		}
		defer l.drop()
		name, database = fmt.Sprintf("%d, %d, state in PostgreSQL", c.window, c.n), l.url
	}
	for range rounds {
		m, err := measureYardstick(ctx, c.n, xmppBareMode, strconv.Itoa(c.window), strconv.Itoa(c.n))
		if err != nil {
			return err
		}
		bare = append(bare, m)
		m, err = s.measured("XMPP/"+name, func(s settings) (measure, error) {
			if err := preloadChat(ctx, b, "bench_xmpp", c.n); err != nil {
				return measure{}, err
			}
			yaml := fmt.Sprintf("transport_class: xmpp\ntransport_name: bench_xmpp\nusername: %s@%s\npassword: %s\nhost: %s\ntls_ca_file: %s\nwindow: %d\nreceipts: false\n",
				xmppBot, xmppDomain, xmppPassword, os.Getenv("XMPP_ADDR"), os.Getenv("XMPP_CA"), c.window)
			return runWorker(ctx, b, s, yaml, database, "bench_xmpp.event", c.n)
		})
		if err != nil {
			return err
		}
		ours = append(ours, m)
	}
	yardstick, own := median(bare, rate), median(ours, rate)
	fmt.Fprintf(out, "| %s | %.0f | %.0f | %.2f | %.3f ms | %.0f MB |\n", name, yardstick, own, own/yardstick, median(ours, cpuMillis), median(ours, megabytes))
	return nil
}

// sinkAddress is one of many addresses of one person: messages to one address leave
// one after the other.
func sinkAddress(i int) string {
	return fmt.Sprintf("%s@%s/%d", xmppSink, xmppDomain, i%xmppPeople)
}

func preloadChat(ctx context.Context, b *rabbitmq.Broker, transport string, n int) error {
	queue := transport + ".outbound"
	if err := declareEmpty(ctx, b, queue); err != nil {
		return err
	}
	return fill(ctx, b, n, func(i int) []broker.Publication {
		m := message.New()
		m.To, m.Content, m.TransportName, m.TransportType = sinkAddress(i), benchText, transport, "xmpp"
		_ = m.RoutingMetadata.UnmarshalJSON([]byte(`{"endpoint_name":"default"}`))
		return []broker.Publication{{Key: queue, Body: m.Encode()}}
	})
}

func xmppDial(ctx context.Context, name string) (*xmpp.Session, error) {
	return xmpp.Dial(ctx, xmpp.Settings{
		JID: xmpp.JID{Local: name, Domain: xmppDomain}, Password: xmppPassword, Address: os.Getenv("XMPP_ADDR"),
		TLS:    func() (*tls.Config, error) { return tlsfiles.Files{CA: os.Getenv("XMPP_CA")}.Client("") },
		Handle: func(_ *xmpp.Element, handled func()) { handled() },
	}, nil)
}

// xmppListen logs the person in who gets the messages.
func xmppListen(ctx context.Context) (stop func(), err error) {
	s, err := xmppDial(ctx, xmppSink)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		_ = s.Run(ctx)
	}()
	return func() { cancel(); <-over }, s.Send(xmpp.New(xmpp.NSClient, "presence"), nil)
}

// xmppBareMain writes n stanzas with at most window of them unacknowledged, and prints
// the seconds that took.
func xmppBareMain(args []string) error {
	if len(args) != 2 {
		return errors.New("usage: xmpp-bare-loop WINDOW N")
	}
	window, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := xmppDial(ctx, xmppBot)
	if err != nil {
		return err
	}
	go func() { _ = s.Run(ctx) }()
	room := make(chan struct{}, window)
	acked, all := atomic.Int64{}, make(chan error, 1)
	began := time.Now()
	for i := range n {
		room <- struct{}{}
		id := message.NewID()
		stanza := xmpp.New(xmpp.NSClient, "message", xmpp.NewText(xmpp.NSClient, "body", benchText), xmpp.New(xmpp.NSStanzaID, "origin-id").Set("id", id)).
			Set("type", "chat").Set("to", sinkAddress(i)).Set("id", id)
		err := s.Send(stanza, func(err error) {
			<-room
			if acked.Add(1) == int64(n) || err != nil {
				all <- err
			}
		})
		if err != nil {
			return err
		}
	}
	if err := <-all; err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(time.Since(began).Seconds())
}
