package middleware_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"switchboard/message"
	"switchboard/middleware"
	"switchboard/store"
	"switchboard/store/memory"
	"switchboard/store/sqlite"
	"switchboard/worker"
	"switchboard/worker/optouts"
)

// optOut is the middleware in a worker of a kind.
type optOut struct {
	t *testing.T
	*middleware.OptOut
	kind string
}

func newOptOut(t *testing.T, kind, yaml string) optOut {
	m := mustLoad(t, middleware.NewOptOut(), yaml)
	bind(t, m, kind)
	return optOut{t, m, kind}
}

func (o optOut) pass(e *message.Envelope) error { return pass(o.t, o.OptOut, e) }

func (o optOut) says(content string) *message.Message {
	o.t.Helper()
	e := envelope(message.Inbound, func(m *message.Message) { m.Content = content })
	if err := o.pass(e); err != nil {
		o.t.Fatalf("inbound %q: %v", content, err)
	}
	return e.Message
}

func (o optOut) wantsMail(what string, want bool, change func(*message.Message)) {
	o.t.Helper()
	err := o.pass(envelope(message.Outbound, change))
	if want && err != nil || !want && !message.IsRejection(err) {
		o.t.Errorf("%s: got %v, want it sent: %v", what, err, want)
	}
	if err != nil && !strings.Contains(err.Error(), "opted out") {
		o.t.Errorf("%s: the reason is %q", what, err)
	}
}

func TestOptOut(t *testing.T) {
	for _, kind := range []string{worker.KindDispatcher, worker.KindTransport, worker.KindApplication} {
		t.Run(kind, func(t *testing.T) {
			o := newOptOut(t, kind, "")
			o.wantsMail("before", true, nil)
			o.says("please stop this")
			o.wantsMail("after talk", true, nil)
			stop := o.says(" Stop. ")
			o.wantsMail("after STOP", false, nil)
			o.wantsMail("the number without its plus", false, func(m *message.Message) { m.To = "27821234567" })
			o.wantsMail("from another of our addresses", false, func(m *message.Message) { m.From = "54321" })
			o.wantsMail("the reply to STOP", true, func(m *message.Message) { m.InReplyTo = stop.ID })
			o.wantsMail("a reply to something else", false, func(m *message.Message) { m.InReplyTo = message.NewID() })
			o.wantsMail("somebody else", true, func(m *message.Message) { m.To = "+27820000000" })
			o.wantsMail("to a group", true, func(m *message.Message) { m.To, m.Group = "", "g" })
			o.says("unstop")
			o.wantsMail("after UNSTOP", true, nil)
			o.says("/stop")
			o.wantsMail("after a bot's command", false, nil)
			o.says("/start")
			o.wantsMail("after coming back to a bot", true, nil)
		})
	}
}

// TestOptOutEndsBroadcasts: broadcasts pass no middleware on their way, so the
// record must know.
func TestOptOutEndsBroadcasts(t *testing.T) {
	for _, kind := range []string{worker.KindDispatcher, worker.KindTransport, worker.KindApplication} {
		t.Run(kind, func(t *testing.T) {
			db, err := sqlite.Open(t.Context(), sqlite.Memory, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }()
			if err := db.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			o := optOut{t, mustLoad(t, middleware.NewOptOut(), "country: ZA"), kind}
			env := worker.Dependencies{Name: "w", Kind: kind, State: db, Record: db, Logger: slog.New(slog.DiscardHandler)}.Env()
			if err := o.Provision(t.Context(), env); err != nil {
				t.Fatal(err)
			}
			o.says("hello")
			for _, c := range []struct {
				says string
				gets int64
			}{{"STOP", 0}, {"START", 2}, {"stop", 0}} {
				o.says(c.says)
				made, err := db.Create(t.Context(), store.Broadcast{Text: "x"}, func(yield func(store.Recipient, error) bool) {
					_ = yield(store.Recipient{Address: store.Address{Backend: "sms", Identity: "+27821234567"}}, nil) &&
						yield(store.Recipient{Address: store.Address{Backend: "sms", Identity: "27821234567"}}, nil) &&
						yield(store.Recipient{Address: store.Address{Backend: "sms", Identity: "0821234567"}}, nil)
				})
				if c.gets == 0 && !errors.Is(err, store.ErrNoRecipients) || c.gets > 0 && err != nil || made.Total != c.gets {
					t.Errorf("after %s: %+v, %v", c.says, made, err)
				}
			}
		})
	}
}

func TestOptOutOptions(t *testing.T) {
	o := newOptOut(t, worker.KindDispatcher, "{stop_keywords: [ARRÊT, 'stop all'], start_keywords: oui, per_address: true, confirm: false}")
	o.says("stop")
	o.wantsMail("a word of another fleet", true, nil)
	stop := o.says("arrêt!")
	o.wantsMail("after arrêt", false, nil)
	o.wantsMail("the reply", false, func(m *message.Message) { m.InReplyTo = stop.ID })
	o.wantsMail("from another of our addresses", true, func(m *message.Message) { m.From = "54321" })
	o.says("OUI")
	o.wantsMail("after oui", true, nil)
	o.says("Stop All")
	o.wantsMail("after two words", false, nil)
	if err := o.pass(event()); err != nil {
		t.Error(err)
	}
	refused(t, middleware.NewOptOut, map[string]string{
		"a word that does both": "{stop_keywords: [no], start_keywords: ['No.']}", "no word": "stop_keywords: ['.']",
		"no list": "list: ''", "a list with a slash": "list: a/b",
	})
}

// What an operator puts on a list counts, and the operator sees who sent STOP.
func TestOptOutList(t *testing.T) {
	state := memory.New()
	defer func() { _ = state.Close() }()
	o := optOut{t, mustLoad(t, middleware.NewOptOut(), "country: ZA"), worker.KindDispatcher}
	if err := o.Provision(t.Context(), worker.Dependencies{Name: "w", State: state, Logger: slog.New(slog.DiscardHandler)}.Env()); err != nil {
		t.Fatal(err)
	}
	list, err := optouts.Open(state, "default", "za")
	if err != nil {
		t.Fatal(err)
	}
	if err := list.Add(t.Context(), optouts.Operator, "0821234567", "+27820000001"); err != nil {
		t.Fatal(err)
	}
	o.wantsMail("after an operator's word", false, nil)
	if err := list.Remove(t.Context(), "27821234567"); err != nil {
		t.Fatal(err)
	}
	o.wantsMail("after its end", true, nil)
	stop := o.says("revoke")
	var seen []string
	if err := list.Each(t.Context(), func(e optouts.Entry) error {
		seen = append(seen, e.Address+" "+e.Why)
		return nil
	}); err != nil || strings.Join(seen, ",") != "+27820000001 operator,+27821234567 "+stop.ID && strings.Join(seen, ",") != "27820000001 operator,27821234567 "+stop.ID {
		t.Errorf("the list has %q, %v", seen, err)
	}
	if _, err := optouts.Open(state, "a/b", ""); err == nil {
		t.Error("a list with a slash was taken")
	}
}
