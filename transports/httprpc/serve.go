package httprpc

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	nethttp "net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"switchboard/message"
	"switchboard/transports"
	"switchboard/transports/http"
)

// run is one run of a transport.
type run struct {
	transport *Transport
	dialogue  *dialogue
	holder    string // this process, to its replicas
	stopping  <-chan struct{}
	out       transports.Publisher
	requests  *requests
	statuses  *transports.Statuses
	logger    *slog.Logger
	complain  rate.Sometimes
}

// complainEvery is how often one kind of trouble is logged; metrics count all of it.
const complainEvery = 10 * time.Second

func newRun(ctx context.Context, t *Transport, out transports.Publisher) *run {
	return &run{
		transport: t, dialogue: t.dialogue, holder: message.NewID(), stopping: ctx.Done(), out: out, requests: newRequests(t.MaxRequests),
		statuses: transports.NewStatuses(out, t.logger), logger: t.logger, complain: rate.Sometimes{Interval: complainEvery},
	}
}

type metrics struct{ rejected *prometheus.CounterVec }

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "switchboard_http_rpc_rejected_total", Help: "Requests that were not taken, by reason.",
	}, []string{"transport", "reason"})}
	return m, reg.Register(m.rejected)
}

// rejection is a request that is not taken: what it is answered, and the word it is
// counted under.
type rejection struct {
	status     int
	word       string
	text       string
	missing    []string
	unexpected []string
}

func (r *rejection) Error() string { return r.text }

// ServeHTTP answers one request.
func (r *run) ServeHTTP(w nethttp.ResponseWriter, q *nethttp.Request) {
	if strings.Trim(q.URL.Path, "/") == strings.Trim(r.transport.HealthPath, "/") && r.transport.HealthPath != "" {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]int{"pending_requests": r.requests.pending()})
		return
	}
	found, s, err := r.read(w, q)
	var in *inbound
	if err == nil {
		in, err = r.pick(q.Context(), found, s)
	}
	if err == nil {
		err = r.handle(w, q, found, in)
	}
	if err != nil {
		r.reject(w, q, found, s, err)
	}
}

// reject answers a request that was not taken.
func (r *run) reject(w nethttp.ResponseWriter, q *nethttp.Request, found *route, s http.Scope, err error) {
	one := &rejection{status: nethttp.StatusServiceUnavailable, word: "unavailable", text: "try again later"}
	_ = errors.As(err, &one)
	r.transport.metrics.rejected.WithLabelValues(r.transport.TransportName, one.word).Inc()
	r.complain.Do(func() {
		r.logger.Warn("a request was rejected; /metrics counts all of them", "reason", one.word, "path", q.URL.Path, "from", q.RemoteAddr, "error", err)
	})
	if found == nil {
		nethttp.Error(w, one.text, one.status)
		return
	}
	s = s.With(http.Scope{"status": one.status, "reason": one.text, "missing": listed(one.missing), "unexpected": listed(one.unexpected)})
	if failed := found.error.write(w, s, one.status); failed != nil {
		nethttp.Error(w, one.text, one.status)
	}
}

// listed is a list as expressions have it; nil where it is empty.
func listed(names []string) any {
	if names == nil {
		return nil
	}
	return names
}

// read finds the route of a request, and reads it.
func (r *run) read(w nethttp.ResponseWriter, q *nethttp.Request) (*route, http.Scope, error) {
	t := r.transport
	if t.WebUsername != "" {
		user, password, _ := q.BasicAuth()
		if !http.Equal(user, t.WebUsername) || !http.Equal(password, t.WebPassword.Reveal()) {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf("Basic realm=%q", t.WebAuthDomain))
			return nil, nil, &rejection{status: nethttp.StatusUnauthorized, word: "authentication", text: "Unauthorized"}
		}
	}
	inner, inside := strings.CutPrefix(q.URL.Path, strings.TrimSuffix(r.dialogue.webPath, "/"))
	wrongMethod := false
	for _, found := range r.dialogue.routes {
		path, matches := http.MatchPath(found.Path, inner)
		if !inside || !matches {
			continue
		}
		if !slices.Contains(found.Methods, q.Method) {
			wrongMethod = true
			continue
		}
		s, err := http.ReadRequest(q, found.Read)
		if errors.Is(err, http.ErrTooLarge) {
			return nil, nil, &rejection{status: nethttp.StatusRequestEntityTooLarge, word: "too large", text: err.Error()}
		}
		s = r.dialogue.settings.With(s).With(http.Scope{"path": path})
		if err != nil {
			return found, s, &rejection{status: nethttp.StatusBadRequest, word: "malformed", text: err.Error()}
		}
		return found, s, nil
	}
	if wrongMethod {
		return nil, nil, &rejection{status: nethttp.StatusMethodNotAllowed, word: "method", text: q.Method + " is not for this address"}
	}
	return nil, nil, &rejection{status: nethttp.StatusNotFound, word: "path", text: "nothing is taken here"}
}

