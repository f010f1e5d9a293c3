package converse

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/worker"
)

// clock is the time in a conversation: it passes when a turn says so.
type clock struct{ at *atomic.Int64 }

func newClock(at time.Time) clock {
	if at.IsZero() {
		at = time.Now()
	}
	c := clock{new(atomic.Int64)}
	c.at.Store(at.UnixMicro())
	return c
}

func (c clock) now() time.Time { return time.UnixMicro(c.at.Load()).UTC() }

func (c clock) pass(d time.Duration) { c.at.Add(d.Microseconds()) }

// web is the web as a conversation says it answers.
type web map[string]WebAnswer

// RoundTrip answers a request.
func (w web) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	answer, found := w[r.URL.String()]
	if !found {
		return nil, fmt.Errorf("the conversation has no answer of %s; write it under http", r.URL)
	}
	if answer.Status == 0 {
		answer.Status = http.StatusOK
	}
	return &http.Response{
		StatusCode: answer.Status, Header: http.Header{}, Request: r, ContentLength: int64(len(answer.Body)),
		Body: io.NopCloser(strings.NewReader(answer.Body)),
	}, nil
}

// outcomes is a middleware that publishes to seenQueue how handling each message
// ended, behind what the application sent.
type outcomes struct{ broker broker.Broker }

// outcomeHeader tells an outcome, whose body is the failure, from a message.
const outcomeHeader = "outcome"

func (o outcomes) Wrap(flow message.Flow, next worker.Handler) worker.Handler {
	if flow != message.Inbound {
		return next
	}
	return func(ctx context.Context, e *message.Envelope) error {
		err := worker.Protect(func() error { return next(ctx, e) })
		p := broker.Publication{Queue: seenQueue, Headers: broker.Headers{outcomeHeader: "true"}}
		if _, discarded := message.DiscardReason(err); err != nil && !discarded {
			p.Body = []byte(err.Error())
		}
		if lost := o.broker.Publish(ctx, p); lost != nil {
			return lost
		}
		return err
	}
}
