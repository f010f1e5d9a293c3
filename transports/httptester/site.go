package httptester

import (
	"embed"
	"errors"
	"fmt"
	"html/template"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"switchboard/message"
	"switchboard/transports"
)

//go:embed assets
var assets embed.FS

const (
	maxForm    = 1 << 20 // bytes of a posted form
	maxContent = 64 << 10
	maxNumber  = 64 // bytes of a phone number
	// formTimeout is how long a browser may take to send a form.
	formTimeout = 30 * time.Second
)

// site is the transport's page.
type site struct {
	*Transport
	line     transports.Publisher
	stopping <-chan struct{} // events end when it is closed
	streams  chan struct{}   // one for each stream of events
	page     *template.Template
}

func newSite(t *Transport, line transports.Publisher, stopping <-chan struct{}) http.Handler {
	s := &site{
		Transport: t, line: line, stopping: stopping, streams: make(chan struct{}, maxStreams),
		page: template.Must(template.ParseFS(assets, "assets/page.html")),
	}
	mux, path := http.NewServeMux(), t.path()
	mux.HandleFunc("GET "+path+"{$}", s.show)
	mux.HandleFunc("GET "+path+"events", s.events)
	mux.HandleFunc("POST "+path+"messages", s.posted(s.receive))
	mux.HandleFunc("POST "+path+"bulk", s.posted(s.receiveMany))
	mux.HandleFunc("POST "+path+"clear", s.posted(s.clear))
	for name, kind := range map[string]string{"app.js": "text/javascript", "style.css": "text/css"} {
		mux.HandleFunc("GET "+path+name, asset(name, kind))
	}
	// Another site's page must not be able to send messages in somebody's name.
	return http.NewCrossOriginProtection().Handler(mux)
}

func asset(name, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		content, err := assets.ReadFile("assets/" + name)
		if err != nil {
			http.Error(w, "not in this binary", http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", kind+"; charset=utf-8")
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(content)
	}
}

func (s *site) show(w http.ResponseWriter, _ *http.Request) {
	entries, _ := s.history.since(0)
	slices.Reverse(entries)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	err := s.page.Execute(w, map[string]any{
		"Transport": s.TransportName, "To": s.ToAddr, "Hint": s.Hint, "Suggestion": randomNumber(),
		"Entries":    slices.DeleteFunc(entries, func(e entry) bool { return e.Flow == clearing }),
		"MaxEntries": maxEntries,
	})
	if err != nil {
		s.logger.Warn("writing the page failed", "error", err)
	}
}

// randomNumber is within the numbers reserved for fiction (555-01xx).
func randomNumber() string {
	return fmt.Sprintf("+1%d55501%02d", 200+rand.IntN(800), rand.IntN(100))
}

// posted reads a form, bounded in time and size, and answers with what handle
// makes of it: JSON to the page's script, a redirect to a plain form.
func (s *site) posted(handle func(r *http.Request) (status int, text string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(formTimeout))
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			http.Error(w, fmt.Sprintf("The form cannot be read; it may have %d bytes at most.", maxForm), http.StatusBadRequest)
			return
		}
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
		status, text := handle(r)
		if status < http.StatusBadRequest && r.PostForm.Has("plain") {
			http.Redirect(w, r, s.path(), http.StatusSeeOther)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, text)
	}
}

func (s *site) receive(r *http.Request) (status int, text string) {
	m, err := s.read(r.PostFormValue("from"), r.PostFormValue("to"), r.PostFormValue("content"), r.PostFormValue("session"))
	if err != nil {
		return http.StatusBadRequest, err.Error()
	}
	if err := s.deliver(r, m); err != nil {
		return http.StatusServiceUnavailable, "The message was not sent. " + err.Error()
	}
	return http.StatusAccepted, "Sent."
}

// deliver gives a message to the fleet, and to the history once it is there.
func (s *site) deliver(r *http.Request, m *message.Message) error {
	done, err := s.turns.take(r.Context(), m.From)
	if err != nil {
		return err
	}
	defer done()
	shown := entry{Flow: message.Inbound, Phone: m.From, Other: m.To, Content: shorten(m.Content), Session: m.SessionEvent}
	if err := s.line.Inbound(r.Context(), m); err != nil {
		s.logger.Warn("receiving a message from the page failed", "phone", m.From, "error", err)
		return err
	}
	s.history.add(shown)
	return nil
}

// read makes a message of what was typed.
func (s *site) read(from, to, content, session string) (*message.Message, error) {
	m := message.New()
	m.From, m.To = strings.TrimSpace(from), strings.TrimSpace(to)
	m.Content, m.TransportType = strings.ToValidUTF8(strings.ReplaceAll(content, "\r\n", "\n"), "\uFFFD"), s.TransportType
	if m.To == "" {
		m.To = s.ToAddr
	}
	if err := errors.Join(checkNumber(m.From), checkNumber(m.To)); err != nil {
		return nil, err
	}
	if len(content) > maxContent {
		return nil, fmt.Errorf("the text is longer than %d bytes", maxContent)
	}
	switch m.SessionEvent = message.SessionEvent(session); m.SessionEvent {
	case message.SessionNone:
		if strings.TrimSpace(content) == "" {
			return nil, errors.New("there is no text to send")
		}
	case message.SessionNew, message.SessionResume, message.SessionClose:
		m.TransportType = sessionType
	default:
		return nil, errors.New("session is not new, resume or close")
	}
	return m, nil
}

func checkNumber(number string) error {
	switch {
	case number == "":
		return errors.New("a phone needs a number")
	case len(number) > maxNumber, strings.ContainsFunc(number, func(r rune) bool { return !unicode.IsPrint(r) }):
		return fmt.Errorf("%.20q… is no phone number: it is longer than %d bytes or has unprintable characters", number, maxNumber)
	}
	return nil
}

func (s *site) clear(r *http.Request) (status int, text string) {
	s.history.add(entry{Flow: clearing, Phone: strings.TrimSpace(r.PostFormValue("phone"))})
	return http.StatusAccepted, "Cleared."
}
