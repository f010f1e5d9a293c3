package doors

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"switchboard/applications"
	"switchboard/internal/webclient"
	"switchboard/message"
	"switchboard/options"
)

// RapidSMSHTTP is the other side of RapidSMS's backend http: outgoing_url is /, and url gets
// what people send. There are no receipts in it.
type RapidSMSHTTP struct {
	// URL is RapidSMS's backend.
	URL string `yaml:"url"`
	// IdentityName is the field of the person's address.
	IdentityName string `yaml:"identity_name"`
	// TextName is the field of the text.
	TextName string `yaml:"text_name"`
	Via      `yaml:",inline"`
	Login    `yaml:",inline"`
	Door     `yaml:",inline"`
}

var _ applications.Application = (*RapidSMSHTTP)(nil)

// NewRapidSMSHTTP is a RapidSMSHTTP with its defaults.
func NewRapidSMSHTTP() *RapidSMSHTTP {
	a := &RapidSMSHTTP{IdentityName: "identity", TextName: "text", Door: newDoor(0)}
	a.routes = func(mux *http.ServeMux) {
		a.handleForm(mux, "GET /{$}", a.take)
		a.handleForm(mux, "POST /{$}", a.take)
	}
	return a
}

// Validate checks the address.
func (a *RapidSMSHTTP) Validate() error {
	errs := []error{options.Under(webclient.CheckURL(a.URL), "url"), a.checkLogin(), a.validate()}
	if a.IdentityName == "" || a.TextName == "" {
		errs = append(errs, options.Fieldf("identity_name", "must not be empty, nor text_name"))
	}
	return errors.Join(errs...)
}

// take sends a message.
func (a *RapidSMSHTTP) take(q *http.Request) answer {
	switch {
	case !a.admits(q):
		return text(http.StatusUnauthorized, "Unauthorized")
	case q.Form.Get(a.IdentityName) == "" || !q.Form.Has(a.TextName):
		return text(http.StatusBadRequest, "form failed to validate")
	}
	m := a.message("", q.Form.Get(a.IdentityName), "", q.Form.Get(a.TextName))
	if a.send(q.Context(), m, nil) != nil {
		return text(http.StatusServiceUnavailable, "Try again later.")
	}
	return text(http.StatusOK, "OK")
}

// Receive tells of a person's message.
func (a *RapidSMSHTTP) Receive(ctx context.Context, m *message.Message) ([]*message.Message, error) {
	_, err := a.call(ctx, form(http.MethodPost, a.URL, url.Values{a.IdentityName: {m.From}, a.TextName: {m.Content}}))
	return nil, err
}
