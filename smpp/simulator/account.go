package simulator

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/time/rate"

	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

// account is a system_id with its binds, and what waits to be delivered to them.
type account struct {
	smsc      *SMSC
	conf      Account
	behaviour atomic.Pointer[Behaviour]

	mu        sync.Mutex
	bound     int
	receivers []*bind
	turn      int // of the receivers, the next
	queue     []*delivery
	submits   *rate.Limiter
	delivers  *rate.Limiter
	traffic   traffic
	calls     map[string]*Call // by the phone's number
	pumping   bool             // a pump is scheduled for when delivers allows
}

func newAccount(v *SMSC, conf Account) *account {
	return &account{
		smsc: v, conf: conf,
		calls: map[string]*Call{}, submits: rate.NewLimiter(rate.Inf, 1), delivers: rate.NewLimiter(rate.Inf, 1),
	}
}

// admits reports whether the account may submit one more message this moment.
func (a *account) admits(conf *Answers) bool {
	if conf.TPS <= 0 {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	burst := conf.Burst
	if burst == 0 {
		burst = max(1, int(conf.TPS/10))
	}
	set(a.submits, conf.TPS, burst)
	return a.submits.Allow()
}

func set(l *rate.Limiter, tps float64, burst int) {
	if l.Limit() != rate.Limit(tps) {
		l.SetLimit(rate.Limit(tps))
	}
	if l.Burst() != burst {
		l.SetBurst(burst)
	}
}

// bind is one connection. But for hung its fields are only used by its session's
// goroutine.
type bind struct {
	session *session.Session
	number  int // counted from 1
	account *account
	random  *rand.Rand
	submits int
	hung    atomic.Bool
	deaf    bool
	tally   *bindTally // the ledger's
}

// takesTLVs reports whether the peer knows optional parameters: those of SMPP
// 3.3 do not.
func (b *bind) takesTLVs() bool { return b.session.Peer().Version >= pdu.Version34 }

// chance draws whether something of a rate happens.
func (b *bind) chance(p Probability) bool { return p.draw(b.random) }

func (p Probability) draw(r *rand.Rand) bool {
	return p > 0 && (p >= 1 || r.Float64() < float64(p))
}

func (a *account) join(limit int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if limit > 0 && a.bound >= limit {
		return false
	}
	a.bound++
	return true
}

func (a *account) leave(b *bind) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bound--
	a.receivers = slices.DeleteFunc(a.receivers, func(o *bind) bool { return o == b })
}

func (a *account) receives() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.receivers) > 0
}

func (a *account) receive(b *bind) {
	a.mu.Lock()
	a.receivers = append(a.receivers, b)
	a.mu.Unlock()
	a.pump()
}
