package telnet

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	"switchboard/internal/endpoint"
	"switchboard/options"
)

const maxPort = 65535

// listenAddress is host:port as net.Listen wants it.
func (t *Transport) listenAddress() (string, error) {
	if t.TwistedEndpoint != "" {
		address, err := parseEndpoint(t.TwistedEndpoint)
		if err != nil {
			return "", options.Field(err, "twisted_endpoint")
		}
		return address, nil
	}
	if t.TelnetPort == nil || *t.TelnetPort < 0 || *t.TelnetPort > maxPort {
		return "", options.Fieldf("telnet_port", "must be a port number, at most %d", maxPort)
	}
	return net.JoinHostPort(t.TelnetHost, strconv.Itoa(*t.TelnetPort)), nil
}

// parseEndpoint reads Twisted's description of a server endpoint,
// tcp:PORT[:interface=HOST][:backlog=N]. A backslash takes a colon's meaning
// away, as in interface=\:\:1.
func parseEndpoint(text string) (address string, err error) {
	parts := endpoint.Split(text)
	kind := parts[0]
	if (kind != "tcp" && kind != "tcp6") || len(parts) < 2 {
		return "", fmt.Errorf("is %q; write tcp:PORT or tcp:PORT:interface=ADDRESS", text)
	}
	host := ""
	port := strings.TrimPrefix(parts[1], "port=")
	for _, part := range parts[2:] {
		key, value, _ := strings.Cut(part, "=")
		switch key {
		case "interface":
			host = value
		case "backlog": // the operating system's own is used
		default:
			return "", fmt.Errorf("has %q, which is neither interface=ADDRESS nor backlog=N", part)
		}
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > maxPort {
		return "", fmt.Errorf("has %q where the port number is to be", port)
	}
	return net.JoinHostPort(host, port), nil
}
