package message

import (
	"encoding/json"
	"fmt"
)

// The outcomes of a Receipt.
const (
	ReceiptProcessed = "processed" // handled, and every reply is with the broker
	ReceiptErrored   = "errored"   // dead-lettered
	ReceiptRefused   = "refused"   // an outbound message that a dispatcher did not hand over
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
	known := r.Outcome == ReceiptProcessed || r.Outcome == ReceiptErrored || r.Outcome == ReceiptRefused && len(r.Message) > 0
	if r.MessageID == "" || !known {
		return r, fmt.Errorf("reading receipt: message_id or outcome is missing or unknown")
	}
	return r, nil
}
