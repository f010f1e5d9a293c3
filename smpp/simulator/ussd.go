package simulator

import (
	"context"
	"errors"
	"fmt"

	"switchboard/smpp/pdu"
)

const (
	ussdService = "USSD"
	// maxPrompts is how many texts may wait for a caller to read them.
	maxPrompts = 16
)

// USSD is how phones use interactive sessions, while a client is bound to
// receive them: they dial, answer each text with the next of the inputs, and
// hang up when there is no other.
type USSD struct {
	Rate     float64  `yaml:"rate"`      // sessions a second; 0: none
	Count    int      `yaml:"count"`     // sessions in all; 0: no end
	From     string   `yaml:"from"`      // each # a digit that is drawn
	Code     string   `yaml:"code"`      // what is dialled; *120# unless set
	Inputs   []string `yaml:"inputs"`    // what is typed in thereafter
	ResumeOp *uint8   `yaml:"resume_op"` // ussd_service_op of inputs; 18, USSR confirm, unless set
}

// Prompt is what an application shows on a phone.
type Prompt struct {
	Text string
	End  bool // the session is over
}

// Call is a USSD session (SMPP 3.4 §5.3.2.43, §5.3.2.44).
type Call struct {
	account  *account
	from, to string
	number   uint8
	step     uint8
	resumeOp uint8
	prompts  chan Prompt
	inputs   []string // typed in by itself
	auto     bool
}

// ErrOver is the error for a session that has ended.
var ErrOver = errors.New("the USSD session is over")

// Dial begins a USSD session: the phone from dials code. It waits until the
// request was answered; the text comes from Call.Next.
func (v *SMSC) Dial(ctx context.Context, accountName, from, code string) (*Call, error) {
	a, err := v.receiver(accountName)
	if err != nil {
		return nil, err
	}
	c := a.dial(from, code, a.behaviour.Load().USSD)
	answers := make(chan error, 1)
	c.send(code, pdu.USSDPSSRIndication, false, func(s pdu.Status, err error) { answers <- outcomeOf(s, err) })
	return c, v.await(ctx, answers, 1)
}

// dial makes a session; another of the same phone is forgotten.
func (a *account) dial(from, code string, conf *USSD) *Call {
	c := &Call{
		account: a, from: from, to: code, number: uint8(a.smsc.nextReference()), resumeOp: pdu.USSDUSSRConfirm,
		prompts: make(chan Prompt, maxPrompts),
	}
	if conf.ResumeOp != nil {
		c.resumeOp = *conf.ResumeOp
	}
	a.mu.Lock()
	a.calls[Number(from).Addr] = c
	a.mu.Unlock()
	return c
}

// Next waits for the next text on the phone.
func (c *Call) Next(ctx context.Context) (Prompt, error) {
	select {
	case p := <-c.prompts:
		return p, nil
	case <-ctx.Done():
		return Prompt{}, fmt.Errorf("waiting for the session's next text: %w", ctx.Err())
	}
}

// Reply types something in, and waits until it was taken.
func (c *Call) Reply(ctx context.Context, text string) error {
	if !c.open() {
		return ErrOver
	}
	return c.ask(ctx, text, c.resumeOp, false)
}

// HangUp ends the session from the phone.
func (c *Call) HangUp(ctx context.Context) error {
	if !c.open() {
		return ErrOver
	}
	c.forget()
	return c.ask(ctx, "", c.resumeOp, true)
}

func (c *Call) ask(ctx context.Context, text string, op uint8, end bool) error {
	answers := make(chan error, 1)
	c.send(text, op, end, func(s pdu.Status, err error) { answers <- outcomeOf(s, err) })
	return c.account.smsc.await(ctx, answers, 1)
}

func (c *Call) send(text string, op uint8, end bool, done func(pdu.Status, error)) {
	m := Incoming{From: c.from, To: c.to, Text: text, Service: ussdService, TLVs: pdu.TLVs{
		pdu.Byte(pdu.TagUSSDServiceOp, op),
		pdu.ITSSession{Number: c.number, Sequence: c.step, End: end}.TLV(),
	}}
	c.step++
	bodies, err := c.account.smsc.write(m)
	if err == nil && len(bodies) != 1 {
		err = errors.New("what is typed in must fit one message")
	}
	if err != nil {
		done(pdu.StatusInvMsgLen, err)
		return
	}
	bodies[0].(*pdu.DeliverSM).Dest = pdu.Address{TON: pdu.TONUnknown, NPI: pdu.NPIE164, Addr: c.to}
	c.account.enqueue(&delivery{body: bodies[0], done: done})
}

func (c *Call) open() bool {
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	return c.account.calls[Number(c.from).Addr] == c
}

func (c *Call) forget() {
	c.account.mu.Lock()
	defer c.account.mu.Unlock()
	if c.account.calls[Number(c.from).Addr] == c {
		delete(c.account.calls, Number(c.from).Addr)
	}
}

// prompt shows a submitted text on the phone, when it is in a session.
func (v *SMSC) prompt(e *entry) {
	op, isUSSD := e.message.TLVs.Uint(pdu.TagUSSDServiceOp)
	if !isUSSD && e.message.ServiceType != ussdService || len(e.dests) == 0 {
		return
	}
	e.account.mu.Lock()
	c := e.account.calls[e.dests[0].Addr]
	e.account.mu.Unlock()
	if c == nil {
		return
	}
	its, _ := e.message.TLVs.ITSSession()
	p := Prompt{Text: text(e.message), End: its.End || isUSSD && op == uint32(pdu.USSDPSSRResponse)}
	if p.End {
		c.forget()
	}
	select {
	case c.prompts <- p:
	default:
	}
	if c.auto && !p.End {
		c.typeNext()
	}
}

// typeNext answers a text with the next of the inputs.
func (c *Call) typeNext() {
	ignore := func(pdu.Status, error) {}
	if len(c.inputs) == 0 {
		c.forget()
		c.send("", c.resumeOp, true, ignore)
		return
	}
	input := c.inputs[0]
	c.inputs = c.inputs[1:]
	c.send(input, c.resumeOp, false, ignore)
}
