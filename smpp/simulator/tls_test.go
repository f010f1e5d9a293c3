package simulator_test

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

	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
)

func TestTLS(t *testing.T) {
	certificate, key, pool := selfSigned(t)
	v := start(t, simulator.Settings{Certificate: certificate, Key: key})
	conn, err := tls.Dial("tcp", v.Addr(), &tls.Config{RootCAs: pool})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	c := &client{t: t, conn: conn, reader: pdu.NewReader(conn, 0)}
	c.ask(&pdu.Bind{ID: pdu.CmdBindTransceiver, SystemID: "esme", InterfaceVersion: pdu.Version34})
	c.ask(submit("over TLS"))
	if got := c.delivered(); !got.ESMClass.IsReceipt() {
		t.Errorf("got %+v", got)
	}
}

// selfSigned writes a certificate for 127.0.0.1 and its key to files.
func selfSigned(t *testing.T) (certificate, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func(path, kind string, der []byte) []byte {
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return text
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(write(certificate, "CERTIFICATE", der))
	write(key, "PRIVATE KEY", keyDER)
	return certificate, key, pool
}
