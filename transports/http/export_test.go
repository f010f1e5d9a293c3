package http

import (
	"encoding/hex"
	"time"
)

// Hurry has requests arrive within d.
func (t *Transport) Hurry(d time.Duration) { t.readTimeout = d }

// Digest is a signature in hex.
func Digest(algorithm, key, text string) (string, error) {
	sum, err := digest(algorithm, key, text)
	return hex.EncodeToString(sum), err
}
