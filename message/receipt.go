package message

import (
	"encoding/json"
	"fmt"
)

// The outcomes of a Receipt.
const (
	ReceiptProcessed = "processed" // handled, and every reply is with the broker
	ReceiptErrored   = "errored"   // set aside in the dead letters
)

// Receipt says what became of an inbound message: what an application made of
// it, or that a dispatcher let it go on purpose. It is ours alone: Vumi's workers
// neither send nor expect one.
type Receipt struct {
	MessageID   string `json:"message_id"`
	Application string `json:"application"` // exposed name; empty where it came to none
	Outcome     string `json:"outcome"`
	Reason      string `json:"reason,omitempty"` // of errored; of processed, why it was let go or replies were refused
	Timestamp   string `json:"timestamp"`
	// Routing is the routing_metadata the message arrived with: the
	// dispatchers and rules it passed.
	Routing Object `json:"routing_metadata"`
}

// ReceiptKey is the routing key of the receipts about the inbound messages of a
// connector.
func ReceiptKey(connector string) string { return connector + ".receipt" }

// Encode writes the receipt as a body.
func (r Receipt) Encode() []byte {
	body, _ := json.Marshal(r) // strings only: cannot fail
	return body
}

// DecodeReceipt reads a receipt from a body.
func DecodeReceipt(body []byte) (Receipt, error) {
	var r Receipt
	if err := json.Unmarshal(body, &r); err != nil {
		return r, fmt.Errorf("reading receipt: %w", err)
	}
	if r.MessageID == "" || (r.Outcome != ReceiptProcessed && r.Outcome != ReceiptErrored) {
		return r, fmt.Errorf("reading receipt: message_id or outcome is missing or unknown")
	}
	return r, nil
}
