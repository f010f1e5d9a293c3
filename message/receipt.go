package message

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// The outcomes of a Receipt.
const (
	ReceiptProcessed = "processed" // handled, and every reply is with the broker
	ReceiptErrored   = "errored"   // dead-lettered
	ReceiptRefused   = "refused"   // an outbound message that a dispatcher did not hand over
	ReceiptDeleted   = "deleted"   // an outbound message that an operator took from its transport's queue
)

// Receipt says how the work on a message ended that passes no transport any more: what an
// application or a dispatcher made of an inbound message, or that a dispatcher refused an
// outbound one. It is ours alone: Vumi's workers neither send nor expect one.
type Receipt struct {
	MessageID   string `json:"message_id"`
	Application string `json:"application"` // exposed name; empty where it came to none
	Outcome     string `json:"outcome"`
	Reason      string `json:"reason,omitempty"` // of errored and refused; of processed, why it was dropped or replies were refused
	Timestamp   string `json:"timestamp"`
	// Message is the message of ReceiptRefused, which nobody else has recorded.
	Message json.RawMessage `json:"message,omitempty"`
	// Routing is the routing_metadata the message arrived with: the
	// dispatchers and rules it passed.
	Routing Object `json:"routing_metadata"`
}

// ReceiptKey is the routing key of the receipts about the inbound messages of a
// connector.
func ReceiptKey(connector string) string { return connector + ".receipt" }

// DeletionReceipt is the receipt of a body that an operator deletes from the queue with the
// routing key `<connector>.<flow>`, or from its dead letters, and the receipt's own routing
// key. It reports false for a body that is no user message: the record has no state for it.
func DeletionReceipt(key string, body []byte, reason string, at time.Time) (to string, r Receipt, ok bool) {
	dot := strings.LastIndexByte(key, '.')
	if dot < 0 || key[dot+1:] != string(Inbound) && key[dot+1:] != string(Outbound) {
		return "", r, false
	}
	m, err := Decode(body)
	if err != nil {
		return "", r, false
	}
	connector := key[:dot]
	r = Receipt{MessageID: m.ID, Reason: reason, Timestamp: FormatTime(at), Routing: m.RoutingMetadata}
	switch {
	case key[dot+1:] == string(Inbound):
		r.Outcome, connector = ReceiptErrored, m.TransportName
	case connector == m.TransportName:
		r.Outcome = ReceiptDeleted
	default: // an application's: it has not reached a transport
		r.Outcome, r.Application, r.Message = ReceiptRefused, connector, body
	}
	return ReceiptKey(connector), r, true
}

// Encode writes the receipt as a body.
func (r Receipt) Encode() []byte {
	body, _ := json.Marshal(r) // strings, and a message that was encoded: cannot fail
	return body
}

// DecodeReceipt reads a receipt from a body.
func DecodeReceipt(body []byte) (Receipt, error) {
	var r Receipt
	if err := json.Unmarshal(body, &r); err != nil {
		return r, fmt.Errorf("reading receipt: %w", err)
	}
	known := r.Outcome == ReceiptProcessed || r.Outcome == ReceiptErrored || r.Outcome == ReceiptDeleted ||
		r.Outcome == ReceiptRefused && len(r.Message) > 0
	if r.MessageID == "" || !known {
		return r, fmt.Errorf("reading receipt: message_id or outcome is missing or unknown")
	}
	return r, nil
}
