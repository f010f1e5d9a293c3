package binds

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/internal/collectors"
	"switchboard/message"
	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

// manager makes a manager of one transmitter.
func manager(window, limit int) *Manager {
	return NewManager(Settings{
		Options: &Options{
			Identity: Identity{SystemID: "esme", InterfaceVersion: 0x34, BindMode: ModeTransmitter, Binds: 1},
			Traffic:  Traffic{Window: window, MTTPS: limit},
		},
		Logger: slog.New(slog.DiscardHandler),
		Status: func(message.Health, string, string, ...string) {}, ProtocolError: func(string) {}, Pace: func() {},
		Metrics: NewMetrics(&collectors.Set{Registerer: prometheus.NewRegistry()}),
	})
}

// smsc grants a bind on the far side of a pipe, and gives each submit to take.
func smsc(conn net.Conn, take func(p *pdu.PDU)) {
	for r := pdu.NewReader(conn, 0); ; {
		p, err := r.Read()
		if err != nil {
			return
		}
		if p.Command() == pdu.CmdSubmitSM {
			take(p)
			continue
		}
		_, _ = p.Respond(pdu.StatusOK).WriteTo(conn)
	}
}

// bindOver binds the manager's one bind on a pipe.
func bindOver(t *testing.T, m *Manager, conn net.Conn) *session.Session {
	t.Helper()
	s, err := m.binds[0].client.Bind(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func submit(done func(Result)) *Submit {
	body := &pdu.Raw{ID: pdu.CmdSubmitSM, Data: make([]byte, 40)}
	return &Submit{Body: body, Done: done}
}

// With work and window a bind sends what mt_tps allows, and no more in any
// second, whatever the round trip.
func TestRateHoldsWhateverTheRoundTrip(t *testing.T) {
	for _, rtt := range []time.Duration{0, 50 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond} {
		t.Run(rtt.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const limit, seconds = 100, 20
				m := manager(limit, limit)
				defer m.Queue.Stop()
				near, far := net.Pipe()
				var mu sync.Mutex
				var sent []time.Time
				go smsc(far, func(p *pdu.PDU) {
					mu.Lock()
					defer mu.Unlock()
					sent = append(sent, time.Now())
					time.AfterFunc(rtt, func() { _, _ = p.Respond(pdu.StatusOK).WriteTo(far) })
				})
				s := bindOver(t, m, near)
				for range 2 * limit * seconds {
					m.Queue.Submit(submit(func(Result) {}))
				}
				time.Sleep(seconds * time.Second)
				s.Abort(nil)
				<-s.Done()
				mu.Lock()
				defer mu.Unlock()
				if most := peak(sent); most > limit {
					t.Errorf("%d in one second, want at most %d", most, limit)
				}
				if n := len(sent); n < limit*seconds*98/100 {
					t.Errorf("%d in %d s, want at least 98 %% of %d", n, seconds, limit*seconds)
				}
			})
		})
	}
}

// What was not written before its connection is lost goes out on the next, in its
// order; the rest is unanswered.
func TestUnwrittenSubmitsAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(10, 0)
		defer m.Queue.Stop()
		near, far := net.Pipe()
		r := pdu.NewReader(far, 0)
		go func() {
			p, _ := r.Read()
			_, _ = p.Respond(pdu.StatusOK).WriteTo(far)
		}()
		s := bindOver(t, m, near)
		results := make(chan string, 3)
		for i := range 3 {
			sub := submit(func(r Result) { results <- fmt.Sprint(i, " ", r.Unanswered != nil) })
			sub.Body.(*pdu.Raw).Data[0] = byte(i)
			m.Queue.Submit(sub)
			synctest.Wait() // the first is being written; nobody reads it
		}
		s.Abort(io.ErrUnexpectedEOF)
		<-s.Done()
		if got := <-results; got != "0 true" || len(results) > 0 {
			t.Errorf("result %s, and %d more", got, len(results))
		}
		near, far = net.Pipe()
		var order []byte
		go smsc(far, func(p *pdu.PDU) {
			frame, _ := p.AppendTo(nil)
			order = append(order, frame[pdu.HeaderLength])
			_, _ = p.Respond(pdu.StatusOK).WriteTo(far)
		})
		next := bindOver(t, m, near)
		if a, b := <-results, <-results; a != "1 false" || b != "2 false" {
			t.Errorf("then %s, %s, submitted %v", a, b, order)
		}
		next.Abort(nil)
		<-next.Done()
	})
}

