package persistence_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"switchboard/options"
	"switchboard/persistence"
)

// A worker that runs has noted its transports, beside those of others.
func TestRecorded(t *testing.T) {
	b := &bench{TB: t, id: strings.ToLower(rand.Text()[:10])}
	b.app = "app"
	b.broker, b.db = openEmbedded(t)
	b.must(persistence.NoteRecorded(t.Context(), b.db, "xmpp"))
	p := b.worker()
	p.Transports = options.Names{"sms", "telnet"}
	b.start(p, b.db)
	got, err := persistence.Recorded(t.Context(), b.db)
	if diff := cmp.Diff([]string{"sms", "telnet", "xmpp"}, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}
