package http

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"switchboard/message"
	"switchboard/store"
	"switchboard/transports"
)

// outcome is what a provider's answer means for one message.
type outcome struct {
	Class  Class
	IDs    []string
	Reason string
	Wait   time.Duration // asked for; 0 where nothing is
	Moved  string        // the person's new address
}

// Send sends a message, in as many requests as its length takes, and returns the
// provider's first id of it. It waits while the line rests.
func (t *Transport) Send(ctx context.Context, m *message.Message) (providerID string, err error) {
	result := t.SendMany(ctx, []*message.Message{m})[0]
	return result.ProviderID, result.Err
}

var errNoSend = errors.New("this channel only receives: its description has no send")

// SendMany sends one text to several people.
func (t *Transport) SendMany(ctx context.Context, messages []*message.Message) []transports.Result {
	results := make([]transports.Result, len(messages))
	fail := func(err error) []transports.Result {
		for i := range results {
			results[i].Err = err
		}
		return results
	}
	r, err := t.running(ctx)
	if err != nil {
		return fail(err)
	}
	r.sends.RLock()
	defer r.sends.RUnlock()
	switch {
	case len(messages) == 1 && r.replies.give(ctx, messages[0]):
		return results
	case r.channel.send == nil:
		return fail(message.Permanent(errNoSend))
	case r.channel.send.Fetched:
		err := r.expect(ctx, []*sending{{Message: messages[0]}}, 1, 1)
		if err == nil {
			err = r.shelf.put(ctx, messages[0])
		}
		return fail(err)
	}
	return r.sendAll(ctx, messages)
}

// SendAgain is Send for a message that was in flight before.
func (t *Transport) SendAgain(ctx context.Context, m *message.Message) (providerID string, err error) {
	r, err := t.running(ctx)
	if err != nil {
		return "", err
	}
	if waiting, err := r.unknownSince(ctx, m); waiting || err != nil {
		return "", err
	}
	return t.Send(ctx, m)
}

// split cuts a text into parts of at most limit characters, behind a blank where
// one is near the end.
func split(text string, limit int) []string {
	runes := []rune(text)
	if limit <= 0 || len(runes) <= limit {
		return []string{text}
	}
	var parts []string
	for len(runes) > limit {
		cut := limit
		for i := limit; i > limit-limit/4; i-- {
			if unicode.IsSpace(runes[i-1]) {
				cut = i
				break
			}
		}
		parts, runes = append(parts, string(runes[:cut])), runes[cut:]
	}
	if len(runes) > 0 {
		parts = append(parts, string(runes))
	}
	return parts
}

// sendAll sends the parts of a text one after the other to all recipients.
func (r *run) sendAll(ctx context.Context, messages []*message.Message) []transports.Result {
	results := make([]transports.Result, len(messages))
	texts := split(messages[0].Content, r.channel.send.MaxLength)
	left := make([]*sending, len(messages))
	for i, m := range messages {
		left[i] = &sending{Message: m, to: m.To, result: &results[i]}
	}
	for n, text := range texts {
		if left = r.sendPart(ctx, left, text, n+1, len(texts)); len(left) == 0 {
			break
		}
	}
	return results
}

// sending is a message on its way.
type sending struct {
	*message.Message
	to     string
	moves  int
	sent   []string // the provider's ids of the parts so far
	looked bool
	result *transports.Result
}

// maxMoves bounds how often a person's address may move.
const maxMoves = 2

// sendPart sends one part, and returns the messages whose next part may go.
func (r *run) sendPart(ctx context.Context, messages []*sending, text string, part, parts int) (on []*sending) {
	for _, s := range messages {
		if done, err := r.sentBefore(ctx, s, part, parts); err != nil {
			s.result.Err = err
		} else if done {
			on = append(on, s)
		}
	}
	left := make([]*sending, 0, len(messages))
	for _, s := range messages {
		if s.result.Err == nil && len(s.sent) < part {
			left = append(left, s)
		}
	}
	if err := r.expect(ctx, left, part, parts); err != nil {
		for _, s := range left {
			s.result.Err = err
		}
		return on
	}
	for len(left) > 0 {
		outcomes, err := r.takeTurn(ctx, func() []outcome { return r.exchange(ctx, left, text, part, parts) })
		if err != nil {
			for _, s := range left {
				s.result.Err = err
			}
			return on
		}
		var again []*sending
		for i, s := range left {
			switch o := &outcomes[i]; {
			case o.Moved != "" && s.moves < maxMoves:
				s.to, s.moves = o.Moved, s.moves+1
				again = append(again, s)
			case o.Class == Throttled || o.Class == Alert:
				again = append(again, s)
			default:
				s.result.Err = r.settle(ctx, s, o, part, parts)
				if s.result.Err == nil {
					on = append(on, s)
				}
			}
		}
		left = again
	}
	return on
}

