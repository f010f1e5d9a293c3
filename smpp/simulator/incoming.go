package simulator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"unicode/utf8"

	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
)

// Incoming is a message from a phone.
type Incoming struct {
	Account string `json:"account,omitempty" yaml:"account"` // system_id of the receiver; empty: the only one that is bound, or that there is
	From    string `json:"from" yaml:"from"`                 // digits, or up to 11 characters
	To      string `json:"to" yaml:"to"`
	Text    string `json:"text" yaml:"text"`
	Data    []byte `json:"data,omitempty" yaml:"-"` // instead of Text, with data_coding 4

	Coding   string `json:"coding,omitempty" yaml:"coding"` // gsm7, gsm7-packed, ucs2, latin1 …; the cheapest unless set
	Method   string `json:"method,omitempty" yaml:"method"` // of long texts: udh8 (unless set), udh16, sar, payload
	Order    []int  `json:"order,omitempty" yaml:"order"`   // of the segments, from 0; those that are missing are lost
	Shuffle  bool   `json:"shuffle,omitempty" yaml:"shuffle"`
	LoseOne  bool   `json:"lose_one,omitempty" yaml:"lose_one"` // a segment never comes
	ViaData  bool   `json:"via_data_sm,omitempty" yaml:"via_data_sm"`
	Service  string `json:"service_type,omitempty" yaml:"service_type"`
	Protocol uint8  `json:"protocol_id,omitempty" yaml:"protocol_id"`

	TLVs pdu.TLVs `json:"-" yaml:"-"` // added to each segment
}

// ErrNoReceiver is the error for a message when no account has bound, or several
// have and none is named.
var ErrNoReceiver = errors.New("no client of this system_id has bound yet; where several have, one must be named")

// Deliver gives a message to an account, in segments when it is long, and waits
// until each is answered or given up. While no client is bound to receive, the
// message waits. The error says which command_status it was refused with, if it
// was.
func (v *SMSC) Deliver(ctx context.Context, m Incoming) error {
	a, err := v.receiver(m.Account)
	if err != nil {
		return err
	}
	bodies, err := v.write(m)
	if err != nil {
		return err
	}
	answers := make(chan error, len(bodies))
	for _, body := range bodies {
		a.enqueue(&delivery{body: body, done: func(s pdu.Status, err error) { answers <- outcomeOf(s, err) }})
	}
	return v.await(ctx, answers, len(bodies))
}

// DeliverPDU is Deliver of a body as it is: a receipt of one's own, say.
func (v *SMSC) DeliverPDU(ctx context.Context, account string, body pdu.Body) error {
	a, err := v.receiver(account)
	if err != nil {
		return err
	}
	answers := make(chan error, 1)
	a.enqueue(&delivery{body: body, done: func(s pdu.Status, err error) { answers <- outcomeOf(s, err) }})
	return v.await(ctx, answers, 1)
}

func (v *SMSC) await(ctx context.Context, answers <-chan error, n int) error {
	var errs []error
	for range n {
		select {
		case err := <-answers:
			errs = append(errs, err)
		case <-v.closing:
			return errors.New("the simulator is closing")
		case <-ctx.Done():
			return fmt.Errorf("waiting for deliver_sm_resp: %w", ctx.Err())
		}
	}
	return errors.Join(errs...)
}

// deliver queues a message and does not wait.
func (v *SMSC) deliver(a *account, m Incoming, prefer *bind) error {
	bodies, err := v.write(m)
	if err != nil {
		return err
	}
	for _, body := range bodies {
		a.enqueue(&delivery{body: body, prefer: prefer})
	}
	return nil
}

func outcomeOf(s pdu.Status, err error) error {
	if err == nil && s != pdu.StatusOK {
		return fmt.Errorf("refused with %s", s)
	}
	return err
}

// receiver returns the account of a name, or the only one with a bind that
// receives, or the only one.
func (v *SMSC) receiver(name string) (*account, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if a := v.accounts[name]; a != nil {
		return a, nil
	}
	var all, bound []*account
	for _, a := range v.accounts {
		all = append(all, a)
		if a.receives() {
			bound = append(bound, a)
		}
	}
	switch {
	case name != "":
	case len(bound) == 1:
		return bound[0], nil
	case len(all) == 1:
		return all[0], nil
	}
	return nil, ErrNoReceiver
}

