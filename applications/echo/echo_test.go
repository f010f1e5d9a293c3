package echo

import (
	"testing"

	"switchboard/message"
)

func TestEcho(t *testing.T) {
	for _, c := range []struct {
		what    string
		session message.SessionEvent
		content string
		want    []string
	}{
		{"a text comes back", message.SessionNone, "hello", []string{"hello"}},
		{"as it is", message.SessionNone, "  Two\nlines ☃ ", []string{"  Two\nlines ☃ "}},
		{"within a session too", message.SessionResume, "hello", []string{"hello"}},
		{"blanks too", message.SessionNone, " ", []string{" "}},
		{"and its own name", message.SessionNone, " ECHO ", []string{" ECHO "}},
		{"nothing has no echo", message.SessionNone, "", nil},
		{"not within a session either", message.SessionResume, "", nil},
		{"a session that begins is told what this is", message.SessionNew, "", []string{help}},
		{"nobody answers a session that is over", message.SessionClose, "bye", nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			m := message.New()
			m.From, m.To, m.Content, m.SessionEvent = "+12025550101", "8080", c.content, c.session
			replies, err := New().Receive(t.Context(), m)
			if err != nil || len(replies) != len(c.want) {
				t.Fatalf("got %d replies and %v, want %d", len(replies), err, len(c.want))
			}
			for i, reply := range replies {
				if reply.Content != c.want[i] || reply.To != m.From || reply.InReplyTo != m.ID || reply.SessionEvent != message.SessionNone {
					t.Errorf("got %s, want %q to %s", reply.Encode(), c.want[i], m.From)
				}
			}
		})
	}
}
