//go:build services

package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"switchboard/smpp/pdu"
)

// A server's process that hangs for longer than its lease is taken for dead:
// the one that stands by, on another address, takes over. When the first wakes
// up with receipts in flight it writes nothing more, returns them, and stands
// by itself.
func TestSMPPServerPaused(t *testing.T) {
	t.Parallel()
	f := startCustomers(t)
	const n = fromACME / 2
	f.esme.give(0, n)
	f.esme.come(pdu.Version34, pdu.Version50)
	f.awaitAnswered(n / 3)
	second := launch(t, "second", append(f.env, "CUSTOMERS_INTERFACE=127.0.0.2"), "run", f.file)
	eventually(t, "another process stands by", func() bool { return strings.Contains(second.logged(), "standing by") })

	f.signal(syscall.SIGSTOP)
	first := f.server
	t.Cleanup(func() { _ = first.cmd.Process.Signal(syscall.SIGCONT) }) // one that hangs does not stop
	began := time.Now()
	f.esme.leave()
	second.await("/readyz")
	t.Logf("the other serves after %s", time.Since(began).Round(time.Millisecond))
	f.esme.address = strings.Replace(f.esme.address, "127.0.0.1", "127.0.0.2", 1)
	f.esme.come(pdu.Version34, pdu.Version50)
	f.awaitAnswered(n)

	f.signal(syscall.SIGCONT)
	eventually(t, "the first notices", func() bool { return strings.Contains(first.logged(), "another process has taken over") })
	eventually(t, "the first stands by", func() bool { return strings.Contains(first.logged(), "standing by") })
	f.server = second
	f.awaitAll(n)
	f.check(n)
}

func (f *customers) signal(s syscall.Signal) {
	f.Helper()
	if err := f.server.cmd.Process.Signal(s); err != nil {
		f.Fatal(err)
	}
}
