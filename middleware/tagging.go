package middleware

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"switchboard/message"
	"switchboard/options"
	"switchboard/worker"
)

// Tagging gives inbound messages a tag (a pool and a name in it) by the address
// they were sent to, and changes outbound messages by the tag they carry. The
// tag is `helper_metadata.tag.tag`, a list of pool and name; replies carry it.
type Tagging struct {
	// Incoming says which inbound messages get which tag.
	Incoming TagIncoming `yaml:"incoming"`
	// Outgoing says what outbound messages of a tag get.
	Outgoing TagOutgoing `yaml:"outgoing"`

	address, name      *regexp.Regexp
	poolText, nameText template
	changes            []change
}

// TagIncoming is the tagging of inbound messages.
type TagIncoming struct {
	// AddrPattern is a regular expression, anchored at the start, for to_addr.
	// A message whose to_addr it does not match passes unchanged.
	AddrPattern string `yaml:"addr_pattern"`
	// TagpoolTemplate makes the tag's pool; \1 or \g<name> stand for groups of
	// the pattern.
	TagpoolTemplate string `yaml:"tagpool_template"`
	// TagnameTemplate makes the tag's name, likewise.
	TagnameTemplate string `yaml:"tagname_template"`
}

// TagOutgoing is what outbound messages get by their tag.
type TagOutgoing struct {
	// TagnamePattern is a regular expression, anchored at the start, for the
	// tag's name. The pool is not looked at. A message without a tag, or whose
	// tag it does not match, passes unchanged.
	TagnamePattern string `yaml:"tagname_pattern"`
	// MsgTemplate holds members to put into the message, as deep as they are
	// given: {from_addr: '\1', helper_metadata: {campaign: {name: '\g<name>'}}}.
	MsgTemplate map[string]any `yaml:"msg_template"`
}

// change puts a value at a place of the message.
type change struct {
	keys  []string
	value any      // as it is, or
	text  template // filled in
}

var _ worker.Middleware = (*Tagging)(nil)

// NewTagging makes the middleware with its defaults.
func NewTagging() *Tagging { return &Tagging{} }

// Validate compiles the patterns and templates.
func (t *Tagging) Validate() error {
	if t.Incoming.AddrPattern == "" && t.Outgoing.TagnamePattern == "" {
		return options.Fieldf("incoming", "addr_pattern is missing, and tagname_pattern of outgoing too; one of them is needed")
	}
	return errors.Join(t.compileIncoming(), t.compileOutgoing())
}

func (t *Tagging) compileIncoming() (err error) {
	if t.Incoming.AddrPattern == "" {
		return nil
	}
	if t.address, err = anchored(t.Incoming.AddrPattern); err != nil {
		return options.Field(err, "incoming", "addr_pattern")
	}
	if t.poolText, err = parseTemplate(t.Incoming.TagpoolTemplate, t.address); err != nil {
		return options.Field(err, "incoming", "tagpool_template")
	}
	if t.nameText, err = parseTemplate(t.Incoming.TagnameTemplate, t.address); err != nil {
		return options.Field(err, "incoming", "tagname_template")
	}
	return nil
}

func (t *Tagging) compileOutgoing() (err error) {
	if t.Outgoing.TagnamePattern == "" {
		return nil
	}
	if t.name, err = anchored(t.Outgoing.TagnamePattern); err != nil {
		return options.Field(err, "outgoing", "tagname_pattern")
	}
	if t.changes, err = changesOf(nil, t.Outgoing.MsgTemplate, t.name); err != nil {
		return options.Field(err, "outgoing", "msg_template")
	}
	return nil
}

func changesOf(keys []string, values map[string]any, pattern *regexp.Regexp) ([]change, error) {
	var all []change
	for _, key := range slices.Sorted(maps.Keys(values)) {
		at := append(slices.Clone(keys), key)
		switch value := values[key].(type) {
		case map[string]any:
			below, err := changesOf(at, value, pattern)
			if err != nil {
				return nil, err
			}
			all = append(all, below...)
		case string:
			text, err := parseTemplate(value, pattern)
			if err != nil {
				return nil, err
			}
			all = append(all, change{keys: at, text: text})
		default:
			all = append(all, change{keys: at, value: value})
		}
	}
	return all, nil
}

// Wrap tags inbound messages and changes outbound ones.
func (t *Tagging) Wrap(flow message.Flow, next worker.Handler) worker.Handler {
	switch {
	case flow == message.Inbound && t.address != nil:
		return func(ctx context.Context, e *message.Envelope) error {
			t.tag(e.Message)
			return next(ctx, e)
		}
	case flow == message.Outbound && t.name != nil:
		return func(ctx context.Context, e *message.Envelope) error {
			if err := t.apply(e.Message); err != nil {
				return err
			}
			return next(ctx, e)
		}
	}
	return next
}

func (t *Tagging) tag(m *message.Message) {
	groups := t.address.FindStringSubmatch(m.To)
	if groups == nil || m.To == "" {
		return
	}
	tag := m.HelperMetadata.Object("tag")
	tag.Set("tag", []string{t.poolText.expand(groups), t.nameText.expand(groups)})
	m.HelperMetadata.Set("tag", tag)
}

// tagOf is the tag of a message: pool and name.
func tagOf(m *message.Message) (pool, name string, tagged bool) {
	holder := m.HelperMetadata.Object("tag")
	var tag []string
	if holder.Decode("tag", &tag) != nil || len(tag) != 2 {
		return "", "", false
	}
	return tag[0], tag[1], true
}

func (t *Tagging) apply(m *message.Message) error {
	_, name, tagged := tagOf(m)
	groups := t.name.FindStringSubmatch(name)
	if !tagged || groups == nil {
		return nil
	}
	var whole message.Object
	if err := whole.UnmarshalJSON(m.Encode()); err != nil {
		return fmt.Errorf("reading message %s to change it: %w", m.ID, err)
	}
	for _, c := range t.changes {
		put(&whole, c.keys, c.valueFor(groups))
	}
	changed, err := message.Decode([]byte(whole.String()))
	if err != nil {
		return message.Permanent(fmt.Errorf("msg_template makes no message of %s: %w", m.ID, err))
	}
	*m = *changed
	return nil
}

func (c change) valueFor(groups []string) any {
	if c.text != nil {
		return c.text.expand(groups)
	}
	return c.value
}

func put(o *message.Object, keys []string, value any) {
	if len(keys) == 1 {
		o.Set(keys[0], value)
		return
	}
	inner := o.Object(keys[0])
	put(&inner, keys[1:], value)
	o.Set(keys[0], inner)
}
