package telnet

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"switchboard/internal/endpoint"
	"switchboard/options"
)

// listenAddress is host:port as net.Listen wants it.
func (t *Transport) listenAddress() (string, error) {
	if t.TwistedEndpoint != "" {
		address, err := parseEndpoint(t.TwistedEndpoint)
		if err != nil {
			return "", options.Field(err, "twisted_endpoint")
		}
		return address, nil
	}
	if t.TelnetPort == nil || *t.TelnetPort < 0 || *t.TelnetPort > endpoint.MaxPort {
		return "", options.Fieldf("telnet_port", "must be a port number, at most %d", endpoint.MaxPort)
	}
	return net.JoinHostPort(t.TelnetHost, strconv.Itoa(*t.TelnetPort)), nil
}

func parseEndpoint(text string) (address string, err error) {
	e, err := endpoint.Parse(text, "tcp", "tcp6")
	for _, other := range e.Others {
		if !strings.HasPrefix(other, "backlog=") { // of which the operating system's own is used
			err = fmt.Errorf("has %q, which is neither interface=ADDRESS nor backlog=N", other)
		}
	}
	return e.Address, err
}
