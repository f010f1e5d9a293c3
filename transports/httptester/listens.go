package httptester

import (
	"net"
	"strconv"

	"switchboard/worker"
)

var _ worker.Listener = (*Transport)(nil)

// Listens is the address of the configuration.
func (t *Transport) Listens() []string {
	return []string{net.JoinHostPort(t.WebHost, strconv.Itoa(t.WebPort))}
}
