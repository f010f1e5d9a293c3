package forward

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"switchboard/applications/callback"
	"switchboard/applications/conversation"
	"switchboard/internal/webclient"
	"switchboard/message"
	"switchboard/options"
)

// Webhook is where messages are posted as JSON, as they are on the wire, signed as
// standardwebhooks.com describes. An answer of 2xx is done; its JSON may have a
// reply: {"reply": "text"}. 408, 425, 429, 5xx and no answer are tried again; any
// other answer is a dead letter.
type Webhook struct {
	// URL is posted to.
	URL string `yaml:"url"`
	// Secret signs each request; default no signature. `whsec_` and base64, or any
	// text.
	Secret options.Secret `yaml:"secret"`
	// Headers are sent along; they may be secrets.
	Headers map[string]options.Secret `yaml:"headers"`
	// Timeout is how long an answer may take. Default 10s.
	Timeout options.Duration `yaml:"timeout"`
}

const defaultTimeout = options.Duration(10 * time.Second)

func (w *Webhook) validate() error {
	if w.Timeout == 0 {
		w.Timeout = defaultTimeout
	}
	if w.Timeout < 0 {
		return options.Fieldf("timeout", "must be above 0")
	}
	if err := webclient.CheckURL(w.URL); err != nil {
		return options.Field(err, "url")
	}
	if _, err := callback.Key(w.Secret.Reveal()); err != nil {
		return options.Field(err, "secret")
	}
	return nil
}

func (a *Application) post(ctx context.Context, m *message.Message) ([]conversation.Output, error) {
	w := a.Webhook
	request := callback.Request{Method: http.MethodPost, URL: w.URL, Header: http.Header{"Content-Type": {"application/json"}}, Body: m.Encode()}
	key, _ := callback.Key(w.Secret.Reveal()) // checked by validate
	request.Sign(key, m.ID, time.Now())
	for name, value := range w.Headers {
		request.Header.Set(name, value.Reveal())
	}
	answer, err := callback.Do(ctx, a.web, request)
	if err != nil {
		return nil, err
	}
	var said struct {
		Reply string `json:"reply"`
	}
	if json.Unmarshal(answer.Body, &said) != nil || said.Reply == "" {
		return nil, nil
	}
	return []conversation.Output{{Content: said.Reply}}, nil
}
