package doors

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"html"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"

	"switchboard/applications"
	"switchboard/applications/webhook"
	"switchboard/message"
	"switchboard/options"
)

// Kannel answers as Kannel's smsbox does: /cgi-bin/sendsms sends, dlr-url is called, and an
// sms-service's get-url gets what people send.
type Kannel struct {
	// Users are the sendsms-users.
	Users map[string]Account `yaml:"users"`
	// SendSMSURL is the path that messages are sent by.
	SendSMSURL string `yaml:"sendsms_url"`
	// SMSCs says which transport an smsc-id is. Without any the field smsc is ignored; with
	// some, another one is "Not routable".
	SMSCs map[string]string `yaml:"smscs"`
	// GetURL is called with each message of a person, with Kannel's escapes filled in. Text
	// that it answers is the reply. Default: nothing is called.
	GetURL string `yaml:"get_url"`
	Door   `yaml:",inline"`
}

var _ applications.Application = (*Kannel)(nil)

const kannelPort = 13013

// NewKannel is a Kannel with its defaults.
func NewKannel() *Kannel {
	k := &Kannel{SendSMSURL: "/cgi-bin/sendsms", Door: newDoor(kannelPort)}
	k.routes = func(mux *http.ServeMux) { k.handleForm(mux, k.SendSMSURL, k.sendSMS) }
	k.report = k.deliveryReport
	return k
}

// Validate checks users and addresses.
func (k *Kannel) Validate() error {
	errs := []error{
		checkAccounts(k.Users, "users"), checkPath(k.SendSMSURL, "sendsms_url"), checkURL(fillEscapes(k.GetURL, nil), "get_url"), k.validate(),
	}
	if !strings.HasPrefix(k.SendSMSURL, "/") {
		errs = append(errs, options.Fieldf("sendsms_url", "is %q; it begins with /", k.SendSMSURL))
	}
	return errors.Join(errs...)
}

// What dlr-mask asks for, and %d says.
const (
	dlrDelivered = 1 << iota
	dlrFailed
	dlrBuffered
	dlrAccepted
	dlrRejected
	dlrMost = 63
)

// sendSMS answers a request to send.
func (k *Kannel) sendSMS(q *http.Request) answer {
	f := kannelFields(q)
	name := cmp.Or(f.Get("username"), f.Get("user"))
	user, known := logIn(k.Users, name, cmp.Or(f.Get("password"), f.Get("pass")))
	if !known {
		return text(http.StatusForbidden, "Authorization failed for sendsms")
	}
	content, err := kannelText(f)
	if err != nil {
		return text(http.StatusBadRequest, "%v", err)
	}
	via := user.Via
	if smsc := f.Get("smsc"); smsc != "" && len(k.SMSCs) > 0 {
		if via.SendVia, known = k.SMSCs[smsc]; !known {
			return text(http.StatusForbidden, "Not routable. Do not try again.")
		}
	}
	mask, err := strconv.Atoi(cmp.Or(f.Get("dlr-mask"), f.Get("dlrmask"), "0"))
	if err != nil || mask < 0 || mask > dlrMost {
		return text(http.StatusBadRequest, "DLR-Mask field misformed, rejected")
	}
	dlrURL := cmp.Or(f.Get("dlr-url"), f.Get("dlrurl"))
	if checkURL(fillEscapes(dlrURL, nil), "") != nil {
		return text(http.StatusBadRequest, "DLR-URL field misformed, rejected")
	}
	if cmp.Or(f.Get("from"), via.From) == "" {
		return text(http.StatusBadRequest, "Sender missing and no global set, rejected")
	}
	var to, denied []string
	for each := range strings.FieldsSeq(f.Get("to")) {
		if strings.Trim(each, "0123456789+-") == "" {
			to = append(to, each)
		} else {
			denied = append(denied, each)
		}
	}
	switch {
	case len(to)+len(denied) > maxRecipients:
		return text(http.StatusBadRequest, "More than %d receivers, rejected", maxRecipients)
	case len(denied) > 0 && len(to) == 0:
		return text(http.StatusBadRequest, "Number(s) has/have been denied by white- and/or black-lists.")
	case len(to) == 0:
		return text(http.StatusBadRequest, "Missing receiver number, rejected")
	}
	for n, each := range to {
		m := via.message(name, each, f.Get("from"), content)
		var r *record
		if mask != 0 && dlrURL != "" {
			r = recordOf(m, name)
			r.URL, r.Wanted = dlrURL, mask
			r.More = map[string]string{"D": f.Get("meta-data"), "B": f.Get("binfo"), "o": f.Get("account")}
		}
		if k.send(q.Context(), m, r) != nil {
			if n > 0 { // a client that sends all again doubles what is sent
				return text(http.StatusInternalServerError, "Sending failed. Failed receivers are: %s", strings.Join(to[n:], " "))
			}
			return text(http.StatusServiceUnavailable, "Temporal failure, try again later.")
		}
	}
	switch {
	case len(denied) > 0:
		return text(http.StatusAccepted, "Sent. Denied receivers are: %s", strings.Join(denied, " "))
	case len(to) > 1:
		return text(http.StatusAccepted, "Sent.")
	}
	return text(http.StatusAccepted, "0: Accepted for delivery")
}

