package httptester

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

const (
	// maxStreams is how many pages may be open at once.
	maxStreams = 200
	// heartbeat is how often a silent stream says that it is there.
	heartbeat = 15 * time.Second
	// writeTimeout is how long a browser may take to make room for an event.
	writeTimeout = 10 * time.Second
	// reconnectDelay is how soon a browser asks again for a stream that ended.
	reconnectDelay = time.Second
)

// events streams the history as server-sent events (HTML Living Standard,
// §9.2). A browser that comes back says what it had last (Last-Event-ID) and
// gets what is new; one that had it from another run is told to start anew.
func (s *site) events(w http.ResponseWriter, r *http.Request) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		http.Error(w, "Too many pages are open; close some.", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // nginx would hold events back
	stream := stream{w: w, control: http.NewResponseController(w), history: s.history}
	begin := fmt.Sprintf("retry: %d\n\n", reconnectDelay.Milliseconds())
	seq, known := s.history.place(r.Header.Get("Last-Event-ID"))
	if !known {
		seq = 0
		begin += "event: reset\ndata: {}\n\n"
	}
	if stream.write(begin) == nil {
		stream.follow(seq, r.Context().Done(), s.stopping)
	}
}

type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	history *history
}

// follow writes entries after seq as they come, until either channel is closed
// or the browser is gone.
func (s stream) follow(seq int64, gone, stopping <-chan struct{}) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		entries, more := s.history.since(seq)
		if len(entries) > 0 {
			if s.write(s.format(entries)) != nil {
				return
			}
			seq = entries[len(entries)-1].Seq
		}
		select {
		case <-more:
		case <-gone:
			return
		case <-stopping:
			return
		case <-beat.C:
			if s.write(": still here\n\n") != nil {
				return
			}
		}
	}
}

func (s stream) format(entries []entry) string {
	var text strings.Builder
	for _, e := range entries {
		data, _ := json.Marshal(e) // strings, numbers and a time: cannot fail
		_, _ = fmt.Fprintf(&text, "id: %s\ndata: %s\n\n", s.history.eventID(e.Seq), data)
	}
	return text.String()
}

func (s stream) write(text string) error {
	_ = s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := fmt.Fprint(s.w, text); err != nil {
		return err
	}
	return s.control.Flush()
}
