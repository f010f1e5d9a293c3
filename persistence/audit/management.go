package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"switchboard/internal/backoff"
)

// Management asks RabbitMQ's management plugin over HTTP what AMQP does not tell: how many
// bodies are in flight.
type Management struct {
	queues   string // the address of the list
	user     *url.Userinfo
	shown    string // without the password
	requests *http.Client
}

const (
	managementTimeout = 10 * time.Second
	managementPoll    = time.Second
	// managementMost bounds an answer, which has some hundred bytes a queue.
	managementMost = 64 << 20
)

// NewManagement takes the address of the management plugin (http://localhost:15672) and of the
// broker (amqp://…). The latter has the virtual host, and the user where the former has none.
func NewManagement(address, broker string) (*Management, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the address of RabbitMQ's management is none: write http://host:15672") // it may hold a password
	}
	b, err := url.Parse(broker)
	if err != nil {
		return nil, errors.New("the broker's address cannot be read") // nor what is wrong with it: it may hold a password
	}
	m := &Management{user: u.User, requests: &http.Client{Timeout: managementTimeout}}
	if m.user == nil {
		m.user = b.User
	}
	vhost := strings.TrimPrefix(b.Path, "/")
	if vhost == "" {
		vhost = "/"
	}
	u.User = nil
	m.shown = u.String()
	m.queues = strings.TrimSuffix(m.shown, "/") + "/api/queues/" + url.PathEscape(vhost) +
		"?disable_stats=false&columns="
	return m, nil
}

// queue is one queue of the answer; numbers that are not counted yet are nil.
type queue struct {
	Name    string `json:"name"`
	Ready   *int64 `json:"messages_ready"`
	Unacked *int64 `json:"messages_unacknowledged"`
}

// Depths returns how many bodies each queue of the virtual host holds, by its name, with those
// in flight. It waits some seconds for queues, or a management plugin, that have just started.
func (m *Management) Depths(ctx context.Context) (map[string]int64, error) {
	return m.count(ctx, func(q queue) int64 { return *q.Ready + *q.Unacked })
}

// InFlight returns how many bodies of each queue are in flight, by its name. It waits as
// Depths does.
func (m *Management) InFlight(ctx context.Context) (map[string]int64, error) {
	return m.count(ctx, func(q queue) int64 { return *q.Unacked })
}

func (m *Management) count(ctx context.Context, of func(queue) int64) (map[string]int64, error) {
	for last := time.Now().Add(managementTimeout); ; {
		var queues []queue
		if err := m.get(ctx, "name,messages_ready,messages_unacknowledged", &queues); err != nil {
			return nil, err
		}
		holds, uncounted := sum(queues, of)
		switch {
		case uncounted == "":
			return holds, nil
		case time.Now().After(last):
			return nil, fmt.Errorf("RabbitMQ's management at %s does not count queue %q: are statistics switched off?", m.shown, uncounted)
		}
		if !backoff.Sleep(ctx, managementPoll) {
			return nil, ctx.Err()
		}
	}
}

func sum(queues []queue, of func(queue) int64) (holds map[string]int64, uncounted string) {
	holds = map[string]int64{}
	for _, q := range queues {
		if q.Ready == nil || q.Unacked == nil {
			return nil, q.Name
		}
		holds[q.Name] = of(q)
	}
	return holds, ""
}

// get asks for columns of all queues.
func (m *Management) get(ctx context.Context, columns string, answer any) error {
	if err := m.ask(ctx, columns, answer); err != nil {
		return fmt.Errorf("asking RabbitMQ's management at %s: %w", m.shown, err)
	}
	return nil
}

func (m *Management) ask(ctx context.Context, columns string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, m.queues+columns, nil)
	if err != nil {
		return err
	}
	if m.user != nil {
		password, _ := m.user.Password()
		request.SetBasicAuth(m.user.Username(), password)
	}
	response, err := m.requests.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s; is the address right, and has the user the tag monitoring?", response.Status)
	}
	return json.NewDecoder(io.LimitReader(response.Body, managementMost)).Decode(answer)
}
