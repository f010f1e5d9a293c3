package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Kind is a kind of fault.
type Kind string

// The faults. Those of servers need Settings.Services.
const (
	Kill         Kind = "kill -9"
	Pause        Kind = "SIGSTOP"
	Restart      Kind = "restart"
	Cut          Kind = "link cut"
	HalfOpen     Kind = "link half-open"
	Mute         Kind = "answers held back"
	Slow         Kind = "link slow"
	Refuse       Kind = "link refused"
	ReloadGood   Kind = "reload, good"
	ReloadBad    Kind = "reload, bad"
	Poison       Kind = "poison"
	WrongClock   Kind = "wrong clock"
	StopRabbit   Kind = "RabbitMQ stopped"
	KillRabbit   Kind = "RabbitMQ killed"
	StopPostgres Kind = "PostgreSQL stopped"
	KillPostgres Kind = "PostgreSQL killed"
	QueueLimit   Kind = "queue limit"
	MemoryAlarm  Kind = "memory alarm"
)

// fault says how often a kind comes beside the others, and how long it lasts.
type fault struct {
	kind        Kind
	weight      int
	least, most time.Duration
	onLink      bool // to one of the servers
	onServer    bool
	only        string // the role of processes it is for; empty for all
}

// The faults of a plan. Heartbeats and timeouts are 10 s and more, so half-open links last from
// below to above that.
var faults = []fault{
	{kind: Kill, weight: 6, least: 0, most: 2 * time.Second},
	{kind: Pause, weight: 4, least: time.Second, most: 12 * time.Second},
	{kind: Restart, weight: 4, least: 0, most: time.Second},
	{kind: Cut, weight: 4, onLink: true},
	{kind: HalfOpen, weight: 3, least: time.Second, most: 25 * time.Second, onLink: true},
	{kind: Mute, weight: 2, least: time.Second, most: 10 * time.Second, onLink: true},
	{kind: Slow, weight: 2, least: time.Second, most: 10 * time.Second, onLink: true},
	{kind: Refuse, weight: 2, least: time.Second, most: 8 * time.Second, onLink: true},
	{kind: ReloadGood, weight: 2, only: roleDispatcher},
	{kind: ReloadBad, weight: 2, least: time.Second, most: 5 * time.Second, only: roleDispatcher},
	{kind: Poison, weight: 3},
	{kind: WrongClock, weight: 2},
	{kind: StopRabbit, weight: 1, least: time.Second, most: 5 * time.Second, onServer: true},
	{kind: KillRabbit, weight: 1, least: time.Second, most: 5 * time.Second, onServer: true},
	{kind: StopPostgres, weight: 2, least: time.Second, most: 10 * time.Second, onServer: true},
	{kind: KillPostgres, weight: 2, least: time.Second, most: 10 * time.Second, onServer: true},
	{kind: QueueLimit, weight: 1, least: time.Second, most: 5 * time.Second, onServer: true},
	{kind: MemoryAlarm, weight: 1, least: time.Second, most: 5 * time.Second, onServer: true},
}

// Event is a fault at a moment. What begins while the last fault of its target lasts waits for
// that.
type Event struct {
	At     time.Duration `json:"at"`
	Kind   Kind          `json:"fault"`
	Target string        `json:"target"` // a process, or a server
	Link   string        `json:"link,omitempty"`
	For    time.Duration `json:"for,omitempty"`
}

// String is the event as a line of the plan.
func (e Event) String() string {
	text := fmt.Sprintf("%6.1fs  %s  %s", e.At.Seconds(), e.Kind, e.Target)
	if e.Link != "" {
		text += " - " + e.Link
	}
	if e.For > 0 {
		text += fmt.Sprintf(", for %.1fs", e.For.Seconds())
	}
	return text
}

const (
	// meanGap is the time between two faults on average: several last at once.
	meanGap = 1500 * time.Millisecond
	// serverGap is the least time between two faults of servers: they stop everybody.
	serverGap = 15 * time.Second
	// firstFault leaves the fleet time to have something in flight.
	firstFault = time.Second
)

// Plan draws the faults of a run: the same seed, duration and servers draw the same.
func Plan(seed uint64, duration time.Duration, servers bool) []Event {
	draw := rand.New(rand.NewPCG(seed, uint64(len(faults))))
	var plan []Event
	nextServer := time.Duration(0)
	for at := firstFault; at < duration; at += time.Duration(draw.ExpFloat64() * float64(meanGap)) {
		f := pick(draw, servers && at >= nextServer)
		e := Event{At: at.Round(time.Millisecond), Kind: f.kind}
		if f.most > 0 {
			e.For = (f.least + time.Duration(draw.Int64N(int64(f.most-f.least)))).Round(time.Millisecond)
		}
		switch {
		case f.onServer:
			e.Target = serverOf(f.kind)
			nextServer = at + e.For + serverGap
		case f.kind == Poison || f.kind == WrongClock:
			e.Target = poisoned[draw.IntN(len(poisoned))]
		default:
			p := pickRole(draw, f.only)
			e.Target = p.name
			if f.onLink {
				e.Link = p.links[draw.IntN(len(p.links))]
			}
		}
		plan = append(plan, e)
	}
	return plan
}

func pick(draw *rand.Rand, servers bool) fault {
	sum := 0
	for _, f := range faults {
		if !f.onServer || servers {
			sum += f.weight
		}
	}
	n := draw.IntN(sum)
	for _, f := range faults {
		if f.onServer && !servers {
			continue
		}
		if n -= f.weight; n < 0 {
			return f
		}
	}
	panic("the weights add up")
}

func pickRole(draw *rand.Rand, role string) member {
	some := slices.DeleteFunc(slices.Clone(members), func(m member) bool { return role != "" && m.role != role })
	return some[draw.IntN(len(some))]
}

func serverOf(k Kind) string {
	if k == StopPostgres || k == KillPostgres {
		return linkPostgres
	}
	return linkRabbit
}
