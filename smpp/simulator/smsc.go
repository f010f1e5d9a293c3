package simulator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"switchboard/internal/tlsfiles"
	"switchboard/smpp/session"
)

// SMSC is a simulator that runs.
type SMSC struct {
	settings Settings
	server   *session.Server
	schedule *schedule
	ledger   *ledger
	store    *store
	started  time.Time
	closing  chan struct{}
	closed   sync.Once
	group    sync.WaitGroup
	http     *site

	mu       sync.Mutex
	base     Behaviour // of all accounts
	accounts map[string]*account
	connects int
	refused  int
	number   uint64 // of the last message id
	uses     uint64 // of random
}

// Start runs a simulator until Close.
func Start(settings Settings) (*SMSC, error) {
	settings = settings.withDefaults()
	if err := settings.Validate(); err != nil {
		return nil, err
	}
	l, err := openPort(&settings)
	if err != nil {
		return nil, err
	}
	ledger, err := newLedger(&settings)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	v := &SMSC{
		settings: settings, ledger: ledger, store: newStore(settings.Keep), base: settings.Behaviour,
		started: time.Now(), closing: make(chan struct{}), accounts: map[string]*account{},
		schedule: newSchedule(),
	}
	for _, a := range settings.Accounts {
		v.accounts[a.SystemID] = newAccount(v, a)
	}
	v.applyPhases()
	if err := v.serveHTTP(); err != nil {
		v.schedule.close()
		return nil, errors.Join(err, l.Close(), ledger.close())
	}
	v.server = session.Serve(l, handler{v}, v.session())
	v.group.Go(v.phase)
	return v, nil
}

func openPort(settings *Settings) (net.Listener, error) {
	l, err := net.Listen("tcp", settings.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening for SMPP; `listen` takes another host:port: %w", err)
	}
	if settings.Certificate == "" {
		return l, nil
	}
	conf, err := tlsfiles.Files{Cert: settings.Certificate, Key: settings.Key}.Server()
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return tls.NewListener(l, conf), nil
}

// Addr is the address to bind to, host:port.
func (v *SMSC) Addr() string { return v.server.Addr().String() }

// Close unbinds everybody and returns when nothing runs any more. The error is
// that of writing the record.
func (v *SMSC) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	return v.Shutdown(ctx)
}

// Shutdown is Close with another patience: when ctx ends, peers that have not
// agreed to unbind are cut off.
func (v *SMSC) Shutdown(ctx context.Context) (err error) {
	v.closed.Do(func() {
		close(v.closing)
		v.http.close(ctx)
		v.cutHung()
		v.server.Shutdown(ctx)
		v.schedule.close()
		v.group.Wait()
		err = v.ledger.close()
	})
	return err
}

// cutHung ends the sessions that would not answer unbind.
func (v *SMSC) cutHung() {
	for _, s := range v.server.Sessions() {
		if b, ok := s.Tag.(*bind); ok && b.hung.Load() {
			s.Abort(session.ErrShutdown)
		}
	}
}

// SetBehaviour replaces the behaviour of all accounts, under that of single
// accounts and of phases. Binds that are there keep what was drawn for them.
func (v *SMSC) SetBehaviour(b Behaviour) {
	v.mu.Lock()
	v.base = b
	v.mu.Unlock()
	v.applyPhases()
}

// Sessions returns the connections there are, to drop, unbind or write to.
func (v *SMSC) Sessions() []*session.Session { return v.server.Sessions() }

// Outbind connects to an ESME that listens and asks it to bind (SMPP 3.4
// §2.2.1).
func (v *SMSC) Outbind(ctx context.Context, address, systemID, password string) error {
	_, err := v.server.Outbind(ctx, address, systemID, password)
	return err
}

// account is that of a system_id; without a list of accounts everybody has one.
func (v *SMSC) account(systemID string) *account {
	v.mu.Lock()
	a := v.accounts[systemID]
	unknown := a == nil && len(v.settings.Accounts) == 0
	if unknown {
		a = newAccount(v, Account{SystemID: systemID})
		v.accounts[systemID] = a
	}
	v.mu.Unlock()
	if unknown {
		v.applyPhases()
	}
	return a
}

func (v *SMSC) nextNumber(repeated bool) uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !repeated || v.number == 0 {
		v.number++
	}
	return v.number
}

func (v *SMSC) nextReference() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.uses++
	return v.uses
}
