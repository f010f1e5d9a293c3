package queues

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"switchboard/broker"
	"switchboard/fleet"
	"switchboard/message"
	"switchboard/operate"
	"switchboard/operate/processes"
	"switchboard/persistence"
	"switchboard/worker"
)

// Status is what is known of one queue.
type Status struct {
	Queue    string `json:"queue"`
	Messages int    `json:"messages"` // waiting
	// InFlight is how many bodies workers have received and not settled; nil where
	// nobody could be asked.
	InFlight  *int64 `json:"in_flight"`
	Consumers int    `json:"consumers"` // workers' replicas that read it
	Dead      int    `json:"dead"`      // in its dead letters
	// Retrying are the messages that failed and wait for their next try.
	Retrying []Retrying `json:"retrying,omitempty"`
	// Links are what the workers that read it depend on; nil where none was asked.
	Links []worker.Dependency `json:"links,omitempty"`
	// Paused is by whom and why nobody consumes it; nil where nobody said so.
	Paused *worker.Pause `json:"paused,omitempty"`
	State  string        `json:"state"`
	// Oldest is when the oldest was made of what workers hold, or, where Sources.Head asks and
	// nobody reads the queue, its head; nil where nothing is there, or nobody could say.
	Oldest *time.Time `json:"oldest,omitempty"`
	// LimitedBy is what keeps the messages that wait from moving faster; empty where none
	// wait, or nothing does.
	LimitedBy string `json:"limited_by,omitempty"`

	waits bool // for somebody outside; its worker consumes it only while that one is there
}

// Retrying are messages that return to their queue within a time, to be tried again.
type Retrying struct {
	Within   string `json:"within"` // as 9s
	Messages int    `json:"messages"`
}

// The states of a queue.
const (
	OK       = "ok"
	Idle     = "no consumer" // and nothing waits
	Away     = "away"        // messages wait for one whom an application serves, who is not there
	Stuck    = "stuck"       // messages wait and nobody takes them
	Paused   = "paused"      // by an operator, whether messages wait or not
	Held     = "held up"     // messages wait or are in flight, and what their worker needs is down
	LinkDown = "link down"   // and no message is there
	Missing  = "missing"     // no worker has declared it yet
)

// Hurts says that messages do not move. With strict it also says so of a link that is
// down while no message is there.
func (s *Status) Hurts(strict bool) bool {
	return s.State == Stuck || s.State == Held || strict && s.State == LinkDown
}

// Down is the first of the links that is down, or nil.
func (s *Status) Down() *worker.Dependency {
	for i := range s.Links {
		if s.Links[i].Health == message.Down {
			return &s.Links[i]
		}
	}
	return nil
}

// Sources are whom to ask for what the broker does not say.
type Sources struct {
	Processes  []processes.Answer
	Management func(ctx context.Context) (map[string]int64, error) // bodies in flight, by queue; nil where there is none
	// Head looks at the head of a queue that nobody reads: that marks it as redelivered, and a
	// quorum queue counts it as a delivery.
	Head bool
}

// Look asks for the status of every queue of the target. The retries it also returns
// are those of queues that are not known: some may be the target's.
func (t Target) Look(ctx context.Context, b broker.Admin, from Sources) (all []Status, unplaced []Retrying, err error) {
	retrying, err := retrying(ctx, b) // before the queues, to which they return
	if err != nil {
		return nil, nil, err
	}
	var inFlight map[string]int64
	if from.Management != nil {
		if inFlight, err = from.Management(ctx); err != nil {
			return nil, nil, operate.Unreachable{Err: err}
		}
	}
	readers := t.readers(from.Processes)
	var waiting []string
	for _, d := range t.Workers {
		if d.Kind == fleet.KindApplication {
			waiting = append(waiting, d.OwnQueues()...)
		}
	}
	all = make([]Status, 0, len(t.Queues()))
	for _, queue := range t.Queues() {
		s, err := look(ctx, b, queue)
		if err != nil {
			return nil, nil, err
		}
		s.Retrying, s.waits = retrying[queue], slices.Contains(waiting, queue)
		s.ask(readers[queue])
		blocked := ""
		for _, answer := range from.Processes {
			if p, is := answer.Paused[queue]; is {
				s.Paused = &p
			}
			blocked = cmp.Or(blocked, answer.Broker.Blocked)
		}
		if n, counted := inFlight[queue]; counted {
			s.InFlight = &n
		}
		s.judge()
		s.LimitedBy = s.limit(readers[queue], blocked)
		if from.Head {
			if err := s.peek(ctx, b); err != nil {
				return nil, nil, err
			}
		}
		all = append(all, s)
	}
	return all, retrying[""], nil
}

