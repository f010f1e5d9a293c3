package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/message"
	"switchboard/smpp/simulator"
)

// What is sent: a text of usual length, from a short code.
const (
	benchFrom = "12345"
	benchTo   = "+27831234567"
	benchText = "Your appointment is on Tuesday at 10:30, room 12. Reply 1 to confirm it."
)

// smscProcess is a running `switchboard simulate smsc`.
type smscProcess struct {
	cmd     *exec.Cmd
	in      io.WriteCloser // held open: what is typed in
	address string         // of SMPP, host:port
	http    string         // host:port
}

// startSMSC simulates an SMSC with a round trip, on free ports.
func startSMSC(ctx context.Context, s settings, roundTrip time.Duration, receipts string) (*smscProcess, error) {
	return startSMSCWith(ctx, s, fmt.Sprintf("  answers: {delay: %s}\n  receipts: {form: %s}\n  delivery: {window: 100}\n", roundTrip, receipts))
}

// startSMSCWith simulates an SMSC with a behaviour, in YAML.
func startSMSCWith(ctx context.Context, s settings, behaviour string) (*smscProcess, error) {
	file := filepath.Join(s.dir, "smsc.yaml")
	text := "keep: -1\nbehaviour:\n" + behaviour
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	p := &smscProcess{cmd: exec.CommandContext(ctx, s.binary, "simulate", "smsc", file,
		"--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--json")}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the simulator: %w", err)
	}
	lines := bufio.NewReader(out)
	greeting, err := lines.ReadBytes('\n')
	if err != nil {
		return nil, fmt.Errorf("starting the simulator: %w", err)
	}
	var where struct{ Listening, HTTP string }
	if err := json.Unmarshal(greeting, &where); err != nil {
		return nil, fmt.Errorf("starting the simulator: %w", err)
	}
	p.address, p.http = where.Listening, where.HTTP
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	return p, nil
}

func (p *smscProcess) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.in.Close()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("the simulator: %w", err)
	}
	return nil
}

func (p *smscProcess) counters(ctx context.Context) (c simulator.Counters, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.http+"/counters", nil)
	if err != nil {
		return c, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return c, fmt.Errorf("asking the simulator: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	return c, json.NewDecoder(answer.Body).Decode(&c)
}

// preloadSMS fills a transport's outbound queue with n messages.
func preloadSMS(ctx context.Context, b *rabbitmq.Broker, transport string, n int) error {
	queue := transport + ".outbound"
	if err := declareEmpty(ctx, b, queue); err != nil {
		return err
	}
	return fill(ctx, b, n, func(i int) []broker.Publication {
		m := message.New()
		// Different people: messages to one of them leave one after the other.
		m.From, m.To, m.Content = benchFrom, fmt.Sprintf("%s%04d", benchTo[:8], i%10_000), benchText
		m.TransportName, m.TransportType = transport, "sms"
		_ = m.RoutingMetadata.UnmarshalJSON([]byte(`{"endpoint_name":"default"}`))
		return []broker.Publication{{Key: queue, Body: m.Encode()}}
	})
}

// smppYAML is a transport to a simulated SMSC.
func smppYAML(sim *smscProcess, class, name string, window int) string {
	return fmt.Sprintf("transport_class: %s\ntransport_name: %s\nsplit_bind_prefix: bench_smpp\ntwisted_endpoint: tcp:%s\nsystem_id: bench\npassword: secret\nwindow: %d\n",
		class, name, sim.address, window)
}
