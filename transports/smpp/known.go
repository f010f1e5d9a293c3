package smpp

import (
	"encoding/json"
	"strconv"
	"strings"
)

// keys are the names under which things are kept.
type keys struct{ prefix string }

func newKeys(o *Options) keys {
	name := o.SplitBindPrefix
	if name == "" {
		name = o.TransportName
	}
	return keys{"smpp/" + name + "/"}
}

func (k keys) id(normal string) string   { return k.prefix + "id/" + normal }
func (k keys) held(normal string) string { return k.prefix + "held/" + normal }

// report is what was reported of a part; lastWord is who had the last word on
// all of the message.
func (k keys) report(of known, n int) string { return k.reports(of) + strconv.Itoa(n) }
func (k keys) lastWord(of known) string      { return k.reports(of) + "end" }

func (k keys) reports(of known) string {
	key := k.prefix + "report/" + of.Message + "/"
	if of.Attempt > 0 {
		key += strconv.Itoa(of.Attempt) + "/"
	}
	return key
}

func (k keys) part(s *submitted, n int) string {
	key := k.prefix + "part/" + s.id + "/"
	if s.attempt > 0 {
		key += strconv.Itoa(s.attempt) + "/"
	}
	return key + strconv.Itoa(n)
}

// unknown says that there are, or were, submits without an answer between two;
// unanswered is one of them.
func (k keys) unknown(to, from string) string {
	return k.prefix + "unknown/" + people(to, from)
}

func (k keys) unanswered(s *submitted) string { return k.unknown(s.to, s.from) + "/" + s.id }

func (k keys) reference(to string, reference uint16) string {
	return k.prefix + "reference/" + lastDigits(to) + "/" + strconv.Itoa(int(reference))
}

// nameless is for what is known of a part whose id says nothing.
func (k keys) nameless(of known) string {
	if of.Ref != 0 {
		return k.reference(of.To, of.Ref)
	}
	return k.prefix + "nameless/" + of.Message + "/" + strconv.Itoa(of.N)
}

func (k keys) heldFor(to, from string) string {
	return k.prefix + "held-for/" + people(to, from)
}

func people(to, from string) string {
	return strings.ReplaceAll(bare(to), "/", "_") + "/" + strings.ReplaceAll(bare(from), "/", "_")
}

// known is what a provider's id stands for, as it is kept.
type known struct {
	Message string          `json:"m"`
	Routing json.RawMessage `json:"r,omitempty"`
	To      string          `json:"to"`
	From    string          `json:"from,omitempty"`
	N       int             `json:"n,omitempty"` // of Total, where there are several
	Total   int             `json:"t,omitempty"`
	Dead    bool            `json:"x,omitempty"` // the message failed: nobody waits for a receipt
	Final   string          `json:"f,omitempty"` // the last status reported
	Ref     uint16          `json:"u,omitempty"` // its user_message_reference
	Joint   uint16          `json:"j,omitempty"` // what marks the parts of its text
	Attempt int             `json:"a,omitempty"` // which of a broadcast's
	Same    []known         `json:"s,omitempty"` // others that were given the same id
	Again   bool            `json:"g,omitempty"` // submitted more than once, perhaps: it may have several ids

	Nameless bool `json:"l,omitempty"` // it was accepted without an id
	Many     bool `json:"y,omitempty"` // of nobody: more messages than can be told apart have the id
}

func (p part) known() known {
	k := known{Message: p.id, Routing: json.RawMessage(p.routing), To: p.to, From: p.from, Ref: p.reference(), Attempt: p.attempt, Again: p.again.Load()}
	if p.total > 1 {
		k.N, k.Total, k.Joint = p.n, p.total, p.joint
	}
	return k
}

func (p part) encode() string { return p.known().encode() }

func (k known) encode() string {
	text, err := json.Marshal(k)
	if err != nil { // a routing_metadata that is no JSON: the event can do without
		k.Routing = nil
		text, _ = json.Marshal(k)
	}
	return string(text)
}
