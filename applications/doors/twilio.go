package doors

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // X-Twilio-Signature is HMAC-SHA1
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"switchboard/applications"
	"switchboard/applications/webhook"
	"switchboard/message"
	"switchboard/options"
)

// Twilio answers as Twilio's Messages API does: Messages.json sends, the status callback is
// posted, and sms_url gets what people send and answers with TwiML. All calls are signed.
type Twilio struct {
	// AccountSID is the account that clients log in as.
	AccountSID string `yaml:"account_sid"`
	// AuthToken is its password, and signs the calls.
	AuthToken options.Secret `yaml:"auth_token"`
	// APIKeys are further names that clients log in with, and their secrets.
	APIKeys map[string]options.Secret `yaml:"api_keys"`
	// SMSURL gets each message of a person. Default: nothing is called.
	SMSURL string `yaml:"sms_url"`
	Via    `yaml:",inline"`
	Door   `yaml:",inline"`
}

var _ applications.Application = (*Twilio)(nil)

// NewTwilio is a Twilio with its defaults.
func NewTwilio() *Twilio {
	a := &Twilio{Door: newDoor(0)}
	a.routes = func(mux *http.ServeMux) {
		a.handleForm(mux, "POST "+twilioAccounts+"{account}/Messages.json", a.create)
		a.handle(mux, "GET "+twilioAccounts+"{account}/Messages/{message}", a.fetch)
	}
	a.report = a.statusCallback
	return a
}

const (
	twilioVersion  = "2010-04-01"
	twilioAccounts = "/" + twilioVersion + "/Accounts/"
	// twilioSID is what a message's SID begins with. Its ID follows.
	twilioSID      = "SM"
	twilioMaxBody  = 1600
	twilioSent     = "sent"
	twilioFailed   = "failed"
	errorUnknown   = "30008"
	errorOptedOut  = "21610"
	statusKey      = "status"
	bodyKey        = "body"
	createdKey     = "created"
	twilioCodeDocs = "https://www.twilio.com/docs/errors/"
)

// Validate checks the account and the address.
func (a *Twilio) Validate() error {
	errs := []error{checkURL(a.SMSURL, "sms_url"), a.validate()}
	if a.AccountSID == "" {
		errs = append(errs, options.Fieldf("account_sid", "is missing; write the account that clients log in as"))
	}
	if a.AuthToken == "" {
		errs = append(errs, options.Fieldf("auth_token", "is missing"))
	}
	for name, secret := range a.APIKeys {
		if secret == "" {
			errs = append(errs, options.Field(errors.New("is empty"), "api_keys", name))
		}
	}
	return errors.Join(errs...)
}

func twilioError(status, code int, text string) answer {
	return jsonAnswer(status, map[string]any{"code": code, "message": text, "more_info": fmt.Sprint(twilioCodeDocs, code), "status": status})
}

func (a *Twilio) admits(q *http.Request) bool {
	name, password, _ := q.BasicAuth()
	secret, known := a.APIKeys[name]
	if name == a.AccountSID {
		secret, known = a.AuthToken, true
	}
	return known && equal(password, secret.Reveal()) && q.PathValue("account") == a.AccountSID
}

// create sends a message.
func (a *Twilio) create(q *http.Request) answer {
	f := q.PostForm
	switch {
	case !a.admits(q):
		return twilioError(http.StatusUnauthorized, 20003, "Authenticate")
	case f.Get("To") == "":
		return twilioError(http.StatusBadRequest, 21604, "A 'To' phone number is required.")
	case cmp.Or(f.Get("From"), a.From) == "":
		return twilioError(http.StatusBadRequest, 21603, "A 'From' phone number is required.")
	case f.Has("MediaUrl") || f.Has("ContentSid") || f.Has("SendAt"):
		return twilioError(http.StatusBadRequest, 21620, "MediaUrl, ContentSid and SendAt are not supported.")
	case f.Get("Body") == "":
		return twilioError(http.StatusBadRequest, 21602, "Message body is required.")
	case utf8.RuneCountInString(f.Get("Body")) > twilioMaxBody:
		return twilioError(http.StatusBadRequest, 21617, "The concatenated message body exceeds the 1600 character limit.")
	case checkURL(f.Get("StatusCallback"), "") != nil:
		return twilioError(http.StatusBadRequest, 21609, "The 'StatusCallback' URL is not a valid URL.")
	}
	m := a.message(a.AccountSID, f.Get("To"), f.Get("From"), f.Get("Body"))
	r := a.remembered(m, f.Get("StatusCallback"))
	if a.send(q.Context(), m, r) != nil {
		return twilioError(http.StatusServiceUnavailable, 20503, "Service unavailable; try again.")
	}
	return jsonAnswer(http.StatusCreated, a.resource(r))
}

func (a *Twilio) remembered(m *message.Message, callback string) *record {
	r := recordOf(m, a.AccountSID)
	r.URL = callback
	r.More = map[string]string{statusKey: "queued", bodyKey: m.Content, createdKey: m.Timestamp.UTC().Format(time.RFC1123Z)}
	return r
}

