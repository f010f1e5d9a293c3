package doors

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"switchboard/applications"
	"switchboard/applications/webhook"
	"switchboard/message"
	"switchboard/options"
)

// Junebug answers as Junebug's API does: messages are posted to channels, event_url is told
// of each, and a channel's mo_url gets what people send. Channels are those of the file.
type Junebug struct {
	// Channels are the channels, by their IDs.
	Channels map[string]JunebugChannel `yaml:"channels"`
	// WebPath is what all paths begin with.
	WebPath string `yaml:"web_path"`
	// InboundMessageTTL is how long a message can be replied to by its ID.
	InboundMessageTTL options.Duration `yaml:"inbound_message_ttl"`
	// AllowExpiredReplies sends a reply to what cannot be found to its `to`.
	AllowExpiredReplies bool `yaml:"allow_expired_replies"`
	Login               `yaml:",inline"`
	Door                `yaml:",inline"`
}

// JunebugChannel is a transport as clients see it.
type JunebugChannel struct {
	// Type and label are what clients are shown.
	Type string `yaml:"type"`
	// Label is what clients are shown.
	Label string `yaml:"label"`
	// Transport is the transport; default the channel's ID.
	Transport string `yaml:"transport"`
	// MOURL gets each message of a person. Default: nothing is called.
	MOURL string `yaml:"mo_url"`
	// MOURLAuthToken is sent along, as `Authorization: Token …`.
	MOURLAuthToken options.Secret `yaml:"mo_url_auth_token"`
	// CharacterLimit is what clients are shown.
	CharacterLimit int `yaml:"character_limit"`
}

var (
	_ applications.Application  = (*Junebug)(nil)
	_ applications.SessionEnder = (*Junebug)(nil)
)

const junebugPort = 8080

// NewJunebug is a Junebug with its defaults.
func NewJunebug() *Junebug {
	j := &Junebug{InboundMessageTTL: options.Duration(10 * time.Minute), Door: newDoor(junebugPort)}
	j.routes = func(mux *http.ServeMux) {
		path := strings.TrimSuffix("/"+strings.Trim(j.WebPath, "/"), "/")
		for pattern, do := range map[string]func(*http.Request) answer{
			"GET %/health": j.health, "GET %/channels/{$}": j.list, "GET %/channels/{channel}": j.channel,
			"POST %/channels/{channel}/messages/{$}": j.post, "GET %/channels/{channel}/messages/{message}": j.status,
			"%/": func(q *http.Request) answer {
				return junebugError(http.StatusNotFound, "not found", "NotFound", q.Method+" "+q.URL.Path+" is not here: channels are made in the fleet's files")
			},
		} {
			j.handle(mux, strings.Replace(pattern, "%", path, 1), func(q *http.Request) answer {
				if !j.admits(q) {
					return junebugError(http.StatusUnauthorized, "unauthorized", "Unauthorized", "Log in with web_username and web_password")
				}
				return do(q)
			})
		}
	}
	j.report = j.event
	return j
}

// Validate checks the channels.
func (j *Junebug) Validate() error {
	errs := []error{j.validate(), j.checkLogin(), checkPath(j.WebPath, "web_path")}
	if len(j.Channels) == 0 {
		errs = append(errs, options.Fieldf("channels", "is missing; write an ID and a transport for each"))
	}
	for id, channel := range j.Channels {
		errs = append(errs, options.Under(checkURL(channel.MOURL, "mo_url"), "channels", id))
	}
	if j.InboundMessageTTL <= 0 {
		errs = append(errs, options.Fieldf("inbound_message_ttl", "must be above 0"))
	}
	return errors.Join(errs...)
}

func junebugAnswer(status int, description string, result any) answer {
	return jsonAnswer(status, map[string]any{"status": status, "code": http.StatusText(status), "description": description, "result": result})
}

func junebugError(status int, description, kind, text string) answer {
	return junebugAnswer(status, description, map[string]any{"errors": []any{map[string]any{"type": kind, "message": text}}})
}

func (j *Junebug) health(*http.Request) answer {
	return junebugAnswer(http.StatusOK, "health ok", map[string]any{})
}

func (j *Junebug) list(*http.Request) answer {
	return junebugAnswer(http.StatusOK, "channels listed", slices.Sorted(maps.Keys(j.Channels)))
}

