//go:build services

package e2e

import (
	"strings"
	"testing"

	"switchboard/smpp/pdu"
)

// PostgreSQL, and then RabbitMQ, die under an SMPP server's traffic: its
// customer stays bound, is asked to try again meanwhile, and gets everything
// once they are back.
func TestSMPPServerWithoutItsServers(t *testing.T) {
	t.Parallel()
	// The transport has a memory of its own: what it does without its database
	// is for its own tests.
	f := startCustomers(t, "DATABASE_URL=memory:")
	const n = fromACME / 2
	f.esme.give(0, n)
	f.esme.come(pdu.Version34, pdu.Version34)
	f.awaitAnswered(n / 3)
	f.without("postgres", func() bool { return strings.Contains(f.server.logged(), "could not be renewed") })
	f.awaitAnswered(2 * n / 3)
	f.without("rabbitmq", func() bool { return true })
	f.awaitAll(n)
	if f.esme.logins != 2 {
		t.Errorf("the customer had to bind %d times", f.esme.logins)
	}
	f.server.await("/readyz")
	f.check(n)
}

// without kills a server, and starts it again when the customer has been asked
// to try again and something more is so.
func (f *customers) without(name string, is func() bool) {
	f.Helper()
	before := f.esme.refusals()
	f.run("kill-" + name)
	eventually(f.T, "the customer is asked to try again without "+name, func() bool { return f.esme.refusals() > before && is() })
	f.run("start-" + name)
}

func (e *esme) refusals() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.refused[pdu.StatusMsgQFul.String()]
}
