package listen

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"switchboard/internal/testutil"
)

// A body that does not come in time ends its connection; an answer may take longer than that.
func TestBodiesAreTimed(t *testing.T) {
	t.Parallel()
	const limit = 100 * time.Millisecond
	server := httptest.NewServer(timedBodies(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, "the body is late", http.StatusRequestTimeout)
			return
		}
		select {
		case <-time.After(3 * limit): // the answer's own time
		case <-r.Context().Done():
			t.Error("a long answer was ended")
		}
	}), limit))
	t.Cleanup(server.Close)
	for body, want := range map[string]string{"all": "200 OK", "so": "408 Request Timeout"} {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(testutil.Patience))
		_, _ = fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\n%s", body)
		line, err := bufio.NewReader(c).ReadString('\n')
		if !strings.Contains(line, want) {
			t.Errorf("%q of three bytes is answered %q, %v", body, line, err)
		}
		_ = c.Close()
	}
}
