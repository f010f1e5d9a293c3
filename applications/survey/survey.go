// Package survey is an application in a file: it asks everybody the same
// questions and stores the answers, which `switchboard survey export` writes as
// CSV.
package survey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"switchboard/applications"
	"switchboard/applications/conversation"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
)

// Application asks questions.
//
// Texts and conditions may name {from}, {to}, {content}, {transport}, {language},
// and every question: its answer, empty until it is given.
type Application struct {
	// Results is the name under which the answers are stored and exported.
	Results string `yaml:"results"`
	// Questions are asked in their order.
	Questions options.Map[Question] `yaml:"questions"`
	// Welcome comes before the first question.
	Welcome options.Text `yaml:"welcome"`
	// Thanks comes after the last answer.
	Thanks options.Text `yaml:"thanks"`
	// Again lets a person answer again; else who is done gets thanks.
	Again bool `yaml:"again"`
	// Languages are the languages of the texts. Where there are several, people are
	// asked for theirs first, by these names. Example: `{en: English, sw: Kiswahili}`.
	Languages options.Map[string] `yaml:"languages"`
	// Remember is how long a person may take between two answers, and how long is
	// remembered who is done; default 2160h.
	Remember options.Duration `yaml:"remember"`

	names  []string
	now    func() time.Time
	keeper conversation.Keeper[person]
}

// Question is one question.
type Question struct {
	// Ask is what is asked. As a single text it is the whole question.
	Ask options.Text `yaml:"ask"`
	// Choices are the answers there are, chosen by number or text. The first
	// language's text is stored.
	Choices []options.Text `yaml:"choices"`
	// Min is the smallest number; min or max make the answer a number.
	Min *float64 `yaml:"min"`
	// Max is the largest number.
	Max *float64 `yaml:"max"`
	// Check is a condition that the answer must meet. Example: `len(name) > 1`.
	Check string `yaml:"check"`
	// Invalid says that an answer was not valid, before it is asked again.
	Invalid options.Text `yaml:"invalid"`
	// When is a condition; where it does not hold the question is not asked.
	// Example: `sex == "Female" and int(age) < 50`.
	When string `yaml:"when"`

	check, when *conversation.Condition
}

// ShorthandKey is the key that a single text stands for.
func (*Question) ShorthandKey() string { return "ask" }

// person is how far one is.
type person struct {
	Key     string              `json:"key,omitempty"` // of the answers; empty before it began
	Asked   string              `json:"asked,omitempty"`
	Answers conversation.Values `json:"answers,omitempty"`
	Started time.Time           `json:"started"`
	Done    bool                `json:"done,omitempty"`
}

// Response is what is stored of one person's answers.
type Response struct {
	Person    string              `json:"person"`
	Transport string              `json:"transport"`
	Language  string              `json:"language,omitempty"`
	Started   time.Time           `json:"started"`
	Answered  time.Time           `json:"answered"` // the last answer
	Done      bool                `json:"done"`
	Answers   conversation.Values `json:"answers"`
	Order     []string            `json:"order"` // the questions, as the file has them
}

var (
	_ applications.Application  = (*Application)(nil)
	_ applications.Deduplicator = (*Application)(nil)
	_ applications.Linter       = (*Application)(nil)
)

const (
	defaultRemember = 90 * 24 * time.Hour
	language        = "language"
	// maxAnswer bounds an answer, in bytes.
	maxAnswer = 2000
	// scopePrefix and answersPrefix are where answers are in the state store.
	scopePrefix   = "survey/"
	answersPrefix = "answers/"
)

// Scope is where the answers of a survey are in the state that workers share.
func Scope(results string) string { return scopePrefix + results }

// New is an Application with its defaults.
func New() *Application {
	return &Application{Thanks: options.Text{{Value: "Thank you!"}}, Remember: options.Duration(defaultRemember)}
}

// Provision takes the state.
func (a *Application) Provision(_ context.Context, env applications.Env) error {
	a.now = env.Now
	a.keeper = conversation.Keeper[person]{State: env.Shared(Scope(a.Results)), Remember: a.Remember.Std(), Now: env.Now}
	return nil
}

// Deduplicates says that a second copy gets the same answer.
func (*Application) Deduplicates() bool { return true }

