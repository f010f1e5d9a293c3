package http_test

import (
	"io"
	nethttp "net/http"
	"net/http/httptest"
	"testing"

	"switchboard/message"
)

// A message to a provider that takes it at once; the provider's part counts too.
func BenchmarkSend(b *testing.B) {
	taker := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, q *nethttp.Request) {
		_, _ = io.Copy(io.Discard, q.Body)
		w.Header().Set("Content-Type", jsonType)
		_, _ = io.WriteString(w, `{"id":"p-1"}`)
	}))
	defer taker.Close()
	tr := start(b, "generic_json", map[string]string{"send_url": taker.URL}, nil)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			m := outbound("hello")
			m.ID = message.NewID()
			tr.sends(b, m)
		}
	})
}
