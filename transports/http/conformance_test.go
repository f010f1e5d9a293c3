package http_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	nethttp "net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"switchboard/options"
	"switchboard/transports/http"
	"switchboard/transports/transporttest"
)

// partner is the other side of generic_json: a person who posts, and takes posts.
type partner struct {
	*httptest.Server
	transport *http.Transport
	client    *nethttp.Client
	heard     chan string
	close     func()

	mu   sync.Mutex
	said int
	last string
	next transporttest.Outcome // of the next message
	held chan struct{}         // closed when answers may go; nil while none is held
}

const partnerToken = "s3cret-of-partner"

func TestConformance(t *testing.T) {
	transporttest.Run(t, func(*testing.T) *transporttest.Outside {
		p := &partner{transport: http.New(), client: &nethttp.Client{Transport: &nethttp.Transport{}}, heard: make(chan string, 1000)}
		p.Server = httptest.NewServer(p)
		p.close = sync.OnceFunc(p.Server.Close)
		port := 0
		p.transport.Provider, p.transport.WebHost, p.transport.WebPort, p.transport.UnknownPolicy = "generic_json", "127.0.0.1", &port, "fail"
		p.transport.Options = map[string]string{"send_url": p.URL + "/send"}
		p.transport.Secrets = map[string]options.Secret{"token": partnerToken}
		meet := map[transporttest.Outcome]func(){}
		for _, o := range []transporttest.Outcome{
			transporttest.Pending, transporttest.Temporary, transporttest.Throttled, transporttest.Permanent, transporttest.Unknown,
		} {
			meet[o] = func() { p.meet(o) }
		}
		return &transporttest.Outside{
			Transport: p.transport, Say: p.say, Repeat: p.repeat, Hear: p.hear, Leave: p.leave, Meet: meet, Stall: p.stall,
			Secrets: []string{partnerToken},
		}
	})
}

func (p *partner) say(ctx context.Context, text string) error {
	p.mu.Lock()
	p.said++
	body, _ := json.Marshal(map[string]string{"id": fmt.Sprint(p.said), "from": "+27831234567", "to": "9292", "text": text})
	p.last = string(body)
	p.mu.Unlock()
	return p.repeat(ctx)
}

func (p *partner) repeat(ctx context.Context) error {
	p.mu.Lock()
	last := p.last
	p.mu.Unlock()
	return p.post(ctx, "/messages", last)
}

func (p *partner) post(ctx context.Context, path, body string) error {
	addr, err := p.transport.Addr(ctx)
	if err != nil {
		return err
	}
	q, err := nethttp.NewRequestWithContext(ctx, nethttp.MethodPost, "http://"+addr.String()+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	q.Header.Set("Content-Type", jsonType)
	q.Header.Set("Authorization", "Bearer "+partnerToken)
	response, err := p.client.Do(q)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != nethttp.StatusOK {
		return fmt.Errorf("the answer is %s", response.Status)
	}
	return nil
}

func (p *partner) hear(ctx context.Context) (string, error) {
	select {
	case text := <-p.heard:
		return text, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (p *partner) meet(o transporttest.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = o
}

func (p *partner) stall() (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := make(chan struct{})
	p.held = held
	return sync.OnceFunc(func() { close(held) })
}

func (p *partner) leave() {
	p.client.CloseIdleConnections()
	p.close()
}

// ServeHTTP takes what is sent to the person.
func (p *partner) ServeHTTP(w nethttp.ResponseWriter, q *nethttp.Request) {
	body, _ := io.ReadAll(q.Body)
	var sent struct{ ID, Text string }
	_ = json.Unmarshal(body, &sent)
	p.mu.Lock()
	outcome, held := p.next, p.held
	p.next, p.held = transporttest.Sent, nil
	p.mu.Unlock()
	if held != nil {
		<-held
	}
	switch outcome {
	case transporttest.Temporary:
		w.WriteHeader(nethttp.StatusServiceUnavailable)
		return
	case transporttest.Throttled:
		w.Header().Set("Retry-After", "0.1")
		w.WriteHeader(nethttp.StatusTooManyRequests)
		return
	case transporttest.Permanent:
		nethttp.Error(w, "no such person", nethttp.StatusBadRequest)
		return
	}
	p.heard <- sent.Text
	switch outcome {
	case transporttest.Unknown:
		if conn, _, err := nethttp.NewResponseController(w).Hijack(); err == nil {
			_ = conn.Close()
		}
		return
	case transporttest.Pending:
		_ = p.post(q.Context(), "/receipts", `{"message_id":"`+sent.ID+`","status":"pending"}`)
	}
	w.Header().Set("Content-Type", jsonType)
	_, _ = io.WriteString(w, `{"id":"p-`+sent.ID+`"}`)
}
