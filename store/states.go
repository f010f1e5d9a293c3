package store

import (
	"cmp"
	"slices"
	"strings"
)

// Direction is which way a message goes.
type Direction string

// The directions, as they are stored.
const (
	Inbound  Direction = "I" // from people
	Outbound Direction = "O" // to people
)

// Status is the state of a message, as one letter.
type Status string

// The states.
const (
	StatusQueued    Status = "Q" // not processed, or not handed over, yet
	StatusProcessed Status = "R" // inbound: processed, and the responses are queued
	StatusPassing   Status = "P" // outbound: handed to its transport
	StatusSent      Status = "S" // outbound: the other side accepted it
	StatusDelivered Status = "D" // outbound: it arrived
	StatusError     Status = "E" // an error occurred; there is always a reason
)

// Progress is how far an attempt of a transmission is known to be. The values of a direction
// are ordered as in the table of stages, and only the greatest counts: so the result does
// not depend on the order in which they are recorded.
//
// The numbers are stored, and programs of several versions share a database: a number never
// changes its meaning, and a new value takes a new number.
type Progress int

// The progress of an outbound transmission.
const (
	Queued    Progress = 0 // stored, not on its transport's queue yet
	Cancelled Progress = 1 // by its broadcast, or an opt-out, before it was handed over
	// NotHandedOver is refused by a dispatcher, or deleted before it reached a transport.
	NotHandedOver Progress = 13
	HandedOver    Progress = 2  // on its transport's queue
	Pending       Progress = 12 // a delivery report: pending
	Refused       Progress = 3  // nack
	Deleted       Progress = 14 // deleted by an operator
	Sent          Progress = 4  // ack
	Undelivered   Progress = 5  // a delivery report: failed
	Delivered     Progress = 6  // a delivery report: delivered
)

// The progress of an inbound transmission.
const (
	Received  Progress = 8  // on the transport's inbound queue
	Replied   Progress = 9  // a reply to it passed
	Errored   Progress = 10 // an application gave up
	Processed Progress = 11 // an application is done with it
)

// Stage is one row of the state table.
type Stage struct {
	Progress  Progress
	Direction Direction
	Status    Status
	Name      string     // as people see it
	Cause     string     // what is recorded when it begins
	After     []Progress // what usually comes before; any lesser progress may
	Retry     []Progress // what a new attempt leads back to
}

// stages is the state machine: the code, the SQL and docs/states.md are made from it.
// Within a direction it is in the order of progress.
var stages = [...]Stage{
	{Progress: Queued, Direction: Outbound, Status: StatusQueued, Name: "queued", Cause: "stored by a broadcast"},
	{Progress: Cancelled, Direction: Outbound, Status: StatusError, Name: "cancelled", Cause: "broadcast cancelled, or opted out", After: []Progress{Queued}},
	{Progress: NotHandedOver, Direction: Outbound, Status: StatusError, Name: "not handed over", Cause: "refused by a dispatcher"},
	{Progress: HandedOver, Direction: Outbound, Status: StatusPassing, Name: "handed over", Cause: "on the transport's outbound queue", After: []Progress{Queued, NotHandedOver}},
	{Progress: Deleted, Direction: Outbound, Status: StatusError, Name: "deleted", Cause: "deleted by an operator", After: []Progress{HandedOver}},
	{Progress: Pending, Direction: Outbound, Status: StatusSent, Name: "pending", Cause: "delivery report pending", After: []Progress{HandedOver}},
	{Progress: Refused, Direction: Outbound, Status: StatusError, Name: "refused", Cause: "nack", After: []Progress{HandedOver, Pending}, Retry: []Progress{Queued}},
	{Progress: Sent, Direction: Outbound, Status: StatusSent, Name: "sent", Cause: "ack", After: []Progress{HandedOver, Pending, Refused}},
	{Progress: Undelivered, Direction: Outbound, Status: StatusError, Name: "undelivered", Cause: "delivery report failed", After: []Progress{Pending, Sent}, Retry: []Progress{Queued}},
	{Progress: Delivered, Direction: Outbound, Status: StatusDelivered, Name: "delivered", Cause: "delivery report delivered", After: []Progress{Pending, Sent, Undelivered}},

	{Progress: Received, Direction: Inbound, Status: StatusQueued, Name: "received", Cause: "on the transport's inbound queue"},
	{Progress: Replied, Direction: Inbound, Status: StatusProcessed, Name: "replied", Cause: "a reply names it", After: []Progress{Received}},
	{Progress: Errored, Direction: Inbound, Status: StatusError, Name: "errored", Cause: "receipt errored", After: []Progress{Received, Replied}},
	{Progress: Processed, Direction: Inbound, Status: StatusProcessed, Name: "processed", Cause: "receipt processed", After: []Progress{Received, Replied, Errored}},
}

// Stages is the state table.
func Stages() []Stage { return slices.Clone(stages[:]) }

// rank is the row in the table, by which progress is compared; -1 when this program does
// not know it.
func (f Progress) rank() int {
	for i := range stages {
		if stages[i].Progress == f {
			return i
		}
	}
	return -1
}

