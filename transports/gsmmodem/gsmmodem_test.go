package gsmmodem

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"switchboard/internal/backoff"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store"
	"switchboard/store/memory"
	"switchboard/transports"
	"switchboard/transports/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testPIN = "83649172"

func configured(m *modem, change ...func(*Transport)) *Transport {
	tr := New()
	tr.Device, tr.Number, tr.TransportName = m.link, "+27830000000", "modem"
	tr.CommandTimeout, tr.SendTimeout = options.Duration(time.Second), options.Duration(2*time.Second)
	tr.restart = backoff.Backoff{Min: 10 * time.Millisecond, Max: 100 * time.Millisecond}
	for _, c := range change {
		c(tr)
	}
	return tr
}

func TestConformance(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) *transporttest.Outside {
		m := newModem(t, func(m *modem) { m.pin = testPIN })
		tr := configured(m, func(tr *Transport) { tr.PIN = testPIN })
		if err := tr.Validate(); err != nil {
			t.Fatal(err)
		}
		p := &person{t: t, m: m}
		answers := func(line string) func() {
			return func() { m.set(func() { m.answers = []string{line} }) }
		}
		return &transporttest.Outside{
			Transport: tr, Say: p.say, Hear: p.hear, Repeat: p.repeat, Break: m.pullOut, Mend: m.plugIn, Secrets: []string{testPIN},
			Meet: map[transporttest.Outcome]func(){
				transporttest.Pending:   func() { m.set(func() { m.reportWith = []byte{0x30} }) },
				transporttest.Temporary: answers("+CMS ERROR: 331"),
				transporttest.Throttled: answers("+CMS ERROR: 42"),
				transporttest.Permanent: answers("+CMS ERROR: 1"),
				transporttest.Unknown:   func() { m.set(func() { m.silent = true }) },
			},
			Stall: func() (release func()) {
				held := make(chan struct{})
				m.set(func() { m.stalled = held })
				return sync.OnceFunc(func() {
					m.set(func() { m.stalled = nil })
					close(held)
				})
			},
		}
	})
}

func (m *modem) tries() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.pinTries)
}

func (m *modem) set(change func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change()
}

// person has a phone.
type person struct {
	t    testing.TB
	m    *modem
	mu   sync.Mutex
	said uint16
	last []string
}

func (p *person) say(ctx context.Context, text string) error {
	p.mu.Lock()
	p.said++
	p.last = delivers(p.t, text, p.said)
	p.mu.Unlock()
	return p.repeat(ctx)
}

func (p *person) repeat(ctx context.Context) error {
	p.mu.Lock()
	last := p.last
	p.mu.Unlock()
	return p.m.receive(ctx, last)
}

func (p *person) hear(ctx context.Context) (string, error) {
	select {
	case text := <-p.m.heard:
		return text, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), transporttest.Patience)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, m *modem, state store.State, change ...func(*Transport)) (*Transport, *transporttest.Publisher) {
	t.Helper()
	tr, out := configured(m, change...), transporttest.NewPublisher()
	if err := tr.Validate(); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	if err := tr.Provision(t.Context(), transports.Env{Name: "modem", State: state, Logger: log}); err != nil {
		t.Fatal(err)
	}
	transporttest.Start(t, tr, out)
	return tr, out
}

func remember(t *testing.T) *memory.State {
	state := memory.New()
	t.Cleanup(func() { _ = state.Close() })
	return state
}

func outgoing(text string) *message.Message {
	m := message.New()
	m.To, m.From, m.Content = "+27831234567", "+27830000000", text
	m.RoutingMetadata.Set(message.PathKey, []string{"app"})
	return m
}

// However a modem misbehaves, what it is told is sent, and what it has is received.
func TestMisbehaviour(t *testing.T) {
	for name, change := range map[string]func(*modem){
		"no echo":                       func(m *modem) { m.echo = false },
		"an echo that cannot be ended":  func(m *modem) { m.refuses = []string{"ATE0"} },
		"slow":                          func(m *modem) { m.slow = 300 * time.Microsecond },
		"garbage between the lines":     func(m *modem) { m.garbage = true },
		"it knows no notices":           func(m *modem) { m.refuses = []string{"AT+CNMI"} },
		"it knows no errors by numbers": func(m *modem) { m.refuses = []string{"AT+CMEE"} },
		"it knows neither operator nor signal": func(m *modem) {
			m.refuses = []string{"AT+COPS", "AT+CREG", "AT+CSQ"}
		},
		"hung at the start": func(m *modem) { m.hung = true },
	} {
		t.Run(name, func(t *testing.T) {
			m := newModem(t, change)
			if _, stored := m.store(delivers(t, "before the start", 1)[0], "+CMTI:"); !stored {
				t.Fatal("no room")
			}
			tr, out := start(t, m, remember(t), func(tr *Transport) { tr.LookEvery = options.Duration(100 * time.Millisecond) })
			if got := out.Next(t); got.Content != "before the start" || got.From != "+27831234567" || got.To != "+27830000000" {
				t.Errorf("got %s", got.Encode())
			}
			if _, err := tr.Send(within(t), outgoing("hello €")); err != nil {
				t.Fatal(err)
			}
			if text := <-m.heard; text != "hello €" {
				t.Errorf("heard %q", text)
			}
			if err := m.receive(within(t), delivers(t, strings.Repeat("a long answer ", 20), 2)); err != nil {
				t.Fatal(err)
			}
			if got := out.Next(t); got.Content != strings.Repeat("a long answer ", 20) {
				t.Errorf("got %s", got.Encode())
			}
		})
	}
}

