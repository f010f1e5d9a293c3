package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/internal/collectors"
)

// route is one operation of the API; openapi.yaml describes all.
type route struct {
	method string
	path   string
	scope  string
	status int // of its answer
	handle func(*run, *request) (any, error)
}

var table = []route{
	{http.MethodPost, "/messages", scopeSend, http.StatusAccepted, (*run).postMessages},
	{http.MethodGet, "/messages", scopeRead, http.StatusOK, (*run).searchMessages},
	{http.MethodGet, "/messages/{id}", scopeRead, http.StatusOK, (*run).getMessage},
	{http.MethodPost, "/broadcasts", scopeBroadcast, http.StatusAccepted, (*run).postBroadcast},
	{http.MethodGet, "/broadcasts", scopeRead, http.StatusOK, (*run).listBroadcasts},
	{http.MethodGet, "/broadcasts/{id}", scopeRead, http.StatusOK, (*run).getBroadcast},
	{http.MethodPost, "/broadcasts/{id}/{action}", scopeBroadcast, http.StatusOK, (*run).controlBroadcast},
	{http.MethodGet, "/channels", scopeRead, http.StatusOK, (*run).getChannels},
	{http.MethodGet, "/webhook", scopeRead, http.StatusOK, (*run).getWebhook},
	{http.MethodGet, "/optouts", scopeOptOuts, http.StatusOK, (*run).listOptOuts},
	{http.MethodPut, "/optouts/{address}", scopeOptOuts, http.StatusOK, (*run).putOptOut},
	{http.MethodDelete, "/optouts/{address}", scopeOptOuts, http.StatusOK, (*run).deleteOptOut},
	{http.MethodPost, "/webhook/retry", scopeRetry, http.StatusOK, (*run).retryWebhook},
}

// request is a request of somebody who may make it.
type request struct {
	*http.Request
	client *client
	body   []byte
}

// answered is an answer that is written as it is.
type answered struct {
	body     json.RawMessage
	replayed bool // it was given before
}

// requestTimeout bounds the work on a request: a broker that is away makes it wait.
const requestTimeout = 15 * time.Second

// routes serves the API.
func (r *run) routes() http.Handler {
	mux := http.NewServeMux()
	methods := map[string][]string{}
	for _, one := range table {
		mux.Handle(one.method+" "+one.path, r.serve(one))
		methods[one.path] = append(methods[one.path], one.method)
	}
	for path, allowed := range methods {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			problems.notAllowed.with("it has " + strings.Join(allowed, ", ")).write(w)
		})
	}
	describe(mux)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problems.notFound.with("/docs lists the paths").write(w)
	})
	return mux
}

func (r *run) serve(one route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		ctx, cancel := context.WithTimeout(q.Context(), requestTimeout)
		defer cancel()
		answer, err := r.answer(one, q.WithContext(ctx))
		status := one.status
		if err != nil {
			p := asProblem(err)
			status = p.Status
			if p.Status >= http.StatusInternalServerError {
				r.complain.Do(func() { r.log.Warn("a request failed", "method", q.Method, "path", one.path, "error", err) })
			}
			p.write(w)
		} else {
			write(w, status, answer)
		}
		r.metrics.requests.WithLabelValues(one.method+" "+one.path, strconv.Itoa(status)).Inc()
	})
}

func (r *run) answer(one route, q *http.Request) (any, error) {
	who, err := r.clients.admit(q, one.scope)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	return one.handle(r, &request{q, who, body})
}

func write(w http.ResponseWriter, status int, answer any) {
	if known, is := answer.(answered); is {
		if known.replayed {
			w.Header().Set("Idempotent-Replayed", "true")
		}
		answer = known.body
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

// decode reads a body into what it must be; a field that is not known is refused.
func decode(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, end := d.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("there is more behind it")
		}
	}
	if wrong, is := errors.AsType[*json.UnmarshalTypeError](err); is {
		return problems.invalid.with("it must be " + wrong.Type.String() + ", and is a JSON " + wrong.Value).at(pointerTo(wrong.Field))
	}
	if err != nil {
		return problems.invalid.with("the body is not the JSON that /docs describes: " + strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

func pointerTo(field string) string {
	if field == "" {
		return ""
	}
	return "/" + strings.ReplaceAll(field, ".", "/")
}

type metrics struct {
	requests *prometheus.CounterVec
	posts    *prometheus.CounterVec
	waiting  prometheus.Gauge
	up       prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	set := collectors.Set{Registerer: reg, Prefix: "switchboard_"}
	m := &metrics{
		requests: set.Counter("http_api_requests_total", "Requests, by operation and HTTP status.", "operation", "status"),
		posts:    set.Counter("webhook_posts_total", "Posts to the webhook, by outcome: taken, refused (never tried again), failed (tried again).", "outcome"),
		waiting:  set.Gauge("webhook_waiting", "Messages and events that wait for the webhook in the application's own queues.").WithLabelValues(),
		up:       set.Gauge("webhook_up", "1 while the webhook is posted to, 0 while nothing is posted because it takes nothing.").WithLabelValues(),
	}
	return m, set.Err
}
