package menu

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"switchboard/applications/conversation"
	"switchboard/message"
	"switchboard/options"
)

// visit is one message to the menu.
type visit struct {
	app     *Application
	person  *person
	message *message.Message
	values  conversation.Values
}

func (v *visit) set(name, value string) {
	if len(value) > maxValue {
		value = strings.ToValidUTF8(value[:maxValue], "")
	}
	v.values[name], v.person.Values[name] = value, value
}

func (v *visit) fill(text options.Text) string {
	return conversation.Fill(text.In(v.values[language]), v.values)
}

// answer is where an answer leads; problem is what to say of one that does not.
func (v *visit) answer(s *Screen, content string) (next, problem string) {
	content = strings.TrimSpace(content)
	if len(s.Choices) == 0 {
		before := v.values[s.Ask]
		if v.set(s.Ask, content); content == "" || !s.check.Holds(v.values) {
			v.set(s.Ask, before)
			return "", v.invalid(s)
		}
		return v.next(s), ""
	}
	choices := v.choices(s)
	n, err := strconv.Atoi(strings.TrimSuffix(content, "."))
	for i, c := range choices {
		if err == nil && n == i+1 || err != nil && strings.EqualFold(content, v.fill(c.Label)) {
			for name, value := range c.Set {
				v.set(name, conversation.Fill(value, v.values))
			}
			return c.Next, ""
		}
	}
	return "", v.invalid(s)
}

func (v *visit) invalid(s *Screen) string {
	if len(s.Invalid) > 0 {
		return v.fill(s.Invalid)
	}
	return v.fill(v.app.Invalid)
}

// choices are those that are shown.
func (v *visit) choices(s *Screen) (shown []*Choice) {
	for i := range s.Choices {
		if c := &s.Choices[i]; c.when.Holds(v.values) {
			shown = append(shown, c)
		}
	}
	return shown
}

func (v *visit) next(s *Screen) string {
	for _, b := range s.Branches {
		if b.when.Holds(v.values) {
			return b.Next
		}
	}
	return s.Next
}

// show goes to a screen, and on where it has no text.
func (v *visit) show(ctx context.Context, name, problem string) (conversation.Output, error) {
	for range maxSteps {
		s := v.app.screens[name]
		if s.HTTP != nil && problem == "" {
			if err := v.fetch(ctx, name, s.HTTP); err != nil {
				v.app.logger.Warn("an HTTP call failed", "screen", name, "message_id", v.message.ID, "error", err)
				name = s.HTTP.Failed
				continue
			}
		}
		if len(s.Text) > 0 {
			return v.display(name, s, problem), nil
		}
		name = v.next(s)
	}
	return conversation.Output{}, message.Permanent(fmt.Errorf("screens.%s: %w", name, errNowhere))
}

func (v *visit) display(name string, s *Screen, problem string) conversation.Output {
	lines := []string{v.fill(s.Text)}
	if problem != "" {
		lines = []string{problem, lines[0]}
	}
	for i, c := range v.choices(s) {
		lines = append(lines, fmt.Sprintf("%d. %s", i+1, v.fill(c.Label)))
	}
	v.person.Screen, v.person.At = name, v.app.now()
	if s.isLast() {
		v.person.Screen = ""
	}
	return conversation.Output{Content: strings.Join(lines, "\n"), End: s.isLast()}
}

// isLast says that nothing follows the screen.
func (s *Screen) isLast() bool { return len(s.Choices) == 0 && s.Ask == "" && len(s.Text) > 0 }