func (j *Junebug) channel(q *http.Request) answer {
	id := q.PathValue("channel")
	channel, known := j.Channels[id]
	if !known {
		return noChannel(id)
	}
	moURL, _, _ := splitLogin(channel.MOURL)
	return junebugAnswer(http.StatusOK, "channel found", map[string]any{
		"id": id, "type": channel.Type, "label": channel.Label, "mo_url": moURL, "character_limit": channel.CharacterLimit,
		"config": map[string]any{}, "metadata": map[string]any{}, "status": map[string]any{},
	})
}

func noChannel(id string) answer {
	return junebugError(http.StatusNotFound, "channel not found", "ChannelNotFound", "Channel "+id+" not found")
}

func (j *Junebug) transport(id string) string {
	if name := j.Channels[id].Transport; name != "" {
		return name
	}
	return id
}

func (j *Junebug) channelOf(transport string) string {
	for _, id := range slices.Sorted(maps.Keys(j.Channels)) {
		if j.transport(id) == transport {
			return id
		}
	}
	return ""
}

// junebugMessage is what clients post.
type junebugMessage struct {
	To       string         `json:"to"`
	From     string         `json:"from"`
	Group    string         `json:"group"`
	ReplyTo  string         `json:"reply_to"`
	Content  string         `json:"content"`
	EventURL string         `json:"event_url"`
	Token    string         `json:"event_auth_token"`
	Priority string         `json:"priority"`
	Data     message.Object `json:"channel_data"`
}

// post sends a message.
func (j *Junebug) post(q *http.Request) answer {
	id := q.PathValue("channel")
	if _, known := j.Channels[id]; !known {
		return noChannel(id)
	}
	body, _ := io.ReadAll(q.Body) // is in memory
	if !json.Valid(body) {
		return junebugError(http.StatusBadRequest, "json decode error", "JsonDecodeError", "No JSON object could be decoded")
	}
	var wanted junebugMessage
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&wanted)
	switch {
	case err != nil:
		return junebugError(http.StatusBadRequest, "api usage error", "invalid_body", err.Error())
	case !strings.Contains(string(body), `"content"`):
		return junebugError(http.StatusBadRequest, "api usage error", "invalid_body", "'content' is a required property")
	case wanted.To == "" && wanted.ReplyTo == "":
		return junebugError(http.StatusBadRequest, "api usage error", "ApiUsageError", `Either "to" or "reply_to" must be specified`)
	case checkURL(wanted.EventURL, "") != nil:
		return junebugError(http.StatusBadRequest, "api usage error", "invalid_body", "'event_url' is no URL")
	}
	m, refused := j.messageOf(q.Context(), id, &wanted)
	if m == nil {
		return refused
	}
	data := wanted.Data
	switch s := message.SessionEvent(data.Text("session_event")); s {
	case "", message.SessionNew, message.SessionResume, message.SessionClose:
		m.SessionEvent = s
	default:
		return junebugError(http.StatusBadRequest, "api usage error", "invalid_body", "'session_event' is none of new, resume and close")
	}
	data.Delete("session_event")
	for _, key := range data.Keys() {
		m.HelperMetadata.Set(key, json.RawMessage(data.Raw(key)))
	}
	r := recordOf(m, id)
	r.URL = wanted.EventURL
	r.More = map[string]string{"token": wanted.Token}
	if j.send(q.Context(), m, r) != nil {
		return junebugError(http.StatusInternalServerError, "generic error", "Unavailable", "The message was not taken; send it again")
	}
	return junebugAnswer(http.StatusCreated, "message submitted", api(id, m))
}

func (j *Junebug) messageOf(ctx context.Context, channel string, wanted *junebugMessage) (*message.Message, answer) {
	if wanted.ReplyTo != "" {
		original, err := j.kept(ctx, wanted.ReplyTo)
		switch {
		case err != nil:
			return nil, junebugError(http.StatusInternalServerError, "generic error", "Unavailable", "The original message could not be read; try again")
		case original != nil && original.TransportName == j.transport(channel):
			return original.Reply(wanted.Content), answer{}
		case !j.AllowExpiredReplies || wanted.To == "":
			return nil, junebugError(http.StatusNotFound, "message not found", "MessageNotFound", "Inbound message with id "+wanted.ReplyTo+" not found")
		}
	}
	m := Via{SendVia: j.transport(channel)}.message(channel, wanted.To, wanted.From, wanted.Content)
	m.Group = wanted.Group
	return m, answer{}
}

