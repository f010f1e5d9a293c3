package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"switchboard/broker"
	"switchboard/message"
)

// BenchmarkWebhook posts messages of 1,000 people to a local sink, each person's in order,
// and remembers each in SQLite. Sink and application share the machine.
func BenchmarkWebhook(bench *testing.B) {
	var mu sync.Mutex
	last, left, done := map[string]int{}, bench.N, make(chan struct{})
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		var n notice
		err := json.NewDecoder(q.Body).Decode(&n)
		i, bad := strconv.Atoi(n.Data.Content)
		mu.Lock()
		defer mu.Unlock()
		if err != nil || bad != nil || i <= last[n.Data.From] {
			bench.Errorf("%s: %d came after %d, %v", n.Data.From, i, last[n.Data.From], err)
		}
		last[n.Data.From] = i
		if left--; left == 0 {
			close(done)
		}
	}))
	defer sink.Close()
	b := newBundle(bench, strings.ReplaceAll(plain, "HOOK", sink.URL))
	bodies := make([][]byte, bench.N)
	for i := range bodies {
		m := message.New()
		m.From, m.To, m.Content, m.TransportName = fmt.Sprintf("+2783%07d", i%1000), "8080", strconv.Itoa(i+1), "sms"
		bodies[i] = m.Encode()
	}
	bench.ResetTimer()
	var confirmed sync.WaitGroup
	for _, body := range bodies {
		confirmed.Add(1)
		b.broker.PublishAsync(bench.Context(), broker.Publication{Key: "shop.inbound", Body: body}, func(err error) {
			defer confirmed.Done()
			if err != nil {
				bench.Error(err)
			}
		})
	}
	<-done
	bench.StopTimer()
	confirmed.Wait()
	bench.ReportMetric(float64(bench.N)/bench.Elapsed().Seconds(), "posts/s")
}