// kannelFields are those of the query or a form, or of a POST whose body is the text and
// whose fields are headers, X-Kannel-To and so on.
func kannelFields(q *http.Request) url.Values {
	if q.Method != http.MethodPost || len(q.PostForm) > 0 || !strings.HasPrefix(q.Header.Get("Content-Type"), "text/plain") {
		return q.Form
	}
	f := url.Values{}
	for name, values := range q.Header {
		if field, is := strings.CutPrefix(strings.ToLower(name), "x-kannel-"); is {
			f[field] = values
		}
	}
	body, _ := io.ReadAll(q.Body) // is in memory
	f.Set("text", string(body))
	return f
}

// kannelText is the text as UTF-8. Binary messages have no place in the fleet.
func kannelText(f url.Values) (string, error) {
	content, charset := f.Get("text"), f.Get("charset")
	switch coding := cmp.Or(f.Get("coding"), "0"); {
	case f.Get("udh") != "" || coding == "1":
		return "", errors.New("binary messages are not taken: udh and coding 1, rejected")
	case coding == "2" && charset == "":
		charset = "UTF-16BE"
	case coding != "0" && coding != "2":
		return "", errors.New("Coding field misformed, rejected") //nolint:staticcheck // Kannel's own words
	case charset == "":
		return content, nil
	}
	return decodeText(content, charset)
}

func decodeText(content, charset string) (string, error) {
	encoding, err := htmlindex.Get(charset)
	if strings.EqualFold(charset, "UTF-16BE") || strings.EqualFold(charset, "UCS-2") {
		encoding, err = unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), nil
	}
	if err != nil {
		return "", errors.New("Charset or body misformed, rejected") //nolint:staticcheck // Kannel's own words
	}
	return encoding.NewDecoder().String(content)
}

// deliveryReport calls dlr-url, where dlr-mask asks for such news.
func (k *Kannel) deliveryReport(e *message.Event, r *record) []*webhook.Request {
	status, words := dlrAccepted, "ACK/"
	switch {
	case e.Type == message.Nack:
		status, words = dlrRejected, "NACK/"+e.NackReason
	case e.Type == message.DeliveryReport:
		status = map[message.DeliveryStatus]int{message.Delivered: dlrDelivered, message.Failed: dlrFailed}[e.DeliveryStatus]
		status = cmp.Or(status, dlrBuffered)
		words = receiptText(e, r)
	}
	if r.Wanted&status == 0 {
		return nil
	}
	values := map[byte]string{
		'd': strconv.Itoa(status), 'A': words, 'a': words, 'b': words, 'F': r.Sent, 'I': dashed(r.ID), 'i': k.smscID(e.TransportName),
		'p': r.To, 'P': r.From, 'n': r.Account,
	}
	for escape, value := range r.More {
		values[escape[0]] = value
	}
	return []*webhook.Request{{Method: http.MethodGet, URL: fillEscapes(r.URL, kannelTimes(values, e.Timestamp))}}
}

func (k *Kannel) smscID(transport string) string {
	for _, id := range slices.Sorted(maps.Keys(k.SMSCs)) {
		if k.SMSCs[id] == transport {
			return id
		}
	}
	return transport
}

