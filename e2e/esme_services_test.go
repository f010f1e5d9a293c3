//go:build services

package e2e

import (
	"fmt"
	"net"
	"regexp"
	"sync"
	"testing"
	"time"

	"switchboard/smpp/pdu"
)

// esme is an SMPP client of several binds, as customers have them: it submits
// numbered messages, again where the answer did not come, and binds again when
// a connection is lost.
type esme struct {
	t       *testing.T
	address string

	mu       sync.Mutex
	todo     []int          // numbers of the messages to submit
	submits  int            // submit_sm sent, each time
	answered map[int]string // message_id by the message's number
	refused  map[string]int // answers other than ESME_ROK, by command_status
	receipts map[string]int // by message_id
	bad      []string       // receipts that say anything else than delivered
	heard    map[string]int // texts of messages from people
	logins   int

	conns map[net.Conn]struct{}
	away  bool
	group sync.WaitGroup
}

func newESME(t *testing.T, port int) *esme {
	e := &esme{
		t: t, address: fmt.Sprintf("127.0.0.1:%d", port), answered: map[int]string{}, refused: map[string]int{},
		receipts: map[string]int{}, heard: map[string]int{}, conns: map[net.Conn]struct{}{}, away: true,
	}
	t.Cleanup(e.leave)
	return e
}

// give has messages submitted, those with numbers from one up to another, when
// the client is bound next.
func (e *esme) give(from, to int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := from; i < to; i++ {
		e.todo = append(e.todo, i)
	}
}

// come binds once for each version of SMPP, and keeps at it until leave.
func (e *esme) come(versions ...uint8) {
	e.mu.Lock()
	e.away = false
	e.mu.Unlock()
	for _, version := range versions {
		e.group.Go(func() {
			for e.session(version) {
				time.Sleep(esmePause) // as a polite client does
			}
		})
	}
}

// esmePause is the client's wait before it connects, or submits, again.
const esmePause = 50 * time.Millisecond

// leave hangs up; what was not answered is submitted next time.
func (e *esme) leave() {
	e.mu.Lock()
	e.away = true
	for conn := range e.conns {
		_ = conn.Close()
	}
	e.mu.Unlock()
	e.group.Wait()
}

// session is one connection; false when the client is to be away.
func (e *esme) session(version uint8) bool {
	conn, err := net.Dial("tcp", e.address)
	if err != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		return !e.away
	}
	defer func() { _ = conn.Close() }()
	e.mu.Lock()
	e.conns[conn] = struct{}{}
	away := e.away
	e.mu.Unlock()
	b := &esmeBind{esme: e, conn: conn, reader: pdu.NewReader(conn, 0), waiting: map[uint32]int{}}
	if !away && b.login(version) {
		for b.fill() && b.take() {
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, number := range b.waiting {
		e.todo = append(e.todo, number)
	}
	delete(e.conns, conn)
	return !e.away
}

// esmeBind is one connection of an esme.
type esmeBind struct {
	*esme
	conn     net.Conn
	reader   *pdu.Reader
	sequence uint32
	waiting  map[uint32]int // the message's number by sequence_number
}

const esmeWindow = 10

func (b *esmeBind) send(body pdu.Body) bool {
	b.sequence++
	_, err := (&pdu.PDU{Sequence: b.sequence, Body: body}).WriteTo(b.conn)
	return err == nil
}

func (b *esmeBind) login(version uint8) bool {
	bind := &pdu.Bind{ID: pdu.CmdBindTransceiver, SystemID: "acme", Password: "secret", InterfaceVersion: version}
	if !b.send(bind) {
		return false
	}
	p, err := b.reader.Read()
	if err != nil {
		return false
	}
	if p.Status != pdu.StatusOK {
		b.note(p.Status)
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logins++
	return true
}

func (b *esmeBind) note(status pdu.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refused[status.String()]++
}

// fill submits as much as the window allows; false when the connection is lost.
func (b *esmeBind) fill() bool {
	for len(b.waiting) < esmeWindow {
		b.mu.Lock()
		if len(b.todo) == 0 {
			b.mu.Unlock()
			return true
		}
		number := b.todo[0]
		b.todo = b.todo[1:]
		b.submits++
		b.mu.Unlock()
		b.waiting[b.sequence+1] = number
		if !b.send(submission(number)) {
			return false
		}
	}
	return true
}

// submission is the message of a number: to somebody of its own, with a receipt.
func submission(number int) *pdu.SubmitSM {
	return &pdu.SubmitSM{Message: pdu.Message{
		Source: pdu.Address{NPI: pdu.NPIE164, Addr: "9292"}, RegisteredDelivery: pdu.ReceiptFinal,
		Dest:         pdu.Address{TON: pdu.TONInternational, NPI: pdu.NPIE164, Addr: fmt.Sprintf("316%08d", number)},
		ShortMessage: fmt.Appendf(nil, "note %d", number),
	}}
}

// take deals with the next PDU; false when the connection is lost.
func (b *esmeBind) take() bool {
	p, err := b.reader.Read()
	if err != nil {
		return false
	}
	switch body := p.Body.(type) {
	case *pdu.SubmitSMResp:
		b.answer(p, body.MessageID)
		return true
	case *pdu.DeliverSM:
		b.hear(&body.Message)
	case *pdu.Unbind:
		_, _ = p.Respond(pdu.StatusOK).WriteTo(b.conn)
		return false
	}
	if p.Command().IsResponse() {
		return true
	}
	_, err = p.Respond(pdu.StatusOK).WriteTo(b.conn)
	return err == nil
}

func (b *esmeBind) answer(p *pdu.PDU, id string) {
	number, asked := b.waiting[p.Sequence]
	if !asked {
		b.t.Errorf("an answer to nothing: %s", p)
		return
	}
	delete(b.waiting, p.Sequence)
	if p.Status == pdu.StatusOK {
		b.mu.Lock()
		b.answered[number] = id
		b.mu.Unlock()
		return
	}
	b.note(p.Status)
	time.Sleep(esmePause)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.todo = append(b.todo, number)
}

var (
	receiptID = regexp.MustCompile(`^id:([0-9A-Za-z]+) `)
	isDone    = regexp.MustCompile(` stat:DELIVRD `)
)

func (b *esmeBind) hear(m *pdu.Message) {
	text := string(m.Payload())
	b.mu.Lock()
	defer b.mu.Unlock()
	if m.ESMClass != pdu.ESMReceipt {
		b.heard[text]++
		return
	}
	found := receiptID.FindStringSubmatch(text)
	if found == nil || !isDone.MatchString(text) {
		b.bad = append(b.bad, text)
		return
	}
	b.receipts[found[1]]++
}

// done counts the messages that were answered, those of them whose receipts
// came, and the different texts from people.
func (e *esme) done() (answered, receipted, heard int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range e.answered {
		if e.receipts[id] > 0 {
			receipted++
		}
	}
	return len(e.answered), receipted, len(e.heard)
}
