package rules

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
)

// Rule is one of a list: where its condition holds, it acts. Values that begin
// with = are expressions; write == where text shall begin with =.
type Rule struct {
	// Name says in logs and errors which rule it is. Default: its number.
	Name string `yaml:"name"`
	// When is the condition, an expression. Default: always. Example:
	// `inbound and word == "joke" and country(from) == "ZA"`.
	When string `yaml:"when"`
	// To is where it goes: one connector, or several that each get a copy.
	// Example: `[jokes, log]` or `=transport_name`.
	To options.Names `yaml:"to"`
	// FirstHealthy is a list of which the first that is not down is chosen,
	// those that are ok before those that are degraded. Example: `[main, spare]`.
	FirstHealthy options.Names `yaml:"first_healthy"`
	// Balance chooses one connector in turn, by weight, of those that are not
	// down. Example: `{old: 9, new: 1}`.
	Balance options.Map[int] `yaml:"balance"`
	// Sticky makes balance choose the same for one person each time. Default
	// false.
	Sticky bool `yaml:"sticky"`
	// Set gives fields of the message other values: from_addr, to_addr, content,
	// transport_name, transport_type, provider, group. Example:
	// `{from_addr: "12345", to_addr: '="+" + to'}`.
	Set options.Map[string] `yaml:"set"`
	// Translate replaces values of from_addr or to_addr that it lists; others
	// stay. Example: `{to_addr: {"8181": "+27820000000"}}`.
	Translate options.Map[options.Map[string]] `yaml:"translate"`
	// Endpoint is the endpoint it goes to. Default: that it came from.
	Endpoint string `yaml:"endpoint"`
	// Reply answers an inbound message with this text.
	Reply string `yaml:"reply"`
	// EndSession makes the reply the last of its session. Default false.
	EndSession bool `yaml:"end_session"`
	// Discard lets it go on purpose, for this reason.
	Discard string `yaml:"discard"`
	// Continue goes on with the rules below, with the message as it is now.
	// Default false: the first rule whose condition holds is the last.
	Continue bool `yaml:"continue"`
}

// rule is a Rule made ready.
type rule struct {
	*Rule
	place      []string // the keys that lead to it
	at         string   // place as targets carry it
	why        string   // place and name, for errors
	onEvents   bool     // the condition speaks of events
	when       condition
	connectors []string // whose health the condition asks for
	to         []value
	set        []change
	translate  []translation
	reply      value
	choice     *choice
}

// compile makes a rule ready; its errors are located below place.
func (l *language) compile(source *Rule, place ...string) (*rule, error) {
	r := &rule{Rule: source, place: place, at: strings.Join(place, ".")}
	if r.why = r.at; source.Name != "" {
		r.why += " " + strconv.Quote(source.Name)
	}
	var errs []error
	report := func(err error, keys ...string) {
		if err != nil {
			errs = append(errs, options.Field(err, append(slices.Clone(place), keys...)...))
		}
	}
	var err error
	var uses *guard
	r.when, uses, err = l.condition(source.When)
	r.connectors, r.onEvents = uses.connectors, uses.speaksOfEvents()
	report(err, "when")
	for _, name := range source.To {
		v, err := l.value(name)
		report(err, "to", name)
		r.to = append(r.to, v)
	}
	r.reply, err = l.value(source.Reply)
	report(err, "reply")
	for _, pair := range source.Set {
		c, err := l.change(pair.Key, pair.Value)
		report(err, "set", pair.Key)
		r.set = append(r.set, c)
	}
	for _, pair := range source.Translate {
		t, err := newTranslation(pair.Key, pair.Value)
		report(err, "translate", pair.Key)
		r.translate = append(r.translate, t)
	}
	r.choice, err = newChoice(source)
	report(err, "balance")
	report(source.checkActions())
	return r, errors.Join(errs...)
}