// receiptText is a delivery receipt as SMSCs write it (SMPP 3.4, appendix B).
func receiptText(e *message.Event, r *record) string {
	done := e.Timestamp.UTC().Format("0601021504")
	word, delivered := statusWord(e), 0
	if e.DeliveryStatus == message.Delivered {
		delivered = 1
	}
	return fmt.Sprintf("id:%s sub:001 dlvrd:%03d submit date:%s done date:%s stat:%s err:000 text:", cmp.Or(r.Sent, r.ID), delivered, done, done, word)
}

// statusWord is what an SMSC calls a state: its own word where the transport tells it.
func statusWord(e *message.Event) string {
	if word := e.TransportMetadata.Text("smpp_delivery_status"); word != "" {
		return word
	}
	switch {
	case e.Type == message.Nack:
		return "REJECTD"
	case e.DeliveryStatus == message.Delivered:
		return "DELIVRD"
	case e.DeliveryStatus == message.Failed:
		return "UNDELIV"
	}
	return "ACCEPTD"
}

// dashed is an ID of 32 hex digits as UUIDs are written; another one as it is.
func dashed(id string) string {
	if _, err := hex.DecodeString(id); err != nil || len(id) != 32 {
		return id
	}
	return id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
}

// kannelTimes completes what escapes stand for.
func kannelTimes(values map[byte]string, at time.Time) map[byte]string {
	values['t'] = at.UTC().Format(time.DateTime)
	values['T'] = strconv.FormatInt(at.Unix(), 10)
	values['c'], values['C'], values['m'], values['M'] = "0", "UTF-8", "-1", "-1"
	for upper, lower := range map[byte]byte{'Q': 'P', 'q': 'p'} {
		values[upper] = values[lower]
		if number, is := strings.CutPrefix(values[lower], "00"); is {
			values[upper] = "+" + number
		}
	}
	return values
}

// fillEscapes fills %-escapes in, encoded for a URL; %% is a percent sign. %k is the first
// word of %a, %s the next one, and %r those that are left. With nil values they are empty;
// escapes that Kannel does not know stay.
func fillEscapes(pattern string, values map[byte]string) string {
	words := strings.Fields(values['a'])
	next := 1
	var out strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' || i+1 == len(pattern) {
			out.WriteByte(pattern[i])
			continue
		}
		i++
		switch c := pattern[i]; c {
		case '%':
			out.WriteByte('%')
		case 'a', 'k':
			list := words
			if c == 'k' {
				list = words[:min(1, len(words))]
			}
			out.WriteString(url.QueryEscape(strings.Join(list, " ")))
		case 's':
			if next < len(words) {
				out.WriteString(url.QueryEscape(words[next]))
				next++
			}
		case 'r':
			if next < len(words) {
				out.WriteString(url.QueryEscape(strings.Join(words[next:], " ")))
			}
		case 't':
			out.WriteString(strings.ReplaceAll(values['t'], " ", "+"))
		default:
			if !strings.ContainsRune("AbBcCdDfFiImMnoOpPqQRSTuvV", rune(c)) {
				out.WriteString("%" + string(c))
				continue
			}
			out.WriteString(url.QueryEscape(values[c]))
		}
	}
	return out.String()
}

var tags = regexp.MustCompile(`<[^>]*>`)

// Receive calls get_url with a person's message.
func (k *Kannel) Receive(ctx context.Context, m *message.Message) ([]*message.Message, error) {
	if k.GetURL == "" {
		return nil, nil
	}
	values := kannelTimes(map[byte]string{
		'a': m.Content, 'A': m.Content, 'b': m.Content, 'p': m.From, 'P': m.To, 'I': dashed(m.ID), 'i': k.smscID(m.TransportName),
	}, m.Timestamp)
	got, err := k.call(ctx, &webhook.Request{Method: http.MethodGet, URL: fillEscapes(k.GetURL, values)})
	if err != nil {
		return nil, err
	}
	reply, kind := string(got.Body), got.Header.Get("Content-Type")
	switch {
	case strings.HasPrefix(kind, "text/html"):
		reply = html.UnescapeString(tags.ReplaceAllString(reply, ""))
	case kind != "" && !strings.HasPrefix(kind, "text/plain"):
		return nil, nil
	}
	if reply = strings.TrimSpace(reply); reply == "" {
		return nil, nil
	}
	return []*message.Message{m.Reply(reply)}, nil
}
