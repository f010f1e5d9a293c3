package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"switchboard/smpp/simulator"
)

// conversation is who typed messages are from and to.
type conversation struct{ from, to string }

// typed sends a line as a message, or does what it says.
func (s *simulation) typed(ctx context.Context, line string) {
	switch line = strings.TrimSpace(line); line {
	case "":
		return
	case "/drop":
		for _, session := range s.smsc.Sessions() {
			session.Abort(nil)
		}
		return
	case "/counters":
		s.printJSON(s.smsc.Counters())
		return
	}
	m := s.talk.read(line)
	go func() {
		patience, cancel := context.WithTimeout(ctx, 10*showEvery)
		defer cancel()
		if err := s.smsc.Deliver(patience, m); err != nil {
			select {
			case s.notices <- "  not delivered: " + err.Error():
			case <-ctx.Done():
			}
		}
	}()
}

// read takes "FROM TO TEXT" or a text that continues the conversation.
func (c *conversation) read(line string) simulator.Incoming {
	if words := strings.SplitN(line, " ", 3); len(words) == 3 && isNumber(words[0]) && isNumber(words[1]) {
		c.from, c.to, line = words[0], words[1], words[2]
	}
	m := simulator.Incoming{From: c.from, To: c.to, Text: line}
	if m.From == "" {
		m.From, m.To = "31612345678", "1234"
	}
	return m
}

func isNumber(word string) bool {
	digits := strings.TrimPrefix(word, "+")
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}

// show writes what came, and the counters when they changed.
func (s *simulation) show() {
	c := s.smsc.Counters()
	if s.json {
		b, err := json.Marshal(c)
		if line := string(b); err == nil && line != s.last {
			s.last = line
			_, _ = fmt.Fprintln(s.out, line)
		}
		return
	}
	s.showMessages()
	if line := summary(c); line != s.last {
		s.last = line
		s.print(line)
	}
}

func (s *simulation) showMessages() {
	list, next := s.smsc.ReceivedSince(s.seen)
	s.seen = next
	list = slices.DeleteFunc(list, func(r simulator.Received) bool { return r.Message() == nil })
	for i, r := range list {
		if i == showMost {
			s.above(fmt.Sprintf("  … and %d more", len(list)-showMost))
			return
		}
		m := r.Message()
		if to := r.Recipients(); len(to) > 0 {
			s.talk.from, s.talk.to = to[0], m.Source.Addr
		}
		s.above(fmt.Sprintf("  %s → %s  %q  %s %s", m.Source.Addr, strings.Join(r.Recipients(), ", "), r.Text(), r.Status, r.MessageID))
	}
}

// print writes the line of counters; at a terminal over the one before.
func (s *simulation) print(line string) {
	if s.live {
		_, _ = fmt.Fprintf(s.out, "\r\x1b[K%s", line)
		return
	}
	_, _ = fmt.Fprintln(s.out, line)
}

// above writes a line that stays, above that of the counters.
func (s *simulation) above(line string) {
	if s.live {
		_, _ = fmt.Fprintf(s.out, "\r\x1b[K%s\n%s", line, s.last)
		return
	}
	_, _ = fmt.Fprintln(s.out, line)
}

func summary(c simulator.Counters) string {
	var line strings.Builder
	line.WriteString(fmt.Sprintf("bound %d · submits %d (%d/s, at most %d/s) · accepted %d · receipts %d · messages %d",
		c.Bound, c.Submits, c.PerSecond, c.PeakPerSecond, c.Accepted, c.ReceiptsTaken, c.MessagesTaken))
	if c.Waiting > 0 {
		line.WriteString(fmt.Sprintf(" · waiting %d", c.Waiting))
	}
	for _, status := range slices.Sorted(maps.Keys(c.Answers)) {
		if status != "ESME_ROK" {
			line.WriteString(fmt.Sprintf(" · %s %d", status, c.Answers[status]))
		}
	}
	return line.String()
}
