package doors

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"switchboard/applications"
	"switchboard/internal/webclient"
	"switchboard/message"
	"switchboard/options"
)

// RapidSMSRelay joins RapidSMS and its backend `vumi`: Vumi's RapidSMSRelay. Messages are
// posted to RapidSMS as they are on the wire, session closes too; what RapidSMS posts is
// sent, and answered with the list of messages.
type RapidSMSRelay struct {
	// WebPath is where RapidSMS posts what is to be sent. /health answers OK beside it.
	WebPath string `yaml:"web_path"`
	// AllowReplies lets RapidSMS reply to messages by their ID (in_reply_to).
	AllowReplies bool `yaml:"allow_replies"`
	// VumiUsername is what RapidSMS must log in with. Default: anybody may send.
	VumiUsername string `yaml:"vumi_username"`
	// VumiPassword is the password with it.
	VumiPassword options.Secret `yaml:"vumi_password"`
	// VumiAuthMethod is how RapidSMS logs in; basic is the only way.
	VumiAuthMethod string `yaml:"vumi_auth_method"`
	// VumiReplyTimeout is how long a message can be replied to.
	VumiReplyTimeout options.Duration `yaml:"vumi_reply_timeout"`
	// AllowedEndpoints are the endpoints that RapidSMS may send by. Default: `[default]`.
	AllowedEndpoints []string `yaml:"allowed_endpoints"`
	// RapidSMSURL is RapidSMS's HTTP backend.
	RapidSMSURL string `yaml:"rapidsms_url"`
	// RapidSMSEventURL gets the acks, nacks and delivery reports, as they are on the wire.
	// Default: nobody gets them.
	RapidSMSEventURL string `yaml:"rapidsms_event_url"`
	// RapidSMSUsername is sent to RapidSMS; default no log-in.
	RapidSMSUsername string `yaml:"rapidsms_username"`
	// RapidSMSPassword is sent with it.
	RapidSMSPassword options.Secret `yaml:"rapidsms_password"`
	// RapidSMSAuthMethod is how the relay logs in; basic is the only way.
	RapidSMSAuthMethod string `yaml:"rapidsms_auth_method"`
	// RapidSMSHTTPMethod is the method of what RapidSMS gets.
	RapidSMSHTTPMethod string `yaml:"rapidsms_http_method"`
	Via                `yaml:",inline"`
	Door               `yaml:",inline"`
}

var (
	_ applications.Application  = (*RapidSMSRelay)(nil)
	_ applications.SessionEnder = (*RapidSMSRelay)(nil)
	_ applications.Linter       = (*RapidSMSRelay)(nil)
)

// NewRapidSMSRelay is a RapidSMSRelay with its defaults.
func NewRapidSMSRelay() *RapidSMSRelay {
	a := &RapidSMSRelay{
		WebPath: "/", AllowReplies: true, VumiAuthMethod: authBasic, VumiReplyTimeout: options.Duration(10 * time.Minute),
		AllowedEndpoints: []string{message.DefaultEndpoint}, RapidSMSAuthMethod: authBasic, RapidSMSHTTPMethod: http.MethodPost, Door: newDoor(0),
	}
	a.routes = func(mux *http.ServeMux) {
		a.handle(mux, "GET /health", func(*http.Request) answer { return text(http.StatusOK, "OK") })
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodGet} {
			path := "/" + strings.Trim(a.WebPath, "/")
			a.handle(mux, method+" "+strings.TrimSuffix(path, "/")+"/{$}", a.take)
			if path != "/" {
				a.handle(mux, method+" "+path, a.take)
			}
		}
	}
	return a
}

// Validate checks the addresses.
func (a *RapidSMSRelay) Validate() error {
	errs := []error{
		options.Under(webclient.CheckURL(a.RapidSMSURL), "rapidsms_url"), checkURL(a.RapidSMSEventURL, "rapidsms_event_url"),
		checkMethod(a.RapidSMSHTTPMethod, "rapidsms_http_method"), checkAuth(a.VumiAuthMethod, "vumi_auth_method"),
		checkAuth(a.RapidSMSAuthMethod, "rapidsms_auth_method"), checkPath(a.WebPath, "web_path"),
		checkPair(a.VumiUsername, a.VumiPassword, "vumi_username", "vumi_password"), a.validate(),
	}
	if a.VumiReplyTimeout <= 0 {
		errs = append(errs, options.Fieldf("vumi_reply_timeout", "must be above 0"))
	}
	if strings.Trim(a.WebPath, "/") == "health" {
		errs = append(errs, options.Fieldf("web_path", "is /health, which answers OK; write another path"))
	}
	return errors.Join(errs...)
}

