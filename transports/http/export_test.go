package http

import (
	"context"
	"encoding/hex"
	"time"
)

// Hurry has requests arrive within d.
func (t *Transport) Hurry(d time.Duration) { t.readTimeout = d }

// StopWithin has a stop wait for d for requests that are being answered.
func (t *Transport) StopWithin(d time.Duration) { t.stopGrace = d }

// AwaitsReply says whether a request waits for the reply to a message.
func (t *Transport) AwaitsReply(id string) bool {
	r, err := t.current.Get(context.Background())
	if err != nil {
		return false
	}
	r.replies.mu.Lock()
	defer r.replies.mu.Unlock()
	return r.replies.waiting[id] != nil
}

// Digest is a signature in hex.
func Digest(algorithm, key, text string) (string, error) {
	sum, err := digest(algorithm, key, text)
	return hex.EncodeToString(sum), err
}
