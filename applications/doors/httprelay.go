package doors

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"switchboard/applications"
	"switchboard/applications/webhook"
	"switchboard/internal/webclient"
	"switchboard/message"
	"switchboard/options"
)

// HTTPRelay posts each message to a program as it is on the wire: Vumi's
// HTTPRelayApplication. An answer of 200 with the header `X-Vumi-HTTPRelay-Reply: true` is
// a reply. What gets no answer of 2xx is tried again, or is a dead letter.
type HTTPRelay struct {
	// URL gets the messages.
	URL string `yaml:"url"`
	// EventURL gets the acks, nacks and delivery reports. Default: nobody gets them.
	EventURL string `yaml:"event_url"`
	// HTTPMethod is the requests' method.
	HTTPMethod string `yaml:"http_method"`
	// AuthMethod is how the requests log in; basic is the only way.
	AuthMethod string `yaml:"auth_method"`
	// Username is sent along; default no log-in.
	Username string `yaml:"username"`
	// Password is sent along.
	Password options.Secret `yaml:"password"`
	Caller   `yaml:",inline"`
}

var (
	_ applications.Application   = (*HTTPRelay)(nil)
	_ applications.EventReceiver = (*HTTPRelay)(nil)
	_ applications.Windowed      = (*HTTPRelay)(nil)
)

// NewHTTPRelay is an HTTPRelay with its defaults.
func NewHTTPRelay() *HTTPRelay {
	return &HTTPRelay{HTTPMethod: http.MethodPost, AuthMethod: authBasic, Caller: newCaller()}
}

const (
	authBasic   = "basic"
	replyHeader = "X-Vumi-Httprelay-Reply" // as package http writes X-Vumi-HTTPRelay-Reply
)

// Validate checks the addresses.
func (a *HTTPRelay) Validate() error {
	return errors.Join(
		options.Under(webclient.CheckURL(a.URL), "url"), checkURL(a.EventURL, "event_url"),
		checkMethod(a.HTTPMethod, "http_method"), checkAuth(a.AuthMethod, "auth_method"), a.validate(),
	)
}

// Receive posts a message, and replies with what is answered.
func (a *HTTPRelay) Receive(ctx context.Context, m *message.Message) ([]*message.Message, error) {
	answer, err := a.call(ctx, a.request(a.URL, m.Encode()))
	if err != nil {
		return nil, err
	}
	content := strings.TrimSpace(string(answer.Body))
	if answer.Status != http.StatusOK || !strings.EqualFold(answer.Header.Get(replyHeader), "true") || content == "" {
		return nil, nil
	}
	return []*message.Message{m.Reply(content)}, nil
}

// ReceiveEvent posts an event.
func (a *HTTPRelay) ReceiveEvent(ctx context.Context, e *message.Event) error {
	if a.EventURL == "" {
		return nil
	}
	_, err := a.call(ctx, a.request(a.EventURL, e.Encode()))
	return err
}

func (a *HTTPRelay) request(address string, body []byte) *webhook.Request {
	return jsonCall(a.HTTPMethod, address, a.Username, a.Password, body)
}

// jsonCall is a call with a JSON body, and with basic authentication where there is a name.
func jsonCall(method, address, username string, password options.Secret, body []byte) *webhook.Request {
	header := http.Header{"Content-Type": {"application/json"}}
	if username != "" {
		q := http.Request{Header: header}
		q.SetBasicAuth(username, password.Reveal())
	}
	return &webhook.Request{Method: method, URL: address, Header: header, Body: body}
}
