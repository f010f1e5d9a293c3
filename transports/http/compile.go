package http

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"switchboard/options"
)

// What expressions can read, by where they stand.
var (
	// requestNames are of a request: headers by their names in lower case, query
	// and form as they are, fields both together, body as its shape was read (of
	// a form fields), it and up an item and the one around it, path what the
	// path's {…} are. url is the public URL, url_path that without its query.
	requestNames = []string{
		"method", "url", "url_port", "url_path", "raw", "query", "form", "fields", "headers", "body", "it", "up", "path", "claims", "transport_name",
	}
	// messageNames are of a message that is sent; part and parts are its number
	// among the requests for one text. receipt_url is where its receipts go.
	messageNames = []string{
		"to", "from", "content", "id", "in_reply_to", "session_event", "group", "provider", "reply", "metadata",
		"part", "parts", "recipients", "callback", "transport_name",
	}
	// answerNames are of the answer to a request.
	answerNames = []string{"status", "raw", "headers", "body", "it", "up", "cursor"}
)

// channel is a description ready for use with an operator's options.
type channel struct {
	*Description
	settings scope
	routes   []*route
	polls    []*poll
	send     *send
	problems problems
}

type route struct {
	Route
	when     *pick
	checks   []*check
	messages []*messagePick
	receipts []*receiptPick
	hand     made
	taken    *pick
	answer   answer
	reply    *answer // nil where replies never are in the answer
	error    answer
	headers  pairs
}

type answer struct {
	status int
	kind   string
	body   made
}

type check struct {
	Check
	when, value, timestamp, claims *pick
	equals, with, key              made
	over                           []*pick
	active                         bool
}

type messagePick struct {
	MessagePick
	when, id, replay, messageID, from, to, text, time, group, provider, session *pick
	reference, number, total                                                    *pick
	metadata                                                                    []namedPick
}

type namedPick struct {
	key string
	*pick
}

type receiptPick struct {
	ReceiptPick
	when, id, message, status, code, detail, time, parts, replay *pick
}

type call struct {
	Call
	url                  address
	headers, query, form pairs
	json, body           made
	hasJSON              bool
}

type poll struct {
	Poll
	call     call
	cursor   *pick
	messages []*messagePick
	receipts []*receiptPick
}

type send struct {
	Send
	call                                               call
	address, ok, id, code, detail, wait, moved, refuse *pick
}

// compiler gathers what is wrong with a description.
type compiler struct {
	*language
	at   []string
	errs *[]error
}

func (c *compiler) in(keys ...string) *compiler {
	return &compiler{language: c.language, at: append(slices.Clone(c.at), keys...), errs: c.errs}
}

func (c *compiler) with(l *language, keys ...string) *compiler {
	return &compiler{language: l, at: append(slices.Clone(c.at), keys...), errs: c.errs}
}

func (c *compiler) fail(err error, key string) {
	if err == nil {
		return
	}
	if field, ok := errors.AsType[*options.FieldError](err); ok {
		err = options.Field(field.Err, slices.Concat(c.at, []string{key}, field.Keys)...)
	} else {
		err = options.Field(err, append(slices.Clone(c.at), key)...)
	}
	*c.errs = append(*c.errs, err)
}

func (c *compiler) expression(key, source string) *pick {
	p, err := c.pick(source)
	c.fail(err, key)
	return p
}

func (c *compiler) value(key string, source any) made {
	m, err := c.made(source)
	c.fail(err, key)
	return m
}

func (c *compiler) values(key string, source options.Map[string]) pairs {
	p, err := c.pairs(source)
	c.fail(err, key)
	return p
}

// compile makes a description ready. settings are the operator's options and
// secrets by name, with their defaults.
func compile(d *Description, settings scope) (*channel, error) {
	ch := &channel{Description: d, settings: settings, problems: newProblems(d)}
	var errs []error
	request := &compiler{language: newLanguage(requestNames, settings), errs: &errs}
	out := request.with(newLanguage(messageNames, settings))
	reading := request.with(newLanguage(slices.Concat(messageNames, answerNames), settings))
	for i := range d.Receive {
		ch.routes = append(ch.routes, request.in("receive", strconv.Itoa(i)).route(&d.Receive[i], out, settings))
	}
	if d.Send != nil {
		ch.send = out.in("send").send(d.Send, reading.in("send"))
	}
	for i := range d.Poll {
		ch.polls = append(ch.polls, reading.in("poll", strconv.Itoa(i)).poll(&d.Poll[i]))
	}
	return ch, errors.Join(errs...)
}

func (c *compiler) route(r *Route, out *compiler, settings scope) *route {
	made := &route{Route: *r, when: c.expression("when", r.When), taken: c.expression("taken", r.Taken), headers: c.values("headers", r.Headers)}
	path := c.value("path", r.Path)
	if text, err := path.text(settings); err == nil {
		made.Path = cmp.Or(text, "/")
	}
	if !strings.HasPrefix(made.Path, "/") {
		c.fail(fmt.Errorf("is %q and must begin with a slash", r.Path), "path")
	}
	if len(made.Methods) == 0 {
		made.Methods = options.Names{"GET", "POST"}
	}
	for i := range r.Check {
		made.checks = append(made.checks, c.in("check", strconv.Itoa(i)).check(&r.Check[i], settings))
	}
	made.messages, made.receipts = c.messages(r.Messages), c.receipts(r.Receipts)
	if r.Hand != nil {
		made.hand = c.with(out.language, "hand").value("message", r.Hand.Message)
	}
	names := append(slices.Clone(requestNames), "messages", "ids")
	made.answer = c.answer("answer", r.Answer, newLanguage(names, settings))
	if r.Reply != nil {
		reply := c.answer("reply", *r.Reply, newLanguage(slices.Concat(requestNames, messageNames), settings))
		made.reply = &reply
	}
	failed := Answer{}
	if r.Error != nil {
		failed = *r.Error
	} else {
		failed.Body = "=reason"
	}
	made.error = c.answer("error", failed, newLanguage(append(slices.Clone(requestNames), "status", "reason"), settings))
	return made
}

