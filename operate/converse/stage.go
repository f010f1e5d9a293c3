package converse

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
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
