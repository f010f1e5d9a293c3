package explain

import (
	"fmt"
	"strings"

	"switchboard/message"
)

// Text is an answer for people, a line a step.
func (a Answer) Text() string {
	var p printer
	if a.Refused != "" {
		p.line(0, "refused by the sender's own middleware: %s", a.Refused)
		return p.String()
	}
	p.line(0, "%s on %s", title(a.Message.Flow), a.Message.Connector)
	p.changes(1, a.Sent)
	p.hop(0, *a.Message)
	for _, reply := range a.Replies {
		p.line(0, "\nA reply from %s", reply.Connector)
		p.hop(0, reply)
	}
	for _, event := range a.Events {
		p.line(0, "\nAn event from %s about what it sent", event.Connector)
		p.hop(0, event)
	}
	return p.String()
}

func title(flow message.Flow) string {
	switch flow {
	case message.Inbound:
		return "A message from a person"
	case message.Outbound:
		return "A message from an application"
	}
	return "An event"
}

type printer struct{ strings.Builder }

func (p *printer) line(depth int, format string, args ...any) {
	_, _ = fmt.Fprintf(p, strings.Repeat("  ", depth)+format+"\n", args...)
}

func (p *printer) changes(depth int, changes []Change) {
	for _, c := range changes {
		p.line(depth, "rewrites %s", c)
	}
}

func (p *printer) hop(depth int, h Hop) {
	if len(h.Takers) == 0 {
		p.line(depth, "→ %s.%s, which nobody of these files takes from", h.Connector, h.Flow)
		return
	}
	if len(h.Takers) > 1 {
		p.line(depth, "→ %s.%s, which these compete for:", h.Connector, h.Flow)
	}
	for _, taker := range h.Takers {
		p.taker(depth, h, taker)
	}
}

func (p *printer) taker(depth int, h Hop, t Taker) {
	p.line(depth, "→ %s %s (%s), %s, from %s.%s", t.Kind, t.Worker, t.Class, t.File, h.Connector, h.Flow)
	p.changes(depth+1, t.Changes)
	if t.Discarded != "" {
		p.line(depth+1, "drops it on purpose: %s", t.Discarded)
	}
	if t.Error != "" {
		p.line(depth+1, "DEAD-LETTERS IT: %s", t.Error)
	}
	for _, r := range t.Routes {
		p.line(depth+1, "%s", r.why())
		p.changes(depth+1, r.Changes)
		p.hop(depth+1, r.Hop)
	}
}

func (r Route) why() string {
	switch r.Rule {
	case "":
		return "by its own decision"
	case "switchboard_path":
		return "by the return path the message carries"
	case "memory":
		return "by what the dispatcher remembers of the message"
	}
	if r.At == "" {
		return "by " + r.Rule
	}
	return "by " + r.Rule + " (" + r.At + ")"
}