// Receive takes an answer and asks the next question.
func (a *Application) Receive(ctx context.Context, m *message.Message) ([]*message.Message, error) {
	return a.keeper.Handle(ctx, m, func(p *person) ([]conversation.Output, []store.Entry, error) {
		output := a.turn(p, m)
		if p.Key == "" || len(p.Answers) == 0 {
			return []conversation.Output{output}, nil, nil
		}
		text, err := json.Marshal(Response{
			Person: m.From, Transport: m.TransportName, Language: p.Answers[language], Started: p.Started, Answered: a.now(),
			Done: p.Done, Answers: p.Answers, Order: a.order(),
		})
		return []conversation.Output{output}, []store.Entry{{Key: p.Key, Value: string(text)}}, err
	})
}

func (a *Application) order() []string {
	names := make([]string, len(a.Questions))
	for i, q := range a.Questions {
		names[i] = q.Key
	}
	return names
}

// turn is what one message is answered.
func (a *Application) turn(p *person, m *message.Message) conversation.Output {
	if p.Answers == nil {
		p.Answers = conversation.Values{}
	}
	begins := p.Key == "" || p.Done && a.Again
	switch {
	case begins:
		now := a.now().UTC()
		*p = person{Started: now, Answers: conversation.Values{}, Key: answersPrefix + now.Format("20060102T150405.000000") + "/" + m.TransportName + "/" + m.From}
	case p.Done:
		return a.thank(p, m)
	case m.SessionEvent == message.SessionNew:
		// a session that begins again: what is typed is a code, no answer
	case !a.take(p, m):
		return a.ask(p, m, a.invalid(p, m))
	}
	if len(a.Languages) > 1 && p.Answers[language] == "" {
		p.Asked = language
		return a.ask(p, m, "")
	}
	first := begins || p.Asked == language
	p.Asked = a.next(p, m)
	if p.Asked == "" {
		p.Done = true
		return a.thank(p, m)
	}
	if first {
		return a.ask(p, m, a.fill(a.Welcome, p, m))
	}
	return a.ask(p, m, "")
}

func (a *Application) values(p *person, m *message.Message) conversation.Values {
	values := conversation.Facts(m)
	values[language] = ""
	maps.Copy(values, p.Answers)
	return values
}

func (a *Application) fill(text options.Text, p *person, m *message.Message) string {
	values := a.values(p, m)
	return conversation.Fill(text.In(values[language]), values)
}

func (a *Application) thank(p *person, m *message.Message) conversation.Output {
	return conversation.Output{Content: a.fill(a.Thanks, p, m), End: true}
}

// next is the first question that is not answered and whose condition holds.
func (a *Application) next(p *person, m *message.Message) string {
	values := a.values(p, m)
	for _, q := range a.Questions {
		if _, answered := p.Answers[q.Key]; !answered && q.Value.when.Holds(values) {
			return q.Key
		}
	}
	return ""
}

// ask is the question that is open, behind a text.
func (a *Application) ask(p *person, m *message.Message, before string) conversation.Output {
	var lines []string
	if before != "" {
		lines = append(lines, before)
	}
	if p.Asked == language {
		for i, l := range a.Languages {
			lines = append(lines, fmt.Sprintf("%d. %s", i+1, l.Value))
		}
		return conversation.Output{Content: strings.Join(lines, "\n")}
	}
	q, there := a.Questions.Get(p.Asked)
	if !there { // the file was changed since: go on with what it asks now
		if p.Asked = a.next(p, m); p.Asked == "" {
			p.Done = true
			return a.thank(p, m)
		}
		q, _ = a.Questions.Get(p.Asked)
	}
	lines = append(lines, a.fill(q.Ask, p, m))
	for i, c := range q.Choices {
		lines = append(lines, fmt.Sprintf("%d. %s", i+1, a.fill(c, p, m)))
	}
	return conversation.Output{Content: strings.Join(lines, "\n")}
}

// take takes an answer; false is one that is not valid.
func (a *Application) take(p *person, m *message.Message) bool {
	content := strings.TrimSpace(m.Content)
	if len(content) > maxAnswer || content == "" {
		return false
	}
	if p.Asked == language {
		texts := make([]string, len(a.Languages))
		for i, l := range a.Languages {
			texts[i] = l.Value
		}
		i := chosen(content, texts)
		if i >= 0 {
			p.Answers[language] = a.Languages[i].Key
		}
		return i >= 0
	}
	q, there := a.Questions.Get(p.Asked)
	if !there {
		return true // the file was changed since
	}
	answer, valid := a.answer(&q, p, m, content)
	if !valid {
		return false
	}
	values := a.values(p, m)
	values[p.Asked] = answer
	if !q.check.Holds(values) {
		return false
	}
	p.Answers[p.Asked] = answer
	return true
}

