// Package routertest states what every router owes, as one suite for all of
// them: Run it with a Subject. Part of it is what a router answers, part is what
// a whole dispatcher on the memory broker does with it.
package routertest

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	"switchboard/store/memory"
	"switchboard/worker"
)

// Subject is a router with its options, and messages it can and cannot route.
type Subject struct {
	New func() dispatcher.Router
	// Names are the dispatcher's connectors: at least two transports, and as many
	// applications as the router can have.
	Names dispatcher.Names
	// Config are the router's options as a file has them.
	Config string
	// From are the transports whose inbound messages can be routed; all when
	// empty.
	From []string
	// Inbound is a message that comes by the transport and can be routed.
	Inbound func(transport string) *message.Message
	// Outbound is a message an application begins with, that can be routed. Nil
	// where the router serves no applications.
	Outbound func(application string) *message.Message
	// Astray are arrivals, from connectors there are, that the router has no way
	// for.
	Astray []dispatcher.Arrival
	// Misnamed are options that name a connector there is not.
	Misnamed []string
	// RepliesElsewhere says that a reply need not leave by the transport its
	// message came by.
	RepliesElsewhere bool
}

// Run holds a router to what every router owes.
func Run(t *testing.T, s Subject) {
	if len(s.From) == 0 {
		s.From = s.Names.Transports
	}
	t.Run("loads", s.loads)
	t.Run("refuses names there are not", s.refusesMisnamed)
	t.Run("routes inbound", s.routesInbound)
	t.Run("refuses what has no way", s.refusesAstray)
	t.Run("serves several queues at once", s.servesSeveral)
	t.Run("dead-letters what has no route", s.deadLetters)
	if s.Outbound == nil {
		return
	}
	t.Run("routes outbound", s.routesOutbound)
	t.Run("takes replies back", s.takesRepliesBack)
	t.Run("returns events to their senders", s.returnsEvents)
}

// Message is a message between a person and a short code.
func Message(from, to, transport, content string) *message.Message {
	m := message.New()
	m.From, m.To, m.TransportName, m.TransportType, m.Content = from, to, transport, "sms", content
	return m
}

// load makes the router as a fleet does.
func (s *Subject) load(t *testing.T, text string, state store.State) (dispatcher.Router, error) {
	t.Helper()
	doc, err := options.Parse("router.yaml", []byte(text), nil)
	if err != nil {
		return nil, err
	}
	r := s.New()
	if err := errors.Join(doc.Into(r), doc.Rest()); err != nil {
		return nil, err
	}
	if v, validates := r.(interface{ Validate() error }); validates {
		if err := doc.Locate(v.Validate()); err != nil {
			return nil, err
		}
	}
	if c, checks := r.(dispatcher.Checker); checks {
		if err := doc.Locate(c.Check(s.Names)); err != nil {
			return nil, err
		}
	}
	env := worker.Env{Name: "routertest", State: state, Logger: slog.New(slog.DiscardHandler)}
	return r, worker.Provision(t.Context(), r, env)
}

func newState(t *testing.T) store.State {
	t.Helper()
	state := memory.New()
	t.Cleanup(func() { _ = state.Close() })
	return state
}

func (s *Subject) mustLoad(t *testing.T) dispatcher.Router {
	t.Helper()
	r, err := s.load(t, s.Config, newState(t))
	if err != nil {
		t.Fatalf("loading the router: %v", err)
	}
	return r
}

func (s Subject) loads(t *testing.T) {
	s.mustLoad(t)
	if _, err := s.load(t, s.Config+"\nno_router_has_this: 1\n", newState(t)); err == nil || !strings.Contains(err.Error(), "unknown key") {
		t.Errorf("an unknown option was not refused: %v", err)
	}
}

func (s Subject) refusesMisnamed(t *testing.T) {
	if len(s.Misnamed) == 0 {
		t.Fatal("the subject has no options with a wrong name")
	}
	for _, text := range s.Misnamed {
		_, err := s.load(t, text, newState(t))
		var field *options.FieldError
		if !errors.As(err, &field) || !strings.HasPrefix(err.Error(), "router.yaml:") {
			t.Errorf("%s\ngives %v, which says no file and line", text, err)
		}
	}
}

