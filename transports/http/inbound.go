package http

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net"
	nethttp "net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// rejected is a request that is not taken: what the provider is told, and the word
// it is counted under.
type rejected struct {
	status int
	word   string
	error
}

func reject(status int, word, format string, args ...any) error {
	return rejected{status, word, fmt.Errorf(format, args...)}
}

// knownAs lets a proxy on this machine pass on the public name that requests came
// for, which LocalNames would refuse.
func knownAs(publicURL string, next nethttp.Handler) nethttp.Handler {
	public, err := url.Parse(publicURL)
	if err != nil || public.Host == "" {
		return next
	}
	return nethttp.HandlerFunc(func(w nethttp.ResponseWriter, q *nethttp.Request) {
		if strings.EqualFold(q.Host, public.Host) || strings.EqualFold(q.Host, public.Hostname()) {
			q.Host = "localhost"
		}
		next.ServeHTTP(w, q)
	})
}

// ServeHTTP answers a request of the provider's when the broker has all that it
// brought.
func (r *run) ServeHTTP(w nethttp.ResponseWriter, q *nethttp.Request) {
	s, found, err := r.read(q)
	var replied *reply
	if err == nil {
		replied, err = r.handle(q.Context(), found, s)
	}
	if err == nil {
		if replied != nil && r.writeReply(w, q, found, s, replied) {
			return
		}
		if err = r.write(w, &found.answer, found.headers, s, nethttp.StatusOK); err == nil {
			return
		}
		r.logger.Warn("answering the provider failed", "path", q.URL.Path, "error", err)
		nethttp.Error(w, "", nethttp.StatusInternalServerError)
		return
	}
	r.refuse(w, q, found, s, err)
}