// retrying are the messages that wait for their next try, by queue; "" has those of
// which the queue is not known.
func retrying(ctx context.Context, b broker.Admin) (map[string][]Retrying, error) {
	delayed, err := b.Delayed(ctx)
	if err != nil {
		return nil, operate.Unreachable{Err: err}
	}
	slices.SortFunc(delayed, func(a, b broker.Delayed) int { return cmp.Compare(a.Within, b.Within) })
	all := map[string][]Retrying{}
	for _, d := range delayed {
		all[d.Queue] = append(all[d.Queue], Retrying{d.Within.String(), d.Bodies})
	}
	return all, nil
}

// Retries counts the messages that wait for their next try.
func Retries(all []Retrying) (n int) {
	for _, r := range all {
		n += r.Messages
	}
	return n
}

func look(ctx context.Context, b broker.Admin, queue string) (Status, error) {
	s := Status{Queue: queue}
	info, there, err := inspect(ctx, b, queue)
	if err != nil {
		return s, err
	}
	dead, _, err := inspect(ctx, b, queue+broker.DeadSuffix)
	if err != nil {
		return s, err
	}
	s.Messages, s.Consumers, s.Dead = info.Messages, info.Consumers, dead.Messages
	if !there {
		s.State = Missing
	}
	return s, nil
}

// ask takes over what the workers say that read the queue. Where the queue has more
// consumers than these, the others may hold more.
func (s *Status) ask(readers []fleet.WorkerStatus) {
	var held int64
	for _, w := range readers {
		held += w.Held[s.Queue]
		s.Links = append(s.Links, w.Dependencies...)
		if made, held := w.Oldest[s.Queue]; held && (s.Oldest == nil || made.Before(*s.Oldest)) {
			s.Oldest = &made
		}
	}
	if len(readers) < s.Consumers {
		s.Oldest = nil
		return
	}
	s.InFlight = &held
}

// limit says what keeps the messages that wait from moving faster, as far as readers and the
// broker know.
func (s *Status) limit(readers []fleet.WorkerStatus, blocked string) string {
	var held int64
	most, paced, kind := 0, false, ""
	for _, w := range readers {
		held, most, paced, kind = held+w.Held[s.Queue], most+w.Limits[s.Queue], paced || w.Paced, w.Kind
	}
	switch down := s.Down(); {
	case s.Messages == 0 || s.State == Missing:
		return ""
	case s.Paused != nil:
		return "an operator's pause"
	case s.Consumers == 0:
		return "no consumer"
	case blocked != "":
		return "the broker, which accepts no messages: " + blocked
	case len(readers) < s.Consumers:
		return "unknown: not all of the processes that read it were found"
	case down != nil:
		return down.Kind + " " + down.Name + ", which is down"
	case paced:
		return "the transport's rate"
	case most == 0:
		return "unknown: its worker does not say how many it takes at once"
	case held < int64(most):
		return "" // it moves
	case kind == fleet.KindTransport:
		return fmt.Sprintf("the outside, which is slow: %d of %d in flight", held, most)
	}
	return fmt.Sprintf("%d of %d in flight: the worker, or what it asks, is slow", held, most)
}