// takeTurn makes a request when fewer than max_in_flight are under way and the line
// takes one.
func (r *run) takeTurn(ctx context.Context, exchange func() []outcome) ([]outcome, error) {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-r.transport.env.Stopping:
		return nil, context.Canceled
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err := r.line.enter(ctx); err != nil {
		return nil, err
	}
	return exchange(), nil
}

// sentBefore says whether an earlier try sent this part.
func (r *run) sentBefore(ctx context.Context, s *sending, part, parts int) (bool, error) {
	if parts > 1 && !s.looked {
		s.looked = true
		key := "did/" + attemptID(s.Message)
		found, err := r.memory.state.Get(ctx, key)
		if err != nil {
			return false, err
		}
		if value, there := found[key]; there {
			_ = json.Unmarshal([]byte(value), &s.sent) // ours
			if len(s.sent) > 0 {
				s.result.ProviderID = s.sent[0]
			}
		}
	}
	return len(s.sent) >= part, nil
}

// settle makes an outcome the message's result, and remembers what was sent.
func (r *run) settle(ctx context.Context, s *sending, o *outcome, part, parts int) error {
	r.metrics.sent(r.transport.TransportName, o.Class)
	keep := context.WithoutCancel(ctx) // what the provider has must be remembered also when there is no time
	switch o.Class {
	case Sent, Pending:
		if err := r.remember(keep, s, o, part, parts); err != nil {
			r.logger.Warn("remembering a message that was sent failed; its receipts may find no way back", "message_id", s.ID, "error", err)
		}
		return nil
	case Blocked:
		r.optOut(keep, s.To)
		return message.Reject("blocked: " + o.Reason)
	case Permanent:
		return message.Permanent(errors.New(o.Reason))
	case Unknown:
		return r.unknown(keep, s.Message, o.Reason)
	}
	err := errors.New(o.Reason)
	if o.Wait > 0 {
		return message.RetryAfter(o.Wait, err)
	}
	return err
}

// remember stores what finds the receipts' way back.
func (r *run) remember(ctx context.Context, s *sending, o *outcome, part, parts int) error {
	ids := o.IDs
	several := max(parts, len(ids))
	var failed error
	for i, id := range ids {
		n := part
		if len(ids) > 1 {
			n = i + 1
		}
		failed = errors.Join(failed, r.memory.remember(ctx, id, remembered(s.Message, n, several), r.report))
	}
	id := ""
	if len(ids) > 0 {
		id = ids[0]
	}
	if s.sent = append(s.sent, id); part == 1 {
		s.result.ProviderID = id
	}
	if parts == 1 {
		return failed
	}
	value, _ := json.Marshal(s.sent) // texts: cannot fail
	did := store.Entry{Key: "did/" + attemptID(s.Message), Value: string(value), TTL: r.transport.ThirdPartyIDExpiry.Std()}
	return errors.Join(failed, r.memory.state.Set(ctx, did))
}

var errUnknown = errors.New("it is unknown whether the provider has the message")

// unknown does what unknown_policy says of a request without an answer.
func (r *run) unknown(ctx context.Context, m *message.Message, reason string) error {
	err := fmt.Errorf("%w: %s", errUnknown, reason)
	switch r.transport.UnknownPolicy {
	case transports.UnknownFail:
		return message.Permanent(err)
	case transports.UnknownResend:
		return err
	}
	wait := r.transport.UnknownWait.Std()
	since := store.Entry{Key: "unk/" + attemptID(m), Value: strconv.FormatInt(time.Now().Unix(), 10), TTL: r.transport.ThirdPartyIDExpiry.Std()}
	if failed := r.memory.state.Set(ctx, since); failed != nil {
		return failed
	}
	return message.RetryAfter(wait, err)
}