// api is a message as Junebug writes it.
func api(channel string, m *message.Message) map[string]any {
	data := m.HelperMetadata
	data.Delete(accountKey)
	if m.SessionEvent != "" {
		data.Set("session_event", string(m.SessionEvent))
	}
	nullable := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	return map[string]any{
		"to": nullable(m.To), "from": nullable(m.From), "group": nullable(m.Group), "message_id": m.ID, "channel_id": channel,
		"timestamp": message.FormatTime(m.Timestamp), "reply_to": nullable(m.InReplyTo), "content": nullable(m.Content), "channel_data": data,
	}
}

// junebugEvent is what became of a message.
type junebugEvent struct {
	Channel   string            `json:"channel_id"`
	Timestamp string            `json:"timestamp"`
	MessageID string            `json:"message_id"`
	Type      string            `json:"event_type"`
	Details   map[string]string `json:"event_details"`
}

// maxEvents bounds how many events of a message are remembered.
const maxEvents = 10

func (r *record) events() (list []junebugEvent) {
	_ = json.Unmarshal([]byte(r.More["events"]), &list) // written by event
	return list
}

// event tells event_url what became of a message.
func (j *Junebug) event(e *message.Event, r *record) []*webhook.Request {
	news := junebugEvent{r.Account, message.FormatTime(e.Timestamp), r.ID, "submitted", map[string]string{}}
	switch {
	case e.Type == message.Nack:
		news.Type, news.Details["reason"] = "rejected", e.NackReason
	case e.Type == message.DeliveryReport:
		news.Type = map[message.DeliveryStatus]string{
			message.Pending: "delivery_pending", message.Failed: "delivery_failed", message.Delivered: "delivery_succeeded",
		}[e.DeliveryStatus]
	}
	if list := r.events(); len(list) < maxEvents {
		text, _ := json.Marshal(append(list, news)) // of texts
		r.More["events"] = string(text)
	}
	if r.URL == "" {
		return nil
	}
	body, _ := json.Marshal(news) // of texts
	return []*webhook.Request{tokenCall(r.URL, r.More["token"], body)}
}

// tokenCall posts JSON, with a token, or with the name and password of the URL.
func tokenCall(address, token string, body []byte) *webhook.Request {
	address, name, password := splitLogin(address)
	r := jsonCall(http.MethodPost, address, name, options.Secret(password), body)
	if token != "" {
		r.Header.Set("Authorization", "Token "+token)
	}
	return r
}

// splitLogin takes the name and password out of a URL.
func splitLogin(address string) (plain, name, password string) {
	u, err := url.Parse(address)
	if err != nil || u.User == nil {
		return address, "", ""
	}
	name = u.User.Username()
	password, _ = u.User.Password()
	u.User = nil
	return u.String(), name, password
}

// status answers with what became of a message.
func (j *Junebug) status(q *http.Request) answer {
	id := q.PathValue("message")
	r, err := j.recall(q.Context(), id)
	if err != nil {
		return junebugError(http.StatusInternalServerError, "generic error", "Unavailable", "The message could not be read; try again")
	}
	list := []junebugEvent{}
	if r != nil && r.Account == q.PathValue("channel") {
		list = append(list, r.events()...)
	}
	result := map[string]any{"id": id, "last_event_type": nil, "last_event_timestamp": nil, "events": list}
	if len(list) > 0 {
		last := list[len(list)-1]
		result["last_event_type"], result["last_event_timestamp"] = last.Type, last.Timestamp
	}
	return junebugAnswer(http.StatusOK, "message status", result)
}

// Receive posts a person's message to its channel's mo_url.
func (j *Junebug) Receive(ctx context.Context, m *message.Message) ([]*message.Message, error) {
	return nil, j.EndSession(ctx, m)
}

// EndSession posts a person's message to its channel's mo_url.
func (j *Junebug) EndSession(ctx context.Context, m *message.Message) error {
	id := j.channelOf(m.TransportName)
	channel, known := j.Channels[id]
	if !known {
		return message.Permanent(errors.New("no channel has the transport " + m.TransportName))
	}
	if err := j.keep(ctx, m, j.InboundMessageTTL.Std()); err != nil || channel.MOURL == "" {
		return err
	}
	body, err := json.Marshal(api(id, m))
	if err != nil {
		return message.Permanent(err)
	}
	_, err = j.call(ctx, tokenCall(channel.MOURL, channel.MOURLAuthToken.Reveal(), body))
	return err
}