func (s Subject) routesInbound(t *testing.T) {
	r := s.mustLoad(t)
	for _, transport := range s.From {
		a := dispatcher.Arrival{Flow: message.Inbound, Connector: transport, Message: s.Inbound(transport)}
		for _, target := range s.route(t, r, a) {
			s.fits(t, target, a)
		}
	}
}

func (s Subject) routesOutbound(t *testing.T) {
	r := s.mustLoad(t)
	for _, application := range s.Names.Exposed {
		a := dispatcher.Arrival{Flow: message.Outbound, Connector: application, Message: s.Outbound(application)}
		targets := s.route(t, r, a)
		if len(targets) != 1 {
			t.Fatalf("an outbound message went to %d transports", len(targets))
		}
		s.fits(t, targets[0], a)
	}
}

// route routes an arrival, which the router must not change.
func (s Subject) route(t *testing.T, r dispatcher.Router, a dispatcher.Arrival) []dispatcher.Target {
	t.Helper()
	before := string(a.Encode())
	targets, err := r.Route(t.Context(), a)
	if err != nil {
		t.Fatalf("%s from %s: %v", &a, a.Connector, err)
	}
	if len(targets) == 0 {
		t.Fatalf("%s from %s: neither a target nor an error", &a, a.Connector)
	}
	if after := string(a.Encode()); after != before {
		t.Errorf("the router changed the arrival itself\nwas %s\nis  %s", before, after)
	}
	return targets
}

// fits holds a target to the dispatcher's connectors and to saying why.
func (s Subject) fits(t *testing.T, target dispatcher.Target, a dispatcher.Arrival) {
	t.Helper()
	flow, known := a.Flow, s.Names.Exposed
	if target.Flow != "" {
		flow = target.Flow
	}
	if flow == message.Outbound {
		known = s.Names.Transports
	}
	if !slices.Contains(known, target.Connector) {
		t.Errorf("%s from %s goes %s to %q, which must be one of %v", &a, a.Connector, flow, target.Connector, known)
	}
	if target.Rule == "" {
		t.Errorf("the target %s does not say which rule decided", target.Connector)
	}
}

// takesRepliesBack sends what every application would answer, to the transport
// the message came by.
func (s Subject) takesRepliesBack(t *testing.T) {
	r := s.mustLoad(t)
	for _, transport := range s.From {
		in := dispatcher.Arrival{Flow: message.Inbound, Connector: transport, Message: s.Inbound(transport)}
		for _, target := range s.route(t, r, in) {
			got := in.Message
			if target.Envelope != nil {
				got = target.Envelope.Message
			}
			reply := dispatcher.Arrival{Flow: message.Outbound, Connector: target.Connector, Message: got.Reply("yes")}
			back := s.route(t, r, reply)
			if len(back) != 1 || (back[0].Connector != transport && !s.RepliesElsewhere) {
				t.Errorf("a reply to what came by %s leaves by %+v", transport, back)
			}
		}
	}
}

func (s Subject) refusesAstray(t *testing.T) {
	if len(s.Astray) == 0 {
		t.Fatal("the subject has nothing the router has no way for")
	}
	r := s.mustLoad(t)
	for _, a := range s.Astray {
		targets, err := r.Route(t.Context(), a)
		switch {
		case err == nil:
			t.Errorf("%s from %s went to %+v", &a, a.Connector, targets)
		case !message.IsPermanent(err):
			t.Errorf("%s from %s would be tried again, in vain: %v", &a, a.Connector, err)
		case !strings.Contains(err.Error(), a.ID()):
			t.Errorf("the error does not say which message: %v", err)
		}
	}
}

// servesSeveral routes from several goroutines at once, as a dispatcher's
// queues do; the race detector tells what the router shares without care.
func (s Subject) servesSeveral(t *testing.T) {
	r := s.mustLoad(t)
	var group sync.WaitGroup
	for _, transport := range s.From {
		group.Go(func() {
			for range 50 {
				a := dispatcher.Arrival{Flow: message.Inbound, Connector: transport, Message: s.Inbound(transport)}
				if _, err := r.Route(t.Context(), a); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
}
