package doors

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/unicode"

	"switchboard/applications"
	"switchboard/applications/webhook"
	"switchboard/internal/webclient"
	"switchboard/message"
)

// Jasmin answers as Jasmin's HTTP API does: /send sends, dlr-url is called, and url gets
// what people send. What is called must answer ACK/Jasmin.
type Jasmin struct {
	// Users are who may send.
	Users map[string]Account `yaml:"users"`
	// URL gets each message of a person. Default: nothing is called.
	URL string `yaml:"url"`
	// Method is that of its requests: POST or GET.
	Method string `yaml:"method"`
	Door   `yaml:",inline"`
}

var _ applications.Application = (*Jasmin)(nil)

const (
	jasminPort = 1401
	jasminACK  = "ACK/Jasmin"
	jasminOK   = "ESME_ROK"
)

// NewJasmin is a Jasmin with its defaults.
func NewJasmin() *Jasmin {
	j := &Jasmin{Method: http.MethodPost, Door: newDoor(jasminPort)}
	j.routes = func(mux *http.ServeMux) {
		j.handleForm(mux, "/send", j.sendMT)
		j.handle(mux, "/ping", func(*http.Request) answer { return text(http.StatusOK, "Jasmin/PONG") })
	}
	j.report = j.dlr
	j.taken = func(got webclient.Answer) error {
		if strings.TrimSpace(string(got.Body)) != jasminACK {
			return errors.New("the answer is not " + jasminACK)
		}
		return nil
	}
	return j
}

// Validate checks users and the address.
func (j *Jasmin) Validate() error {
	return errors.Join(checkAccounts(j.Users, "users"), checkURL(j.URL, "url"), checkMethod(j.Method, "method"), j.validate())
}

// jasminArguments are what /send knows, and how a value must look. The mandatory ones are
// first.
var jasminArguments = []struct {
	name      string
	mandatory bool
	pattern   *regexp.Regexp
}{
	{"to", true, regexp.MustCompile(`^\+?\d+$`)},
	{"username", true, regexp.MustCompile(`^.{1,30}$`)},
	{"password", true, regexp.MustCompile(`^.{1,30}$`)},
	{"from", false, nil},
	{"coding", false, regexp.MustCompile(`^([0-9]|10|13|14)$`)},
	{"priority", false, regexp.MustCompile(`^[0-3]$`)},
	{"sdt", false, nil},
	{"validity-period", false, regexp.MustCompile(`^\d+$`)},
	{"dlr", false, regexp.MustCompile(`^(yes|no)$`)},
	{"dlr-url", false, regexp.MustCompile(`^https?://.*$`)},
	{"dlr-level", false, regexp.MustCompile(`^[1-3]$`)},
	{"dlr-method", false, regexp.MustCompile(`^(?i:get|post)$`)},
	{"tags", false, regexp.MustCompile(`^[-a-zA-Z0-9,]*$`)},
	{"content", false, nil},
	{"hex-content", false, nil},
	{"custom_tlvs", false, nil},
}

