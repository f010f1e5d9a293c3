package http

import "encoding/hex"

// Digest is a signature in hex.
func Digest(algorithm, key, text string) (string, error) {
	sum, err := digest(algorithm, key, text)
	return hex.EncodeToString(sum), err
}
