package receipt

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"switchboard/smpp/pdu"
)

// gsmNetwork is network_error_code's number for GSM (§5.3.2.31).
const gsmNetwork = 3

// Write returns the text (appendix B) and the parameters (§5.3.2.12, §5.3.2.35, §5.3.2.31)
// of a receipt for a state. It writes ID, Error, Submitted, Done and Text. An Error that is
// not up to three characters is 000 in the text; one that is no number is no parameter.
func (r Receipt) Write(state pdu.MessageState) (text string, tlvs pdu.TLVs) {
	tlvs = pdu.TLVs{pdu.CString(pdu.TagReceiptedMessageID, r.ID), pdu.Byte(pdu.TagMessageState, uint8(state))}
	if code, err := strconv.ParseUint(r.Error, 10, 16); err == nil && code != 0 {
		tlvs = append(tlvs, pdu.NetworkError{Network: gsmNetwork, Code: uint16(code)}.TLV())
	}
	delivered, code := 0, r.Error
	if state == pdu.StateDelivered {
		delivered = 1
	}
	if len(code) > 3 || strings.ContainsFunc(code, func(c rune) bool { return c <= ' ' || c > '~' }) {
		code = ""
	}
	date := func(t time.Time) string { return t.UTC().Format("0601021504") }
	return fmt.Sprintf("id:%s sub:001 dlvrd:%03d submit date:%s done date:%s stat:%s err:%s text:%s",
		r.ID, delivered, date(r.Submitted), date(r.Done), Word(state), "000"[len(code):]+code, r.Text), tlvs
}