// peek looks at the head of a queue that nobody reads. Where somebody does it would come
// behind what is in flight.
func (s *Status) peek(ctx context.Context, b broker.Admin) error {
	if s.Oldest != nil || s.Messages == 0 || s.Consumers > 0 {
		return nil
	}
	err := b.Browse(ctx, s.Queue, 1, func(d *broker.Delivery) (broker.Verdict, error) {
		if e, err := message.DecodeEnvelope(message.FlowOf(d.Body), "", d.Body); err == nil {
			s.Oldest = new(e.Made())
		}
		return broker.Keep, nil
	})
	if err != nil && !errors.Is(err, broker.ErrNoQueue) {
		return operate.Unreachable{Err: err}
	}
	return nil
}

func (s *Status) judge() {
	waiting := s.Messages > 0 || len(s.Retrying) > 0
	some := waiting || s.InFlight != nil && *s.InFlight > 0
	switch {
	case s.State == Missing:
	case s.Paused != nil:
		s.State = Paused
	case s.waits && s.Consumers == 0 && waiting:
		s.State = Away
	case s.waits && s.Consumers == 0:
		s.State = OK
	case s.Consumers == 0 && waiting:
		s.State = Stuck
	case s.Down() != nil && some:
		s.State = Held
	case s.Down() != nil:
		s.State = LinkDown
	case s.Consumers == 0:
		s.State = Idle
	default:
		s.State = OK
	}
}

// readers are the workers of processes by the queues that they read.
func (t Target) readers(answers []processes.Answer) map[string][]fleet.WorkerStatus {
	readers := map[string][]fleet.WorkerStatus{}
	for _, answer := range answers {
		for _, w := range answer.Workers {
			for _, queue := range t.readBy(w) {
				readers[queue] = append(readers[queue], w)
			}
		}
	}
	return readers
}

func (t Target) readBy(w fleet.WorkerStatus) (queues []string) {
	switch w.Kind {
	case fleet.KindTransport:
		return []string{message.Key(w.Connector, message.Outbound)}
	case fleet.KindApplication:
		queues = []string{message.Key(w.Connector, message.Inbound), message.Key(w.Connector, message.EventFlow)}
	}
	if w.Kind == fleet.KindDispatcher {
		for _, name := range w.Transports {
			queues = append(queues, message.Key(name, message.Inbound), message.Key(name, message.EventFlow))
		}
		for _, name := range w.Exposed {
			queues = append(queues, message.Key(name, message.Outbound))
		}
	}
	if w.Class == "persistence" {
		queues = append(queues, persistence.RecordQueue(w.Name), persistence.TaskQueue(w.Name))
	}
	// Which queues of its own an application reads only its file says.
	i := slices.IndexFunc(t.Workers, func(d *fleet.Definition) bool { return d.Kind == w.Kind && d.Name == w.Name })
	if i >= 0 {
		queues = append(queues, t.Workers[i].OwnQueues()...)
	}
	return queues
}

// Troubles are what is wrong with processes and workers, a line each: a worker that is
// not running, or that needs something else than a link and does not have it.
func Troubles(answers []processes.Answer) (lines []string) {
	for _, answer := range answers {
		if !answer.Broker.Connected {
			lines = append(lines, fmt.Sprintf("process %s is not connected to the broker: %s", answer.URL, answer.Broker.Error))
		}
		for _, w := range answer.Workers {
			if !w.Running {
				lines = append(lines, fmt.Sprintf("worker %s of %s is not running: %s", w.Name, answer.URL, w.LastError))
			}
			for _, d := range w.Dependencies {
				if d.Kind != worker.DependsOnLink && d.Health == message.Down {
					lines = append(lines, fmt.Sprintf("worker %s of %s: %s", w.Name, answer.URL, processes.Describe(d)))
				}
			}
		}
	}
	return lines
}

func inspect(ctx context.Context, b broker.Admin, queue string) (info broker.Info, there bool, err error) {
	info, err = b.Inspect(ctx, queue)
	switch {
	case errors.Is(err, broker.ErrNoQueue):
		return broker.Info{}, false, nil
	case err != nil:
		return info, false, operate.Unreachable{Err: err}
	}
	return info, true, nil
}