func (c *compiler) answer(key string, a Answer, l *language) answer {
	return answer{status: a.Status, kind: a.Type, body: c.with(l, key).value("body", a.Body)}
}

func (c *compiler) check(k *Check, settings scope) *check {
	made := &check{
		Check: *k, when: c.expression("when", k.When), value: c.expression("value", k.Value),
		timestamp: c.expression("timestamp", k.Timestamp), claims: c.expression("claims", k.Claims),
		equals: c.value("equals", k.Equals), with: c.value("with", k.With), key: c.value("key", k.Key),
	}
	for i, source := range k.Over {
		made.over = append(made.over, c.in("over").expression(strconv.Itoa(i), source))
	}
	secret := &made.key
	if k.With == "" {
		secret = &made.equals
	}
	given, err := secret.text(settings)
	made.active = err != nil || given != "" // what depends on the request counts as given
	if k.Value == "" {
		c.fail(errors.New("must say where in the request the token or signature is"), "value")
	}
	if k.With == "" && k.Equals == "" {
		c.fail(errors.New("a check needs equals, for a token, or with and key, for a signature"), "value")
	}
	return made
}

func (c *compiler) messages(list []MessagePick) (all []*messagePick) {
	for i, m := range list {
		c := c.in("messages", strconv.Itoa(i))
		one := &messagePick{
			MessagePick: m, when: c.expression("when", m.When), id: c.expression("id", m.ID), replay: c.expression("replay", m.Replay),
			messageID: c.expression("message_id", m.MessageID), from: c.expression("from", m.From), to: c.expression("to", m.To),
			text: c.expression("text", m.Text), time: c.expression("time", m.Time), group: c.expression("group", m.Group),
			provider: c.expression("provider", m.Provider), session: c.expression("session", m.Session),
		}
		if m.From == "" {
			c.fail(errors.New("is missing: a message comes from somebody"), "from")
		}
		if m.Part != nil {
			p := c.in("part")
			one.reference, one.number, one.total = p.expression("reference", m.Part.Reference), p.expression("number", m.Part.Number), p.expression("total", m.Part.Total)
		}
		for _, pair := range m.Metadata {
			one.metadata = append(one.metadata, namedPick{pair.Key, c.in("metadata").expression(pair.Key, pair.Value)})
		}
		all = append(all, one)
	}
	return all
}

func (c *compiler) receipts(list []ReceiptPick) (all []*receiptPick) {
	for i, r := range list {
		c := c.in("receipts", strconv.Itoa(i))
		one := &receiptPick{
			ReceiptPick: r, when: c.expression("when", r.When), id: c.expression("id", r.ID), message: c.expression("message", r.Message),
			status: c.expression("status", r.Status), code: c.expression("code", r.Code), detail: c.expression("detail", r.Detail),
			time: c.expression("time", r.Time), parts: c.expression("parts", r.Parts), replay: c.expression("replay", r.Replay),
		}
		if r.ID == "" && r.Message == "" {
			c.fail(errors.New("is missing: a receipt is of a message"), "id")
		}
		all = append(all, one)
	}
	return all
}

func (c *compiler) call(k Call) call {
	url, err := c.address(k.URL)
	c.fail(err, "url")
	made := call{
		Call: k, url: url, headers: c.values("headers", k.Headers), query: c.values("query", k.Query), form: c.values("form", k.Form),
		body: c.value("body", k.Body), hasJSON: k.JSON != nil,
	}
	if k.JSON != nil {
		made.json = c.value("json", k.JSON)
	}
	if made.Method == "" {
		made.Method = "POST"
	}
	return made
}

func (c *compiler) send(s *Send, r *compiler) *send {
	made := &send{Send: *s, call: c.call(s.Call)}
	if s.URL == "" && !s.Fetched {
		c.fail(errors.New("is missing"), "url")
	}
	if made.Recipients == 0 {
		made.Recipients = 1
	}
	made.address, made.ok, made.id = r.expression("address", s.Address), r.expression("ok", s.OK), r.expression("id", s.ID)
	made.code, made.detail, made.wait = r.expression("code", s.Code), r.expression("detail", s.Detail), r.expression("wait", s.Wait)
	made.moved, made.refuse = r.expression("moved", s.Moved), c.expression("refuse", s.Refuse)
	return made
}

func (c *compiler) poll(p *Poll) *poll {
	made := &poll{Poll: *p, call: c.call(p.Call), cursor: c.expression("cursor", p.Cursor)}
	if p.Method == "" {
		made.call.Method = "GET"
	}
	made.messages, made.receipts = c.messages(p.Messages), c.receipts(p.Receipts)
	return made
}

// with is s with further values.
func (s scope) with(more scope) scope {
	both := make(scope, len(s)+len(more))
	maps.Copy(both, s)
	maps.Copy(both, more)
	return both
}

// into adds to a new scope what it does not have of s, and returns it.
func (s scope) into(fresh scope) scope {
	for name, value := range s {
		if _, there := fresh[name]; !there {
			fresh[name] = value
		}
	}
	return fresh
}