// unknownSince says whether a message that was in flight before is not to be sent
// now: err is then its outcome, nil when a receipt has proved that it was sent.
func (r *run) unknownSince(ctx context.Context, m *message.Message) (waiting bool, err error) {
	if r.transport.UnknownPolicy != transports.UnknownWait || r.channel.send == nil {
		return false, nil
	}
	id := attemptID(m)
	since := "unk/" + id
	found, err := r.memory.state.Get(ctx, since)
	if err != nil || found[since] == "" {
		return false, err
	}
	receipts, err := r.memory.state.Range(ctx, "rc/m/"+id+"/", "rc/m/"+id+"0", maxReceipts)
	if err != nil {
		return true, err
	}
	if len(split(m.Content, r.channel.send.MaxLength)) > 1 {
		if proved, err := r.provePart(ctx, id, since, receipts); proved || err != nil {
			return err != nil, err // its other parts are to be sent
		}
	} else if len(receipts) > 0 {
		return true, nil
	}
	began, _ := strconv.ParseInt(found[since], 10, 64)
	if left := r.transport.UnknownWait.Std() - time.Since(time.Unix(began, 0)); left > time.Second {
		return true, message.RetryAfter(left, errUnknown)
	}
	return true, message.Permanent(fmt.Errorf("%w: there was no receipt within %s", errUnknown, r.transport.UnknownWait.Std()))
}

// maxReceipts bounds the receipts of a message that are looked at.
const maxReceipts = 4 * maxParts

// provePart says whether a receipt proves that the part was sent whose request had no
// answer: it has an id that none of the other parts has. The part counts as sent then.
func (r *run) provePart(ctx context.Context, id, since string, receipts []store.Entry) (bool, error) {
	var others []string
	did := "did/" + id
	found, err := r.memory.state.Get(ctx, did)
	if err != nil {
		return false, err
	}
	_ = json.Unmarshal([]byte(found[did]), &others) // ours, or not there
	for _, one := range receipts {
		if one.Value == "" || slices.Contains(others, one.Value) {
			continue
		}
		value, _ := json.Marshal(append(others, one.Value)) // texts: cannot fail
		sent := store.Entry{Key: did, Value: string(value), TTL: r.transport.ThirdPartyIDExpiry.Std()}
		return true, errors.Join(r.memory.state.Set(ctx, sent), r.memory.state.Delete(ctx, since))
	}
	return false, nil
}

// scopeOf is what expressions know of a message that is sent.
func (r *run) scopeOf(s *sending, text string, part, parts int) scope {
	m := s.Message
	var metadata any
	if m.TransportMetadata.Len() > 0 {
		metadata, _ = parseJSON(m.TransportMetadata.String()) // nil where it is nested too deep
	}
	return r.channel.settings.into(scope{
		"to": s.to, "from": m.From, "content": text, "id": attemptID(m), "in_reply_to": m.InReplyTo, "session_event": string(m.SessionEvent),
		"group": m.Group, "provider": m.Provider, "reply": at(metadata, "external_id"), "metadata": metadata,
		"part": part, "parts": parts, "callback": r.callback(),
	})
}

// callback is the public URL that receipts go to, nil while there is no public_url.
func (r *run) callback() any {
	if r.transport.PublicURL == "" {
		return nil
	}
	for _, route := range r.channel.routes {
		if len(route.receipts) > 0 {
			return below(r.transport.PublicURL, strings.TrimSuffix(route.Path, "/"))
		}
	}
	return nil
}

// exchange makes one request for a part of several people's messages, and tells the
// line and the log.
func (r *run) exchange(ctx context.Context, messages []*sending, text string, part, parts int) []outcome {
	a, outcomes := r.ask(ctx, messages, text, part, parts)
	worst := outcomes[0]
	for _, o := range outcomes {
		if o.Class == Throttled || o.Class == Alert {
			worst = o
		}
	}
	r.line.leave(worst.Class, worst.Wait, worst.Reason)
	r.log.sent(messages, a, outcomes)
	return outcomes
}

// ask makes one request, and says what its answer means for each message.
func (r *run) ask(ctx context.Context, messages []*sending, text string, part, parts int) (*exchanged, []outcome) {
	people, addresses := make([]scope, len(messages)), make([]any, len(messages))
	for i, m := range messages {
		people[i], addresses[i] = r.scopeOf(m, text, part, parts), m.to
	}
	s := people[0]
	s["recipients"], s[recipientsKey] = addresses, people
	if why, err := r.channel.send.refuse.text(s); why != "" || err != nil {
		a := &exchanged{at: time.Now(), err: errors.New(cmp.Or(why, fmt.Sprint(err))), mistaken: true}
		return a, r.understand(messages, s, a)
	}
	a := r.call(ctx, &r.channel.send.call, s)
	return a, r.understand(messages, s, a)
}

func same(n int, o outcome) []outcome {
	all := make([]outcome, n)
	for i := range all {
		all[i] = o
	}
	return all
}

