package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"switchboard/broker/rabbitmq"
	"switchboard/message"
)

const (
	// httpAtOnce is how many requests are under way at once, on both sides.
	httpAtOnce = 20
	httpName   = "bench_http"
	// httpSlowLines and httpSlowAnswer are the lines beside the fast one.
	httpSlowLines  = 500
	httpSlowAnswer = 5 * time.Second
	// httpSlowAtOnce are the requests of one of them, httpSlowWaiting its messages.
	httpSlowAtOnce  = 2
	httpSlowWaiting = 100
)

// httpSection sends to a sink and takes from a client, both in this process, over
// the description generic_json.
func httpSection(ctx context.Context, s settings) (string, error) {
	b, err := rabbitmq.Open(rabbitmq.Settings{URL: s.amqpURL, Name: "bench"})
	if err != nil {
		return "", err
	}
	defer func() { _ = b.Close(context.Background()) }()
	sink, err := startSink()
	if err != nil {
		return "", err
	}
	defer sink.close()
	var bareOut, bareIn, dispatched, out, in, beside []measure
	for range s.rounds {
		for _, one := range []struct {
			into *[]measure
			do   func() (measure, error)
		}{
			{&dispatched, func() (measure, error) { return measureDispatcher(ctx, b, s, 1, s.n) }},
			{&bareOut, func() (measure, error) { return bareHTTP(ctx, sink.url, s.n) }},
			{&out, func() (measure, error) {
				return s.measured("HTTP/out", func(s settings) (measure, error) { return httpOut(ctx, b, s, sink, 0) })
			}},
			{&bareIn, func() (measure, error) { return bareHTTP(ctx, sink.url, s.n) }},
			{&in, func() (measure, error) {
				return s.measured("HTTP/in", func(s settings) (measure, error) { return httpIn(ctx, b, s) })
			}},
			{&beside, func() (measure, error) {
				return s.measured("HTTP/beside slow lines", func(s settings) (measure, error) { return httpOut(ctx, b, s, sink, httpSlowLines) })
			}},
		} {
			m, err := one.do()
			if err != nil {
				return "", err
			}
			*one.into = append(*one.into, m)
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, "`generic_json`, %d requests at once, the state in memory; provider, RabbitMQ and transport share the\n"+
		"machine. Messages out wait in `<transport>.outbound`; the clock runs until `<transport>.event` holds\n"+
		"all acks. Messages in are answered when RabbitMQ has confirmed them. The bare loop posts the same\n"+
		"JSON to the same sink over net/http, with no broker and nothing remembered. The dispatcher, in the\n"+
		"same rounds, has the same broker and no provider. The last row is the first with %d more lines in\n"+
		"the process, each with messages waiting, whose provider answers after %s.\n\n"+
		"| what | bare loop, requests/s | transport, messages/s | of the bare loop | of the dispatcher | CPU a message | peak memory |\n|---|---:|---:|---:|---:|---:|---:|\n",
		httpAtOnce, httpSlowLines, httpSlowAnswer)
	smppLine(&text, "out", bareOut, dispatched, out)
	smppLine(&text, "in", bareIn, dispatched, in)
	smppLine(&text, fmt.Sprintf("out, beside %d slow lines", httpSlowLines), bareOut, dispatched, beside)
	return strings.TrimRight(text.String(), "\n"), nil
}

// sink is a provider that takes everything; below /slow it takes its time.
type sink struct {
	url    string
	server *http.Server
	ids    atomic.Int64
}

func startSink() (*sink, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{url: "http://" + listener.Addr().String()}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.server.Serve(listener) }()
	return s, nil
}

func (s *sink) close() { _ = s.server.Close() }