// No answer comes between a submit's time and the late ones.
func TestLateAnswerComesAfterItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(1, 0)
		defer m.Queue.Stop()
		near, far := net.Pipe()
		go smsc(far, func(p *pdu.PDU) {
			time.AfterFunc(session.DefaultResponseTimeout+time.Second, func() {
				_, _ = p.Respond(pdu.StatusOK).WriteTo(far)
			})
		})
		s := bindOver(t, m, near)
		results := make(chan Result, 2)
		m.Queue.Submit(submit(func(r Result) { results <- r }))
		if r := <-results; r.Unanswered == nil || r.Late {
			t.Errorf("result %+v, want that no answer came", r)
		}
		if r := <-results; r.Unanswered != nil || !r.Late {
			t.Errorf("then %+v, want a late answer", r)
		}
		s.Abort(nil)
		<-s.Done()
	})
}

// A submit that nobody waits for is withdrawn, or its answer is a late one.
func TestAbandon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(1, 0)
		defer m.Queue.Stop()
		near, far := net.Pipe()
		answer := make(chan struct{})
		go smsc(far, func(p *pdu.PDU) {
			go func() {
				<-answer
				_, _ = p.Respond(pdu.StatusOK).WriteTo(far)
			}()
		})
		s := bindOver(t, m, near)
		results := make(chan Result, 2)
		list := []*Submit{submit(func(r Result) { results <- r }), submit(func(r Result) { results <- r })}
		for _, one := range list {
			m.Queue.Submit(one)
		}
		if withdrawn, ok := m.Queue.Abandon(list[1]); !withdrawn || !ok {
			t.Error("a submit that waits is not withdrawn")
		}
		if withdrawn, ok := m.Queue.Abandon(list[0]); withdrawn || !ok {
			t.Error("a submit that was sent is withdrawn")
		}
		close(answer)
		if r := <-results; !r.Late {
			t.Errorf("result %+v, want a late one", r)
		}
		if _, ok := m.Queue.Abandon(list[0]); ok {
			t.Error("a submit that was answered is waited for")
		}
		s.Abort(nil)
		<-s.Done()
	})
}

// Queries come before new messages, and count in mt_tps.
func TestQueriesComeFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(1, 1)
		defer m.Queue.Stop()
		waiting := submit(func(Result) { t.Error("mt_tps does not hold the submit back") })
		m.Queue.Submit(waiting)
		answered := make(chan Result, 1)
		m.Queue.Submit(&Submit{Body: &pdu.Raw{ID: pdu.CmdQuerySM, Data: make([]byte, 4)}, Query: true, Done: func(r Result) { answered <- r }})
		near, far := net.Pipe()
		go smsc(far, func(p *pdu.PDU) { t.Errorf("got %s", p) })
		s := bindOver(t, m, near)
		if r := <-answered; r.Query == nil {
			t.Errorf("result %+v, want an answer to query_sm", r)
		}
		if !m.Queue.Withdraw(waiting) || m.Queue.Withdraw(waiting) {
			t.Error("the submit cannot be withdrawn once")
		}
		s.Abort(nil)
		<-s.Done()
	})
}

// After the SMSC's unbind a slow answer is still taken: nothing else may tell what
// became of the submit. One that never comes is not waited for longer.
func TestSlowAnswerAfterUnbind(t *testing.T) {
	for takes, answered := range map[time.Duration]bool{8 * time.Second: true, 12 * time.Second: false} {
		synctest.Test(t, func(t *testing.T) {
			m := manager(1, 0)
			defer m.Queue.Stop()
			near, far := net.Pipe()
			go smsc(far, func(p *pdu.PDU) {
				_, _ = (&pdu.PDU{Sequence: 1, Body: new(pdu.Unbind)}).WriteTo(far)
				time.AfterFunc(takes, func() { _, _ = p.Respond(pdu.StatusOK).WriteTo(far) })
			})
			s := bindOver(t, m, near)
			results := make(chan Result, 1)
			m.Queue.Submit(submit(func(r Result) { results <- r }))
			if r := <-results; (r.Unanswered == nil) != answered {
				t.Errorf("of an answer after %s comes %+v", takes, r)
			}
			<-s.Done()
			if !errors.Is(s.Reason(), session.ErrUnbound) {
				t.Errorf("the session ended because %v", s.Reason())
			}
			_ = far.Close()
			time.Sleep(takes)
		})
	}
}
