// Package converse tries conversations with an application, kept as YAML beside
// its file: what people say, what they hear, and what time passes. The
// application runs in its own worker, on a broker and a state store in memory.
package converse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/fleet"
	"switchboard/message"
	"switchboard/options"
	statememory "switchboard/store/memory"
	"switchboard/worker"
)

// Conversation is one test.
type Conversation struct {
	// Name says what is tested. Default: its number.
	Name string `yaml:"name"`
	// Application is the application's connector. Where the configuration has only
	// one it need not be named.
	Application string `yaml:"application"`
	// Person is who speaks. Default +12025550101.
	Person string `yaml:"person"`
	// To is the address people write to. Default 8080.
	To string `yaml:"to"`
	// Session makes it a session, as over USSD: it begins with what is said first,
	// and again after it ended.
	Session bool `yaml:"session"`
	// At is when it begins. Default now.
	At time.Time `yaml:"at"`
	// HTTP are the answers of the web, by URL. What is asked for beside them cannot
	// be reached.
	HTTP options.Map[WebAnswer] `yaml:"http"`
	// Talk are the turns.
	Talk []Turn `yaml:"talk"`
}

// WebAnswer is what a URL answers; as a single text its body.
type WebAnswer struct {
	// Status is the HTTP status. Default 200.
	Status int `yaml:"status"`
	// Body is the answer.
	Body string `yaml:"body"`
}

// ShorthandKey is the key that a single text stands for.
func (*WebAnswer) ShorthandKey() string { return "body" }

// Turn is one turn: somebody says something, hangs up, or time passes.
type Turn struct {
	// Says is what a person sends.
	Says *string `yaml:"says"`
	// Person is who says it, where it is somebody else.
	Person string `yaml:"person"`
	// HangsUp ends the session from the person's side.
	HangsUp bool `yaml:"hangs_up"`
	// Waits lets time pass.
	Waits options.Duration `yaml:"waits"`
	// Expects is what the person hears: one text, or several messages. [] is
	// nothing.
	Expects *options.Names `yaml:"expects"`
	// Contains are parts of what the person hears.
	Contains options.Names `yaml:"contains"`
	// Ends says whether the answer ends the session.
	Ends *bool `yaml:"ends"`
	// Others are what other addresses get meanwhile.
	Others options.Map[options.Names] `yaml:"others"`
	// Fails is part of the reason why the message is dead-lettered.
	Fails string `yaml:"fails"`
}

const (
	defaultPerson = "+12025550101"
	defaultTo     = "8080"
	// maxTurns bounds a conversation.
	maxTurns = 1000
	// patience is how long the application may take over one message.
	patience = 30 * time.Second
	// seenBuffer bounds what one message may make an application send.
	seenBuffer = 1024
	seenQueue  = "conversation"
)

// Validate checks the conversation by itself.
func (c *Conversation) Validate() error {
	if len(c.Talk) == 0 || len(c.Talk) > maxTurns {
		return options.Fieldf("talk", "must be a list of 1 to %d turns", maxTurns)
	}
	var errs []error
	for i, turn := range c.Talk {
		var does []string
		if turn.Says != nil {
			does = append(does, "says")
		}
		if turn.HangsUp {
			does = append(does, "hangs_up")
		}
		if turn.Waits != 0 {
			does = append(does, "waits")
		}
		expects := turn.Expects != nil || len(turn.Contains) > 0 || turn.Ends != nil || turn.Fails != ""
		switch {
		case len(does) != 1:
			errs = append(errs, turnError(i, "must have one of says, hangs_up and waits"))
		case expects && does[0] != "says":
			errs = append(errs, turnError(i, "has something to expect of %s, which nothing answers", does[0]))
		case turn.Waits < 0:
			errs = append(errs, turnError(i, "waits must not be negative"))
		}
	}
	return errors.Join(errs...)
}

func turnError(i int, format string, args ...any) error {
	return options.Field(fmt.Errorf(format, args...), "talk", strconv.Itoa(i))
}

// Problem is something that was not as expected.
type Problem struct {
	Turn int // its number, from 0
	What string
	Want string
	Got  string
}