func (s *sink) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	_, _ = io.Copy(io.Discard, q.Body)
	if q.URL.Path == "/slow" {
		time.Sleep(httpSlowAnswer)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"id":"sink-%d"}`, s.ids.Add(1))
}

// httpBody is the JSON of one message.
func httpBody(i int) []byte {
	body, _ := json.Marshal(map[string]string{ // texts: cannot fail
		"id": message.NewID(), "to": fmt.Sprintf("%s%04d", benchTo[:8], i%10_000), "from": benchFrom, "text": benchText, "in_reply_to": "",
	})
	return body
}

// bareHTTP posts n messages, as fast as net/http does.
func bareHTTP(ctx context.Context, url string, n int) (measure, error) {
	took, err := postAll(ctx, url, n)
	return measure{rate: float64(n) / took.Seconds()}, err
}

func postAll(ctx context.Context, url string, n int) (time.Duration, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: httpAtOnce}}
	defer client.CloseIdleConnections()
	var next atomic.Int64
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for range httpAtOnce {
		group.Go(func() error {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := post(ctx, client, url, int(i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := group.Wait()
	return time.Since(began), err
}

func post(ctx context.Context, client *http.Client, url string, i int) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(httpBody(i)))
	if err != nil {
		return err
	}
	q.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(q)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("posting: %s, %w", answer.Status, err)
	}
	return nil
}

func httpYAML(name, sendURL string, atOnce int) string {
	return fmt.Sprintf("transport_class: http\ntransport_name: %s\nprovider: generic_json\noptions: {send_url: %q}\nmax_in_flight: %d\n", name, sendURL, atOnce)
}

// httpOut sends n messages, beside lines whose provider is slow.
func httpOut(ctx context.Context, b *rabbitmq.Broker, s settings, to *sink, slow int) (measure, error) {
	if err := preloadSMS(ctx, b, httpName, s.n); err != nil {
		return measure{}, err
	}
	dir, err := os.MkdirTemp(s.dir, "http")
	if err != nil {
		return measure{}, err
	}
	write := func(name, url string, atOnce int) error {
		return os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(httpYAML(name, url, atOnce)), 0o600)
	}
	if err := write(httpName, to.url+"/fast", httpAtOnce); err != nil {
		return measure{}, err
	}
	for i := range slow {
		name := fmt.Sprintf("%s_slow%d", httpName, i)
		if err := write(name, to.url+"/slow", httpSlowAtOnce); err != nil {
			return measure{}, err
		}
		if err := preloadSMS(ctx, b, name, httpSlowWaiting); err != nil {
			return measure{}, err
		}
	}
	defer dropHTTP(b, slow)
	if err := declareEmpty(ctx, b, httpName+".event"); err != nil {
		return measure{}, err
	}
	return moveSome(ctx, b, 0, s.n, httpName+".event", "memory:", s.binary, "run", "--http", "127.0.0.1:0", "--log-level", "error", dir)
}

// dropHTTP takes the queues of the slow lines away.
func dropHTTP(b *rabbitmq.Broker, slow int) {
	for i := range slow {
		for _, flow := range []string{".inbound", ".outbound", ".event"} {
			_ = b.Delete(context.Background(), fmt.Sprintf("%s_slow%d%s", httpName, i, flow)) // what is left is in the way of nobody
		}
	}
}

// httpIn posts n messages to a transport.
func httpIn(ctx context.Context, b *rabbitmq.Broker, s settings) (measure, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return measure{}, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	_ = listener.Close()
	file := filepath.Join(s.dir, "http-in.yaml")
	yaml := httpYAML(httpName, "http://127.0.0.1:9", httpAtOnce) + fmt.Sprintf("web_port: %d\n", port)
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		return measure{}, err
	}
	if err := declareEmpty(ctx, b, httpName+".inbound"); err != nil {
		return measure{}, err
	}
	if err := declareEmpty(ctx, b, httpName+".outbound"); err != nil {
		return measure{}, err
	}
	c, err := startChild(ctx, "memory:", s.binary, "run", "--http", "127.0.0.1:0", "--log-level", "error", file)
	if err != nil {
		return measure{}, err
	}
	url := fmt.Sprintf("http://127.0.0.1:%d/messages", port)
	client := &http.Client{}
	defer client.CloseIdleConnections()
	for until := time.Now().Add(30 * time.Second); post(ctx, client, url, 0) != nil && time.Now().Before(until); {
		time.Sleep(10 * time.Millisecond) // until it listens
	}
	took, err := postAll(ctx, url, s.n)
	used, stopErr := c.stop()
	if err != nil {
		return measure{}, fmt.Errorf("%w\n%s", err, c.out.String())
	}
	return measure{rate: float64(s.n) / took.Seconds(), cpu: used.cpu / time.Duration(s.n), rss: used.peakRSS}, stopErr
}
