package simulator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"switchboard/internal/listen"
)

const (
	maxBody     = 1 << 20 // octets of a request
	httpTimeout = 10 * time.Second
	// deliveryTimeout is how long POST /deliver waits for deliver_sm_resp.
	deliveryTimeout = 10 * time.Second
	maxListed       = 1000 // requests that GET /received returns at once
)

const helpText = `An SMSC is simulated at %s. Here is

  GET  /counters             what happened so far, JSON
  GET  /metrics              the same, for Prometheus
  GET  /received?from=0      what came, from the n-th request on, JSON
  POST /deliver              a message from a phone: from=, to=, text=, or JSON; also account, coding, method, shuffle, lose_one
  POST /behaviour            another behaviour for all accounts: YAML, as under "behaviour:"
  POST /drop                 reset every connection
`

// site is the simulator's HTTP server; nil without one.
type site struct {
	smsc     *SMSC
	server   *http.Server
	listener net.Listener
	done     chan struct{}
}

// serveHTTP begins to serve Settings.HTTP.
func (v *SMSC) serveHTTP() error {
	if v.settings.HTTP == "" {
		return nil
	}
	l, err := net.Listen("tcp", v.settings.HTTP)
	if err != nil {
		return fmt.Errorf("listening for HTTP; `http` takes another host:port: %w", err)
	}
	s := &site{smsc: v, listener: l, done: make(chan struct{})}
	s.server = listen.HTTPServer(http.NewCrossOriginProtection().Handler(s.routes()))
	s.server.ReadTimeout = httpTimeout
	v.http = s
	go func() {
		defer close(s.done)
		if err := s.server.Serve(listen.Limited(l)); !errors.Is(err, http.ErrServerClosed) {
			v.settings.Logger.Error("serving HTTP", "error", err)
		}
	}()
	return nil
}

// HTTPAddr is the address of /counters, host:port; "" when there is none.
func (v *SMSC) HTTPAddr() string {
	if v.http == nil {
		return ""
	}
	return v.http.listener.Addr().String()
}

func (s *site) close(ctx context.Context) {
	if s == nil {
		return
	}
	if s.server.Shutdown(ctx) != nil {
		_ = s.server.Close()
	}
	<-s.done
}

func (s *site) routes() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{s.smsc})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.help)
	mux.HandleFunc("GET /counters", s.counters)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /received", s.received)
	mux.HandleFunc("POST /deliver", s.deliver)
	mux.HandleFunc("POST /behaviour", s.behave)
	mux.HandleFunc("POST /drop", s.drop)
	return mux
}

func (s *site) help(w http.ResponseWriter, _ *http.Request) {
	_, _ = fmt.Fprintf(w, helpText, s.smsc.Addr())
}

func (s *site) counters(w http.ResponseWriter, _ *http.Request) { answer(w, s.smsc.Counters()) }

func (s *site) received(w http.ResponseWriter, r *http.Request) {
	from, err := strconv.ParseUint(r.FormValue("from"), 10, 64)
	if err != nil && r.FormValue("from") != "" {
		http.Error(w, "from must be a number", http.StatusBadRequest)
		return
	}
	list, next := s.smsc.ReceivedSince(from)
	if len(list) > maxListed {
		next -= uint64(len(list) - maxListed)
		list = list[:maxListed]
	}
	lines := make([]line, len(list))
	for i := range list {
		lines[i] = list[i].line()
	}
	answer(w, map[string]any{"received": lines, "next": next})
}

func (s *site) deliver(w http.ResponseWriter, r *http.Request) {
	m, err := readIncoming(w, r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), deliveryTimeout)
	defer cancel()
	switch err := s.smsc.Deliver(ctx, m); {
	case errors.Is(err, context.DeadlineExceeded):
		http.Error(w, "not answered yet; it is kept until a client binds", http.StatusAccepted)
	case errors.Is(err, ErrNoReceiver):
		http.Error(w, err.Error(), http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadGateway)
	default:
		answer(w, map[string]bool{"delivered": true})
	}
}

func readIncoming(w http.ResponseWriter, r *http.Request) (m Incoming, err error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if r.Header.Get("Content-Type") == "application/json" {
		decoder := json.NewDecoder(r.Body)
		decoder.DisallowUnknownFields()
		return m, decoder.Decode(&m)
	}
	flag := func(name string) bool {
		value := r.FormValue(name)
		on, bad := strconv.ParseBool(value)
		if bad != nil && value != "" && err == nil {
			err = fmt.Errorf("%s must be true or false", name)
		}
		return on
	}
	m = Incoming{
		Account: r.FormValue("account"), From: r.FormValue("from"), To: r.FormValue("to"), Text: r.FormValue("text"),
		Coding: r.FormValue("coding"), Method: r.FormValue("method"), Shuffle: flag("shuffle"), LoseOne: flag("lose_one"),
	}
	return m, err
}

func (s *site) behave(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	b, err := ParseBehaviour("the request", text)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.smsc.SetBehaviour(b)
	w.WriteHeader(http.StatusNoContent)
}

func (s *site) drop(w http.ResponseWriter, _ *http.Request) {
	sessions := s.smsc.Sessions()
	for _, session := range sessions {
		handler{s.smsc}.drop(session.Tag.(*bind))
	}
	answer(w, map[string]int{"dropped": len(sessions)})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}