// Report is how a conversation went.
type Report struct {
	Problems []Problem
	Talk     []string // what was said, line by line
}

// Run has the conversation with an application made anew.
func (c *Conversation) Run(ctx context.Context, classes fleet.Classes, defs []*fleet.Definition) (Report, error) {
	def, err := c.find(defs)
	if err == nil {
		def, err = classes.Renew(def)
	}
	if err != nil {
		return Report{}, err
	}
	stage := newStage(c, def)
	defer stage.close()
	if err := stage.open(ctx); err != nil {
		return Report{}, err
	}
	for i := range c.Talk {
		if err := stage.turn(ctx, i, &c.Talk[i]); err != nil {
			return Report{}, turnError(i, "%w", err)
		}
	}
	return stage.report, nil
}

func (c *Conversation) find(defs []*fleet.Definition) (*fleet.Definition, error) {
	var found []*fleet.Definition
	var names []string
	for _, d := range defs {
		if d.Kind != fleet.KindApplication {
			continue
		}
		names = append(names, d.Connector)
		if c.Application == "" || c.Application == d.Connector {
			found = append(found, d)
		}
	}
	switch {
	case c.Application == "" && len(found) != 1:
		return nil, options.Fieldf("application", "is missing; write one of %s", strings.Join(names, ", "))
	case len(found) == 0:
		return nil, options.Fieldf("application", "names no application: %q%s", c.Application, options.DidYouMean(c.Application, names))
	}
	return found[0], nil
}

// stage is where a conversation is had.
type stage struct {
	*Conversation
	def    *fleet.Definition
	broker *memory.Broker
	state  *statememory.State
	clock  clock
	web    web
	seen   chan seen
	ended  chan error
	stop   context.CancelFunc
	inside map[string]bool // who is in a session
	report Report
}

// seen is a message the application sent, or how handling one ended.
type seen struct {
	message *message.Message
	failure string // empty where it was handled
}

func newStage(c *Conversation, def *fleet.Definition) *stage {
	s := &stage{
		Conversation: c, def: def, broker: memory.New(memory.Settings{}), state: statememory.New(), clock: newClock(c.At),
		web: web{}, seen: make(chan seen, seenBuffer), ended: make(chan error, 2), inside: map[string]bool{},
	}
	for _, answer := range c.HTTP {
		s.web[answer.Key] = answer.Value
	}
	return s
}

func (s *stage) open(ctx context.Context) error {
	ctx, s.stop = context.WithCancel(ctx)
	inbound := message.Key(s.def.Connector, message.Inbound)
	outside := broker.Queue{Name: seenQueue, Keys: []string{message.Key(s.def.Connector, message.Outbound)}}
	for _, queue := range []broker.Queue{outside, {Name: inbound, Keys: []string{inbound}}} {
		if err := s.broker.Declare(ctx, queue); err != nil {
			return err
		}
	}
	s.def.Settings.MaxAttempts = 1
	w, err := s.def.Worker(worker.Dependencies{
		Broker: s.broker, State: s.state, Logger: slog.New(slog.DiscardHandler), Now: s.clock.now, HTTP: s.web,
	}, worker.Layer{Name: "outcomes", Middleware: worker.Outcomes{Broker: s.broker, Queue: seenQueue}})
	if err != nil {
		return err
	}
	go func() { s.ended <- s.broker.Consume(ctx, outside, seenBuffer, s.look) }()
	go func() { s.ended <- w.Run(ctx) }()
	return nil
}

