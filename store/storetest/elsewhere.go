package storetest

import (
	"testing"

	"switchboard/store"
)

// broadcastElsewhere: messages of another database's broadcast are recorded as ordinary
// messages, beside those of this one's.
func broadcastElsewhere(t *testing.T, db Ledger) {
	made := create(t, db, store.Broadcast{Text: "hello"}, recipients(1))
	own := claim(t, db, dueNow(t, db)[0].ID)[0].Message()
	other := outbound("elsewhere", "", at(1))
	other.Message.RoutingMetadata = own.RoutingMetadata
	record(t, db, ack("elsewhere", at(2)))
	record(t, db, other, store.Envelope{Direction: store.Outbound, Backend: "sms", Message: own}, other)
	record(t, db, other)
	if r := find(t, db, "elsewhere"); r.Status != store.StatusSent || r.Address != other.Message.To || r.Broadcast != 0 {
		t.Errorf("the other's: %+v", r)
	}
	if r := find(t, db, own.ID); r.Status != store.StatusPassing || r.Broadcast != made.ID {
		t.Errorf("our own: %+v", r)
	}
	if all := list(t, db, store.Filter{}); len(all) != 2 {
		t.Errorf("%d records: %+v", len(all), all)
	}
}
