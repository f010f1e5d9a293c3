// Package keyword is an application in a few lines of YAML: the words a message
// begins with choose its answer.
package keyword

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"switchboard/applications"
	"switchboard/applications/conversation"
	"switchboard/message"
	"switchboard/options"
)

// Application answers keywords.
//
// Texts may name {from}, {to}, {content}, {transport}, {word} (the keyword), {rest}
// (what follows it) and {keywords} (all first words).
type Application struct {
	// Keywords are what is done by what a message begins with, without regard to
	// case. Several words with one answer are separated by commas; a keyword may be
	// several words. The longest that fits counts. A single text is the reply.
	// Example: `{"hours, open": From 9 to 5.}`.
	Keywords options.Map[conversation.Action] `yaml:"keywords"`
	// Otherwise is done with messages that begin with no keyword; default nothing.
	// Example: `Write one of: {keywords}`.
	Otherwise *conversation.Action `yaml:"otherwise"`

	entries []entry
}

// entry is one keyword.
type entry struct {
	words  []string // in small letters
	action *conversation.Action
}

var (
	_ applications.Application  = (*Application)(nil)
	_ applications.Deduplicator = (*Application)(nil)
	_ applications.Linter       = (*Application)(nil)
)

// New is an Application with its defaults.
func New() *Application { return &Application{} }

var names = append(conversation.Names(conversation.Facts(&message.Message{})), "word", "rest", "keywords")

// Validate checks the keywords.
func (a *Application) Validate() error {
	if len(a.Keywords) == 0 {
		return options.Fieldf("keywords", "is missing; write an answer for each keyword")
	}
	a.entries = nil
	var errs []error
	seen := map[string]string{}
	for i := range a.Keywords {
		key, action := a.Keywords[i].Key, &a.Keywords[i].Value
		for keyword := range strings.SplitSeq(key, ",") {
			words := strings.Fields(strings.ToLower(keyword))
			spelt := strings.Join(words, " ")
			switch first, twice := seen[spelt]; {
			case spelt == "":
				errs = append(errs, options.Field(errors.New("holds a keyword without a letter"), "keywords", key))
			case twice:
				errs = append(errs, options.Field(fmt.Errorf("%s is a keyword of %q too", spelt, first), "keywords", key))
			}
			seen[spelt] = key
			a.entries = append(a.entries, entry{words, action})
		}
		errs = append(errs, action.Validate(names, "keywords", key))
	}
	if a.Otherwise != nil {
		errs = append(errs, a.Otherwise.Validate(names, "otherwise"))
	}
	return errors.Join(errs...)
}

// Lint warns when some messages get no answer.
func (a *Application) Lint() error {
	if a.Otherwise == nil {
		return options.Fieldf("keywords", "what begins with none of them is not answered; write otherwise: \"Write one of: {keywords}\"")
	}
	return nil
}

// Deduplicates says that a second copy does no harm: it gets the same answer.
func (*Application) Deduplicates() bool { return true }

// Receive answers one message.
func (a *Application) Receive(_ context.Context, m *message.Message) ([]*message.Message, error) {
	written := strings.Fields(m.Content)
	var found *entry
	for i := range a.entries {
		if e := &a.entries[i]; begins(written, e.words) && (found == nil || len(e.words) > len(found.words)) {
			found = e
		}
	}
	values := conversation.Facts(m)
	values["keywords"], values["rest"], values["word"] = a.list(), strings.Join(written, " "), ""
	action := a.Otherwise
	if found != nil {
		n := len(found.words)
		values["word"], values["rest"] = strings.Join(found.words, " "), strings.Join(written[n:], " ")
		action = found.action
	}
	if action == nil {
		return nil, nil
	}
	return conversation.Messages(action.Outputs("", values), m), nil
}

const punctuation = ".,;:!?\"'()"

func begins(written, words []string) bool {
	if len(written) < len(words) {
		return false
	}
	for i, word := range words {
		if got := strings.ToLower(written[i]); got != word && strings.Trim(got, punctuation) != word {
			return false
		}
	}
	return true
}

// list names the first spelling of each keyword.
func (a *Application) list() string {
	all := make([]string, len(a.Keywords))
	for i, k := range a.Keywords {
		first, _, _ := strings.Cut(k.Key, ",")
		all[i] = strings.TrimSpace(first)
	}
	return strings.Join(all, ", ")
}
