// Package faq is an application: the first word of a message chooses the answer.
package faq

import (
	"context"
	"maps"
	"slices"
	"strings"
	"switchboard/applications"
	"switchboard/message"
	"switchboard/options"
)

// Application answers questions. Its fields are the keys of its YAML file.
type Application struct {
	// Answers are the answers by keyword. Example: `{hours: We are open from 9 to 5.}`.
	Answers map[string]string `yaml:"answers"`
	// Otherwise answers what has no keyword; default a list of the keywords.
	Otherwise string `yaml:"otherwise"`
}

var _ applications.Application = (*Application)(nil)

// New is an Application with its defaults.
func New() *Application { return &Application{} }

// Validate checks what was written.
func (a *Application) Validate() error {
	if len(a.Answers) == 0 {
		return options.Fieldf("answers", "is missing; write an answer for each keyword")
	}
	for keyword := range a.Answers {
		if keyword != strings.ToLower(keyword) || len(strings.Fields(keyword)) != 1 {
			return options.Fieldf("answers."+keyword, "must be one word in small letters")
		}
	}
	return nil
}

// Receive answers one message.
func (a *Application) Receive(_ context.Context, m *message.Message) ([]*message.Message, error) {
	keyword, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(m.Content)), " ")
	answer, found := a.Answers[keyword]
	if !found {
		answer = a.otherwise()
	}
	return []*message.Message{m.Reply(answer)}, nil
}

func (a *Application) otherwise() string {
	if a.Otherwise != "" {
		return a.Otherwise
	}
	return "Write one of: " + strings.Join(slices.Sorted(maps.Keys(a.Answers)), ", ")
}
