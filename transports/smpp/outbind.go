package smpp

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"switchboard/message"
	"switchboard/smpp/pdu"
)

// maxOutbinds is how many SMSCs may have asked to be bound to at once.
const maxOutbinds = 10

// listenOutbind waits for SMSCs that connect and ask to be bound to, until ctx
// ends.
func (e *engine) listenOutbind(ctx context.Context, group *sync.WaitGroup) error {
	address, _, err := parseEndpoint(e.options.OutbindEndpoint)
	if err != nil {
		return message.Permanent(err)
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return message.Permanent(fmt.Errorf("listening on %s for outbind: %w; set outbind_endpoint to another port", address, err))
	}
	e.logger.Info("listening for outbind", "address", listener.Addr().String())
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	places := make(chan *binder, maxOutbinds)
	for n := range maxOutbinds {
		places <- e.outbinder(n)
	}
	group.Go(func() {
		defer stop()
		var sessions sync.WaitGroup
		defer sessions.Wait()
		e.acceptOutbinds(ctx, listener, places, &sessions)
	})
	return nil
}

// outbinder is a binder whose connections the SMSC makes.
func (e *engine) outbinder(n int) *binder {
	return &binder{engine: e, name: fmt.Sprintf("outbind %d", n+1), command: pdu.CmdBindReceiver, oddities: map[string]time.Time{}}
}

const acceptPause = 100 * time.Millisecond

func (e *engine) acceptOutbinds(ctx context.Context, l net.Listener, places chan *binder, sessions *sync.WaitGroup) {
	for ctx.Err() == nil {
		conn, err := l.Accept()
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		select {
		case b := <-places:
			sessions.Go(func() {
				defer func() { places <- b }()
				k := newLink(conn)
				b.guarded(k, "taking the outbind of", func() { b.outbound(ctx, k) })()
			})
		default:
			_ = conn.Close()
		}
	}
}

var errNoOutbind = errors.New("whoever connected did not ask to be bound to as configured")

// outbound takes an outbind and binds as a receiver on its connection (§2.2.1).
func (b *binder) outbound(ctx context.Context, k *link) {
	defer k.end(errNoOutbind)
	_ = k.conn.SetDeadline(time.Now().Add(b.options.BindTimeout.Std()))
	stop := context.AfterFunc(ctx, func() { _ = k.conn.SetDeadline(time.Now()) })
	p, err := k.reader.Read()
	stop()
	if err != nil || ctx.Err() != nil {
		return
	}
	ask, is := p.Body.(*pdu.Outbind)
	if !is || !b.expected(ask) {
		b.logger.Warn("an outbind was refused", "from", k.conn.RemoteAddr().String(), "pdu", p.String())
		return
	}
	if _, err := b.session(ctx, k, b.command); err != nil && ctx.Err() == nil {
		b.logger.Warn("a bind that the SMSC asked for has ended", "bind", b.name, "error", err)
		b.tell(b.without(), "connection_lost", b.name+": "+err.Error(), err.Error())
	}
}

func (b *binder) expected(ask *pdu.Outbind) bool {
	o := b.options
	same := func(want, got string) bool {
		return want == "" || subtle.ConstantTimeCompare([]byte(want), []byte(got)) == 1
	}
	return same(o.OutbindSystemID, ask.SystemID) && same(o.OutbindPassword.Reveal(), ask.Password)
}