// Lint warns where anybody may send.
func (a *RapidSMSRelay) Lint() error { return lintOpen(a.VumiUsername, "vumi_username") }

// Receive posts a message to RapidSMS.
func (a *RapidSMSRelay) Receive(ctx context.Context, m *message.Message) ([]*message.Message, error) {
	return nil, a.EndSession(ctx, m)
}

// EndSession posts a message to RapidSMS.
func (a *RapidSMSRelay) EndSession(ctx context.Context, m *message.Message) error {
	if a.AllowReplies {
		if err := a.keep(ctx, m, a.VumiReplyTimeout.Std()); err != nil {
			return err
		}
	}
	return a.tell(ctx, a.RapidSMSURL, m.Encode())
}

// ReceiveEvent posts an event to RapidSMS.
func (a *RapidSMSRelay) ReceiveEvent(ctx context.Context, e *message.Event) error {
	if a.RapidSMSEventURL == "" {
		return nil
	}
	return a.tell(ctx, a.RapidSMSEventURL, e.Encode())
}

func (a *RapidSMSRelay) tell(ctx context.Context, address string, body []byte) error {
	_, err := a.call(ctx, jsonCall(a.RapidSMSHTTPMethod, address, a.RapidSMSUsername, a.RapidSMSPassword, body))
	return err
}

// take sends what RapidSMS posts.
func (a *RapidSMSRelay) take(q *http.Request) answer {
	if login := (Login{a.VumiUsername, a.VumiPassword}); !login.admits(q) {
		return text(http.StatusUnauthorized, "Unauthorized")
	}
	var wanted struct {
		Content   string  `json:"content"`
		To        any     `json:"to_addr"`
		From      string  `json:"from_addr"`
		InReplyTo *string `json:"in_reply_to"`
		Endpoint  string  `json:"endpoint"`
		Session   string  `json:"session_event"`
	}
	body, err := io.ReadAll(q.Body)
	if err == nil {
		err = json.Unmarshal(body, &wanted)
	}
	if err != nil {
		return text(http.StatusBadRequest, "The request is no JSON object: %v", err)
	}
	list, is := wanted.To.([]any)
	if !is || len(list) > maxRecipients {
		return text(http.StatusBadRequest, "Supplied `to_addr` was not a list of at most %d.", maxRecipients)
	}
	to := make([]string, len(list))
	for i, each := range list {
		if to[i], is = each.(string); !is || to[i] == "" {
			return text(http.StatusBadRequest, "Supplied `to_addr` has what is no address.")
		}
	}
	var messages []*message.Message
	if wanted.InReplyTo != nil {
		reply, refused := a.reply(q.Context(), *wanted.InReplyTo, to, wanted.Content)
		if reply == nil {
			return refused
		}
		messages = append(messages, reply)
	} else {
		endpoint := wanted.Endpoint
		if endpoint == "" {
			endpoint = message.DefaultEndpoint
		}
		if !slices.Contains(a.AllowedEndpoints, endpoint) {
			return text(http.StatusBadRequest, "Endpoint %q not defined in list of allowed endpoints", endpoint)
		}
		for _, each := range to {
			m := a.message("", each, wanted.From, wanted.Content)
			m.SetEndpoint(endpoint)
			messages = append(messages, m)
		}
	}
	for _, m := range messages {
		if wanted.Session == string(message.SessionClose) {
			m.SessionEvent = message.SessionClose
		}
		if err := a.send(q.Context(), m, nil); err != nil {
			return text(http.StatusInternalServerError, "The messages were not taken; send them again.")
		}
	}
	if messages == nil {
		messages = []*message.Message{}
	}
	return jsonAnswer(http.StatusOK, messages)
}

func (a *RapidSMSRelay) reply(ctx context.Context, id string, to []string, content string) (*message.Message, answer) {
	if !a.AllowReplies {
		return nil, text(http.StatusBadRequest, "Support for `in_reply_to` not configured.")
	}
	original, err := a.kept(ctx, id)
	switch {
	case err != nil:
		return nil, text(http.StatusInternalServerError, "The original message could not be read; try again.")
	case original == nil:
		return nil, text(http.StatusBadRequest, "Original message %q not found.", id)
	case len(to) > 1 || len(to) == 1 && to[0] != original.From:
		return nil, text(http.StatusBadRequest, "Supplied `to_addrs` don't match `from_addr` of original message %q", id)
	}
	return original.Reply(content), answer{}
}