// fetch answers with a message and its status.
func (a *Twilio) fetch(q *http.Request) answer {
	if !a.admits(q) {
		return twilioError(http.StatusUnauthorized, 20003, "Authenticate")
	}
	id := strings.TrimPrefix(strings.TrimSuffix(q.PathValue("message"), ".json"), twilioSID)
	r, err := a.recall(q.Context(), id)
	switch {
	case err != nil:
		return twilioError(http.StatusServiceUnavailable, 20503, "Service unavailable; try again.")
	case r == nil:
		return twilioError(http.StatusNotFound, 20404, fmt.Sprintf("The requested resource %s was not found", q.URL.Path))
	}
	return jsonAnswer(http.StatusOK, a.resource(r))
}

// resource is a message as Twilio's API writes it.
func (a *Twilio) resource(r *record) map[string]any {
	code := any(nil)
	if r.More["code"] != "" {
		code = json.Number(r.More["code"])
	}
	created := r.More[createdKey]
	return map[string]any{
		"sid": twilioSID + r.ID, "account_sid": a.AccountSID, "api_version": twilioVersion, "to": r.To, "from": r.From,
		"body": r.More[bodyKey], "status": r.More[statusKey], "direction": "outbound-api", "num_segments": "1", "num_media": "0",
		"date_created": created, "date_updated": created, "date_sent": nil, "error_code": code, "error_message": nil, "price": nil,
		"price_unit": "USD", "messaging_service_sid": nil, "uri": twilioAccounts + a.AccountSID + "/Messages/" + twilioSID + r.ID + ".json",
		"subresource_uris": map[string]any{},
	}
}

// statusCallback tells what became of a message.
func (a *Twilio) statusCallback(e *message.Event, r *record) []*webhook.Request {
	status, code := twilioSent, ""
	switch {
	case isBlocked(e):
		status, code = twilioFailed, errorOptedOut
	case e.Type == message.Nack:
		status, code = twilioFailed, errorUnknown
	case e.DeliveryStatus == message.Delivered:
		status = "delivered"
	case e.DeliveryStatus == message.Failed:
		status, code = "undelivered", errorUnknown
	}
	again := r.Told > 0 && r.More[statusKey] == status // as pending after an ack
	r.More[statusKey], r.More["code"] = status, code
	if r.URL == "" || again {
		return nil
	}
	sid := twilioSID + r.ID
	fields := url.Values{
		"MessageSid": {sid}, "SmsSid": {sid}, "MessageStatus": {status}, "SmsStatus": {status},
		"AccountSid": {a.AccountSID}, "From": {r.From}, "To": {r.To}, "ApiVersion": {twilioVersion},
	}
	if code != "" {
		fields.Set("ErrorCode", code)
	}
	return []*webhook.Request{a.signed(r.URL, fields)}
}

func (a *Twilio) signed(address string, fields url.Values) *webhook.Request {
	r := form(http.MethodPost, address, fields)
	r.Header.Set("X-Twilio-Signature", TwilioSignature(a.AuthToken.Reveal(), address, fields))
	return r
}

// TwilioSignature is X-Twilio-Signature of a POST: HMAC-SHA1 over the URL and the sorted
// fields.
func TwilioSignature(token, address string, fields url.Values) string {
	mac := hmac.New(sha1.New, []byte(token))
	_, _ = mac.Write([]byte(address))
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		_, _ = mac.Write([]byte(name + fields.Get(name)))
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// twiML is what sms_url answers: Message, or Sms as it was once called.
type twiML struct {
	Replies []struct {
		XMLName  xml.Name
		Text     string `xml:",chardata"`
		Body     string `xml:"Body"`
		Callback string `xml:"statusCallback,attr"`
		Action   string `xml:"action,attr"`
	} `xml:",any"`
}

// Receive posts a person's message to sms_url, and sends what it answers.
func (a *Twilio) Receive(ctx context.Context, m *message.Message) ([]*message.Message, error) {
	if a.SMSURL == "" {
		return nil, nil
	}
	sid := twilioSID + m.ID
	got, err := a.call(ctx, a.signed(a.SMSURL, url.Values{
		"MessageSid": {sid}, "SmsSid": {sid}, "SmsMessageSid": {sid}, "AccountSid": {a.AccountSID}, "From": {m.From}, "To": {m.To},
		"Body": {m.Content}, "NumMedia": {"0"}, "NumSegments": {"1"}, "ApiVersion": {twilioVersion}, "SmsStatus": {"received"},
	}))
	if err != nil || len(got.Body) == 0 {
		return nil, err
	}
	if strings.HasPrefix(got.Header.Get("Content-Type"), "text/plain") {
		if content := strings.TrimSpace(string(got.Body)); content != "" {
			return []*message.Message{m.Reply(content)}, nil
		}
		return nil, nil
	}
	var said twiML
	if err := xml.Unmarshal(got.Body, &said); err != nil {
		return nil, message.Permanent(fmt.Errorf("sms_url answered no TwiML: %w", err))
	}
	var replies []*message.Message
	for _, each := range said.Replies {
		content := strings.TrimSpace(cmp.Or(strings.TrimSpace(each.Body), each.Text))
		if name := each.XMLName.Local; name != "Message" && name != "Sms" || content == "" {
			continue
		}
		reply := m.Reply(content)
		if callback := cmp.Or(each.Callback, each.Action); callback != "" {
			if err := a.remember(ctx, a.remembered(reply, callback)); err != nil {
				return nil, err
			}
		}
		replies = append(replies, reply)
	}
	return replies, nil
}
