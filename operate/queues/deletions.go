package queues

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"switchboard/broker"
	"switchboard/message"
)

// Deletions tells the record of messages that an operator deletes.
type Deletions struct {
	publisher broker.Publisher
	reason    string

	open   sync.WaitGroup
	mu     sync.Mutex
	failed int
	err    error // the last
}

// NewDeletions makes a Deletions; reason is what the record will say.
func NewDeletions(p broker.Publisher, reason string) *Deletions {
	return &Deletions{publisher: p, reason: reason}
}

// passesMessages reports whether a queue, or the one whose dead letters it has, is of user
// messages.
func passesMessages(queue string) bool {
	key := strings.TrimSuffix(queue, broker.DeadSuffix)
	return strings.HasSuffix(key, "."+string(message.Inbound)) || strings.HasSuffix(key, "."+string(message.Outbound))
}

// Record publishes the receipt of a body that is deleted from a queue or from its dead
// letters, without waiting. That nobody records is no error.
func (d *Deletions) Record(ctx context.Context, queue string, body []byte) {
	key, receipt, ok := message.DeletionReceipt(strings.TrimSuffix(queue, broker.DeadSuffix), body, d.reason, time.Now())
	if !ok {
		return
	}
	d.open.Add(1)
	d.publisher.PublishAsync(ctx, broker.Publication{Key: key, Body: receipt.Encode()}, func(err error) {
		defer d.open.Done()
		if err == nil || errors.Is(err, broker.ErrUnroutable) {
			return
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.failed++
		d.err = err
	})
}

// Wait waits until the broker has all receipts. Its error says how many the record lacks.
func (d *Deletions) Wait() error {
	d.open.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed == 0 {
		return nil
	}
	return fmt.Errorf("telling the record of %d deleted messages failed, which stay open in it: %w", d.failed, d.err)
}