// expect remembers messages before they are sent, where receipts bring our own
// identifier: they may come before the answer.
func (r *run) expect(ctx context.Context, messages []*sending, part, parts int) error {
	if !r.channel.bringsOurID() || part > 1 || len(messages) == 0 {
		return nil
	}
	entries := make([]store.Entry, len(messages))
	for i, m := range messages {
		entries[i] = remembered(m.Message, 0, parts).entry("m/"+attemptID(m.Message), r.transport.ThirdPartyIDExpiry.Std())
	}
	return r.memory.state.Set(ctx, entries...)
}

func (ch *channel) bringsOurID() bool {
	for _, route := range ch.routes {
		for _, p := range route.receipts {
			if p.message != nil {
				return true
			}
		}
	}
	for _, p := range ch.polls {
		for _, p := range p.receipts {
			if p.message != nil {
				return true
			}
		}
	}
	return false
}

// exchanged is a request and its answer.
type exchanged struct {
	request  *nethttp.Request
	body     []byte // of the request
	at       time.Time
	took     time.Duration
	status   int
	header   nethttp.Header
	raw      string
	err      error // there is no answer
	wentOut  bool  // the request was written
	mistaken bool  // the request could not be made
}

// call makes a request.
func (r *run) call(ctx context.Context, c *call, s scope) *exchanged {
	a := &exchanged{at: time.Now()}
	var wrote atomic.Bool
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(i httptrace.WroteRequestInfo) { wrote.Store(i.Err == nil) },
	})
	request, body, err := c.request(ctx, s)
	if err != nil {
		a.err, a.mistaken = err, true
		return a
	}
	a.request, a.body = request, body
	response, err := r.client.Do(request)
	if err == nil {
		a.status, a.header = response.StatusCode, response.Header
		a.raw, err = readBody(response.Header, response.Body)
		_ = response.Body.Close()
	}
	a.took, a.err, a.wentOut = time.Since(a.at), err, wrote.Load()
	return a
}

// request makes the HTTP request of a call, with its body.
func (c *call) request(ctx context.Context, s scope) (request *nethttp.Request, body []byte, err error) {
	address, err := c.url.of(s)
	if err != nil {
		return nil, nil, fmt.Errorf("making the URL: %w", err)
	}
	query, form := url.Values{}, url.Values{}
	if err := errors.Join(c.query.each(s, query.Add), c.form.each(s, form.Add)); err != nil {
		return nil, nil, fmt.Errorf("making the request: %w", err)
	}
	if len(query) > 0 {
		mark := "?"
		if strings.Contains(address, "?") {
			mark = "&"
		}
		address += mark + query.Encode()
	}
	kind := c.Type
	switch {
	case c.hasJSON:
		value, err := c.json.of(s)
		if err != nil {
			return nil, nil, fmt.Errorf("making the request: %w", err)
		}
		var out bytes.Buffer
		encoder := json.NewEncoder(&out)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(value); err != nil {
			return nil, nil, fmt.Errorf("making the request: %w", err)
		}
		body, kind = bytes.TrimSuffix(out.Bytes(), []byte("\n")), "application/json"
	case len(c.form) > 0:
		body, kind = []byte(form.Encode()), "application/x-www-form-urlencoded"
	case !c.body.isEmpty():
		text, err := c.body.text(s)
		if err != nil {
			return nil, nil, fmt.Errorf("making the request: %w", err)
		}
		body = []byte(text)
	}
	// A body that cannot be read twice keeps net/http from sending a request again.
	request, err = nethttp.NewRequestWithContext(ctx, c.Method, address, io.NopCloser(bytes.NewReader(body)))
	if err != nil {
		return nil, nil, fmt.Errorf("making the request: %w", err)
	}
	request.ContentLength = int64(len(body))
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	request.Header.Set("User-Agent", "switchboard")
	return request, body, c.headers.each(s, request.Header.Set)
}

// understand says what an answer means for each message.
func (r *run) understand(messages []*sending, s scope, a *exchanged) []outcome {
	switch {
	case a.mistaken:
		return same(len(messages), outcome{Class: Permanent, Reason: r.transport.mask.text(a.err.Error())})
	case a.err != nil && a.wentOut:
		return same(len(messages), outcome{Class: Unknown, Reason: r.transport.mask.text(a.err.Error())})
	case a.err != nil:
		r.unreachable(a.err)
		return same(len(messages), outcome{Class: Temporary, Reason: r.transport.mask.text(a.err.Error())})
	}
	r.reachable()
	answer := r.answerScope(s, &r.channel.send.call, a)
	if r.channel.send.Each == "" {
		return same(len(messages), r.classify(answer, a))
	}
	return r.each(messages, answer, a)
}