// handle publishes what a request says, and answers it with the reply.
func (r *run) handle(w nethttp.ResponseWriter, q *nethttp.Request, found *route, in *inbound) error {
	m := in.message
	at := cmp.Or(in.answer, &found.answer)
	if m == nil { // it says nothing
		return at.write(w, in.scope, nethttp.StatusOK)
	}
	waits := r.transport.ReplyExpected && found.waits(m)
	var req *request
	if waits {
		if req = r.requests.open(m.ID); req == nil {
			return &rejection{status: nethttp.StatusServiceUnavailable, word: "too many", text: "too many requests wait; try again later"}
		}
		m.TransportMetadata.Set(metadataKey, holding{r.holder, time.Now().Add(r.transport.RequestTimeout.Std()).UTC()})
	}
	why := "the request was refused: its message could not be published"
	defer func() {
		if req != nil {
			r.requests.end(m.ID, req, why)
		}
	}()
	if err := r.out.Inbound(q.Context(), m); err != nil {
		return fmt.Errorf("publishing: %w", err)
	}
	if err := r.remember(q.Context(), in); err != nil {
		r.note(q.Context(), err) // the next request of the session begins another one
	}
	switch {
	case waits:
		why = r.await(w, q, found, in, req)
		return nil
	case r.transport.ReplyExpected:
		return at.write(w, in.scope, nethttp.StatusOK)
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(map[string]string{"message_id": m.ID})
}

// await answers a request with its reply, and says why it waits no longer.
func (r *run) await(w nethttp.ResponseWriter, q *nethttp.Request, found *route, in *inbound, req *request) (why string) {
	t := r.transport
	patience := time.NewTimer(t.RequestTimeout.Std())
	defer patience.Stop()
	select {
	case one := <-req.reply:
		err := r.write(w, q, found, in, one.message)
		one.done <- err
		took := time.Since(req.began)
		if err != nil {
			return err.Error()
		}
		r.tellTime(took)
		return "the request was answered before; each has one reply"
	case <-patience.C:
		r.statuses.Tell("response", message.Down, "timeout", "A request got no reply in time.", "No reply came within "+t.RequestTimeout.Std().String()+".")
		nethttpWrite(w, t.RequestTimeoutStatusCode, found.reply.kind, t.RequestTimeoutBody)
		return fmt.Sprintf("the reply came too late: the request was given up after %s", t.RequestTimeout.Std())
	case <-q.Context().Done():
		return fmt.Sprintf("the reply came too late: the caller hung up after %s", time.Since(req.began).Round(time.Millisecond))
	case <-r.stopping:
		nethttpWrite(w, nethttp.StatusServiceUnavailable, "", "try again later")
		return "the transport stopped while the request waited for its reply"
	}
}

// write writes a reply as the answer.
func (r *run) write(w nethttp.ResponseWriter, q *nethttp.Request, found *route, in *inbound, m *message.Message) error {
	ends := m.SessionEvent == message.SessionClose
	s := in.scope.With(http.Scope{"content": m.Content, "ends": ends})
	if ends {
		r.note(q.Context(), r.forget(q.Context(), in.session))
	}
	if err := found.reply.write(w, s, nethttp.StatusOK); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	if err := nethttp.NewResponseController(w).Flush(); err != nil {
		return fmt.Errorf("the caller hung up before the answer was written: %w", err)
	}
	return nil
}

// tellTime tells how the transport is by how long a reply took.
func (r *run) tellTime(took time.Duration) {
	t := r.transport
	switch {
	case took > t.ResponseTimeDown.Std():
		r.statuses.Tell("response", message.Down, "very_slow_response", "Very slow response", "Response took longer than "+t.ResponseTimeDown.Std().String())
	case took > t.ResponseTimeDegraded.Std():
		r.statuses.Tell("response", message.Degraded, "slow_response", "Slow response", "Response took longer than "+t.ResponseTimeDegraded.Std().String())
	default:
		r.statuses.Tell("response", message.OK, "response_sent", "Response sent")
	}
}

func nethttpWrite(w nethttp.ResponseWriter, status int, kind, body string) {
	w.Header().Set("Content-Type", cmp.Or(kind, plainText))
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // who asked may be gone
}
