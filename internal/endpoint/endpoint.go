// Package endpoint takes apart Twisted's endpoint descriptions, which Vumi's
// files name hosts and ports by: `tcp:host=smsc.example.org:port=2775`.
package endpoint

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// MaxPort is the highest port number.
const MaxPort = 65535

// Endpoint is a described address.
type Endpoint struct {
	Address string   // host:port; the host may be empty
	TLS     bool     // ssl: or tls:
	Others  []string // what else is described: timeout=5, backlog=50
}

// Parse reads a client's tcp:HOST:PORT or tcp:host=HOST:port=PORT, or a server's
// tcp:PORT:interface=HOST; kinds are those that may stand before the first colon.
func Parse(text string, kinds ...string) (e Endpoint, err error) {
	parts := Split(text)
	if len(parts) < 2 || !slices.Contains(kinds, parts[0]) {
		return e, fmt.Errorf("is %q; write tcp:host=HOST:port=PORT, or tcp:PORT:interface=HOST to listen", text)
	}
	e.TLS = parts[0] == "ssl" || parts[0] == "tls"
	host, port := "", ""
	for _, part := range parts[1:] {
		switch key, value, named := strings.Cut(part, "="); {
		case !named:
			host, port = port, part
		case key == "host" || key == "interface":
			host = value
		case key == "port":
			port = value
		default:
			e.Others = append(e.Others, part)
		}
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > MaxPort {
		return e, fmt.Errorf("has %q where the port number is to be", port)
	}
	e.Address = net.JoinHostPort(host, port)
	return e, nil
}

// Split divides a description at its colons; a backslash makes the character
// behind it part of the text.
func Split(text string) (parts []string) {
	var part strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
			part.WriteByte(text[i])
		case text[i] == ':':
			parts = append(parts, part.String())
			part.Reset()
		default:
			part.WriteByte(text[i])
		}
	}
	return append(parts, part.String())
}
