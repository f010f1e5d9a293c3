package smpp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"switchboard/smpp/simulator"
)

func TestTLS(t *testing.T) {
	certificate, file := selfSigned(t)
	settings := simulator.Settings{TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}}
	b := start(t, settings, func(o *Transport) { o.TLS, o.TLSCAFile = true, file })
	b.send(outgoing("hello"))
}

func TestUntrustedCertificateIsRefused(t *testing.T) {
	certificate, _ := selfSigned(t)
	settings := simulator.Settings{TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}}
	b := start(t, settings, func(o *Transport) { o.TLS = true })
	b.awaitStatus("connection_lost")
}

// selfSigned makes a certificate for 127.0.0.1, and a file that trusts it.
func selfSigned(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}
