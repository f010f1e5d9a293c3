// Package tlsfiles makes TLS configurations of PEM files. Errors name the file.
package tlsfiles

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// Files are paths of PEM files; each may be empty.
type Files struct {
	CA   string // the authorities that the other end's certificate must come from
	Cert string // our certificate
	Key  string // and its key
}

// Client returns the configuration of who connects to serverName. Without CA,
// the system's authorities count.
func (f Files) Client(serverName string) (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: serverName}
	var err error
	if f.CA != "" {
		if conf.RootCAs, err = f.pool(); err != nil {
			return nil, err
		}
	}
	if f.Cert != "" || f.Key != "" {
		conf.Certificates, err = f.pair()
	}
	return conf, err
}

// Server returns the configuration of who listens. With CA, clients must show a
// certificate of it.
func (f Files) Server() (*tls.Config, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	var err error
	if conf.Certificates, err = f.pair(); err != nil || f.CA == "" {
		return conf, err
	}
	conf.ClientAuth = tls.RequireAndVerifyClientCert
	conf.ClientCAs, err = f.pool()
	return conf, err
}

func (f Files) pool() (*x509.CertPool, error) {
	pem, err := os.ReadFile(f.CA)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("reading the certificate authority: no PEM certificate in %s", f.CA)
	}
	return pool, nil
}

func (f Files) pair() ([]tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate %q and its key %q: %w", f.Cert, f.Key, err)
	}
	return []tls.Certificate{pair}, nil
}
