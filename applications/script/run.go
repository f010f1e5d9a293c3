package script

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/dop251/goja"

	"switchboard/applications/conversation"
	"switchboard/internal/webclient"
	"switchboard/message"
	"switchboard/store"
)

// run is a script at work on one message. Each message has a machine of its own,
// so that nothing but what is stored goes from one to the next.
type run struct {
	app     *Application
	ctx     context.Context
	message *message.Message
	vm      *goja.Runtime
	outputs []conversation.Output
	calls   int
	written map[string]*string // by key; nil is deleted
	failure error              // of the store: the message is tried again
	closes  bool
}

// maxStack bounds how deep functions call each other.
const maxStack = 500

// errStopped is why a script was stopped.
type errStopped struct{ why string }

func (e errStopped) Error() string { return e.why }

// do runs the script, and returns what it sends and stores. What is wrong with the
// script is permanent; the network's and the store's failures are not.
func (r *run) do(ctx context.Context) ([]conversation.Output, []store.Entry, error) {
	ctx, cancel := context.WithTimeout(ctx, r.app.Timeout.Std())
	defer cancel()
	r.ctx, r.vm = ctx, goja.New()
	r.vm.SetMaxCallStackSize(maxStack)
	r.vm.SetTimeSource(r.app.now)
	stop := watch(ctx, r.vm, r.app.MaxMemory)
	err := r.call()
	if err != nil {
		err = message.Permanent(r.explain(err)) // which may run the script's toString
	}
	stop()
	if r.failure != nil {
		return nil, nil, r.failure
	}
	if err != nil {
		return nil, nil, err
	}
	return r.outputs, r.entries(), nil
}

func (r *run) call() error {
	if err := r.furnish(); err != nil {
		return err
	}
	if _, err := r.vm.RunProgram(r.app.program); err != nil {
		return err
	}
	name := "onMessage"
	if r.closes {
		name = "onClose"
	}
	function, is := goja.AssertFunction(r.vm.Get(name))
	if !is && r.closes {
		return nil
	}
	if !is {
		return errors.New("the script has no function onMessage(message)")
	}
	said, err := function(goja.Undefined(), r.vm.ToValue(r.seen()))
	if err != nil {
		return err
	}
	if text, is := said.(goja.String); is && !r.closes { // a text that is returned is a reply
		if text.Length() > maxText {
			return errStopped{fmt.Sprintf("it returned a text of more than %d characters", maxText)}
		}
		r.send(conversation.Output{Content: text.String()})
	}
	return nil
}

// seen is the message as the script sees it.
func (r *run) seen() map[string]any {
	m := r.message
	return map[string]any{
		"id": m.ID, "from": m.From, "to": m.To, "content": m.Content, "session": string(m.SessionEvent), "transport": m.TransportName,
		"transportType": m.TransportType, "provider": m.Provider, "group": m.Group, "endpoint": m.Endpoint(), "timestamp": m.Timestamp.UnixMilli(),
	}
}

// explain names the script's line.
func (r *run) explain(err error) error {
	if overflow, is := errors.AsType[*goja.StackOverflowError](err); is {
		return fmt.Errorf("the script was stopped: functions call each other more than %d deep%s", maxStack, where(overflow.Stack()))
	}
	if stopped, is := errors.AsType[*goja.InterruptedError](err); is {
		return fmt.Errorf("the script was stopped: %v%s", stopped.Value(), where(stopped.Stack()))
	}
	if thrown, is := errors.AsType[*goja.Exception](err); is {
		what := "it threw what cannot be read"
		_ = r.vm.Try(func() { what = short(thrown.Value().String()) })
		return fmt.Errorf("the script failed: %s%s", what, where(thrown.Stack()))
	}
	return err
}

// where is the line that a stack ends in, in the script itself.
func where(stack []goja.StackFrame) string {
	for _, frame := range stack {
		if at := frame.Position(); at.Line > 0 && frame.SrcName() != "limits" {
			return fmt.Sprintf(" (%s:%d)", frame.SrcName(), at.Line)
		}
	}
	return ""
}

// maxReason bounds what a script can put into a dead letter's reason.
const maxReason = 500