func (s *stage) close() {
	if s.stop != nil {
		s.stop()
		for range cap(s.ended) {
			<-s.ended //nolint:errcheck // it was told to stop
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, _ = s.broker.Close(ctx), s.state.Close()
}

func (s *stage) look(d *broker.Delivery) {
	defer d.Ack()
	if failure, is := worker.Outcome(d); is {
		s.seen <- seen{failure: failure}
		return
	}
	if m, err := message.Decode(d.Body); err == nil {
		s.seen <- seen{message: m}
	}
}

func (s *stage) turn(ctx context.Context, i int, t *Turn) error {
	person := t.Person
	if person == "" {
		person = s.Person
	}
	if person == "" {
		person = defaultPerson
	}
	if t.Waits > 0 {
		s.clock.pass(t.Waits.Std())
		s.say("(%s pass)", t.Waits.Std())
		return nil
	}
	m := s.message(person)
	if t.HangsUp {
		m.SessionEvent = message.SessionClose
		delete(s.inside, person)
		s.say("%s hangs up", person)
	} else {
		m.Content = *t.Says
		s.say("%s says: %s", person, m.Content)
	}
	sent, failure, err := s.deliver(ctx, m)
	if err != nil {
		return err
	}
	s.compare(i, t, person, sent, failure)
	return nil
}

func (s *stage) message(person string) *message.Message {
	m := message.New()
	m.From, m.To, m.Timestamp = person, s.To, s.clock.now()
	if m.To == "" {
		m.To = defaultTo
	}
	m.TransportName, m.TransportType = "conversation", "sms"
	if s.Session {
		m.TransportType, m.SessionEvent = "ussd", message.SessionResume
		if !s.inside[person] {
			m.SessionEvent = message.SessionNew
		}
		s.inside[person] = true
	}
	return m
}

// deliver hands the application a message, and returns what it sent until it
// was done with it.
func (s *stage) deliver(ctx context.Context, m *message.Message) (sent []*message.Message, failure string, err error) {
	envelope := message.Envelope{Flow: message.Inbound, Connector: s.def.Connector, Message: m}
	if err := s.broker.Publish(ctx, broker.Publication{Key: envelope.Key(), Body: envelope.Encode()}); err != nil {
		return nil, "", err
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		select {
		case found := <-s.seen:
			if found.message == nil {
				return sent, found.failure, nil
			}
			sent = append(sent, found.message)
		case err := <-s.ended:
			s.ended <- err
			return nil, "", fmt.Errorf("the application ended: %w", err)
		case <-limit.C:
			return nil, "", fmt.Errorf("the application was not done with it within %s", patience)
		}
	}
}

func (s *stage) compare(i int, t *Turn, person string, sent []*message.Message, failed string) {
	var heard []string
	others := map[string][]string{}
	ends := false
	for _, m := range sent {
		if m.To != person && m.Group == "" {
			others[m.To] = append(others[m.To], m.Content)
			s.say("%s gets: %s", m.To, m.Content)
			continue
		}
		heard = append(heard, m.Content)
		ending := ""
		if m.SessionEvent == message.SessionClose {
			ends, ending = true, " (the session ends)"
			delete(s.inside, person)
		}
		s.say("%s hears: %s%s", person, m.Content, ending)
	}
	if failed != "" {
		s.say("(the message is dead-lettered: %s)", failed)
	}
	switch {
	case t.Fails == "" && failed != "":
		s.problem(i, "fails", "", failed)
	case !strings.Contains(failed, t.Fails):
		s.problem(i, "fails", t.Fails, failed)
	}
	if t.Expects != nil && !slices.Equal(heard, *t.Expects) {
		s.problem(i, "expects", strings.Join(*t.Expects, "\n"), strings.Join(heard, "\n"))
	}
	for _, part := range t.Contains {
		if all := strings.Join(heard, "\n"); !strings.Contains(all, part) {
			s.problem(i, "contains", part, all)
		}
	}
	if t.Ends != nil && ends != *t.Ends {
		s.problem(i, "ends", fmt.Sprint(*t.Ends), fmt.Sprint(ends))
	}
	for _, other := range t.Others {
		if got := others[other.Key]; !slices.Equal(got, other.Value) {
			s.problem(i, "others."+other.Key, strings.Join(other.Value, "\n"), strings.Join(got, "\n"))
		}
	}
}

func (s *stage) problem(turn int, what, want, got string) {
	s.report.Problems = append(s.report.Problems, Problem{turn, what, want, got})
}

func (s *stage) say(format string, args ...any) {
	s.report.Talk = append(s.report.Talk, strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "\n    "))
}
