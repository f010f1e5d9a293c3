package smpp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"switchboard/smpp/pdu"
)

// dial connects to the SMSC, within the bind timeout.
func (e *engine) dial(ctx context.Context) (*link, error) {
	address, wrapped, err := e.options.address()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, e.options.BindTimeout.Std())
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", address, err)
	}
	host, _, _ := net.SplitHostPort(address)
	config, err := e.options.tlsConfig(host, wrapped)
	if err == nil && config != nil {
		secure := tls.Client(conn, config)
		if err = secure.HandshakeContext(ctx); err == nil {
			return newLink(secure), nil
		}
		err = fmt.Errorf("speaking TLS with %s: %w", address, err)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return newLink(conn), nil
}

// refusedError is a bind the SMSC refused.
type refusedError struct{ status pdu.Status }

func (e refusedError) Error() string {
	return fmt.Sprintf("the SMSC refused the bind: %s: %s", e.status, e.status.Words())
}

var errSilent = errors.New("the SMSC took the connection and did not answer the bind")

// terms are what a bind agrees upon.
type terms struct {
	version    version // both sides'
	parameters bool    // the SMSC says that it knows optional parameters (§3.4)
}

// bind binds and returns on what terms.
func (e *engine) bind(k *link, command pdu.CommandID) (terms, error) {
	deadline := time.Now().Add(e.options.BindTimeout.Std())
	_ = k.conn.SetDeadline(deadline)
	request := &pdu.PDU{Sequence: k.sequence(), Body: &pdu.Bind{
		ID: command, SystemID: e.options.SystemID, Password: e.options.Password.Reveal(),
		SystemType: e.options.SystemType, InterfaceVersion: uint8(e.options.InterfaceVersion),
		AddressRange: e.options.AddressRange,
	}}
	if _, err := request.WriteTo(k.conn); err != nil {
		return terms{}, fmt.Errorf("binding: %w", err)
	}
	answer, err := k.awaitBind(request.Sequence, deadline)
	if err != nil {
		return terms{}, err
	}
	_ = k.conn.SetDeadline(time.Time{})
	return agreed(e.options.InterfaceVersion, answer), nil
}

// awaitBind reads until the bind is answered; enquire_links are answered
// meanwhile.
func (k *link) awaitBind(sequence uint32, deadline time.Time) (*pdu.BindResp, error) {
	for {
		p, err := k.reader.Read()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) || err != nil && !time.Now().Before(deadline):
			return nil, errSilent
		case err != nil:
			return nil, fmt.Errorf("binding: %w", err)
		}
		k.hear()
		switch body := p.Body.(type) {
		case *pdu.BindResp:
			if p.Status != pdu.StatusOK {
				return nil, refusedError{p.Status}
			}
			return body, nil
		case *pdu.GenericNack:
			if p.Sequence == sequence || p.Sequence == 0 {
				return nil, refusedError{p.Status}
			}
		case *pdu.EnquireLink:
			_, err = p.Respond(pdu.StatusOK).WriteTo(k.conn)
		case *pdu.DeliverSM, *pdu.DataSM: // too early; it comes again
			_, err = p.Respond(pdu.StatusRxTAppn).WriteTo(k.conn)
		case *pdu.Unbind:
			return nil, errUnbound
		}
		if err != nil {
			return nil, fmt.Errorf("binding: %w", err)
		}
	}
}

// agreed are the lower of our version and the SMSC's, when it says one
// (§5.3.2.25). One that says none is to be taken for one without optional
// parameters (§3.4), though many have them.
func agreed(ours version, answer *pdu.BindResp) terms {
	theirs, said := answer.TLVs.Uint(pdu.TagSCInterfaceVersion)
	if !said || theirs < uint32(pdu.Version33) {
		return terms{version: ours}
	}
	both := min(ours, version(min(theirs, 0xFF)))
	return terms{both, both >= version(pdu.Version34)}
}