func short(text string) string {
	if len(text) > maxReason {
		return strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}

// stop ends the script where it stands.
func (r *run) stop(format string, args ...any) {
	r.vm.Interrupt(errStopped{fmt.Sprintf(format, args...)})
}

// furnish gives the script all that it has beside the language.
func (r *run) furnish() error {
	config, err := json.Marshal(r.app.Config)
	if err != nil {
		return fmt.Errorf("reading config: %w", err)
	}
	for name, value := range map[string]any{
		"reply": r.reply, "send": r.sendTo, "log": r.log,
		"state":  r.storage("person/" + r.message.TransportName + "/" + r.message.From + "/"),
		"shared": r.storage("shared/"),
		"http":   map[string]any{"get": r.get, "post": r.post},
	} {
		if err := r.vm.Set(name, value); err != nil {
			return err
		}
	}
	bound, err := r.vm.RunProgram(limits)
	if err == nil {
		function, _ := goja.AssertFunction(bound)
		_, err = function(goja.Undefined(), r.vm.ToValue(tooDeep))
	}
	if err != nil {
		return fmt.Errorf("setting the limits: %w", err)
	}
	_, err = r.vm.RunString("var config = " + string(config))
	return err
}

// reply answers who wrote: reply(text) or reply(text, {end: true}).
func (r *run) reply(call goja.FunctionCall) goja.Value {
	o := conversation.Output{Content: call.Argument(0).String()}
	if settings, is := call.Argument(1).(*goja.Object); is {
		if end := settings.Get("end"); end != nil {
			o.End = end.ToBoolean()
		}
	}
	r.send(o)
	return goja.Undefined()
}

// sendTo writes to anybody: send({to, text, from, endpoint}).
func (r *run) sendTo(call goja.FunctionCall) goja.Value {
	settings, is := call.Argument(0).(*goja.Object)
	if !is {
		panic(r.vm.NewTypeError("send wants {to, text}"))
	}
	text := func(key string) string {
		if value := settings.Get(key); value != nil && !goja.IsUndefined(value) && !goja.IsNull(value) {
			return value.String()
		}
		return ""
	}
	o := conversation.Output{Content: text("text"), To: text("to"), From: text("from"), Endpoint: text("endpoint")}
	if o.To == "" {
		panic(r.vm.NewTypeError("send wants {to, text}: to is missing"))
	}
	r.send(o)
	return goja.Undefined()
}

func (r *run) send(o conversation.Output) {
	switch {
	case r.closes:
		r.stop("onClose cannot send: the session is over")
	case len(r.outputs) >= r.app.MaxSends:
		r.stop("it sent more than %d messages (max_sends)", r.app.MaxSends)
	case len(o.Content) > maxText:
		r.stop("it sent a text of more than %d bytes", maxText)
	default:
		r.outputs = append(r.outputs, o)
	}
}

// log writes a line to the worker's log.
func (r *run) log(call goja.FunctionCall) goja.Value {
	if r.counted() {
		r.app.logger.Info("the script says", "message_id", r.message.ID, "text", short(call.Argument(0).String()))
	}
	return goja.Undefined()
}

// counted counts what a script asks of the outside; false stops it.
func (r *run) counted() bool {
	if r.calls++; r.calls > r.app.MaxCalls {
		r.stop("it made more than %d calls (max_calls)", r.app.MaxCalls)
		return false
	}
	return true
}

// storage is a key-value store: get(key), set(key, value), delete(key). Values are
// anything that JSON can say. What is written is stored when the script is done.
func (r *run) storage(prefix string) map[string]any {
	prefix = "script/" + prefix
	return map[string]any{
		"get": func(call goja.FunctionCall) goja.Value { return r.read(prefix + call.Argument(0).String()) },
		"set": func(call goja.FunctionCall) goja.Value {
			return r.write(prefix+call.Argument(0).String(), call.Argument(1))
		},
		"delete": func(call goja.FunctionCall) goja.Value {
			r.note(prefix+call.Argument(0).String(), nil)
			return goja.Undefined()
		},
	}
}

func (r *run) read(key string) goja.Value {
	text, ours := r.written[key]
	if !ours {
		if !r.counted() {
			return goja.Undefined()
		}
		found, err := r.app.state.Get(r.ctx, key)
		if err != nil {
			r.failure = fmt.Errorf("reading what the script stored: %w", err)
			r.stop("the store is out of reach")
			return goja.Undefined()
		}
		if value, there := found[key]; there {
			text = &value
		}
	}
	if text == nil {
		return goja.Undefined()
	}
	if *text == "" {
		return goja.Undefined()
	}
	return r.json("parse", r.vm.ToValue(*text))
}

// stringify is the script's own JSON.stringify; what it throws is thrown on.
func (r *run) stringify(value goja.Value) goja.Value {
	return r.json("stringify", value)
}

func (r *run) json(name string, value goja.Value) goja.Value {
	function, is := goja.AssertFunction(r.vm.Get("JSON").ToObject(r.vm).Get(name))
	if !is {
		panic(r.vm.NewTypeError("JSON.%s is gone", name))
	}
	result, err := function(goja.Undefined(), value)
	if thrown, is := errors.AsType[*goja.Exception](err); is {
		panic(thrown.Value())
	}
	if err != nil {
		panic(err)
	}
	return result
}

func (r *run) write(key string, value goja.Value) goja.Value {
	text := r.stringify(value)
	encoded := text.String()
	if goja.IsUndefined(text) {
		r.note(key, nil)
		return goja.Undefined()
	}
	if len(encoded) > r.app.MaxState {
		r.stop("it stored more than %d bytes under one key (max_state)", r.app.MaxState)
		return goja.Undefined()
	}
	r.note(key, &encoded)
	return goja.Undefined()
}

// maxKey is how long a key may be, in bytes.
const maxKey = 256

func (r *run) note(key string, value *string) {
	if len(key) > maxKey+len(r.message.From)+len(r.message.TransportName) {
		r.stop("it used a key of more than %d bytes", maxKey)
		return
	}
	if _, known := r.written[key]; !known && len(r.written) >= r.app.MaxCalls {
		r.stop("it stored more than %d values (max_calls)", r.app.MaxCalls)
		return
	}
	r.written[key] = value
}

// entries are what is stored. One that is deleted is empty, and soon gone.
func (r *run) entries() (entries []store.Entry) {
	for _, key := range slices.Sorted(maps.Keys(r.written)) {
		e := store.Entry{Key: key, TTL: time.Second}
		if value := r.written[key]; value != nil {
			e.Value, e.TTL = *value, r.app.Remember.Std()
		}
		entries = append(entries, e)
	}
	return entries
}

// get is http.get(url, headers).
func (r *run) get(call goja.FunctionCall) goja.Value {
	return r.request(http.MethodGet, call.Argument(0).String(), nil, call.Argument(1))
}

// post is http.post(url, body, headers); a body that is no text is sent as JSON.
func (r *run) post(call goja.FunctionCall) goja.Value {
	body := call.Argument(1)
	if _, is := body.(goja.String); !is {
		body = r.stringify(body)
	}
	return r.request(http.MethodPost, call.Argument(0).String(), []byte(body.String()), call.Argument(2))
}

// request throws where there is no answer, and returns {status, body, json()}.
func (r *run) request(method, url string, body []byte, headers goja.Value) goja.Value {
	if !r.counted() {
		return goja.Undefined()
	}
	if len(r.app.AllowHosts) == 0 {
		panic(r.vm.NewGoError(errors.New("no host may be asked; list them under allow_hosts")))
	}
	header := http.Header{"Idempotency-Key": {fmt.Sprintf("%s/%d", r.message.ID, r.calls)}}
	if body != nil {
		header.Set("Content-Type", "application/json")
	}
	if object, is := headers.(*goja.Object); is {
		for _, name := range object.Keys() {
			header.Set(name, object.Get(name).String())
		}
	}
	answer, err := r.app.web.Do(r.ctx, method, url, header, body)
	if err != nil {
		if errors.Is(err, webclient.ErrRefused) || r.ctx.Err() == nil {
			panic(r.vm.NewGoError(err))
		}
		r.stop("it took longer than %s (timeout)", r.app.Timeout.Std())
		return goja.Undefined()
	}
	text := string(answer.Body)
	return r.vm.ToValue(map[string]any{
		"status": answer.Status, "body": text,
		"json": func(goja.FunctionCall) goja.Value {
			return r.json("parse", r.vm.ToValue(text))
		},
	})
}