func (a *Application) answer(q *Question, p *person, m *message.Message, content string) (answer string, valid bool) {
	if len(q.Choices) > 0 {
		texts := make([]string, len(q.Choices))
		for i, c := range q.Choices {
			texts[i] = a.fill(c, p, m)
		}
		i := chosen(content, texts)
		if i < 0 {
			return "", false
		}
		return q.Choices[i].In(""), true
	}
	if q.Min != nil || q.Max != nil {
		n, err := strconv.ParseFloat(strings.Replace(content, ",", ".", 1), 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || q.Min != nil && n < *q.Min || q.Max != nil && n > *q.Max {
			return "", false
		}
		return strconv.FormatFloat(n, 'f', -1, 64), true
	}
	return content, true
}

// chosen is which of the texts an answer means: by number or by text; -1 for none.
func chosen(content string, texts []string) int {
	if n, err := strconv.Atoi(strings.TrimSuffix(content, ".")); err == nil && n >= 1 && n <= len(texts) {
		return n - 1
	}
	return slices.IndexFunc(texts, func(text string) bool { return strings.EqualFold(text, content) })
}

func (a *Application) invalid(p *person, m *message.Message) string {
	q, _ := a.Questions.Get(p.Asked)
	return a.fill(q.Invalid, p, m)
}

// Validate checks the questions.
func (a *Application) Validate() error {
	var errs []error
	if a.Results == "" || strings.ContainsAny(a.Results, "/ ") {
		errs = append(errs, options.Fieldf("results", "must be a name without slashes and spaces: the answers are stored and exported under it"))
	}
	if len(a.Questions) == 0 {
		errs = append(errs, options.Fieldf("questions", "is missing; write the questions"))
	}
	if a.Remember <= 0 {
		errs = append(errs, options.Fieldf("remember", "must be above 0"))
	}
	a.names = append(conversation.Names(conversation.Facts(&message.Message{})), language)
	reserved := slices.Clone(a.names)
	a.names = append(a.names, a.order()...)
	errs = append(errs, conversation.CheckTexts(a.Welcome, a.names, "welcome"), conversation.CheckTexts(a.Thanks, a.names, "thanks"))
	for i := range a.Questions {
		q := &a.Questions[i]
		if slices.Contains(reserved, q.Key) {
			errs = append(errs, options.Field(fmt.Errorf("%s is what every message has; choose another name", q.Key), "questions", q.Key))
		}
		errs = append(errs, options.Under(a.check(&q.Value), "questions", q.Key))
	}
	return errors.Join(errs...)
}

func (a *Application) check(q *Question) (err error) {
	errs := []error{conversation.CheckTexts(q.Ask, a.names, "ask"), conversation.CheckTexts(q.Invalid, a.names, "invalid")}
	if len(q.Ask) == 0 {
		errs = append(errs, options.Fieldf("ask", "is missing; write the question"))
	}
	if len(q.Choices) == 1 || len(q.Choices) > 0 && (q.Min != nil || q.Max != nil) {
		errs = append(errs, options.Fieldf("choices", "must be two at least, without min and max"))
	}
	if q.Min != nil && q.Max != nil && *q.Min > *q.Max {
		errs = append(errs, options.Fieldf("min", "is above max"))
	}
	for i, c := range q.Choices {
		errs = append(errs, conversation.CheckTexts(c, a.names, "choices", strconv.Itoa(i)))
	}
	if q.check, err = conversation.Compile(q.Check, a.names); err != nil {
		errs = append(errs, options.Field(err, "check"))
	}
	if q.when, err = conversation.Compile(q.When, a.names); err != nil {
		errs = append(errs, options.Field(err, "when"))
	}
	return errors.Join(errs...)
}

// Lint warns of languages that are missing, and of conditions about answers that
// come later.
func (a *Application) Lint() error {
	languages := make([]string, len(a.Languages))
	for i, l := range a.Languages {
		languages[i] = l.Key
	}
	errs := []error{conversation.LintLanguages(a.Welcome, languages, "welcome"), conversation.LintLanguages(a.Thanks, languages, "thanks")}
	for i, q := range a.Questions {
		lint := []error{conversation.LintLanguages(q.Value.Ask, languages, "ask"), conversation.LintLanguages(q.Value.Invalid, languages, "invalid")}
		for j, c := range q.Value.Choices {
			lint = append(lint, conversation.LintLanguages(c, languages, "choices", strconv.Itoa(j)))
		}
		for _, later := range a.Questions[i:] {
			if q.Value.when.Names(later.Key) {
				lint = append(lint, options.Fieldf("when", "asks for %s, which is not answered by then", later.Key))
			}
		}
		errs = append(errs, options.Under(errors.Join(lint...), "questions", q.Key))
	}
	return errors.Join(errs...)
}