// A PIN that the SIM refuses is tried once, over all restarts: the third time would lock
// the SIM.
func TestAWrongPINIsTriedOnce(t *testing.T) {
	m, state := newModem(t, func(m *modem) { m.pin = "1234" }), remember(t)
	for range 3 {
		tr, out := configured(m, func(tr *Transport) { tr.PIN = "9999" }), transporttest.NewPublisher()
		if err := tr.Provision(t.Context(), transports.Env{Name: "modem", State: state, Logger: tr.logger}); err != nil {
			t.Fatal(err)
		}
		stop := transporttest.Start(t, tr, out)
		for s := out.NextStatus(t); s.Type != "sim_locked"; s = out.NextStatus(t) {
		}
		stop()
	}
	if tries := m.tries(); len(tries) != 1 {
		t.Errorf("the PIN was tried %d times", len(tries))
	}
	_, out := start(t, m, state, func(tr *Transport) { tr.PIN = "1234" })
	for s := out.NextStatus(t); s.Health != message.OK; s = out.NextStatus(t) {
	}
	if tries := m.tries(); len(tries) != 2 {
		t.Errorf("the right one was tried %v", tries)
	}
}

// A worker may end between the PIN's acceptance and its note of it. A SIM that is ready
// then has taken the PIN.
func TestAPINThatWasAcceptedIsTriedAgain(t *testing.T) {
	m, state := newModem(t), remember(t)
	sum := sha256.Sum256([]byte(testPIN))
	if err := state.Set(t.Context(), store.Entry{Key: pinKey, Value: hex.EncodeToString(sum[:8])}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		tr, out := configured(m, func(tr *Transport) { tr.PIN = testPIN }), transporttest.NewPublisher()
		if err := tr.Provision(t.Context(), transports.Env{Name: "modem", State: state, Logger: tr.logger}); err != nil {
			t.Fatal(err)
		}
		stop := transporttest.Start(t, tr, out)
		s := out.NextStatus(t)
		for ; s.Health != message.OK && s.Type != "sim_locked"; s = out.NextStatus(t) {
		}
		if s.Health != message.OK {
			t.Errorf("got %s", s.Encode())
		}
		stop()
		m.set(func() { m.pin = testPIN }) // the power went off and on
	}
}

// Where nobody may guess, nothing is tried.
func TestASIMThatWantsMore(t *testing.T) {
	for name, c := range map[string]struct {
		modem func(*modem)
		want  string
	}{
		"a PUK": {func(m *modem) { m.puk = true }, "it wants SIM PUK"},
		"a PIN": {func(m *modem) { m.pin = "1234" }, "it wants a PIN; set pin"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newModem(t, c.modem)
			_, out := start(t, m, remember(t))
			s := out.NextStatus(t)
			for ; s.Type != "sim_locked"; s = out.NextStatus(t) {
			}
			if len(s.Reasons) != 1 || !strings.Contains(s.Reasons[0], c.want) || len(m.tries()) > 0 {
				t.Errorf("got %s, tried %v", s.Encode(), m.tries())
			}
		})
	}
}