func checkJasmin(f url.Values) error {
	if len(f) == 0 {
		return errors.New("Mandatory arguments not found, please refer to the HTTPAPI specifications.") //nolint:staticcheck // Jasmin's own words
	}
	known := map[string]bool{}
	for _, argument := range jasminArguments {
		known[argument.name] = true
		switch value := f.Get(argument.name); {
		case !f.Has(argument.name) && argument.mandatory:
			return fmt.Errorf("Mandatory argument [%s] is not found.", argument.name) //nolint:staticcheck // Jasmin's own words
		case f.Has(argument.name) && argument.pattern != nil && !argument.pattern.MatchString(value):
			return fmt.Errorf("Argument [%s] has an invalid value: [%.100s].", argument.name, value) //nolint:staticcheck // Jasmin's own words
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if !known[name] {
			return fmt.Errorf("Argument [%.100s] is unknown.", name) //nolint:staticcheck // Jasmin's own words
		}
	}
	return nil
}

func jasminError(status int, format string, args ...any) answer {
	return text(status, "Error %s", `"`+fmt.Sprintf(format, args...)+`"`)
}

// sendMT sends a message.
func (j *Jasmin) sendMT(q *http.Request) answer {
	f, err := fieldsOf(q)
	if err != nil {
		return jasminError(http.StatusInternalServerError, "Unknown error: %v", err)
	}
	err = checkJasmin(f)
	var content string
	if err == nil {
		content, err = jasminText(f)
	}
	if err != nil {
		return jasminError(http.StatusBadRequest, "%v", err)
	}
	user, known := logIn(j.Users, f.Get("username"), f.Get("password"))
	if !known {
		return jasminError(http.StatusForbidden, "Authentication failure for username:%s", f.Get("username"))
	}
	m := user.message(f.Get("username"), f.Get("to"), f.Get("from"), content)
	if tags := f.Get("tags"); tags != "" {
		m.HelperMetadata.Set("tags", strings.Split(tags, ","))
	}
	var r *record
	if f.Get("dlr-url") != "" && f.Get("dlr") != "no" {
		r = recordOf(m, f.Get("username"))
		r.URL, r.Method, r.Wanted = f.Get("dlr-url"), http.MethodPost, jasminSMSC
		if strings.EqualFold(f.Get("dlr-method"), http.MethodGet) {
			r.Method = http.MethodGet
		}
		if level := f.Get("dlr-level"); level != "" {
			r.Wanted = int(level[0] - '0')
		}
	}
	if j.send(q.Context(), m, r) != nil {
		return jasminError(http.StatusInternalServerError, "Cannot send submit_sm, check SMPPClientManagerPB log file for details")
	}
	return text(http.StatusOK, "Success %s", `"`+dashed(m.ID)+`"`)
}

// jasminText is the text as UTF-8. Binary messages have no place in the fleet.
func jasminText(f url.Values) (string, error) {
	content, coding := f.Get("content"), f.Get("coding")
	isHex := f.Has("hex-content")
	switch {
	case !f.Has("content") && !isHex:
		return "", errors.New("content or hex-content not present.") //nolint:staticcheck // Jasmin's own words
	case f.Has("content") && isHex:
		return "", errors.New("content and hex-content cannot be used both in same request.") //nolint:staticcheck // Jasmin's own words
	case isHex:
		octets, err := hex.DecodeString(f.Get("hex-content"))
		if err != nil {
			return "", fmt.Errorf("Invalid hex-content data: '%.100s'", f.Get("hex-content")) //nolint:staticcheck // Jasmin's own words
		}
		content = string(octets)
	}
	switch {
	case coding == "8":
		return decodeText(content, "UTF-16BE")
	case coding == "" || coding == "0" || coding == "1" || coding == "3":
		if coding == "3" && (isHex || !utf8.ValidString(content)) {
			return decodeText(content, "ISO-8859-1")
		}
		return content, nil
	}
	return "", fmt.Errorf("coding %s is not taken: messages are texts, of coding 0, 1, 3 or 8", coding)
}

// The levels of receipts; 3 is both.
const (
	jasminSMSC     = 1
	jasminTerminal = 2
)

// dlr calls dlr-url: once when the SMSC took the message or refused it, and once about the
// end, as dlr-level asks.
func (j *Jasmin) dlr(e *message.Event, r *record) []*webhook.Request {
	fields := url.Values{"id": {dashed(r.ID)}, "level": {"1"}, "connector": {e.TransportName}, "message_status": {jasminOK}}
	level := jasminSMSC
	switch {
	case e.Type == message.Nack:
		fields.Set("message_status", "ESME_RSUBMITFAIL")
		level = r.Wanted // it is the end
	case e.Type == message.DeliveryReport:
		level = jasminTerminal
		date := e.Timestamp.UTC().Format("0601021504")
		delivered := "000"
		if e.DeliveryStatus == message.Delivered {
			delivered = "001"
		}
		for name, value := range map[string]string{
			"level": "2", "message_status": statusWord(e), "id_smsc": r.Sent, "sub": "001", "dlvrd": delivered,
			"subdate": date, "donedate": date, "err": "000", "text": "",
		} {
			fields.Set(name, value)
		}
	}
	if r.Wanted&level == 0 {
		return nil
	}
	return []*webhook.Request{form(r.Method, r.URL, fields)}
}

// Receive calls url with a person's message.
func (j *Jasmin) Receive(ctx context.Context, m *message.Message) ([]*message.Message, error) {
	if j.URL == "" {
		return nil, nil
	}
	coding, content := "0", m.Content
	if strings.ContainsFunc(content, func(r rune) bool { return r >= utf8.RuneSelf }) {
		octets, err := unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM).NewEncoder().String(content)
		if err != nil {
			return nil, message.Permanent(err)
		}
		coding, content = "8", octets
	}
	_, err := j.call(ctx, form(j.Method, j.URL, url.Values{
		"id": {dashed(m.ID)}, "from": {m.From}, "to": {m.To}, "origin-connector": {m.TransportName}, "coding": {coding},
		"content": {content}, "binary": {hex.EncodeToString([]byte(content))}, "priority": {"0"},
	}))
	return nil, err
}
