package telnet

import "switchboard/worker"

var _ worker.Listener = (*Transport)(nil)

// Listens is the address of the configuration; none while that is wrong.
func (t *Transport) Listens() []string {
	address, err := t.listenAddress()
	if err != nil {
		return nil
	}
	return []string{address}
}
