package simulator_test

import (
	"crypto/tls"
	"testing"

	"switchboard/internal/testutil"
	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
)

func TestTLS(t *testing.T) {
	certificate, key, pool := testutil.SelfSigned(t)
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