// answerScope adds to s what expressions know of an answer.
func (r *run) answerScope(s scope, c *call, a *exchanged) scope {
	shape := c.Read
	if shape == "" {
		shape = shapeOf(a.header.Get("Content-Type"))
	}
	body, err := parse(shape, a.raw)
	if err != nil {
		body = nil // an error page in place of JSON: the status says enough
	}
	s["status"], s["raw"], s["headers"], s["body"], s["it"], s["up"] = a.status, a.raw, lowered(a.header), body, body, body
	return s
}

func lowered(header nethttp.Header) map[string]any {
	all := make(map[string]any, len(header))
	for name, values := range header {
		all[strings.ToLower(name)] = strings.Join(values, ",")
	}
	return all
}

// each reads an answer with several results: one for each person, or, where there
// is one person, for each part that the provider made of the text.
func (r *run) each(messages []*sending, answer scope, a *exchanged) []outcome {
	var found []outcome
	var addresses []string
	err := items(answer["body"], r.channel.send.Each, func(it, up any) error {
		s := answer.with(scope{"it": it, "up": up})
		found = append(found, r.classify(s, a))
		address, err := r.channel.send.address.text(s)
		addresses = append(addresses, digitsOr(address))
		return err
	})
	switch {
	case err != nil || len(found) == 0:
		return same(len(messages), r.classify(answer, a))
	case len(messages) == 1:
		return []outcome{join(found)}
	}
	outcomes := same(len(messages), outcome{Class: Unknown, Reason: "the provider's answer has no result for this person"})
	for i, m := range messages {
		for n := range found {
			if addresses[n] == digitsOr(m.to) || r.channel.send.address == nil && n == i {
				outcomes[i] = found[n]
			}
		}
	}
	return outcomes
}

func digitsOr(address string) string {
	if n := international(address); n != "" {
		return n
	}
	return address
}

// join is the outcome of a message whose parts have these: the first that is no
// success, and every id.
func join(parts []outcome) outcome {
	whole := parts[0]
	for _, p := range parts[1:] {
		whole.IDs = append(whole.IDs, p.IDs...)
		if whole.Class == Sent || whole.Class == Pending {
			whole.Class, whole.Reason, whole.Wait = p.Class, p.Reason, p.Wait
		}
	}
	return whole
}

// classify reads one result.
func (r *run) classify(s scope, a *exchanged) outcome {
	spec := r.channel.send
	ok := a.status >= 200 && a.status < 300
	var err error
	if spec.ok != nil {
		ok, err = spec.ok.holds(s)
	}
	if err != nil {
		return outcome{Class: Unknown, Reason: "the provider's answer is not what the description expects: " + err.Error()}
	}
	code, _ := spec.code.text(s) // an answer without a code has the status
	detail, _ := spec.detail.text(s)
	if ok {
		o := outcome{Class: Sent}
		id, err := spec.id.of(s)
		if err != nil {
			return outcome{Class: Unknown, Reason: "the provider's answer is not what the description expects: " + err.Error()}
		}
		for _, one := range asList(id) {
			if text := asText(one); text != "" {
				o.IDs = append(o.IDs, text)
			}
		}
		return o
	}
	problem := r.channel.problems.of(code, a.status)
	o := outcome{Class: problem.Class, Reason: r.transport.mask.text(problem.Sentence(codeOr(code, a.status), detail)), Wait: r.wait(s, a)}
	if o.Class == Sent || o.Class == Pending {
		return outcome{Class: o.Class}
	}
	o.Moved, _ = spec.moved.text(s)
	return o
}

func codeOr(code string, status int) string {
	if code != "" {
		return code
	}
	return "HTTP " + strconv.Itoa(status)
}

func asList(value any) []any {
	if list, is := value.([]any); is {
		return list
	}
	return []any{value}
}

// wait is how long the provider asks to wait.
func (r *run) wait(s scope, a *exchanged) time.Duration {
	asked, err := r.channel.send.wait.text(s)
	if err != nil || asked == "" {
		asked = a.header.Get("Retry-After")
	}
	if seconds, err := strconv.ParseFloat(strings.TrimSpace(asked), 64); err == nil && seconds > 0 {
		return min(time.Duration(seconds*float64(time.Second)), longestWait)
	}
	if at, err := nethttp.ParseTime(asked); err == nil {
		return min(max(time.Until(at), 0), longestWait)
	}
	return 0
}
