// Package webhook posts JSON to a program that is told of what happens, signed, and says
// what its answers mean.
package webhook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"switchboard/internal/webclient"
	"switchboard/message"
	"switchboard/options"
)

// Webhook is where JSON is posted, signed as standardwebhooks.com describes. An answer of
// 2xx is done. 408, 425, 429, 5xx and no answer are tried again; any other answer, a
// redirect among them, is a dead letter.
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

// Validate checks the options.
func (w *Webhook) Validate() error {
	if w.Timeout == 0 {
		w.Timeout = defaultTimeout
	}
	if w.Timeout < 0 {
		return options.Fieldf("timeout", "must be above 0")
	}
	if err := webclient.CheckURL(w.URL); err != nil {
		return options.Field(err, "url")
	}
	if _, err := w.key(); err != nil {
		return options.Field(err, "secret")
	}
	return nil
}

const secretPrefix = "whsec_"

func (w *Webhook) key() ([]byte, error) {
	text, encoded := strings.CutPrefix(w.Secret.Reveal(), secretPrefix)
	if !encoded {
		return []byte(text), nil
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) == 0 {
		return nil, errors.New("is no base64 behind whsec_")
	}
	return key, nil
}

// Sign is the signature of a body: HMAC-SHA256 over id.timestamp.body. timestamp is in
// seconds since 1970.
func Sign(key []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(id + "." + timestamp + "."))
	_, _ = mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// Post posts a body and returns the answer's. id names what is told, the same each time it
// is posted. An error marked message.Permanent is one that trying again cannot mend.
func (w *Webhook) Post(ctx context.Context, client *webclient.Client, id string, body []byte) (answer []byte, err error) {
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	header := http.Header{"Content-Type": {"application/json"}, "Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}}
	if key, _ := w.key(); len(key) > 0 { // checked by Validate
		header.Set("Webhook-Signature", Sign(key, id, timestamp, body))
	}
	for name, value := range w.Headers {
		header.Set(name, value.Reveal())
	}
	got, err := Do(ctx, client, Request{http.MethodPost, w.URL, header, body})
	return got.Body, err
}

// Request is a call of a program.
type Request struct {
	Method, URL string
	Header      http.Header
	Body        []byte
}

// Do calls a program. The error says what becomes of an answer that is not 2xx, as Post's.
func Do(ctx context.Context, client *webclient.Client, r Request) (webclient.Answer, error) {
	answer, err := client.Do(ctx, r.Method, r.URL, r.Header, r.Body)
	switch {
	case errors.Is(err, webclient.ErrRefused):
		err = message.Permanent(err)
	case err == nil:
		err = outcome(answer)
	}
	return answer, err
}

// maxWait bounds what an answer may ask us to wait.
const maxWait = time.Hour

func outcome(a webclient.Answer) error {
	err := fmt.Errorf("the webhook answered HTTP %d", a.Status)
	switch {
	case a.Status >= 200 && a.Status < 300:
		return nil
	case a.Status >= 300 && a.Status < 400:
		return message.Permanent(fmt.Errorf("%w, and redirects are not followed; set url to where it leads", err))
	case a.Status == http.StatusRequestTimeout, a.Status == http.StatusTooEarly, a.Status == http.StatusTooManyRequests, a.Status >= 500:
		if seconds, bad := strconv.Atoi(a.Header.Get("Retry-After")); bad == nil && seconds > 0 {
			return message.RetryAfter(min(time.Duration(seconds)*time.Second, maxWait), err)
		}
		return err
	}
	return message.Permanent(err)
}
