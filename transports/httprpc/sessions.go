package httprpc

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	nethttp "net/http"
	"slices"

	"switchboard/message"
	"switchboard/store"
	"switchboard/transports/http"
)

// session is what is remembered of a conversation.
type session struct {
	To   string `json:"to"`
	Last string `json:"last,omitempty"`
}

// inbound is what a request says.
type inbound struct {
	message *message.Message // nil: nothing
	session string           // its name; "" for none
	ends    bool
	last    string
	scope   http.Scope
	answer  *answer // at once, in place of the route's
}

const sessionKey = "session/"

// pick makes of a request what it says.
func (r *run) pick(ctx context.Context, found *route, s http.Scope) (*inbound, error) {
	if err := r.validate(found, s); err != nil {
		return nil, err
	}
	for name, value := range r.dialogue.settings["defaults"].(map[string]any) {
		if fields, _ := s["body"].(map[string]any); fields != nil && fields[name] == nil {
			fields[name] = value
		}
	}
	for _, c := range found.cases {
		name, err := c.session.Text(s)
		if err != nil {
			return nil, malformed("session", err)
		}
		known, there, err := r.recall(ctx, name)
		if err != nil {
			return nil, err
		}
		with := s.With(http.Scope{"known": there, "to": known.To, "last": known.Last, "session": name})
		if c.When != "" {
			if fits, err := c.when.Holds(with); err != nil || !fits {
				continue
			}
		}
		return r.pickCase(found, c, with, name, there, known)
	}
	return nil, &rejection{status: nethttp.StatusBadRequest, word: "malformed", text: "the request is none that is described"}
}

func malformed(what string, err error) error {
	return &rejection{status: nethttp.StatusBadRequest, word: "malformed", text: fmt.Sprintf("%s: %v", what, err)}
}

// validate holds a request to the fields it must and may have.
func (r *run) validate(found *route, s http.Scope) error {
	body, _ := s["body"].(map[string]any)
	one := &rejection{status: nethttp.StatusBadRequest, word: "fields", text: "fields are missing or unexpected"}
	must, may := found.Fields, slices.Concat(found.Fields, found.Ignored)
	if allowed := r.transport.AllowedFields; len(allowed) > 0 {
		may = allowed
		must = slices.DeleteFunc(slices.Clone(must), func(name string) bool { return !slices.Contains(allowed, name) })
	}
	defaults := r.dialogue.settings["defaults"].(map[string]any)
	for _, name := range must {
		if body[name] == nil && defaults[name] == nil {
			one.missing = append(one.missing, name)
		}
	}
	if r.transport.ValidationMode == strict && len(may) > 0 {
		for name := range body {
			if !slices.Contains(may, name) {
				one.unexpected = append(one.unexpected, name)
			}
		}
		slices.Sort(one.unexpected)
	}
	if one.missing != nil || one.unexpected != nil {
		return one
	}
	return nil
}

// pickCase makes the message of a request that a case describes.
func (r *run) pickCase(found *route, c *oneCase, s http.Scope, name string, there bool, known session) (*inbound, error) {
	var failed error
	text := func(v http.Value, what string) string {
		value, err := v.Text(s)
		if err != nil && failed == nil {
			failed = malformed(what, err)
		}
		return value
	}
	if reason := text(c.refuse, "refuse"); reason != "" {
		return nil, &rejection{status: cmp.Or(c.Status, nethttp.StatusBadRequest), word: "refused", text: reason}
	}
	in := &inbound{session: name, scope: s, answer: c.answer, last: text(c.last, "last")}
	if c.Silent {
		return in, failed
	}
	m := message.New()
	if id := text(c.id, "id"); id != "" {
		m.ID = id
	}
	m.From, m.Content, m.Group = text(c.from, "from"), text(c.text, "text"), text(c.group, "group")
	m.To = cmp.Or(text(c.to, "to"), known.To)
	m.Provider = cmp.Or(text(c.provider, "provider"), r.dialogue.Provider)
	m.TransportType = cmp.Or(r.transport.TransportType, r.dialogue.TransportType)
	m.SessionEvent = message.SessionEvent(text(c.event, "event"))
	switch {
	case m.SessionEvent == "none" || m.SessionEvent == "" && name == "":
		m.SessionEvent = message.SessionNone
	case m.SessionEvent == "" && there:
		m.SessionEvent = message.SessionResume
	case m.SessionEvent == "":
		m.SessionEvent = message.SessionNew
	}
	in.ends = m.SessionEvent == message.SessionClose
	for _, p := range c.metadata {
		m.TransportMetadata.Set(p.key, text(p.value, p.key))
	}
	for _, p := range c.helper {
		m.HelperMetadata.Set(p.key, text(p.value, p.key))
	}
	in.message = m
	switch {
	case failed != nil:
		return nil, failed
	case m.From == "":
		return nil, &rejection{status: nethttp.StatusBadRequest, word: "malformed", text: "the request does not say whom it is from"}
	case !slices.Contains([]message.SessionEvent{message.SessionNone, message.SessionNew, message.SessionResume, message.SessionClose}, m.SessionEvent):
		return nil, &rejection{status: nethttp.StatusBadRequest, word: "malformed", text: "session_event is not new, resume or close"}
	}
	return in, nil
}

// waits says whether a message's request waits for a reply: nobody answers a person who
// hung up.
func (r *route) waits(m *message.Message) bool { return m.SessionEvent != message.SessionClose }

// recall finds a session.
func (r *run) recall(ctx context.Context, name string) (known session, there bool, err error) {
	if name == "" || r.transport.state == nil {
		return known, false, nil
	}
	key := sessionKey + name
	found, err := r.transport.state.Get(ctx, key)
	if err != nil || found[key] == "" {
		return known, false, err
	}
	return known, json.Unmarshal([]byte(found[key]), &known) == nil, nil
}

// remember remembers a request's session, or that it is over.
func (r *run) remember(ctx context.Context, in *inbound) error {
	if in.session == "" || r.transport.state == nil {
		return nil
	}
	if in.ends {
		return r.forget(ctx, in.session)
	}
	text, _ := json.Marshal(session{in.message.To, in.last}) // of texts
	return r.transport.state.Set(ctx, store.Entry{Key: sessionKey + in.session, Value: string(text), TTL: r.transport.USSDSessionTimeout.Std()})
}

func (r *run) forget(ctx context.Context, name string) error {
	if name == "" || r.transport.state == nil {
		return nil
	}
	return r.transport.state.Delete(ctx, sessionKey+name)
}