// A long message is reported once, when all its parts are.
func TestReports(t *testing.T) {
	m, state := newModem(t), remember(t)
	tr, out := start(t, m, state)
	long := outgoing(strings.Repeat("x", 200))
	m.set(func() { m.reportWith = []byte{0x30, 0x00} })
	if id, err := tr.Send(within(t), long); err != nil || id != "2" {
		t.Fatalf("sent as %q, %v", id, err)
	}
	if e := out.NextEvent(t); e.DeliveryStatus != message.Pending || e.MessageID != long.ID || message.Application(&e.RoutingMetadata) != "app" {
		t.Errorf("got %s", e.Encode())
	}
	if err := m.receive(within(t), []string{"0006020B917238214365F7" + stamp + stamp + "00"}); err != nil {
		t.Fatal(err)
	}
	if e := out.NextEvent(t); e.DeliveryStatus != message.Delivered || e.MessageID != long.ID {
		t.Errorf("got %s", e.Encode())
	}
	short := outgoing("hi")
	m.set(func() { m.reportWith = []byte{0x46} })
	if _, err := tr.Send(within(t), short); err != nil {
		t.Fatal(err)
	}
	if e := out.NextEvent(t); e.DeliveryStatus != message.Failed || e.MessageID != short.ID {
		t.Errorf("got %s", e.Encode())
	}
}

// stopping is a state that is told things when the time of those who tell is over.
type stopping struct {
	store.State
	stop func()
}

func (s stopping) Set(ctx context.Context, entries ...store.Entry) error {
	s.stop()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.State.Set(ctx, entries...)
}

// That a part was sent is remembered even when there is no more time for its message.
func TestAPartThatWasSentAtTheEndIsSentOnce(t *testing.T) {
	m := newModem(t)
	ctx, cancel := context.WithCancel(within(t))
	tr, _ := start(t, m, stopping{remember(t), cancel})
	sent := outgoing("hello")
	_, _ = tr.Send(ctx, sent)
	if _, err := tr.Send(within(t), sent); err != nil {
		t.Fatal(err)
	}
	m.set(func() {
		if len(m.submitted) != 1 {
			t.Errorf("it was sent %d times", len(m.submitted))
		}
	})
}

// The parts of a long message that came before a restart are received when the others
// never come.
func TestPartsOutliveARestart(t *testing.T) {
	m, state := newModem(t), remember(t)
	hasty := func(tr *Transport) { tr.ReassemblyTTL = options.Duration(time.Millisecond) }
	tr, out := configured(m, hasty), transporttest.NewPublisher() // it does not live to give them up
	if err := tr.Provision(t.Context(), transports.Env{Name: "modem", State: state, Logger: tr.logger}); err != nil {
		t.Fatal(err)
	}
	stop := transporttest.Start(t, tr, out)
	if err := m.receive(within(t), delivers(t, strings.Repeat("x", 200), 1)[:1]); err != nil {
		t.Fatal(err)
	}
	stop()
	_, again := start(t, m, state, hasty, func(tr *Transport) { tr.LookEvery = options.Duration(50 * time.Millisecond) })
	if got := again.Next(t); got.Content != strings.Repeat("x", 153) || got.TransportMetadata.Raw("missing_parts") != "[2]" {
		t.Errorf("got %s", got.Encode())
	}
}

// A try at a long message goes on behind the parts that were sent.
func TestPartsAreSentOnce(t *testing.T) {
	m := newModem(t)
	tr, _ := start(t, m, remember(t))
	long := outgoing(strings.Repeat("x", 400))
	m.set(func() { m.answers = []string{"", "+CMS ERROR: 331"} })
	if _, err := tr.Send(within(t), long); err == nil || message.IsPermanent(err) {
		t.Fatalf("got %v", err)
	}
	if _, err := tr.Send(within(t), long); err != nil {
		t.Fatal(err)
	}
	text := <-m.heard
	m.set(func() {
		if text != long.Content || len(m.submitted) != 3 {
			t.Errorf("heard %q in %d parts", text, len(m.submitted))
		}
	})
}

// A message that noise has spoilt, and that the modem refuses to read again, stays until it
// can be read.
func TestASpoiltMessageStays(t *testing.T) {
	m := newModem(t, func(m *modem) { m.noise = true })
	_, out := start(t, m, remember(t), func(tr *Transport) { tr.LookEvery = options.Duration(50 * time.Millisecond) })
	if err := m.receive(within(t), delivers(t, "hello", 1)); err != nil {
		t.Fatal(err)
	}
	if got := out.Next(t); got.Content != "hello" {
		t.Errorf("got %s", got.Encode())
	}
}

// More messages than the memory has room for arrive: each place is freed as soon as its
// message is published.
func TestTheMemoryIsEmptied(t *testing.T) {
	m := newModem(t, func(m *modem) { m.capacity = 3 })
	_, out := start(t, m, remember(t))
	for i := range uint16(30) {
		if err := m.receive(within(t), delivers(t, "message", i)); err != nil {
			t.Fatal(err)
		}
		out.Next(t)
	}
	if _, stored := m.store("nonsense", "+CMTI:"); !stored {
		t.Error("no room")
	}
	if err := m.receive(within(t), delivers(t, "after nonsense", 99)); err != nil {
		t.Fatal(err)
	}
	if got := out.Next(t); got.Content != "after nonsense" {
		t.Errorf("got %s", got.Encode())
	}
	m.set(func() {
		if len(m.memory) != 0 {
			t.Errorf("%v is left", m.memory)
		}
	})
}

