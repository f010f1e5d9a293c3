//go:build services

package rabbitmq_test

import (
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/internal/testutil"
	"switchboard/internal/tlsfiles"
)

// TestTLS talks to RabbitMQ through something that speaks TLS in its place and
// asks for a client's certificate.
func TestTLS(t *testing.T) {
	cert, key, _ := testutil.SelfSigned(t, "rabbit.test")
	u := amqpsURL(t, tlsfiles.Files{CA: cert, Cert: cert, Key: key})

	good := rabbitmq.TLS{CAFile: cert, CertFile: cert, KeyFile: key, ServerName: "rabbit.test"}
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

// amqpsURL is where RabbitMQ is reached through TLS.
func amqpsURL(t *testing.T, files tlsfiles.Files) string {
	u, err := url.Parse(amqpURL(t))
	must(t, err)
	target := plainHost(u)
	conf, err := files.Server()
	must(t, err)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", conf)
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
