package receipt

import (
	"errors"
	"regexp"
	"strconv"
	"time"

	"switchboard/smpp/pdu"
)

// Receipt is what an SMSC says became of a message. What it did not say is
// empty, zero, or -1 for the counts.
type Receipt struct {
	ID        string // the SMSC's id of the message, as it spelt it here
	Status    Status
	RawStatus string // the word Status was found by: "DELIVRD", or the name of a message_state
	Error     string // the network's error code, as the SMSC spelt it: "000"
	Submitted time.Time
	Done      time.Time
	Sub       int    // messages submitted
	Dlvrd     int    // messages delivered
	Text      string // the beginning of the message
	FromTLVs  bool   // ID came from a parameter, not from the text
}

// ErrNoReceipt is the error for a message that is none.
var ErrNoReceipt = errors.New("the message is no delivery receipt: it has no message id and status")

// Parser reads receipts. The zero value reads every form this package knows,
// with the usual meanings.
type Parser struct {
	Pattern  *regexp.Regexp // the text's form, from CompilePattern; nil for the tolerant reader
	Statuses StatusMap      // nil for DefaultStatusMap
	Location *time.Location // of the dates, nil for UTC
}

// Parse reads a receipt from a message's parameters and its text, already
// decoded. A parameter counts for more than the text. It returns ErrNoReceipt
// when there is no id, or no status.
func (p Parser) Parse(tlvs pdu.TLVs, text string) (Receipt, error) {
	f := p.fields(text)
	r := Receipt{
		ID: f.id, RawStatus: f.stat, Error: f.err, Text: f.text,
		Sub: number(f.sub), Dlvrd: number(f.dlvrd),
		Submitted: parseDate(f.submitted, p.location()), Done: parseDate(f.done, p.location()),
	}
	if id, ok := tlvs.Text(pdu.TagReceiptedMessageID); ok && id != "" {
		r.ID, r.FromTLVs = id, true
	}
	statuses := p.Statuses
	if statuses == nil {
		statuses = DefaultStatusMap()
	}
	if state, ok := tlvs.Uint(pdu.TagMessageState); ok && state <= 0xFF {
		r.RawStatus = pdu.MessageState(state).String()
	}
	if e, ok := tlvs.NetworkError(); ok && r.Error == "" {
		r.Error = strconv.Itoa(int(e.Code))
	}
	r.Status = statuses.Of(r.RawStatus)
	if r.ID == "" || r.RawStatus == "" {
		return Receipt{}, ErrNoReceipt
	}
	return r, nil
}

func (p Parser) location() *time.Location {
	if p.Location == nil {
		return time.UTC
	}
	return p.Location
}

func (p Parser) fields(text string) fields {
	if p.Pattern != nil {
		return matchFields(p.Pattern, text)
	}
	return scanFields(text)
}

// number returns -1 for what is none.
func number(s string) int {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return -1
	}
	return int(n)
}
