package simulator

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"switchboard/smpp/pdu"
)

// Received is a request that came, a bind among them.
type Received struct {
	At        time.Time
	Bind      int    // number of the connection, from 1
	SystemID  string // who was bound; empty for binds themselves
	PDU       *pdu.PDU
	Status    pdu.Status // what a submit was, or is to be, answered with
	MessageID string     // the id it got, "" when it was refused
	Answered  bool       // false when the answer was withheld on purpose; others may be lost with their connection
}

// Message returns what was submitted, nil when it is no submit_sm, submit_multi
// or data_sm.
func (r *Received) Message() *pdu.Message {
	switch b := r.PDU.Body.(type) {
	case *pdu.SubmitSM:
		return &b.Message
	case *pdu.SubmitMulti:
		return &b.Message
	case *pdu.DataSM:
		return fromDataSM(b)
	}
	return nil
}

// Recipients returns the addresses a message was submitted for.
func (r *Received) Recipients() (list []string) {
	m := r.Message()
	if m == nil {
		return nil
	}
	multi, many := r.PDU.Body.(*pdu.SubmitMulti)
	if !many {
		return []string{m.Dest.Addr}
	}
	for _, a := range addresses(multi) {
		list = append(list, a.Addr)
	}
	return list
}

// Text returns the text of what was submitted, without a user data header.
func (r *Received) Text() string {
	if m := r.Message(); m != nil {
		return text(m)
	}
	return ""
}

// ledger counts and records.
type ledger struct {
	keep   int
	file   io.Closer
	out    *bufio.Writer
	failed error

	mu      sync.Mutex
	tally   tally
	binds   []*bindTally // by number, from 1; old closed ones are nil
	ring    []Received
	first   int
	made    []Incoming    // by Generate, as many as are kept
	changed chan struct{} // closed at the next change; nil when nobody waits
}

func newLedger(settings *Settings) (*ledger, error) {
	l := &ledger{keep: settings.Keep, tally: newTally()}
	switch {
	case settings.Log != nil:
		l.out = bufio.NewWriterSize(settings.Log, 64<<10)
	case settings.Record != "":
		file, err := os.Create(settings.Record)
		if err != nil {
			return nil, fmt.Errorf("opening the record: %w", err)
		}
		l.file, l.out = file, bufio.NewWriterSize(file, 64<<10)
	}
	return l, nil
}

// count changes the tally, and wakes those who wait for it.
func (l *ledger) count(change func(*tally)) {
	l.mu.Lock()
	change(&l.tally)
	l.wake()
	l.mu.Unlock()
}

func (l *ledger) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// change is closed when something is counted.
func (l *ledger) change() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.changed
}

// received counts whatever came. Submits are recorded when it is known what
// becomes of them.
func (l *ledger) received(b *bind, p *pdu.PDU) {
	l.count(func(c *tally) {
		c.received[p.Command()]++
		switch p.Command() {
		case pdu.CmdSubmitSM, pdu.CmdSubmitMulti, pdu.CmdDataSM:
			now := time.Now()
			c.submits.add(now)
			t := l.of(b)
			t.submits.add(now)
			t.unanswered = max(t.unanswered, b.session.Unanswered()+1)
		default:
			if !p.Command().IsResponse() {
				l.record(b, Received{At: time.Now(), PDU: p, Answered: !b.hung.Load()})
			}
		}
	})
}

// unanswered records a submit that nothing is done with.
func (l *ledger) unanswered(b *bind, p *pdu.PDU) {
	r := Received{At: time.Now(), PDU: p}
	if r.Message() != nil {
		l.count(func(c *tally) { c.lost++; l.record(b, r) })
	}
}

func (l *ledger) submitted(b *bind, p *pdu.PDU, e *entry, plan *plan) {
	l.count(func(c *tally) {
		r := Received{At: time.Now(), PDU: p, Status: plan.status, Answered: !plan.lost && !plan.ignored && !plan.nack}
		if e != nil {
			r.MessageID = e.id
		}
		l.record(b, r)
		c.take(plan)
	})
}

// record keeps what came; the oldest makes room.
func (l *ledger) record(b *bind, r Received) {
	r.Bind = b.number
	if b.account != nil {
		r.SystemID = b.account.conf.SystemID
	}
	if l.out != nil && l.failed == nil {
		l.failed = writeLine(l.out, &r)
	}
	switch {
	case l.keep < 0:
		l.tally.forgotten++
	case len(l.ring) < l.keep:
		l.ring = append(l.ring, r)
	default:
		l.ring[l.first] = r
		l.first = (l.first + 1) % l.keep
		l.tally.forgotten++
	}
}

func (l *ledger) all() []Received {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append(append(make([]Received, 0, len(l.ring)), l.ring[l.first:]...), l.ring[:l.first]...)
}

func (l *ledger) generate(m Incoming) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.made) < l.keep {
		l.made = append(l.made, m)
	}
}

// since returns what was recorded from the n-th request on, counted from 0, as
// far as it is still there, and the number of the next.
func (l *ledger) since(n uint64) (list []Received, next uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next = l.tally.forgotten + uint64(len(l.ring))
	for i := max(n, l.tally.forgotten); i < next; i++ {
		at := (l.first + int(i-l.tally.forgotten)) % len(l.ring)
		list = append(list, l.ring[at])
	}
	return list, next
}

func (l *ledger) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.out == nil {
		return nil
	}
	err := l.failed
	if err == nil {
		err = l.out.Flush()
	}
	if l.file != nil {
		if closing := l.file.Close(); err == nil {
			err = closing
		}
	}
	if err != nil {
		return fmt.Errorf("writing the record: %w", err)
	}
	return nil
}
