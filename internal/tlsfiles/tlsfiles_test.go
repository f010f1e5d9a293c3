package tlsfiles_test

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"switchboard/internal/testutil"
	"switchboard/internal/tlsfiles"
)

func TestBothEndsKnowEachOther(t *testing.T) {
	cert, key, _ := testutil.SelfSigned(t, "peer.test")
	files := tlsfiles.Files{CA: cert, Cert: cert, Key: key}
	server, err := files.Server()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		files  tlsfiles.Files
		server string
		good   bool
	}{
		"with a certificate": {files, "peer.test", true},
		"without one":        {tlsfiles.Files{CA: cert}, "peer.test", false},
		"another name":       {files, "other.test", false},
	} {
		t.Run(name, func(t *testing.T) {
			client, err := test.files.Client(test.server)
			if err != nil {
				t.Fatal(err)
			}
			if err := talk(server, client); (err == nil) != test.good {
				t.Errorf("got %v", err)
			}
		})
	}
}

// talk sends an octet through TLS.
func talk(server, client *tls.Config) error {
	near, far := net.Pipe()
	defer far.Close()
	go func() {
		defer near.Close()
		_, _ = tls.Server(near, server).Write([]byte{1})
	}()
	_, err := io.ReadFull(tls.Client(far, client), make([]byte, 1))
	return err
}

func TestErrorsNameTheFile(t *testing.T) {
	cert, key, _ := testutil.SelfSigned(t)
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, files := range map[string]tlsfiles.Files{
		"missing.pem": {CA: "missing.pem", Cert: cert, Key: key},
		empty:         {CA: empty, Cert: cert, Key: key},
		"gone.key":    {Cert: cert, Key: "gone.key"},
		cert:          {Cert: cert, Key: empty},
	} {
		_, clientErr := files.Client("x")
		_, serverErr := files.Server()
		for _, err := range []error{clientErr, serverErr} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not name %s", err, want)
			}
		}
	}
}
