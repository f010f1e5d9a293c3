package options

import (
	"fmt"
	"net/netip"
)

// ParseNetworks reads IP addresses, and networks such as 192.0.2.0/24.
func ParseNetworks(texts []string) (list []netip.Prefix, err error) {
	for _, text := range texts {
		network, err := netip.ParsePrefix(text)
		if addr, notOne := netip.ParseAddr(text); notOne == nil {
			network, err = addr.Unmap().Prefix(addr.Unmap().BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("%q is no IP address and no network like 192.0.2.0/24", text)
		}
		list = append(list, network.Masked())
	}
	return list, nil
}
