package smpp

import (
	"testing"

	"switchboard/internal/testutil"
	"switchboard/smpp/simulator"
)

func TestTLS(t *testing.T) {
	cert, key, _ := testutil.SelfSigned(t)
	b := start(t, simulator.Settings{Certificate: cert, Key: key}, func(o *Transport) { o.TLS, o.TLSCAFile = true, cert })
	b.send(outgoing("hello"))
}

func TestUntrustedCertificateIsRefused(t *testing.T) {
	cert, key, _ := testutil.SelfSigned(t)
	b := start(t, simulator.Settings{Certificate: cert, Key: key}, func(o *Transport) { o.TLS = true })
	b.awaitStatus("connection_lost")
}
