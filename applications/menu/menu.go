// Package menu is an application in a file: screens with choices and questions,
// as USSD and SMS menus have them.
package menu

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"time"

	"switchboard/applications"
	"switchboard/applications/conversation"
	"switchboard/internal/webclient"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
)

// Application shows screens.
//
// Texts and conditions may name {from}, {to}, {content}, {transport}, {language},
// and every variable: what ask, set and save name.
type Application struct {
	// Screens are the screens by name; the first is where a session begins.
	Screens options.Map[Screen] `yaml:"screens"`
	// Languages are the languages of the texts, the first the default. A choice
	// that sets the variable language changes a person's, also for later sessions.
	// Example: `[en, sw]`.
	Languages options.Names `yaml:"languages"`
	// Invalid comes before a screen that is shown again, where the screen has none
	// of its own.
	Invalid options.Text `yaml:"invalid"`
	// Timeout is how long a person may take to answer; then it begins again.
	Timeout options.Duration `yaml:"timeout"`
	// Remember is how long a person's language and variables are kept after the
	// last message; default 720h.
	Remember options.Duration `yaml:"remember"`
	// AllowPrivate lets http reach addresses of private networks and this machine.
	AllowPrivate bool `yaml:"allow_private"`

	names   []string // of values
	screens map[string]*Screen
	now     func() time.Time
	logger  *slog.Logger
	keeper  conversation.Keeper[person]
	web     *webclient.Client
}

// Screen is what a person sees. It has choices, or ask, or is the last one.
type Screen struct {
	// HTTP is fetched before the screen is shown.
	HTTP *Call `yaml:"http"`
	// Text is what is shown; choices follow it, numbered. A screen without a text
	// goes on to the next at once.
	Text options.Text `yaml:"text"`
	// Choices are chosen by their number or their label.
	Choices []Choice `yaml:"choices"`
	// Ask is the variable that the answer is put in.
	Ask string `yaml:"ask"`
	// Check is a condition that the answer must meet, by the variable's name.
	// Example: `int(age) >= 18`.
	Check string `yaml:"check"`
	// Invalid says that an answer was not valid.
	Invalid options.Text `yaml:"invalid"`
	// Branches are tried in their order before next.
	Branches []Branch `yaml:"branches"`
	// Next is the screen after the answer.
	Next string `yaml:"next"`

	check *conversation.Condition
}

// Choice is one of a screen's choices.
type Choice struct {
	// Label is what is shown.
	Label options.Text `yaml:"label"`
	// When is a condition; a choice is only shown where it holds.
	When string `yaml:"when"`
	// Set sets variables. Example: `{language: sw}`.
	Set map[string]string `yaml:"set"`
	// Next is the screen it leads to.
	Next string `yaml:"next"`

	when *conversation.Condition
}

// Branch leads to a screen where a condition holds.
type Branch struct {
	// When is the condition.
	When string `yaml:"when"`
	// Next is the screen.
	Next string `yaml:"next"`

	when *conversation.Condition
}

// person is what is remembered of one.
type person struct {
	Screen string              `json:"screen,omitempty"` // waits for an answer
	At     time.Time           `json:"at"`               // when it was shown
	Values conversation.Values `json:"values,omitempty"`
}

var (
	_ applications.Application  = (*Application)(nil)
	_ applications.Deduplicator = (*Application)(nil)
	_ applications.Linter       = (*Application)(nil)
)

const (
	defaultTimeout  = 10 * time.Minute
	defaultRemember = 30 * 24 * time.Hour
	// maxSteps is how many screens without a text follow each other.
	maxSteps = 20
	// maxValue bounds a variable, in bytes.
	maxValue = 1000
	language = "language"
)

// New is an Application with its defaults.
func New() *Application {
	return &Application{
		Invalid: options.Text{{Value: "Please choose one of these."}},
		Timeout: options.Duration(defaultTimeout), Remember: options.Duration(defaultRemember),
	}
}

// Provision takes the state and the network.
func (a *Application) Provision(_ context.Context, env applications.Env) error {
	a.now, a.logger = env.Now, env.Logger
	a.keeper = conversation.Keeper[person]{State: env.State, Remember: a.Remember.Std(), Now: env.Now}
	a.web = webclient.New(webclient.Settings{Timeout: callTimeout, AllowPrivate: a.AllowPrivate, Transport: env.HTTP})
	return nil
}

// Close ends the connections.
func (a *Application) Close() error { return a.web.Close() }

// Deduplicates says that a second copy gets the same answer.
func (*Application) Deduplicates() bool { return true }

// Receive takes an answer, and shows what follows.
func (a *Application) Receive(ctx context.Context, m *message.Message) ([]*message.Message, error) {
	return a.keeper.Handle(ctx, m, func(p *person) ([]conversation.Output, []store.Entry, error) {
		output, err := a.turn(ctx, p, m)
		return []conversation.Output{output}, nil, err
	})
}

func (a *Application) turn(ctx context.Context, p *person, m *message.Message) (conversation.Output, error) {
	v := a.visit(p, m)
	at, waits := a.screens[p.Screen]
	if !waits || m.SessionEvent == message.SessionNew || a.now().Sub(p.At) >= a.Timeout.Std() {
		return v.show(ctx, a.Screens[0].Key, "")
	}
	next, problem := v.answer(at, m.Content)
	if problem != "" {
		return v.show(ctx, p.Screen, problem)
	}
	return v.show(ctx, next, "")
}

func (a *Application) visit(p *person, m *message.Message) *visit {
	values := conversation.Facts(m)
	values[language] = ""
	if len(a.Languages) > 0 {
		values[language] = a.Languages[0]
	}
	maps.Copy(values, p.Values)
	if p.Values == nil {
		p.Values = conversation.Values{}
	}
	return &visit{a, p, m, values}
}

var errNowhere = errors.New("screens follow each other without end")
