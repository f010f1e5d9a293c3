package listen

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Serve answers requests on l, which is Limited, until ctx ends. Those being answered then have grace to
// end: their contexts end with it. It returns nil where ctx ended it.
func Serve(ctx context.Context, server *http.Server, l net.Listener, grace time.Duration, log *slog.Logger) error {
	work, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	server.BaseContext = func(net.Listener) context.Context { return work }
	server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	var silent newcomers
	server.ConnState = silent.watch
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		silent.close()
		patience, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		if server.Shutdown(patience) != nil {
			giveUp()
			_ = server.Close()
		}
	})
	err := server.Serve(l)
	if stop() { // it was not ctx that ended it
		_ = server.Close()
		return err
	}
	<-stopped
	return nil
}

// newcomers are connections that have said nothing yet. Browsers open some just
// in case, and http.Server.Shutdown would wait for them.
type newcomers struct {
	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
}

func (n *newcomers) watch(conn net.Conn, state http.ConnState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case state != http.StateNew:
		delete(n.conns, conn)
	case n.closed:
		_ = conn.Close()
	case n.conns == nil:
		n.conns = map[net.Conn]struct{}{conn: {}}
	default:
		n.conns[conn] = struct{}{}
	}
}

func (n *newcomers) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for conn := range n.conns {
		_ = conn.Close()
	}
}