// A modem that hangs is reset, and goes on.
func TestAHungModemIsReset(t *testing.T) {
	m := newModem(t)
	tr, out := start(t, m, remember(t), func(tr *Transport) { tr.LookEvery = options.Duration(50 * time.Millisecond) })
	for s := out.NextStatus(t); s.Health != message.OK; s = out.NextStatus(t) {
	}
	m.set(func() { m.hung = true })
	for s := out.NextStatus(t); s.Type != "failed"; s = out.NextStatus(t) {
	}
	if _, err := tr.Send(within(t), outgoing("still there?")); err != nil {
		t.Fatal(err)
	}
	m.set(func() {
		if m.resets == 0 {
			t.Error("it was not reset")
		}
	})
}

func TestDescribe(t *testing.T) {
	for _, c := range []struct {
		operator, registration, signal string
		health                         message.Health
		text                           string
	}{
		{`0,0,"Vodacom-SA",2`, "0,1", "20,99", message.OK, "The modem is with Vodacom-SA, signal 3 of 5 (-73 dBm)."},
		{`0,0,"MTN"`, "0,5", "31,0", message.OK, "signal 5 of 5"},
		{"0", "0,1", "99,99", message.OK, "a signal of unknown strength"},
		{`0,0,"MTN"`, "0,1", "1,99", message.Degraded, "signal 0 of 5"},
		{"0", "0,2", "5,99", message.Down, "no network"},
		{"0", "0,3", "5,99", message.Down, "refuses the SIM"},
		{"", "", "", message.OK, "unknown strength"},
	} {
		health, kind, text := describe(c.operator, c.registration, c.signal)
		if health != c.health || kind == "" || !strings.Contains(text, c.text) {
			t.Errorf("%v: %s %s", c, health, text)
		}
	}
}

// TPDUs from other implementations' documents.
func TestTPDU(t *testing.T) {
	in, err := parseTPDU("07917283010010F5040BC87238880900F10000993092516195800AE8329BFD4697D9EC37")
	if err != nil || in.message == nil || in.message.Source.Addr != "27838890001" {
		t.Fatalf("got %+v, %v", in, err)
	}
	if text := string(in.message.ShortMessage); text != "hellohello" {
		t.Errorf("read %q", text)
	}
	lines, lengths, err := submits("+46708251358", "hellohello", 0, false)
	if err != nil || len(lines) != 1 || lines[0] != "0011000B916407281553F80000AA0AE8329BFD4697D9EC37" || lengths[0] != 23 {
		t.Errorf("wrote %v %v, %v", lines, lengths, err)
	}
	alpha, err := parseTPDU("000409D0C2301BCE2603" + "0000" + "99309251619580" + "03C8F71B")
	if err == nil && alpha.message.Source.TON != alphanumeric {
		t.Errorf("got %+v", alpha.message)
	}
	for _, wrong := range []string{"", "00", "zz", "0001", "00040B9172", "07917283010010F5040BC87238880900F1000099309251619580FFE8329BFD"} {
		if in, err := parseTPDU(wrong); err == nil {
			t.Errorf("%q is %+v", wrong, in)
		}
	}
}

// FuzzParseTPDU: whatever is in the memory, reading it ends.
func FuzzParseTPDU(f *testing.F) {
	f.Add("07917283010010F5040BC87238880900F10000993092516195800AE8329BFD4697D9EC37")
	f.Add("0006020B917238214365F7" + stamp + stamp + "00")
	f.Fuzz(func(t *testing.T, line string) {
		in, err := parseTPDU(line)
		if err == nil && in.message == nil && in.report == nil {
			t.Error("it is nothing")
		}
	})
}

func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*Transport){
		"device: is missing":       func(tr *Transport) { tr.Device = "" },
		"number: is missing":       func(tr *Transport) { tr.Number = "" },
		"baud: must be":            func(tr *Transport) { tr.Baud = 0 },
		"pin: must be four":        func(tr *Transport) { tr.PIN = "12a4" },
		"service_centre: \"home\"": func(tr *Transport) { tr.ServiceCentre = "home" },
		"unknown_policy: is":       func(tr *Transport) { tr.UnknownPolicy = "guess" },
		"look_every: must be":      func(tr *Transport) { tr.LookEvery = 0 },
	} {
		tr := New()
		tr.Device, tr.Number = "/dev/ttyUSB0", "+27830000000"
		change(tr)
		if err := tr.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
