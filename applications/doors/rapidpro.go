package doors

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"switchboard/applications"
	"switchboard/applications/webhook"
	"switchboard/internal/webclient"
	"switchboard/message"
	"switchboard/options"
)

// RapidPro is the other side of an external channel of RapidPro or TextIt: its send URL is
// /, as form or JSON, and url is the channel's, which is told of messages and receipts.
type RapidPro struct {
	// URL is the channel's: https://HOST/c/ex/UUID.
	URL string `yaml:"url"`
	// Authorization is the header that RapidPro sends. Default: anybody may send.
	Authorization options.Secret `yaml:"authorization"`
	Via           `yaml:",inline"`
	Door          `yaml:",inline"`
}

var (
	_ applications.Application = (*RapidPro)(nil)
	_ applications.Linter      = (*RapidPro)(nil)
)

// NewRapidPro is a RapidPro with its defaults.
func NewRapidPro() *RapidPro {
	a := &RapidPro{Door: newDoor(0)}
	a.routes = func(mux *http.ServeMux) { a.handleForm(mux, "/{$}", a.take) }
	a.report = a.receipt
	return a
}

// Validate checks the address.
func (a *RapidPro) Validate() error {
	return errors.Join(options.Under(webclient.CheckURL(a.URL), "url"), a.validate())
}

// Lint warns where anybody may send.
func (a *RapidPro) Lint() error { return lintOpen(a.Authorization.Reveal(), "authorization") }

// take sends a message.
func (a *RapidPro) take(q *http.Request) answer {
	if want := a.Authorization.Reveal(); want != "" && !equal(q.Header.Get("Authorization"), want) {
		return text(http.StatusForbidden, "The Authorization header is wrong.")
	}
	f, err := fieldsOf(q)
	if err != nil {
		return text(http.StatusBadRequest, "The request is no JSON object: %v", err)
	}
	if f.Get("to") == "" || f.Get("id") == "" {
		return text(http.StatusBadRequest, "id and to are needed, and text")
	}
	m := a.message(f.Get("channel"), f.Get("to"), f.Get("from"), f.Get("text"))
	r := recordOf(m, "")
	r.More = map[string]string{"id": f.Get("id")}
	if a.send(q.Context(), m, r) != nil {
		return text(http.StatusServiceUnavailable, "Try again later.")
	}
	return jsonAnswer(http.StatusOK, map[string]any{"status": "accepted", "message_id": m.ID})
}

func (a *RapidPro) tell(what string, fields url.Values) *webhook.Request {
	return form(http.MethodPost, strings.TrimSuffix(a.URL, "/")+"/"+what, fields)
}

// receipt tells what became of a message, and that a person wants none.
func (a *RapidPro) receipt(e *message.Event, r *record) []*webhook.Request {
	word := "sent"
	switch {
	case e.Type == message.Nack || e.DeliveryStatus == message.Failed:
		word = "failed"
	case e.DeliveryStatus == message.Delivered:
		word = "delivered"
	case e.Type == message.DeliveryReport && r.Told > 0:
		return nil // pending is no news after sent
	}
	list := []*webhook.Request{a.tell(word, url.Values{"id": {r.More["id"]}})}
	if isBlocked(e) {
		list = append(list, a.tell("stopped", url.Values{"from": {r.To}}))
	}
	return list
}

// Receive tells of a person's message.
func (a *RapidPro) Receive(ctx context.Context, m *message.Message) ([]*message.Message, error) {
	_, err := a.call(ctx, a.tell("receive", url.Values{
		"from": {m.From}, "text": {m.Content}, "date": {m.Timestamp.UTC().Format(time.RFC3339Nano)},
	}))
	return nil, err
}
