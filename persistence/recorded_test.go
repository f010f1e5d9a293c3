package persistence_test

import (
	"crypto/rand"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"switchboard/options"
	"switchboard/persistence"
)

// A worker that runs has noted what it records, beside those of others.
func TestRecorded(t *testing.T) {
	b := &bench{TB: t, id: strings.ToLower(rand.Text()[:10])}
	b.app = "app"
	b.broker, b.db = openEmbedded(t)
	b.must(persistence.Recorded{Transports: []string{"xmpp"}}.Note(t.Context(), b.db))
	p := b.worker()
	p.Transports = options.Names{"sms", "telnet"}
	b.start(p, b.db)
	got, err := persistence.ReadRecorded(t.Context(), b.db)
	want := persistence.Recorded{Transports: []string{"sms", "telnet", "xmpp"}, Applications: []string{"app"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}
