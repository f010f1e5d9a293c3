package simulator

import (
	"time"

	"switchboard/smpp/pdu"
)

// Counters are what happened since the start.
type Counters struct {
	Connections uint64 `json:"connections"`  // accepted, outbinds among them
	Open        int    `json:"open"`         // of them now
	Bound       int    `json:"bound"`        // now
	Binds       uint64 `json:"binds"`        // granted
	Refused     uint64 `json:"refused"`      // binds not granted
	Dropped     uint64 `json:"dropped"`      // connections, on purpose
	Unreadable  uint64 `json:"unreadable"`   // PDUs that were none
	GarbageSent uint64 `json:"garbage_sent"` // by the simulator, on purpose
	Forgotten   uint64 `json:"forgotten"`    // requests that Received no longer has

	Received map[string]uint64 `json:"received"` // PDUs by command

	Submits       uint64            `json:"submits"`         // submit_sm, submit_multi and data_sm
	Accepted      uint64            `json:"accepted"`        // of them, given an id
	Answers       map[string]uint64 `json:"answers"`         // to them, by command_status
	PerSecond     int               `json:"per_second"`      // submits in the last second
	PeakPerSecond int               `json:"peak_per_second"` // the most submits in any one second
	LostAnswers   uint64            `json:"lost_answers"`
	LateAnswers   uint64            `json:"late_answers"`
	TwiceAnswered uint64            `json:"twice_answered"`
	WrongSequence uint64            `json:"wrong_sequence"`

	Receipts        uint64            `json:"receipts"`         // sent, each time they were
	ReceiptsTaken   uint64            `json:"receipts_taken"`   // answered with ESME_ROK
	ReceiptsLost    uint64            `json:"receipts_lost"`    // on purpose
	Messages        uint64            `json:"messages"`         // mobile-originated ones sent, by segment
	MessagesTaken   uint64            `json:"messages_taken"`   // answered with ESME_ROK
	DeliveryAnswers map[string]uint64 `json:"delivery_answers"` // to both, by command_status
	Undeliverable   uint64            `json:"undeliverable"`    // given up, unanswered or refused
	Retried         uint64            `json:"retried"`
	Delivering      int               `json:"delivering"` // unanswered now
	Waiting         int               `json:"waiting"`    // for a bind with room in its window

	Sessions []BindCounters `json:"sessions"` // the newest, also closed ones
}

// BindCounters are one connection's.
type BindCounters struct {
	Number         int    `json:"number"` // from 1
	SystemID       string `json:"system_id"`
	Bind           string `json:"bind"` // bind_transceiver; empty before a bind
	Open           bool   `json:"open"`
	Submits        uint64 `json:"submits"`
	PerSecond      int    `json:"per_second"`
	PeakPerSecond  int    `json:"peak_per_second"`
	PeakUnanswered int    `json:"peak_unanswered"` // the most requests that waited for an answer
}

// maxBinds is how many connections are counted one by one.
const maxBinds = 1000

// tally is what Counters are made of. The ledger's lock guards it.
type tally struct {
	connections, binds, refused, dropped, unreadable, garbage, forgotten uint64

	received map[pdu.CommandID]uint64
	answers  map[pdu.Status]uint64
	answered map[pdu.Status]uint64 // deliveries
	submits  meter

	accepted, lost, late, twice, wrong                                  uint64
	receipts, receiptsTaken, receiptsLost, messages, taken, undelivered uint64
	retried                                                             uint64
	open, bound, delivering, waiting                                    int
}

func newTally() tally {
	return tally{received: map[pdu.CommandID]uint64{}, answers: map[pdu.Status]uint64{}, answered: map[pdu.Status]uint64{}}
}

type bindTally struct {
	number     int
	systemID   string
	command    string
	open       bool
	bound      bool
	submits    meter
	unanswered int
}

func (c *tally) take(p *plan) {
	switch {
	case p.ignored, p.lost:
		c.lost++
	default:
		c.answers[p.status]++
	}
	if p.status == pdu.StatusOK && !p.ignored {
		c.accepted++
	}
	add := func(n *uint64, really bool) {
		if really {
			*n++
		}
	}
	add(&c.late, p.late)
	add(&c.twice, p.duplicated)
	add(&c.wrong, p.wrongSequence)
}

// of is a connection's tally. It exists from Opened on.
func (l *ledger) of(b *bind) *bindTally { return b.tally }

func (l *ledger) opened(b *bind) {
	l.count(func(c *tally) {
		c.connections++
		c.open++
		b.tally = &bindTally{number: b.number, open: true}
		l.binds = append(l.binds, b.tally)
		if len(l.binds) > maxBinds {
			l.binds = l.binds[1:]
		}
	})
}

func (l *ledger) bind(b *bind, p *pdu.Bind, status pdu.Status) {
	l.count(func(c *tally) {
		if status != pdu.StatusOK {
			c.refused++
			return
		}
		c.binds++
		b.tally.systemID, b.tally.command = p.SystemID, p.ID.String()
	})
}

func (l *ledger) bound(b *bind) {
	l.count(func(c *tally) { c.bound++; b.tally.bound = true })
}

func (l *ledger) closed(b *bind) {
	l.count(func(c *tally) {
		c.open--
		if b.tally.bound {
			c.bound--
		}
		b.tally.open, b.tally.bound = false, false
	})
}

func (l *ledger) delivering(_ *bind, d *delivery) {
	l.count(func(c *tally) {
		c.waiting--
		c.delivering++
		if d.receipt {
			c.receipts++
		} else {
			c.messages++
		}
	})
}

func (l *ledger) delivered(d *delivery, p *pdu.PDU, err error) {
	l.count(func(c *tally) {
		c.delivering--
		if err != nil {
			c.undelivered++
			return
		}
		c.answered[p.Status]++
		switch {
		case p.Status != pdu.StatusOK:
			c.undelivered++
		case d.receipt:
			c.receiptsTaken++
		default:
			c.taken++
		}
	})
}

func (l *ledger) snapshot() Counters {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, now := &l.tally, time.Now()
	out := Counters{
		Connections: c.connections, Open: c.open, Bound: c.bound, Binds: c.binds, Refused: c.refused,
		Dropped: c.dropped, Unreadable: c.unreadable, GarbageSent: c.garbage, Forgotten: c.forgotten,
		Received: named(c.received), Submits: c.submits.total, Accepted: c.accepted, Answers: named(c.answers),
		PerSecond: c.submits.rate(now), PeakPerSecond: c.submits.peak,
		LostAnswers: c.lost, LateAnswers: c.late, TwiceAnswered: c.twice, WrongSequence: c.wrong,
		Receipts: c.receipts, ReceiptsTaken: c.receiptsTaken, ReceiptsLost: c.receiptsLost,
		Messages: c.messages, MessagesTaken: c.taken, DeliveryAnswers: named(c.answered),
		Undeliverable: c.undelivered, Retried: c.retried, Delivering: c.delivering, Waiting: c.waiting,
	}
	for _, b := range l.binds {
		out.Sessions = append(out.Sessions, BindCounters{
			Number: b.number, SystemID: b.systemID, Bind: b.command, Open: b.open, Submits: b.submits.total,
			PerSecond: b.submits.rate(now), PeakPerSecond: b.submits.peak, PeakUnanswered: b.unanswered,
		})
	}
	return out
}

func named[K interface {
	comparable
	String() string
}](m map[K]uint64) map[string]uint64 {
	out := make(map[string]uint64, len(m))
	for k, n := range m {
		out[k.String()] += n
	}
	return out
}
