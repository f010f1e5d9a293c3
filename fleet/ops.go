package fleet

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"switchboard/internal/redact"
)

// Handler serves what operators and their env ask a process: /metrics,
// /healthz, /readyz, /status, POST /-/reload, /-/drain, /-/pause and /-/resume, and with
// profiling /debug/pprof/.
func (p *Process) Handler(profiling bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.Registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "alive") })
	mux.HandleFunc("GET /readyz", redacted(p.serveReady))
	mux.HandleFunc("GET /status", redacted(p.serveStatus))
	// No page in an operator's browser may do this behind their back.
	mux.Handle("POST /-/reload", http.NewCrossOriginProtection().Handler(redacted(p.serveReload)))
	mux.Handle("POST /-/drain", http.NewCrossOriginProtection().Handler(http.HandlerFunc(p.serveDrain)))
	mux.Handle("POST /-/pause", http.NewCrossOriginProtection().Handler(redacted(p.servePause)))
	mux.Handle("POST /-/resume", http.NewCrossOriginProtection().Handler(redacted(p.serveResume)))
	if profiling {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

// redacted masks passwords in what a page quotes: the errors of plugins and
// libraries.
func redacted(page http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { page(redact.Response{ResponseWriter: w}, r) }
}

func (p *Process) serveReady(w http.ResponseWriter, _ *http.Request) {
	if reasons := p.Status().NotReady; len(reasons) > 0 {
		http.Error(w, "not ready: "+strings.Join(reasons, "; "), http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ready")
}

// serveStatus serves plain text for people, and JSON to those who ask for it by
// ?format=json or in their Accept header.
func (p *Process) serveStatus(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("format") == "json" || strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(p.Status())
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	p.Status().Text(w)
}

func (p *Process) serveReload(w http.ResponseWriter, r *http.Request) {
	changes, err := p.Reload(r.Context())
	if err != nil {
		http.Error(w, "the old configuration stays: "+err.Error(), http.StatusUnprocessableEntity)
		return
	}
	_, _ = fmt.Fprintln(w, changes)
}

// serveDrain begins a stop, and does not wait for its end: the process ends with it. It answers
// first: an idle process may be gone a moment later.
func (p *Process) serveDrain(w http.ResponseWriter, _ *http.Request) {
	p.announceStop()
	text := fmt.Sprintf("stopping: nothing more is received; in flight: %d\n", p.held())
	w.Header().Set("Content-Length", strconv.Itoa(len(text))) // so that the answer is complete when it is flushed
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, text)
	_ = http.NewResponseController(w).Flush()
	p.Drain()
}