// checkActions refuses rules that say too little or too much.
func (r *Rule) checkActions() error {
	ways := 0
	for _, used := range [...]bool{len(r.To) > 0, len(r.FirstHealthy) > 0, len(r.Balance) > 0} {
		if used {
			ways++
		}
	}
	changes := len(r.Set) > 0 || len(r.Translate) > 0 || r.Endpoint != ""
	switch {
	case ways > 1:
		return errors.New("has more than one of to, first_healthy and balance")
	case r.Discard != "" && (ways > 0 || r.Reply != "" || changes || r.Continue):
		return errors.New("discards the message, and says what to do with it")
	case r.Sticky && len(r.Balance) == 0:
		return errors.New("has sticky without balance")
	case r.EndSession && r.Reply == "":
		return errors.New("has end_session without reply")
	case r.Discard != "" || ways > 0 || r.Reply != "":
		return nil
	case changes && r.Continue:
		return nil
	case changes:
		return errors.New("changes the message and leads nowhere; add to, or continue: true")
	}
	return errors.New("does nothing; write one of to, first_healthy, balance, reply, discard")
}

// names are the connectors the rule can lead to, as far as they are written out.
func (r *rule) names() (keys, names []string) {
	for _, name := range r.To {
		if !strings.HasPrefix(name, "=") {
			keys, names = append(keys, "to"), append(names, name)
		}
	}
	for _, name := range r.FirstHealthy {
		keys, names = append(keys, "first_healthy"), append(names, name)
	}
	for _, pair := range r.Balance {
		keys, names = append(keys, "balance"), append(names, pair.Key)
	}
	return keys, names
}

// check holds the rule's connectors to the dispatcher's.
func (r *rule) check(names dispatcher.Names) error {
	all := slices.Concat(names.Transports, names.Exposed)
	var errs []error
	keys, targets := r.names()
	for i, name := range targets {
		if !slices.Contains(all, name) {
			err := fmt.Errorf("%q is none of the dispatcher's connectors%s", name, options.DidYouMean(name, all))
			errs = append(errs, options.Field(err, append(slices.Clone(r.place), keys[i], name)...))
		}
	}
	for _, name := range r.connectors {
		if !slices.Contains(names.Transports, name) {
			err := fmt.Errorf("asks for the health of %q, which is none of transport_names%s", name, options.DidYouMean(name, names.Transports))
			errs = append(errs, options.Field(err, append(slices.Clone(r.place), "when")...))
		}
	}
	return errors.Join(errs...)
}

// act does what the rule says, in the order: change, reply, send.
func (r *rule) act(w *work) error {
	if r.Discard != "" {
		return message.Discard(r.Discard)
	}
	if err := r.change(w); err != nil {
		return err
	}
	if r.Reply != "" {
		if err := r.answer(w); err != nil {
			return err
		}
	}
	if r.choice != nil {
		w.send(r, r.choice.of(&w.facts))
		return nil
	}
	for i, v := range r.to {
		name, err := v.of(&w.facts)
		if err != nil {
			return fmt.Errorf("to: %w", err)
		}
		if !v.literal && !w.router.knows(name) {
			return fmt.Errorf("to: %s gives %q, which is none of the dispatcher's connectors", r.To[i], name)
		}
		w.send(r, name)
	}
	return nil
}

func (r *rule) answer(w *work) error {
	if w.facts.arrival.Flow != message.Inbound {
		return errors.New("only inbound messages can be replied to; add `inbound and` to the condition")
	}
	content, err := r.reply.of(&w.facts)
	if err != nil {
		return fmt.Errorf("reply: %w", err)
	}
	var opts []message.ReplyOption
	if r.EndSession {
		opts = append(opts, message.EndSession)
	}
	// The rule's own name makes a second handling give the same message_id.
	asked := w.arrival.Message.Clone()
	asked.NameReplies(w.router.worker + "/" + strings.Join(r.place, "/"))
	answer := &message.Envelope{Message: asked.Reply(content, opts...)}
	w.targets = append(w.targets, dispatcher.Target{
		Connector: w.arrival.Connector, Flow: message.Outbound, Envelope: answer, Rule: r.at,
	})
	return nil
}
