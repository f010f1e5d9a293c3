package middleware_test

import (
	"testing"

	"switchboard/message"
	"switchboard/middleware"
)

const taggingYAML = `
incoming:
  addr_pattern: '^\d*(?P<code>\d{4})$'
  tagpool_template: pool1
  tagname_template: 'mytag_\g<code>_\1'
outgoing:
  tagname_pattern: 'mytag_(?P<code>\d{4})'
  msg_template:
    from_addr: '\1'
    provider: null
    priority: 3
    helper_metadata: {campaign: {code: 'c\g<code>', "true": true}}
`

func TestTaggingIncoming(t *testing.T) {
	m := mustLoad(t, middleware.NewTagging(), taggingYAML)
	for to, want := range map[string]string{
		"123456": `["pool1","mytag_3456_3456"]`, "1234": `["pool1","mytag_1234_1234"]`, "123": "", "x1234": "", "": "",
	} {
		e := envelope(message.Inbound, func(m *message.Message) {
			m.To = to
			m.HelperMetadata.Set("tag", map[string]any{"other": 1})
		})
		if err := pass(t, m, e); err != nil {
			t.Fatal(err)
		}
		tag := e.Message.HelperMetadata.Object("tag")
		if got := tag.Raw("tag"); got != want || tag.Raw("other") != "1" {
			t.Errorf("to %q: tag %s, want %s, of %s", to, got, want, tag.String())
		}
	}
}

func TestTaggingOutgoing(t *testing.T) {
	m := mustLoad(t, middleware.NewTagging(), taggingYAML)
	tagged := func(tag any) *message.Envelope {
		return envelope(message.Outbound, func(m *message.Message) {
			m.Provider = "mtn"
			m.HelperMetadata.Set("tag", map[string]any{"tag": tag})
			m.HelperMetadata.Set("campaign", map[string]any{"kept": 1})
		})
	}
	e := tagged([]string{"any pool", "mytag_4321"})
	id := e.ID()
	if err := pass(t, m, e); err != nil {
		t.Fatal(err)
	}
	campaign := e.Message.HelperMetadata.Object("campaign")
	if e.ID() != id || e.Message.From != "4321" || e.Message.Provider != "" || campaign.String() != `{"kept":1,"code":"c4321","true":true}` {
		t.Errorf("from %s, provider %q, campaign %s", e.Message.From, e.Message.Provider, campaign.String())
	}
	if extra := e.Message.Extra(); extra.Raw("priority") != "3" {
		t.Errorf("extra members: %s", extra.String())
	}
	for name, tag := range map[string]any{
		"another name": []string{"pool1", "other_4321"}, "no list": "mytag_4321", "a list of one": []string{"mytag_4321"}, "null": nil,
	} {
		e := tagged(tag)
		before := string(e.Encode())
		if err := pass(t, m, e); err != nil || string(e.Encode()) != before {
			t.Errorf("%s: changed, %v", name, err)
		}
	}
}

func TestTaggingThatMakesNoMessage(t *testing.T) {
	m := mustLoad(t, middleware.NewTagging(), `outgoing: {tagname_pattern: '(.*)', msg_template: {session_event: '\1'}}`)
	e := envelope(message.Outbound, func(m *message.Message) {
		m.HelperMetadata.Set("tag", map[string]any{"tag": []string{"p", "never heard"}})
	})
	if err := pass(t, m, e); !message.IsPermanent(err) {
		t.Errorf("got %v", err)
	}
}

func TestTaggingRefuses(t *testing.T) {
	refused(t, middleware.NewTagging, map[string]string{
		"nothing":         "",
		"no pattern":      `incoming: {addr_pattern: '('}`,
		"no such group":   `incoming: {addr_pattern: '(a)', tagpool_template: '\2'}`,
		"no such name":    `outgoing: {tagname_pattern: 'a', msg_template: {a: {b: '\g<x>'}}}`,
		"a key too many":  `incoming: {addr_patern: 'a'}`,
		"no such pattern": `outgoing: {tagname_pattern: '(?=a)'}`,
	})
}