// refuse answers a request that was not taken as the provider expects it.
func (r *run) refuse(w nethttp.ResponseWriter, q *nethttp.Request, found *route, s scope, err error) {
	status, word := nethttp.StatusServiceUnavailable, "unavailable" // so that the provider tries again
	if refusal, ours := errors.AsType[rejected](err); ours {
		status, word = refusal.status, refusal.word
	} else if tooLarge := (*nethttp.MaxBytesError)(nil); errors.As(err, &tooLarge) || errors.Is(err, ErrTooLarge) {
		status, word = nethttp.StatusRequestEntityTooLarge, "too large"
	}
	r.reject(word, "path", q.URL.Path, "from", q.RemoteAddr, "error", r.transport.mask.text(err.Error()))
	text := err.Error()
	if status == nethttp.StatusServiceUnavailable {
		text = "try again later"
	}
	if status == nethttp.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="switchboard"`)
	}
	if found == nil {
		nethttp.Error(w, text, status)
		return
	}
	s = s.with(scope{"status": status, "reason": text})
	if failed := r.write(w, &found.error, found.headers, s, status); failed != nil {
		nethttp.Error(w, text, status)
	}
}

// write writes an answer: a text as it is, and what is no text as JSON.
func (r *run) write(w nethttp.ResponseWriter, a *answer, headers pairs, s scope, status int) error {
	value, err := a.body.of(s)
	if err != nil {
		return err
	}
	text, kind := "", "text/plain; charset=utf-8"
	switch v := value.(type) {
	case nil:
	case string:
		text = v
	default:
		encoded, err := json.Marshal(v)
		if err != nil {
			return err
		}
		text, kind = string(encoded), "application/json"
	}
	if a.kind != "" {
		kind = a.kind
	}
	if a.status != 0 {
		status = a.status
	}
	w.Header().Set("Content-Type", kind)
	if err := headers.each(s, w.Header().Set); err != nil {
		return err
	}
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the provider is gone, and comes again
	return nil
}

// read checks who asks and what for, and reads the request.
func (r *run) read(q *nethttp.Request) (scope, *route, error) {
	s := r.channel.settings
	if err := r.admit(q); err != nil {
		return s, nil, err
	}
	raw, err := readBody(q.Header, q.Body)
	if err != nil {
		if tooLarge := (*nethttp.MaxBytesError)(nil); !errors.As(err, &tooLarge) && !errors.Is(err, ErrTooLarge) {
			err = reject(nethttp.StatusBadRequest, "unreadable", "reading the body: %w", err)
		}
		return s, nil, err
	}
	inner, inside := strings.CutPrefix(q.URL.Path, strings.TrimSuffix(r.transport.WebPath, "/"))
	wrongMethod := false
	for _, route := range r.channel.routes {
		values, matches := MatchPath(route.Path, inner)
		switch {
		case !inside || !matches:
			continue
		case !slices.Contains(route.Methods, q.Method):
			wrongMethod = true
			continue
		}
		s, unreadable := r.requestScope(q, route, raw, inner, values)
		if fits, err := route.when.holds(s); err != nil || !fits {
			continue
		}
		if unreadable != nil {
			return s, route, reject(nethttp.StatusBadRequest, "malformed", "%w", unreadable)
		}
		return s, route, r.check(route, s)
	}
	if wrongMethod {
		return s, nil, reject(nethttp.StatusMethodNotAllowed, "method", "%s is not for this address", q.Method)
	}
	return s, nil, reject(nethttp.StatusNotFound, "path", "nothing is taken here")
}

// admit looks where a request comes from, and at its basic authentication.
func (r *run) admit(q *nethttp.Request) error {
	if len(r.transport.sources) > 0 {
		host, _, _ := net.SplitHostPort(q.RemoteAddr)
		addr, err := netip.ParseAddr(host)
		if err != nil || !slices.ContainsFunc(r.transport.sources, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) }) {
			return reject(nethttp.StatusForbidden, "source", "this address is not one of web_sources")
		}
	}
	if r.transport.WebUsername == "" {
		return nil
	}
	user, password, _ := q.BasicAuth()
	if !Equal(user, r.transport.WebUsername) || !Equal(password, r.transport.WebPassword.Reveal()) {
		return reject(nethttp.StatusUnauthorized, "authentication", "the user name or password is wrong")
	}
	return nil
}

// Equal compares secrets in a time that tells nothing of them.
func Equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// MatchPath holds a path against a pattern such as /in/{account}.
func MatchPath(pattern, path string) (values map[string]any, matches bool) {
	want, got := strings.Split(strings.Trim(pattern, "/"), "/"), strings.Split(strings.Trim(path, "/"), "/")
	if len(want) != len(got) {
		return nil, false
	}
	values = map[string]any{}
	for i, part := range want {
		name, is := strings.CutPrefix(part, "{")
		if is && got[i] != "" {
			values[strings.TrimSuffix(name, "}")] = got[i]
		} else if part != got[i] {
			return nil, false
		}
	}
	return values, true
}

// requestScope is what expressions know of a request.
func (r *run) requestScope(q *nethttp.Request, route *route, raw, inner string, values map[string]any) (scope, error) {
	form, fields, body, err := readShape(q, route.Read, raw)
	if route.FoldNames {
		body = foldNames(body)
	}
	public, plain := r.publicURL(q, inner)
	return r.channel.settings.into(scope{
		"method": q.Method, "url": public, "url_port": withPort(public), "url_path": plain, "raw": raw, "query": flatten(q.URL.Query()), "form": form,
		"fields": fields, "headers": lowered(q.Header), "body": body, "it": body, "up": body, "path": values,
	}), err
}

// readShape reads a body of a shape, or of the one that its Content-Type says. fields
// are those of the query and of a form together.
func readShape(q *nethttp.Request, shape, raw string) (form, fields map[string]any, body any, err error) {
	form = map[string]any{}
	kind := shapeOf(q.Header.Get("Content-Type"))
	switch {
	case shape == "" && (q.Method == nethttp.MethodGet || raw == ""):
		shape = shapeForm
	case shape == "":
		shape = kind
	}
	if shape == shapeForm && raw != "" || kind == shapeForm {
		posted, parseErr := parse(shapeForm, raw)
		form, _ = posted.(map[string]any)
		err = parseErr
	}
	query := flatten(q.URL.Query())
	fields = make(map[string]any, len(query)+len(form))
	maps.Copy(fields, query)
	maps.Copy(fields, form)
	if body = any(fields); shape != shapeForm {
		body, err = parse(shape, raw)
	}
	return form, fields, body, err
}

// publicURL is how the provider calls a request's URL, with and without its query.
func (r *run) publicURL(q *nethttp.Request, inner string) (whole, plain string) {
	plain = r.transport.PublicURL
	if plain == "" {
		plain = "http://" + q.Host + q.URL.Path
	} else if inner != "/" || strings.HasSuffix(plain, "/") {
		plain = below(plain, inner)
	}
	if q.URL.RawQuery != "" {
		return plain + "?" + q.URL.RawQuery, plain
	}
	return plain, plain
}

// withPort is a URL with the port that it leaves out, or without the one it has
// that could be left out: some providers sign it so.
func withPort(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	standard := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	switch u.Port() {
	case "":
		u.Host = net.JoinHostPort(u.Hostname(), standard)
	case standard:
		u.Host = u.Hostname()
	}
	return u.String()
}

// handle takes what a request brings, and waits for the reply that may be in its answer.
func (r *run) handle(ctx context.Context, found *route, s scope) (*reply, error) {
	t, err := r.pickAll(found.messages, found.receipts, s)
	if err != nil {
		return nil, reject(nethttp.StatusBadRequest, "malformed", "%w", err)
	}
	wait := func(time.Duration) *reply { return nil }
	if found.reply != nil && r.transport.ReplyWait > 0 && len(t.messages) == 1 {
		wait = r.replies.begin(ctx, t.messages[0].ID)
	}
	if err := r.take(ctx, found, s, t); err != nil {
		if one := wait(0); one != nil { // the broker had the message all the same
			one.written <- false
		}
		return nil, err
	}
	return wait(r.transport.ReplyWait.Std()), nil
}

func (r *run) take(ctx context.Context, found *route, s scope, t *taken) error {
	if err := r.takeAll(ctx, t); err != nil {
		return err
	}
	if found.Hand != nil {
		list, err := r.shelf.hand(func(m *sending) (any, error) { return found.hand.of(r.scopeOf(m, m.Content, 1, 1)) })
		if err != nil {
			return err
		}
		s["messages"] = list
	}
	if found.taken != nil {
		ids, err := found.taken.of(s)
		if err != nil {
			return reject(nethttp.StatusBadRequest, "malformed", "%w", err)
		}
		s["ids"] = r.shelf.take(asList(ids))
	}
	r.log.received(s, t)
	return nil
}

// xmlEscape writes a text as XML's character data.
func xmlEscape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a Builder does not fail
	return b.String()
}
