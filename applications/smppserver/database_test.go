package smppserver

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/store/sqlite"
)

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
