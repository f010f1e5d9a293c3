// Package callback calls the HTTP addresses of those whom an application tells of messages
// and events, and says by the answer whether the worker is to try again.
package callback

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
)

// Request is one call.
type Request struct {
	Method, URL string
	Header      http.Header
	Body        []byte
}

// Do sends a request. An answer of 2xx is returned; 408, 425, 429, 5xx and no answer are to
// be tried again, after what Retry-After says; any other answer, and what the client
// refuses to ask for, are message.Permanent.
func Do(ctx context.Context, web *webclient.Client, r Request) (webclient.Answer, error) {
	answer, err := web.Do(ctx, r.Method, r.URL, r.Header, r.Body)
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
	case a.Status == http.StatusRequestTimeout, a.Status == http.StatusTooEarly, a.Status == http.StatusTooManyRequests, a.Status >= 500:
		if seconds, bad := strconv.Atoi(a.Header.Get("Retry-After")); bad == nil && seconds > 0 {
			return message.RetryAfter(min(time.Duration(seconds)*time.Second, maxWait), err)
		}
		return err
	}
	return message.Permanent(err)
}

const secretPrefix = "whsec_"

// Key is the key of a secret as standardwebhooks.com writes it, `whsec_` and base64, or any
// text as it is.
func Key(secret string) ([]byte, error) {
	text, encoded := strings.CutPrefix(secret, secretPrefix)
	if !encoded {
		return []byte(text), nil
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("is no base64 behind whsec_")
	}
	return key, nil
}

// Sign sets the header of standardwebhooks.com: the id, the time, and, where there is a
// key, HMAC-SHA256 over id.timestamp.body.
func (r *Request) Sign(key []byte, id string, at time.Time) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	r.Header.Set("Webhook-Id", id)
	r.Header.Set("Webhook-Timestamp", timestamp)
	if len(key) == 0 {
		return
	}
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(id + "." + timestamp + "."))
	_, _ = mac.Write(r.Body)
	r.Header.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
