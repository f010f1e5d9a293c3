package simulator

import (
	"strconv"
	"strings"
	"time"

	"switchboard/smpp/pdu"
	"switchboard/smpp/receipt"
)

const (
	// receiptText is how many characters of the message a receipt repeats
	// (SMPP 3.4 appendix B).
	receiptText  = 20
	shortDate    = "0601021504"
	longDate     = "060102150405"
	networkIsGSM = 3
)

// reportLater reports when answer and receipt's delay are over.
func (h handler) reportLater(b *bind, e *entry, p *plan) {
	h.schedule.after(p.delay+p.receiptDelay, func() { h.report(b, e, p) })
}

// report ends a message, and sends the receipts that were drawn.
func (h handler) report(b *bind, e *entry, p *plan) {
	conf := e.account.behaviour.Load().Receipts
	if p.receipt && p.intermediate {
		h.sendReceipt(b, e, conf, Outcome{State: "ENROUTE", Error: "000"}, pdu.ESMIntermediate)
	}
	outcome := p.outcome
	if state, mine := e.end(outcome.state(), outcome.code()); !mine {
		outcome = Outcome{State: receipt.Word(state)}
	}
	switch {
	case p.receipt && p.lostReceipt:
		h.ledger.count(func(c *tally) { c.receiptsLost++ })
	case p.receipt:
		h.sendReceipt(b, e, conf, outcome, pdu.ESMReceipt)
		if p.twice {
			h.sendReceipt(b, e, conf, outcome, pdu.ESMReceipt)
		}
		if p.stray {
			stray := &entry{account: e.account, receiptID: "404" + e.receiptID, message: e.message, dests: e.dests, submitted: e.submitted}
			h.sendReceipt(b, stray, conf, outcome, pdu.ESMReceipt)
		}
	}
	if p.reply != "" && len(e.dests) > 0 {
		_ = h.deliver(e.account, Incoming{From: e.dests[0].Addr, To: e.message.Source.Addr, Text: p.reply}, b)
	}
}

// sendReceipt queues a receipt for each of the message's addresses.
func (h handler) sendReceipt(b *bind, e *entry, conf *Receipts, o Outcome, class pdu.ESMClass) {
	if conf.ESMClass != nil {
		class = pdu.ESMClass(*conf.ESMClass)
	}
	for _, dest := range e.dests {
		m := pdu.Message{Source: dest, Dest: e.message.Source, ESMClass: class}
		if conf.Form != "tlv" {
			m.ShortMessage = []byte(conf.text(e, o))
		}
		if conf.Form != "text" {
			m.TLVs = receiptTLVs(e, o)
		}
		if reference, ok := e.message.TLVs.Uint(pdu.TagUserMessageReference); ok && !conf.NoReference {
			m.TLVs = append(m.TLVs, pdu.Short(pdu.TagUserMessageReference, uint16(reference)))
		}
		if e.account.behaviour.Load().Links.UnknownTLVs {
			m.TLVs = append(m.TLVs, unknownTLVs()...)
		}
		e.account.enqueue(&delivery{body: receiptBody(conf, m), prefer: b, receipt: true})
	}
}

func receiptBody(conf *Receipts, m pdu.Message) pdu.Body {
	if !conf.ViaDataSM {
		return &pdu.DeliverSM{Message: m}
	}
	d := &pdu.DataSM{Source: m.Source, Dest: m.Dest, ESMClass: m.ESMClass, TLVs: m.TLVs}
	if len(m.ShortMessage) > 0 {
		d.TLVs = append(d.TLVs, pdu.TLV{Tag: pdu.TagMessagePayload, Value: m.ShortMessage})
	}
	return d
}

func receiptTLVs(e *entry, o Outcome) pdu.TLVs {
	list := pdu.TLVs{
		pdu.CString(pdu.TagReceiptedMessageID, e.receiptID),
		pdu.Byte(pdu.TagMessageState, uint8(o.state())),
	}
	if code, err := strconv.ParseUint(o.Error, 10, 16); err == nil {
		list = append(list, pdu.NetworkError{Network: networkIsGSM, Code: uint16(code)}.TLV())
	}
	return list
}

// text writes a receipt as appendix B has it, or as other SMSCs do.
func (conf *Receipts) text(e *entry, o Outcome) string {
	form, layout := conf.Text, shortDate
	if form == "" {
		form, layout = conf.form()
	}
	id, stat := e.receiptID, o.State
	if conf.Style == "lower" {
		stat = strings.ToLower(stat)
	}
	if conf.Style == "padded" {
		id = strings.ToUpper(strings.Repeat("0", max(0, 16-len(id))) + id)
	}
	delivered := "000"
	if o.state() == pdu.StateDelivered {
		delivered = "001"
	}
	beginning := ""
	if strings.Contains(form, "{text}") {
		beginning = text(e.message)
		if runes := []rune(beginning); len(runes) > receiptText {
			beginning = string(runes[:receiptText])
		}
	}
	return expand(form, func(name string) string {
		switch name {
		case "id":
			return id
		case "stat":
			return stat
		case "err":
			return o.errorText()
		case "sub":
			return "001"
		case "dlvrd":
			return delivered
		case "submit":
			return e.submitted.UTC().Format(layout)
		case "done":
			return time.Now().UTC().Format(layout)
		case "text":
			return ascii(beginning)
		}
		return "{" + name + "}"
	})
}

// expand replaces each {name}.
func expand(form string, value func(name string) string) string {
	var b strings.Builder
	b.Grow(2 * len(form))
	for {
		before, rest, found := strings.Cut(form, "{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			b.WriteString("{" + rest)
			return b.String()
		}
		b.WriteString(value(name))
		form = after
	}
}

func (conf *Receipts) form() (form, dates string) {
	switch conf.Style {
	case "seconds":
		return "id:{id} sub:{sub} dlvrd:{dlvrd} submit date:{submit} done date:{done} stat:{stat} err:{err} Text:{text}", longDate
	case "minimal":
		return "id:{id} stat:{stat}", shortDate
	case "lower":
		return "id:{id} sub:{sub} dlvrd:{dlvrd} submit date:{submit} done date:{done} stat:{stat} err:{err} Text:{text}", shortDate
	}
	return "id:{id} sub:{sub} dlvrd:{dlvrd} submit date:{submit} done date:{done} stat:{stat} err:{err} text:{text}", shortDate
}

// ascii keeps a receipt within the default alphabet.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

// outcome draws what becomes of a message.
func (conf *Receipts) outcome(b *bind) Outcome {
	for _, o := range conf.Outcomes {
		if b.chance(o.Rate) {
			return o
		}
	}
	return Outcome{State: "DELIVRD", Error: "000"}
}

func (o Outcome) errorText() string {
	switch {
	case o.Error != "":
		return o.Error
	case o.state() == pdu.StateDelivered:
		return "000"
	}
	return "001"
}

// code is the error for query_sm, of one octet.
func (o Outcome) code() uint8 {
	n, _ := strconv.ParseUint(o.errorText(), 10, 8)
	return uint8(n)
}

// state is the message_state of a receipt's word (appendix B).
func (o Outcome) state() pdu.MessageState {
	for s := pdu.StateScheduled; s <= pdu.StateSkipped; s++ {
		if strings.EqualFold(receipt.Word(s), o.State) {
			return s
		}
	}
	return pdu.StateUnknown
}
