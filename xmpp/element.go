package xmpp

import (
	"encoding/xml"
	"strings"
	"unicode/utf8"
)

// Element is an XML element: a stanza, or a part of one. Text is what stands in it
// itself, before its children.
type Element struct {
	Space, Name string
	Attrs       []Attr
	Text        string
	Children    []*Element
}

// Attr is an attribute; "xml:lang" is the one with a prefix that is kept.
type Attr struct{ Name, Value string }

// New makes an element.
func New(space, name string, children ...*Element) *Element {
	return &Element{Space: space, Name: name, Children: children}
}

// NewText makes an element with a text.
func NewText(space, name, text string) *Element {
	return &Element{Space: space, Name: name, Text: text}
}

// Set sets an attribute and returns e; an empty value leaves it out.
func (e *Element) Set(name, value string) *Element {
	for i := range e.Attrs {
		if e.Attrs[i].Name == name {
			e.Attrs[i].Value = value
			return e
		}
	}
	if value != "" {
		e.Attrs = append(e.Attrs, Attr{name, value})
	}
	return e
}

// Add adds children and returns e.
func (e *Element) Add(children ...*Element) *Element {
	e.Children = append(e.Children, children...)
	return e
}

// Attr is an attribute's value; "" where there is none.
func (e *Element) Attr(name string) string {
	if e == nil {
		return ""
	}
	for _, a := range e.Attrs {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}

// Child is the first child of a name; nil where there is none, and of nil.
func (e *Element) Child(space, name string) *Element {
	if e == nil {
		return nil
	}
	for _, c := range e.Children {
		if c.Space == space && c.Name == name {
			return c
		}
	}
	return nil
}

// ChildText is the text of a child; "" where there is none, and of nil.
func (e *Element) ChildText(space, name string) string {
	if c := e.Child(space, name); c != nil {
		return c.Text
	}
	return ""
}

// From is who sent a stanza; the zero JID where it does not say or is wrong.
func (e *Element) From() JID { return jidOf(e.Attr("from")) }

// To is whom a stanza is for.
func (e *Element) To() JID { return jidOf(e.Attr("to")) }

// jidOf takes a resource that cannot be prepared as it is: emoji stand in the names of
// people in rooms.
func jidOf(text string) JID {
	j, err := ParseJID(text)
	if err == nil {
		return j
	}
	bare, resource, _ := strings.Cut(text, "/")
	if j, err = ParseJID(bare); err != nil || len(resource) > maxPart {
		return JID{}
	}
	j.Resource = resource
	return j
}

// IQ makes an iq (RFC 6120 §8.2.3). Its id is for Session.IQ to set.
func IQ(to, kind string, payload ...*Element) *Element {
	return New(NSClient, "iq", payload...).Set("type", kind).Set("to", to)
}

// Result makes the answer to an iq.
func Result(request *Element, payload ...*Element) *Element {
	return answer(request, "result", payload)
}

func answer(request *Element, kind string, payload []*Element) *Element {
	return New(request.Space, request.Name, payload...).Set("type", kind).
		Set("id", request.Attr("id")).Set("to", request.Attr("from")).Set("from", request.Attr("to"))
}

// ErrorReply makes the answer that a stanza is not served: kind is cancel, wait,
// modify or auth, condition one of RFC 6120 §8.3.3.
func ErrorReply(request *Element, kind, condition, text string) *Element {
	e := New(NSClient, "error", New(NSStanzas, condition)).Set("type", kind)
	if text != "" {
		e.Add(NewText(NSStanzas, "text", text))
	}
	return answer(request, "error", []*Element{e})
}

// StanzaError is why a stanza was not served.
type StanzaError struct {
	Type      string // cancel, wait, modify, auth
	Condition string // item-not-found, …
	Text      string
	Blocked   bool // the person blocks us (XEP-0191)
}

// ErrorOf reads the error of a stanza with type=error.
func ErrorOf(stanza *Element) *StanzaError {
	found := &StanzaError{Condition: "undefined-condition"}
	e := stanza.Child(NSClient, "error")
	if e == nil {
		return found
	}
	found.Type = e.Attr("type")
	found.Blocked = e.Child(NSBlocking, "blocked") != nil
	for _, c := range e.Children {
		switch {
		case c.Space != NSStanzas:
		case c.Name == "text":
			found.Text = c.Text
		default:
			found.Condition = c.Name
		}
	}
	return found
}

func (e *StanzaError) Error() string {
	if e.Text == "" {
		return e.Condition
	}
	return e.Condition + ": " + e.Text
}

// Clean replaces by U+FFFD what XML 1.0 cannot carry: one such character would
// close the stream for everybody.
func Clean(text string) string {
	if !strings.ContainsFunc(text, unfit) && utf8.ValidString(text) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if unfit(r) {
			return utf8.RuneError
		}
		return r
	}, text)
}

// unfit is outside the characters of XML 1.0 §2.2.
func unfit(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff
}

// String is the element as it goes over the wire.
func (e *Element) String() string { return string(e.AppendTo(nil)) }

// AppendTo appends the element as it stands in a client's or component's stream.
// What XML cannot carry is replaced.
func (e *Element) AppendTo(b []byte) []byte { return e.appendIn(b, NSClient) }

func (e *Element) appendIn(b []byte, parent string) []byte {
	b = append(append(b, '<'), e.Name...)
	if e.Space != parent {
		b = appendAttr(b, "xmlns", e.Space)
	}
	for _, a := range e.Attrs {
		b = appendAttr(b, a.Name, a.Value)
	}
	if e.Text == "" && len(e.Children) == 0 {
		return append(b, "/>"...)
	}
	b = appendEscaped(append(b, '>'), e.Text)
	for _, c := range e.Children {
		b = c.appendIn(b, e.Space)
	}
	return append(append(append(b, "</"...), e.Name...), '>')
}

func appendAttr(b []byte, name, value string) []byte {
	b = append(append(append(b, ' '), name...), `="`...)
	return append(appendEscaped(b, value), '"')
}

func appendEscaped(b []byte, text string) []byte {
	for _, r := range Clean(text) {
		switch r {
		case '<':
			b = append(b, "&lt;"...)
		case '>':
			b = append(b, "&gt;"...)
		case '&':
			b = append(b, "&amp;"...)
		case '"':
			b = append(b, "&#34;"...)
		case '\t':
			b = append(b, "&#9;"...)
		case '\n':
			b = append(b, "&#10;"...)
		case '\r':
			b = append(b, "&#13;"...)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}

// attrsOf keeps an element's attributes but for declarations of namespaces.
func attrsOf(list []xml.Attr) (kept []Attr) {
	for _, a := range list {
		switch {
		case a.Name.Space == "" && a.Name.Local != "xmlns":
			kept = append(kept, Attr{a.Name.Local, a.Value})
		case a.Name.Space == nsXML && a.Name.Local == "lang":
			kept = append(kept, Attr{"xml:lang", a.Value})
		}
	}
	return kept
}
