// Package catalogue says what the errors of channels mean: a class, one plain
// sentence, and what to do. The codes of HTTP providers stand in their
// descriptions, those of SMPP here.
package catalogue

import (
	"cmp"
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"
)

// Class is what becomes of a message, or of its line, by an error.
type Class string

// The classes.
const (
	Sent      Class = "sent"
	Pending   Class = "pending"   // accepted, and not passed on yet
	Temporary Class = "temporary" // this message may pass later
	Throttled Class = "throttled" // the line is too fast
	Blocked   Class = "blocked"   // the person does not want messages
	Permanent Class = "permanent" // this message never passes
	Unknown   Class = "unknown"   // nobody knows whether it was sent
	Alert     Class = "alert"     // the account cannot send: credit, token, suspension
)

var classes = []Class{Sent, Pending, Temporary, Throttled, Blocked, Permanent, Unknown, Alert}

// UnmarshalText reads a class.
func (c *Class) UnmarshalText(text []byte) error {
	if !slices.Contains(classes, Class(text)) {
		return fmt.Errorf("%q is none of %v", text, classes)
	}
	*c = Class(text)
	return nil
}

// Problem is what a code means.
type Problem struct {
	Class Class  `yaml:"class"`
	Text  string `yaml:"text"` // one plain sentence
	Do    string `yaml:"do"`   // what to do about it
}

// maxDetail bounds how much of the other side's own words goes into a reason, in
// characters.
const maxDetail = 200

// Sentence is the catalogue's words about a code, and the other side's own.
func (p Problem) Sentence(code, detail string) string {
	text := strings.TrimSpace(p.Text + " " + p.Do)
	if code != "" {
		text = code + ": " + text
	}
	if detail != "" && !strings.EqualFold(detail, code) {
		runes := []rune(detail)
		text += fmt.Sprintf(" (The provider says: %s)", string(runes[:min(len(runes), maxDetail)]))
	}
	return cmp.Or(text, "no reason was given")
}

//go:embed smpp.yaml
var smpp []byte

// SMPP is what command statuses mean by their names (ESME_RTHROTTLED), receipts'
// words (UNDELIV), and the numbers of errors as networks give them (err 1).
var SMPP = sync.OnceValue(func() map[string]Problem {
	all := map[string]Problem{}
	if err := yaml.Unmarshal(smpp, &all); err != nil {
		panic(err) // embedded, and read by a test
	}
	return all
})

// Receipt is what the word of an SMPP receipt and its err, which may be empty,
// mean. An err of letters is the SMSC's own and means nothing here.
func Receipt(word, code string) (p Problem, known bool) {
	if number := strings.TrimLeft(code, "0"); number != "" {
		if p, known = SMPP()["err "+number]; known {
			return p, true
		}
	}
	p, known = SMPP()[strings.ToUpper(word)]
	return p, known
}