// write writes a message as deliver_sm or data_sm, with a reference number and a
// random source of its own.
func (v *SMSC) write(m Incoming) ([]pdu.Body, error) {
	reference := v.nextReference()
	return m.bodies(uint16(reference), rand.New(rand.NewPCG(v.settings.Seed, 1<<32+reference)))
}

func (m Incoming) bodies(reference uint16, random *rand.Rand) ([]pdu.Body, error) {
	method, coding, err := m.form()
	if err != nil {
		return nil, err
	}
	splitter := gsm.Splitter{Codings: coding, Method: method}
	var out gsm.Message
	if m.Data != nil {
		out, err = splitter.Data(m.Data, reference)
	} else {
		out, err = splitter.Text(m.Text, reference)
	}
	if err != nil {
		return nil, fmt.Errorf("writing the message: %w", err)
	}
	var list []pdu.Body
	for _, i := range m.sequence(len(out.Segments), random) {
		list = append(list, m.body(out, out.Segments[i]))
	}
	return list, nil
}

func (m Incoming) form() (method gsm.Method, codings []gsm.Coding, err error) {
	if m.Coding != "" {
		coding, err := gsm.ParseCoding(m.Coding)
		if err != nil {
			return 0, nil, err
		}
		codings = []gsm.Coding{coding}
	}
	method, err = parseMethod(m.Method)
	return method, codings, err
}

func parseMethod(name string) (gsm.Method, error) {
	switch name {
	case "", "udh8":
		return gsm.UDH8, nil
	case "udh16":
		return gsm.UDH16, nil
	case "sar":
		return gsm.SAR, nil
	case "payload":
		return gsm.Payload, nil
	}
	return 0, fmt.Errorf("no way to send long texts is called %q: there are udh8, udh16, sar and payload", name)
}

// sequence is the order in which segments leave.
func (m Incoming) sequence(n int, random *rand.Rand) []int {
	order := slices.DeleteFunc(slices.Clone(m.Order), func(i int) bool { return i < 0 || i >= n })
	if m.Order == nil {
		for i := range n {
			order = append(order, i)
		}
	}
	if m.Shuffle {
		random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	if m.LoseOne && len(order) > 0 {
		i := random.IntN(len(order))
		order = slices.Delete(order, i, i+1)
	}
	return order
}

func (m Incoming) body(out gsm.Message, s gsm.Segment) pdu.Body {
	message := pdu.Message{
		ServiceType: m.Service, ProtocolID: m.Protocol, Source: Number(m.From), Dest: Number(m.To),
		DataCoding: pdu.DataCoding(out.Coding.DataCoding()), TLVs: slices.Clone(m.TLVs),
	}
	if m.Data != nil {
		message.DataCoding = pdu.DataCodingOctets2
	}
	if s.Header != nil {
		message.ESMClass |= pdu.ESMUDHI
	}
	if (out.Method == gsm.SAR || out.Method == gsm.SAR16) && s.Multipart() {
		message.TLVs = append(message.TLVs, pdu.Short(pdu.TagSarMsgRefNum, s.Reference),
			pdu.Byte(pdu.TagSarTotalSegments, s.Total), pdu.Byte(pdu.TagSarSegmentSeqnum, s.Seq))
	}
	octets := s.Octets()
	if out.Method == gsm.Payload || m.ViaData {
		message.TLVs = append(message.TLVs, pdu.TLV{Tag: pdu.TagMessagePayload, Value: octets})
	} else {
		message.ShortMessage = octets
	}
	if m.ViaData {
		return &pdu.DataSM{
			ServiceType: m.Service, Source: message.Source, Dest: message.Dest, ESMClass: message.ESMClass,
			DataCoding: message.DataCoding, TLVs: message.TLVs,
		}
	}
	return &pdu.DeliverSM{Message: message}
}

// Number makes an address of digits, with a plus or without, of a short code, or
// of a name.
func Number(s string) pdu.Address {
	digits := s
	if len(s) > 0 && s[0] == '+' {
		digits = s[1:]
	}
	for _, r := range digits {
		if r < '0' || r > '9' {
			return pdu.Address{TON: pdu.TONAlphanumeric, Addr: s}
		}
	}
	switch {
	case digits != s:
		return pdu.Address{TON: pdu.TONInternational, NPI: pdu.NPIE164, Addr: digits}
	case utf8.RuneCountInString(digits) < 7:
		return pdu.Address{TON: pdu.TONNetworkSpecific, NPI: pdu.NPIE164, Addr: digits}
	}
	return pdu.Address{TON: pdu.TONInternational, NPI: pdu.NPIE164, Addr: digits}
}
