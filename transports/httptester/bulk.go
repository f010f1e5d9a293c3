package httptester

import (
	"fmt"
	"net/http"
	"strings"

	"switchboard/message"
)

// maxBulk is how many messages are sent in one go.
const maxBulk = 1000

// receiveMany sends a message for each line. All lines are read before the
// first is sent, so a mistake sends nothing.
func (s *site) receiveMany(r *http.Request) (status int, text string) {
	messages, err := s.readMany(r.PostFormValue("lines"), r.PostFormValue("from"), r.PostFormValue("to"))
	if err != nil {
		return http.StatusBadRequest, "Nothing was sent: " + err.Error()
	}
	for i, m := range messages {
		if err := s.deliver(r, m); err != nil {
			return http.StatusServiceUnavailable, fmt.Sprintf("%d of %d messages were sent. %v", i, len(messages), err)
		}
	}
	if len(messages) == 1 {
		return http.StatusAccepted, "1 message was sent."
	}
	return http.StatusAccepted, fmt.Sprintf("%d messages were sent.", len(messages))
}

func (s *site) readMany(lines, from, to string) (messages []*message.Message, err error) {
	for i, line := range strings.Split(lines, "\n") {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		number, content := splitLine(line, from)
		m, err := s.read(number, to, content, "")
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		if messages = append(messages, m); len(messages) > maxBulk {
			return nil, fmt.Errorf("there are more than %d messages", maxBulk)
		}
	}
	if len(messages) == 0 {
		return nil, fmt.Errorf("there is no line with a message")
	}
	return messages, nil
}

// splitLine reads "NUMBER, TEXT" ("NUMBER: TEXT" and a tab do as well). A line
// that begins with no number is a text from the phone that is given.
func splitLine(line, from string) (number, content string) {
	number, content, found := cutAny(line, ",:;\t")
	if number = strings.TrimSpace(number); !found || !isNumber(number) {
		return from, line
	}
	return number, strings.TrimSpace(content)
}

func cutAny(text, separators string) (before, after string, found bool) {
	if i := strings.IndexAny(text, separators); i >= 0 {
		return text[:i], text[i+1:], true
	}
	return text, "", false
}

// isNumber says whether a text is written like a phone number.
func isNumber(text string) bool {
	digits := 0
	for _, r := range text {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case !strings.ContainsRune("+-() ", r):
			return false
		}
	}
	return digits > 2
}