func (f Progress) stage() Stage {
	if i := f.rank(); i >= 0 {
		return stages[i]
	}
	return Stage{Progress: f, Name: "unknown"}
}

// Compare orders the progress of a direction: negative when f is less than o.
func (f Progress) Compare(o Progress) int { return cmp.Compare(f.rank(), o.rank()) }

// Retried reports whether a broadcast tries a transmission again that became f.
func (f Progress) Retried() bool { return len(f.stage().Retry) > 0 }

// Known reports whether this program knows f; a newer one may store others.
func (f Progress) Known() bool { return f.rank() >= 0 }

// Status is the state that f means.
func (f Progress) Status() Status { return f.stage().Status }

// String is the name in the table of stages.
func (f Progress) String() string { return f.stage().Name }

// AttemptProgress is how far a transmission is: its newest attempt, and that one's progress.
type AttemptProgress struct {
	Attempt  int // from 1
	Progress Progress
}

// Compare is negative when p is behind o.
func (p AttemptProgress) Compare(o AttemptProgress) int {
	return cmp.Or(cmp.Compare(p.Attempt, o.Attempt), p.Progress.Compare(o.Progress))
}

// Advance is p after f was recorded of an attempt; attempt 0 is the newest. An earlier
// attempt has failed already, so nothing about it counts except Delivered.
func (p AttemptProgress) Advance(attempt int, f Progress) AttemptProgress {
	was := p
	if attempt > p.Attempt {
		p = AttemptProgress{attempt, f}
	}
	if (attempt == 0 || attempt == p.Attempt || f == Delivered) && f.Compare(p.Progress) > 0 {
		p.Progress = f
	}
	if was.Progress == Delivered {
		p.Progress = Delivered
	}
	return p
}

// Counts says how many of a message's transmissions have which state.
type Counts struct {
	Open  int // Q or P
	Sent  int // S
	Done  int // D or R
	Error int // E
}

// Of counts one transmission.
func Of(s Status) Counts {
	switch s {
	case StatusSent:
		return Counts{Sent: 1}
	case StatusDelivered, StatusProcessed:
		return Counts{Done: 1}
	case StatusError:
		return Counts{Error: 1}
	}
	return Counts{Open: 1}
}

// Add sums counts.
func (c Counts) Add(o Counts) Counts {
	return Counts{c.Open + o.Open, c.Sent + o.Sent, c.Done + o.Done, c.Error + o.Error}
}

// Sub subtracts o.
func (c Counts) Sub(o Counts) Counts { return c.Add(Counts{-o.Open, -o.Sent, -o.Done, -o.Error}) }

// rollup is how a message's state follows from its transmissions': the first rule that
// matches decides.
var rollup = [...]struct {
	direction Direction
	any       string // matches when this count is above 0; empty always matches
	is        Status
}{
	{Outbound, "error", StatusError},
	{Outbound, "open", StatusPassing},
	{Outbound, "sent", StatusSent},
	{Outbound, "", StatusDelivered},
	{Inbound, "error", StatusError},
	{Inbound, "open", StatusQueued},
	{Inbound, "", StatusProcessed},
}

func (c Counts) of(which string) int {
	switch which {
	case "error":
		return c.Error
	case "open":
		return c.Open
	case "sent":
		return c.Sent
	}
	return 1
}

// Status is the state of a message with such transmissions.
func (c Counts) Status(d Direction) Status {
	for _, rule := range rollup {
		if rule.direction == d && c.of(rule.any) > 0 {
			return rule.is
		}
	}
	return StatusQueued
}

// RollupSQL is Counts.Status as an SQL expression. count returns the expression of a count
// by its name (open, sent, error); direction is an expression too.
func RollupSQL(direction string, count func(name string) string) string {
	var b strings.Builder
	b.WriteString("CASE")
	for _, rule := range rollup {
		b.WriteString(" WHEN " + direction + " = '" + string(rule.direction) + "'")
		if rule.any != "" {
			b.WriteString(" AND " + count(rule.any) + " > 0")
		}
		b.WriteString(" THEN '" + string(rule.is) + "'")
	}
	b.WriteString(" ELSE '" + string(StatusQueued) + "' END")
	return b.String()
}

// Diagram draws the state table as a Mermaid state diagram of one direction.
func Diagram(d Direction) string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n")
	for _, s := range stages {
		if s.Direction == d {
			b.WriteString("    " + s.id() + " : " + string(s.Status) + " · " + s.Name + "\n")
		}
	}
	for _, s := range stages {
		if s.Direction != d {
			continue
		}
		if len(s.After) == 0 {
			b.WriteString("    [*] --> " + s.id() + " : " + s.Cause + "\n")
		}
		for _, from := range s.After {
			b.WriteString("    " + from.stage().id() + " --> " + s.id() + " : " + s.Cause + "\n")
		}
		for _, to := range s.Retry {
			b.WriteString("    " + s.id() + " --> " + to.stage().id() + " : retry\n")
		}
	}
	return b.String()
}

func (s Stage) id() string { return strings.ReplaceAll(s.Name, " ", "_") }
