package httptester

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"switchboard/message"
	"switchboard/transports/transporttest"
)

func TestConformance(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) *transporttest.Outside {
		tr := New()
		tr.WebHost, tr.WebPort = "127.0.0.1", 0
		phone := &phone{tr: tr, transport: &http.Transport{}}
		return &transporttest.Outside{Transport: tr, Say: phone.say, Hear: phone.hear, Leave: phone.leave}
	})
}

// phone is one phone of a page without a browser.
type phone struct {
	tr        *Transport
	transport *http.Transport
	stream    io.ReadCloser
	in        *bufio.Reader
}

func (p *phone) request(ctx context.Context, method, path string, fields url.Values) (*http.Response, error) {
	addr, err := p.tr.Addr(ctx)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://"+addr.String()+"/"+path, strings.NewReader(fields.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return p.transport.RoundTrip(r)
}

func (p *phone) say(ctx context.Context, text string) error {
	response, err := p.request(ctx, http.MethodPost, "messages", url.Values{"from": {"+12025550101"}, "content": {text}})
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusAccepted {
		return fmt.Errorf("the page answered %s", response.Status)
	}
	return nil
}

func (p *phone) hear(ctx context.Context) (string, error) {
	if p.stream == nil {
		response, err := p.request(context.WithoutCancel(ctx), http.MethodGet, "events", nil)
		if err != nil {
			return "", err
		}
		p.stream, p.in = response.Body, bufio.NewReader(response.Body)
	}
	for {
		text, err := p.in.ReadString('\n')
		if err != nil {
			return "", err
		}
		data, found := strings.CutPrefix(text, "data: ")
		var e entry
		if found && json.Unmarshal([]byte(data), &e) == nil && e.Flow == message.Outbound {
			return e.Content, nil
		}
	}
}

func (p *phone) leave() {
	if p.stream != nil {
		_ = p.stream.Close()
	}
	p.transport.CloseIdleConnections()
}
