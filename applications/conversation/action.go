package conversation

import (
	"errors"
	"slices"

	"switchboard/options"
)

// Send is a message to somebody else than who wrote.
type Send struct {
	// To is the address it goes to.
	To string `yaml:"to"`
	// From is the address it comes from; default the one that was written to.
	From string `yaml:"from"`
	// Endpoint is the endpoint it leaves by; default that of the message.
	Endpoint string `yaml:"endpoint"`
	// Text is what it says. Default {content}.
	Text options.Text `yaml:"text"`
}

// Action is what is done with a message. Written as one text it is the reply.
type Action struct {
	// Reply answers who wrote.
	Reply options.Text `yaml:"reply"`
	// End makes the reply the last of its session.
	End bool `yaml:"end"`
	// Send is a message to somebody else.
	Send *Send `yaml:"send"`
}

var _ options.Shorthand = (*Action)(nil)

// ShorthandKey is the key that a single text stands for.
func (*Action) ShorthandKey() string { return "reply" }

// Validate checks the action; texts may use the known names.
func (a *Action) Validate(known []string, keys ...string) error {
	at := func(more ...string) []string { return append(slices.Clone(keys), more...) }
	errs := []error{CheckTexts(a.Reply, known, at("reply")...)}
	if len(a.Reply) == 0 && a.Send == nil {
		errs = append(errs, options.Field(errors.New("does nothing; write a reply, or send"), keys...))
	}
	if s := a.Send; s != nil {
		if len(s.Text) == 0 {
			s.Text = options.Text{{Value: "{content}"}}
		}
		if s.To == "" {
			errs = append(errs, options.Field(errors.New("to is missing; write the address it goes to"), at("send")...))
		}
		errs = append(errs, CheckTexts(s.Text, known, at("send", "text")...))
		for _, text := range []struct{ key, text string }{{"to", s.To}, {"from", s.From}} {
			errs = append(errs, options.Under(CheckText(text.text, known), at("send", text.key)...))
		}
	}
	return errors.Join(errs...)
}

// Outputs are what the action sends.
func (a *Action) Outputs(language string, values Values) (outputs []Output) {
	if len(a.Reply) > 0 {
		outputs = append(outputs, Output{Content: Fill(a.Reply.In(language), values), End: a.End})
	}
	if s := a.Send; s != nil {
		outputs = append(outputs, Output{
			Content: Fill(s.Text.In(language), values), To: Fill(s.To, values), From: Fill(s.From, values), Endpoint: s.Endpoint,
		})
	}
	return outputs
}
