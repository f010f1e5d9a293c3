package smppserver

import (
	"context"
	"encoding/json"
	"fmt"

	"switchboard/smpp/pdu"
)

// deliverOld delivers what version 0.1 kept in the state store for a customer.
func (e *engine) deliverOld(ctx context.Context, c *customer) error {
	prefix := "deliver/" + c.systemID + "/"
	for {
		found, err := e.state.Range(ctx, prefix, prefix+"g", oldBatch)
		if err != nil || len(found) == 0 {
			return err
		}
		for _, entry := range found {
			var old struct {
				ID   string `json:"id"`
				Kind string `json:"kind"`
				PDU  []byte `json:"pdu"`
			}
			if err := json.Unmarshal([]byte(entry.Value), &old); err != nil {
				return fmt.Errorf("reading %s: %w", entry.Key, err)
			}
			p, err := pdu.Decode(old.PDU)
			if err != nil {
				return fmt.Errorf("reading %s: %w", entry.Key, err)
			}
			body, _ := p.Body.(*pdu.DeliverSM)
			d := &delivery{kind: old.Kind, about: entry.Key}
			e.deliver(c, d, []*deliverSM{{id: old.ID, body: body}}, func(ctx context.Context) error { return e.state.Delete(ctx, entry.Key) })
			if <-d.noted; d.err != nil {
				return d.err
			}
		}
	}
}

// oldBatch is how many entries are fetched at once.
const oldBatch = 100
