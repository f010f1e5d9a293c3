package httpapi

import (
	"context"
	"net/url"
	"time"

	"switchboard/message"
	"switchboard/worker/deadletter"
)

// channel is a transport and how it is.
type channel struct {
	Name   string         `json:"name"`
	Health message.Health `json:"health"` // ok, degraded or down
}

func (r *run) getChannels(q *request) (any, error) {
	if err := q.client.spend(1); err != nil {
		return nil, err
	}
	health, list := r.env.Health(), []channel{}
	for _, name := range r.ChannelNames {
		list = append(list, channel{name, health.Of(name)})
	}
	return map[string]any{"channels": list}, nil
}

// webhookState is how the webhook is.
type webhookState struct {
	Host    string     `json:"host,omitempty"` // empty where there is no webhook
	Open    bool       `json:"open"`           // posts are held back until then
	Until   *time.Time `json:"until,omitempty"`
	Waiting int        `json:"waiting"` // messages and events that it did not take yet
	Failed  int        `json:"failed"`  // dead letters, which POST /webhook/retry posts again
}

func (r *run) getWebhook(q *request) (any, error) {
	if err := q.client.spend(1); err != nil {
		return nil, err
	}
	var s webhookState
	if r.Webhook != nil {
		if u, err := url.Parse(r.Webhook.URL); err == nil {
			s.Host = u.Host
		}
		if until := r.breaker.openUntil(); !until.IsZero() {
			s.Open, s.Until = true, &until
		}
	}
	for _, w := range r.waiting {
		s.Waiting += w.length()
	}
	dead := r.deadQueues()
	for i := range dead {
		dead[i] = deadletter.Name(dead[i])
	}
	counts, err := r.queues.Count(q.Context(), dead...)
	for _, n := range counts {
		s.Failed += n
	}
	return s, err
}

// deadQueues are those whose dead letters are the webhook's.
func (r *run) deadQueues() []string {
	return append(r.Queues(), string(message.Inbound), string(message.EventFlow))
}

// filter chooses dead letters.
type filter struct {
	IDs       []string  `json:"ids"`       // of messages
	Transport string    `json:"transport"` // by which they came
	Error     string    `json:"error"`     // a part of the reason
	Text      string    `json:"text"`      // a part of what was written
	Since     time.Time `json:"since"`     // failed last then or later
	Until     time.Time `json:"until"`     // failed last before
}

// retryWebhook posts dead letters again.
func (r *run) retryWebhook(q *request) (any, error) {
	var f filter
	err := decode(q.body, &f)
	if err == nil {
		err = q.client.spend(1)
	}
	if err != nil {
		return nil, err
	}
	chosen := deadletter.Filter{IDs: f.IDs, Transport: f.Transport, Error: f.Error, Text: f.Text, Since: f.Since, Until: f.Until}
	retried := 0
	for _, queue := range r.deadQueues() {
		n, err := r.retry(q.Context(), queue, chosen)
		if retried += n; err != nil {
			return nil, err
		}
	}
	return map[string]int{"retried": retried}, nil
}

func (r *run) retry(ctx context.Context, queue string, chosen deadletter.Filter) (n int, err error) {
	w := r.waitingIn(queue)
	if w == nil {
		return r.queues.Retry(ctx, queue, chosen, func() {})
	}
	begun := 0
	n, err = r.queues.Retry(ctx, queue, chosen, func() {
		begun++
		_ = w.putting(func() error { return nil }) // nothing fails yet
	})
	w.add(n - begun) // of the one that failed
	return n, err
}
