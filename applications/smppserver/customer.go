package smppserver

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"switchboard/internal/lanes"
	"switchboard/options"
	"switchboard/smpp"
	"switchboard/smpp/gsm"
	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

// customer is a customer in one run of the server.
type customer struct {
	Customer
	systemID   string
	networks   []netip.Prefix
	sources    addresses
	owned      addresses
	codes      gsm.Coding // what data_coding 0 means
	codings    smpp.Codings
	refused    []pdu.Tag // refused_tlvs
	cutting    gsm.Method
	lanes      lanes.Lanes[string]
	queue      string // its name
	ids        *shortIDs
	parts      *smpp.Assembler
	references atomic.Uint32 // given to messages from people

	wake    chan struct{}             // a receiver has bound
	onCount func(waiting, direct int) // is told of every change

	mu        sync.Mutex
	submits   smpp.PerSecond
	binds     int
	receivers []*bind
	turn      int
	number    uint64               // of the last delivery
	pending   []*delivery          // those with something unsent, by number
	flights   map[string]*delivery // those that are not noted, by kind and message
	waiting   int                  // in the customer's queue, with what of it is in flight
	direct    int                  // in flight from the connector's queues
	most      int                  // of direct
	lastLate  time.Time            // when most was reduced
	pause     func()               // ends the present consuming of the queue
	expires   time.Time            // when the first in the queue is too old, where that is known
}

// bind is one of a customer's connections.
type bind struct {
	*customer
	session *session.Session
	used    atomic.Int64 // when it last carried a message, in Unix nanoseconds
}

func (b *bind) use() { b.used.Store(time.Now().UnixNano()) }

// newCustomer reads a customer's options. Its error joins *options.FieldError, one for each
// wrong key.
func newCustomer(systemID string, conf Customer) (*customer, error) {
	conf.MaxBinds = cmp.Or(conf.MaxBinds, defaultMaxBinds)
	conf.Window, conf.DeliverWindow = cmp.Or(conf.Window, defaultWindow), cmp.Or(conf.DeliverWindow, defaultWindow)
	c := &customer{
		Customer: conf, systemID: systemID, queue: queueOf(systemID), submits: smpp.PerSecond{Most: conf.TPS},
		most: inFlight, wake: make(chan struct{}, 1), flights: map[string]*delivery{}, pause: func() {},
	}
	c.references.Store(rand.Uint32())
	errs := []error{
		options.Between("max_binds", c.MaxBinds, 1, maxWindow), options.Between("tps", c.TPS, 0, maxTPS),
		options.Between("window", c.Window, 1, maxWindow), options.Between("deliver_window", c.DeliverWindow, 1, maxWindow),
	}
	check := func(key string, err error) { errs = append(errs, options.Under(err, key)) }
	if systemID == "" || len(systemID) > maxSystemID {
		check("password", fmt.Errorf("the system_id %.20q must have 1 to %d characters", systemID, maxSystemID))
	}
	if c.Password.Reveal() == "" {
		check("password", errors.New("is missing: whoever knows the system_id could bind"))
	}
	if len(c.DefaultSource) > smpp.MaxAddress+1 {
		check("default_source", fmt.Errorf("has more than %d characters", smpp.MaxAddress))
	}
	var err error
	c.networks, err = options.ParseNetworks(conf.AllowedIPs)
	check("allowed_ips", err)
	c.sources, err = parseAddresses(conf.AllowedSources)
	check("allowed_sources", err)
	c.owned, err = parseAddresses(conf.Addresses)
	check("addresses", err)
	c.codes, err = gsm.ParseCoding(cmp.Or(conf.DefaultAlphabet, "gsm0338"))
	check("default_alphabet", err)
	c.codings, _, err = smpp.ParseCodings(conf.DataCodingOverrides)
	check("data_coding_overrides", err)
	if _, set := c.codings[pdu.DataCodingDefault]; err == nil && !set {
		c.codings[pdu.DataCodingDefault] = c.codes
	}
	var known bool
	c.cutting, known = map[string]gsm.Method{"udh": gsm.UDH8, "sar": gsm.SAR, "payload": gsm.Payload}[cmp.Or(conf.LongMessages, "udh")]
	if !known {
		check("long_messages", fmt.Errorf("is %q; write udh, sar or payload", conf.LongMessages))
	}
	return c, errors.Join(errs...)
}

// knows compares passwords in constant time.
func (c *customer) knows(password string) bool {
	given, own := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(c.Password.Reveal()))
	return subtle.ConstantTimeCompare(given[:], own[:]) == 1
}

func (c *customer) allowsFrom(addr net.Addr) bool {
	if len(c.networks) == 0 {
		return true
	}
	from, err := netip.ParseAddrPort(addr.String())
	return err == nil && slices.ContainsFunc(c.networks, func(n netip.Prefix) bool { return n.Contains(from.Addr().Unmap()) })
}

// join counts one more bind; false when there are max_binds.
func (c *customer) join() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.binds >= c.MaxBinds {
		return false
	}
	c.binds++
	return true
}

// receive adds a bind that deliver_sm go to.
func (c *customer) receive(b *bind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.receivers = append(c.receivers, b)
	if len(c.receivers) == 1 {
		c.pause()
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

func (c *customer) leave(b *bind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.binds--
	c.receivers = slices.DeleteFunc(c.receivers, func(r *bind) bool { return r == b })
	if len(c.receivers) == 0 {
		c.pause()
	}
}

// count changes what waits in the customer's queue, and what is delivered past it.
func (c *customer) count(waiting, direct int) (nowWaiting int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting, c.direct = max(c.waiting+waiting, 0), c.direct+direct
	c.onCount(c.waiting, c.direct)
	return c.waiting
}

// mayPass is whether k more may be submitted now.
func (c *customer) mayPass(k int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.submits.Allow(time.Now(), k)
}

func (c *customer) receives() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.receivers) > 0
}

// send sends a deliver_sm on the next bind with room in its window; false when none
// has any. mu is held.
func (c *customer) send(body *pdu.DeliverSM, done func(*pdu.PDU, error)) bool {
	c.turn++
	for i := range c.receivers {
		b := c.receivers[(c.turn+i)%len(c.receivers)]
		if err := b.session.Send(fit(body, b.session.Peer().Version), done); err == nil {
			b.use()
			return true
		}
	}
	return false
}

// fit returns a deliver_sm without parameters for SMPP 3.3.
func fit(body *pdu.DeliverSM, version uint8) *pdu.DeliverSM {
	if version >= pdu.Version34 || len(body.TLVs) == 0 {
		return body
	}
	plain, text := *body, body.Payload()
	plain.ShortMessage, plain.TLVs = text[:min(len(text), smpp.MaxShortMessage)], nil
	return &plain
}
