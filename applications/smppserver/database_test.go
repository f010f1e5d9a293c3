package smppserver

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/store"
	"switchboard/store/sqlite"
)

// What version 0.1 kept in the state store is delivered, once.
func TestKeptByAnOldServer(t *testing.T) {
	b := prepare(t)
	key := "plugin/server/deliver/acme/0000000000000001"
	octets, err := (&pdu.PDU{Body: &pdu.DeliverSM{Message: simple("from the old days").Message}}).AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"id": "1", "kind": kindReceipt, "until": time.Now().Add(time.Hour), "pdu": octets})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.state.Set(within(t), store.Entry{Key: key, Value: string(text)}); err != nil {
		t.Fatal(err)
	}
	b.collect()
	b.run()
	if m := b.bound(pdu.CmdBindReceiver).delivered(); string(m.ShortMessage) != "from the old days" {
		t.Errorf("got %q", m.ShortMessage)
	}
	b.eventually("it is forgotten", func() bool {
		found, err := b.state.Get(within(t), key)
		return err == nil && len(found) == 0
	})
}

// What is kept in a database is still there when that is opened anew.
func TestKeptInADatabase(t *testing.T) {
	b := prepare(t)
	path := filepath.Join(t.TempDir(), "switchboard.db")
	open := func() func() {
		db, err := sqlite.Open(within(t), path, b.logger())
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Migrate(within(t)); err != nil {
			t.Fatal(err)
		}
		b.state = db
		return func() { _ = db.Close() }
	}
	shut := open()
	b.collect()
	b.run()
	c := b.bound(pdu.CmdBindTransmitter)
	id := c.submit(simple("hi \u00e9"))
	later := c.submit(simple("later"))
	b.event(report(b.sent(), message.Delivered))
	m := b.sent()
	for i := range 5 {
		b.says(fmt.Sprint("message ", i))
	}
	b.eventually("all is kept", func() bool { return b.queued() == 6 })
	_ = c.conn.Close()
	b.stop()
	shut()
	shut = open()
	defer func() { b.stop(); shut() }()
	b.run()
	c = b.bound(pdu.CmdBindTransceiver)
	got := map[string]bool{}
	for range 6 {
		got[string(c.delivered().ShortMessage)] = true
	}
	b.event(report(m, message.Delivered)) // of a submit before the restart
	got[string(c.delivered().ShortMessage)] = true
	all := fmt.Sprint(got)
	for _, want := range []string{"id:" + id, "id:" + later, "message 0", "message 4"} {
		if !strings.Contains(all, want) {
			t.Errorf("%q did not come: %s", want, all)
		}
	}
	_ = c.conn.Close()
}
