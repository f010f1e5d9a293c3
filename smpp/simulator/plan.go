package simulator

import (
	"time"

	"switchboard/smpp/pdu"
)

// plan is all that was drawn at random for one message when it came.
type plan struct {
	status        pdu.Status
	delay         time.Duration // of the answer
	early         time.Duration // the receipt before the answer; 0: after it
	lost          bool
	ignored       bool
	drop          bool
	late          bool
	duplicated    bool
	wrongSequence bool
	nack          bool
	ahead         bool
	emptyID       bool
	unknownTLVs   bool
	congestion    *uint8
	reply         string

	outcome      Outcome
	receipt      bool
	intermediate bool
	receiptDelay time.Duration
	twice        bool
	lostReceipt  bool
	stray        bool
}

// plan draws what becomes of a message.
func (h handler) plan(b *bind, conf *Behaviour, m *pdu.Message, dests []pdu.Address) plan {
	p := plan{delay: conf.Answers.Delay.draw(b.random), unknownTLVs: conf.Links.UnknownTLVs}
	if rule := conf.rule(m, dests); rule != nil {
		h.planReceipt(b, conf.Receipts, m, &p)
		rule.apply(b, &p)
		return p
	}
	h.planAnswer(b, conf.Answers, &p)
	h.planReceipt(b, conf.Receipts, m, &p)
	return p
}

func (h handler) planAnswer(b *bind, conf *Answers, p *plan) {
	p.status = refusal(b, conf)
	p.lost = b.chance(conf.Lost)
	p.ignored = b.chance(conf.Ignored)
	p.duplicated = b.chance(conf.Duplicated)
	p.wrongSequence = b.chance(conf.WrongSequence)
	p.nack = b.chance(conf.Nack)
	p.ahead = b.chance(conf.Early)
	p.emptyID = b.chance(conf.EmptyID)
	p.congestion = conf.Congestion
	if p.late = b.chance(conf.Late); p.late {
		p.delay += conf.LateBy.or(defaultLateBy).draw(b.random)
	}
}

// refusal draws the status a submit is answered with.
func refusal(b *bind, conf *Answers) pdu.Status {
	if conf.Window > 0 && b.session.Unanswered() > conf.Window {
		if conf.WindowStatus != 0 {
			return pdu.Status(conf.WindowStatus)
		}
		return pdu.StatusThrottled
	}
	if !b.account.admits(conf) {
		return pdu.StatusThrottled
	}
	if b.chance(conf.QueueFull) {
		return pdu.StatusMsgQFul
	}
	for _, e := range conf.Errors {
		if b.chance(e.Rate) {
			return pdu.Status(e.Status)
		}
	}
	return pdu.StatusOK
}

func (h handler) planReceipt(b *bind, conf *Receipts, m *pdu.Message, p *plan) {
	p.outcome = conf.outcome(b)
	p.receipt = conf.Form != "none" && (conf.Always || wanted(m.RegisteredDelivery, p.outcome))
	p.intermediate = b.chance(conf.Intermediate) && (conf.Always || m.RegisteredDelivery&pdu.ReceiptIntermediate != 0 || p.receipt)
	p.receiptDelay = conf.Delay.draw(b.random)
	p.twice = b.chance(conf.Duplicated)
	p.lostReceipt = b.chance(conf.Lost)
	p.stray = b.chance(conf.Unmatched)
	if b.chance(conf.Early) && p.receipt {
		p.early = conf.EarlyBy.or(defaultEarlyBy).draw(b.random) + p.delay
	}
}

// wanted reports whether a receipt was asked for (§5.2.17).
func wanted(r pdu.RegisteredDelivery, o Outcome) bool {
	delivered := o.state() == pdu.StateDelivered
	switch r & (pdu.ReceiptFinal | pdu.ReceiptFailure) {
	case pdu.ReceiptFinal:
		return true
	case pdu.ReceiptFailure:
		return !delivered
	case pdu.ReceiptSuccess:
		return delivered
	}
	return false
}

// rule returns the first that matches a message.
func (b Behaviour) rule(m *pdu.Message, dests []pdu.Address) *Rule {
	if len(b.Rules) == 0 {
		return nil
	}
	content := text(m)
	for i := range b.Rules {
		r := &b.Rules[i]
		if !r.From.matches(m.Source.Addr) || !r.Text.matches(content) {
			continue
		}
		for _, d := range dests {
			if r.To.matches(d.Addr) {
				return r
			}
		}
	}
	return nil
}

func (r *Rule) apply(b *bind, p *plan) {
	p.status, p.lost, p.drop, p.reply = pdu.Status(r.Status), r.Lost, r.Drop, r.Reply
	if r.Delay != nil {
		p.delay = r.Delay.draw(b.random)
	}
	if r.Outcome != nil {
		p.outcome = *r.Outcome
	}
	p.receipt = p.receipt && !r.NoReport
}
