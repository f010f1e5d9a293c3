//go:build services

package rabbitmq_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/internal/testutil"
)

// TestTLS talks to RabbitMQ through something that speaks TLS in its place and
// asks for a client's certificate.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert := newCertificate(t, dir)
	u := amqpsURL(t, cert)

	good := rabbitmq.TLS{CAFile: filepath.Join(dir, "cert.pem"), CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"), ServerName: "rabbit.test"}
	b := openClosed(t, rabbitmq.Settings{URL: u, TLS: good})
	q := broker.Queue{Name: "rabbitmqtest." + rand.Text()}
	ctx := testContext(t)
	must(t, b.Declare(ctx, q))
	must(t, b.Publish(ctx, broker.Publication{Queue: q.Name, Body: []byte("sealed")}))
	must(t, b.Delete(ctx, q.Name))

	for name, files := range map[string]rabbitmq.TLS{
		"nobody's authority": {CertFile: good.CertFile, KeyFile: good.KeyFile, ServerName: good.ServerName},
		"another name":       {CAFile: good.CAFile, CertFile: good.CertFile, KeyFile: good.KeyFile, ServerName: "other.test"},
	} {
		b := openClosed(t, rabbitmq.Settings{URL: u, TLS: files})
		testutil.Eventually(t, name+" is refused", func() bool {
			err := b.State().LastError
			return err != nil && strings.Contains(err.Error(), "certificate")
		})
	}
}

func newCertificate(t *testing.T, dir string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "rabbit.test"}, DNSNames: []string{"rabbit.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	must(t, os.WriteFile(filepath.Join(dir, "cert.pem"), certPEM, 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "key.pem"), keyPEM, 0o600))
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	must(t, err)
	return pair
}

// amqpsURL is where RabbitMQ is reached through TLS.
func amqpsURL(t *testing.T, cert tls.Certificate) string {
	u, err := url.Parse(amqpURL(t))
	must(t, err)
	target := plainHost(u)
	pool := x509.NewCertPool()
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	must(t, err)
	pool.AddCert(leaf)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool})
	must(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			go relay(client, target)
		}
	}()
	u.Scheme, u.Host = "amqps", ln.Addr().String()
	return u.String()
}

func relay(client net.Conn, target string) {
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		io.Copy(server, client)
		server.Close()
	}()
	io.Copy(client, server)
}
