package fleet

import (
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"switchboard/internal/redact"
)

// Handler serves what operators and their env ask a process: /metrics,
// /healthz, /readyz, /status, POST /-/reload, and with profiling /debug/pprof/.
func (p *Process) Handler(profiling bool) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.Registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "alive") })
	mux.HandleFunc("GET /readyz", redacted(p.serveReady))
	mux.HandleFunc("GET /status", redacted(p.serveStatus))
	// No page in an operator's browser may do this behind their back.
	mux.Handle("POST /-/reload", http.NewCrossOriginProtection().Handler(redacted(p.serveReload)))
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
	if reasons := p.notReady(); len(reasons) > 0 {
		http.Error(w, "not ready: "+strings.Join(reasons, "; "), http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ready")
}

func (p *Process) notReady() []string {
	var reasons []string
	state := p.Broker.State()
	if !state.Connected {
		reasons = append(reasons, fmt.Sprintf("the broker is not connected (%v)", state.LastError))
	}
	if len(state.Idle) > 0 {
		reasons = append(reasons, "not being consumed: "+strings.Join(state.Idle, ", "))
	}
	if state.Unroutable != "" {
		reasons = append(reasons, "publications to "+state.Unroutable+" are returned: its queue or binding was deleted")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.workers) == 0 {
		reasons = append(reasons, "no worker has started yet")
	}
	for _, r := range p.workers {
		switch {
		case !r.up:
			reasons = append(reasons, fmt.Sprintf("worker %s is not running (%v)", r.def.Name, r.lastErr))
		case r.queues.Load() == 0:
			reasons = append(reasons, fmt.Sprintf("worker %s does not consume yet", r.def.Name))
		}
	}
	return reasons
}

// serveStatus is for people: plain text, one screen.
func (p *Process) serveStatus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintf(w, "switchboard %s\n\n", p.Version)
	state := p.Broker.State()
	_, _ = fmt.Fprintf(w, "broker: %s, %d reconnects\n", connection(state.Connected, state.LastError), state.Reconnects)
	if state.Blocked != "" {
		_, _ = fmt.Fprintf(w, "broker accepts no messages now: %s\n", state.Blocked)
	}
	p.loadedStatus(w)
	_, _ = fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "WORKER\tKIND\tCLASS\tSTATE\tFOR\tFAILURES\tFILE")
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.workers {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%d\t%s\n", r.def.Name, r.def.Kind, r.def.Class,
			upOrDown(r.up), time.Since(r.since).Round(time.Second), r.restarts, r.def.Path)
	}
	_ = table.Flush()
	for _, r := range p.workers {
		if r.lastErr != nil {
			_, _ = fmt.Fprintf(w, "\n%s failed last with: %v\n", r.def.Name, r.lastErr)
		}
	}
}

func (p *Process) serveReload(w http.ResponseWriter, r *http.Request) {
	changes, err := p.Reload(r.Context())
	if err != nil {
		http.Error(w, "the old configuration stays: "+err.Error(), http.StatusUnprocessableEntity)
		return
	}
	_, _ = fmt.Fprintln(w, changes)
}

// loadedStatus says what was loaded when, and what could not be.
func (p *Process) loadedStatus(w io.Writer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.loaded
	_, _ = fmt.Fprintf(w, "configuration: loaded %s, reloads: %d", stamp(l.at), l.count)
	if l.count > 0 {
		_, _ = fmt.Fprintf(w, "; the last: %s", l.changes)
	}
	_, _ = fmt.Fprintln(w)
	if l.err != nil {
		_, _ = fmt.Fprintf(w, "the reload at %s FAILED; what was loaded before stays in use:\n  %s\n",
			stamp(l.tried), strings.ReplaceAll(l.err.Error(), "\n", "\n  "))
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func connection(connected bool, err error) string {
	if connected {
		return "connected"
	}
	return fmt.Sprintf("not connected (%v)", err)
}

func upOrDown(up bool) string {
	if up {
		return "running"
	}
	return "down"
}
