package smpp

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"switchboard/internal/testutil"
	"switchboard/message"
	"switchboard/options"
	"switchboard/smpp/pdu"
	"switchboard/smpp/simulator"
	"switchboard/transports"
	"switchboard/transports/smpp/binds"
	"switchboard/transports/transporttest"
)

// awaitStatus reads status events until one has the type.
func (b *bundle) awaitStatus(kind string) *message.Status {
	b.Helper()
	for {
		if s := b.line.NextStatus(b); s.Type == kind {
			return s
		}
	}
}

func TestStatusesTellTheStory(t *testing.T) {
	b := start(t, simulator.Settings{}).bound()
	for i, want := range []string{"starting down", "binding down", "bound ok"} {
		s := b.line.NextStatus(t)
		if got := s.Type + " " + string(s.Health); got != want || s.Component != "smpp" {
			t.Errorf("status %d is %s, want %s", i, got, want)
		}
	}
	if b.metric("switchboard_smpp_bound", "bind", "transceiver") != 1 {
		t.Error("the metric does not say that it is bound")
	}
	b.stop()
	b.awaitStatus("unbinding")
	if n := b.smsc.Counters().Received["unbind"]; n != 1 {
		t.Errorf("unbound %d times", n)
	}
}

// An operator who looks before the first bind sees that there is none.
func TestBoundIsZeroFromTheStart(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Binds: &simulator.Binds{Refuse: simulator.Status(pdu.StatusSysErr)}}})
	b.awaitStatus("bind_refused")
	families, err := b.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == "switchboard_smpp_bound" && family.GetMetric()[0].GetGauge().GetValue() == 0 {
			return
		}
	}
	t.Error("there is no switchboard_smpp_bound, or it is not 0")
}

// A refused bind is told in words, tried again with growing pauses, and works
// when it is granted.
func TestRefusedBind(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
		Binds: &simulator.Binds{Refuse: simulator.Status(pdu.StatusInvPaswd), First: 3},
	}}, func(o *Transport) { o.MaxReconnectDelay = options.Duration(50 * time.Millisecond) })
	s := b.awaitStatus("bind_refused")
	if s.Health != message.Down || !strings.Contains(s.Text, "ESME_RINVPASWD: password is wrong") {
		t.Errorf("status = %s", s.Encode())
	}
	b.awaitStatus("bound")
	if n := b.smsc.Counters().Refused; n != 3 {
		t.Errorf("refused %d times, want 3", n)
	}
	if n := b.metric("switchboard_smpp_bind_refused_total", "status", "ESME_RINVPASWD"); n != 3 {
		t.Errorf("the metric says %v", n)
	}
}

// However an SMSC refuses, the metric does not grow.
func TestMadeUpRefusal(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Binds: &simulator.Binds{Refuse: 0x4711}}})
	b.awaitStatus("bind_refused")
	if n := b.metric("switchboard_smpp_bind_refused_total", "status", "other"); n == 0 {
		t.Error("a status that SMPP does not know is none of the others")
	}
}

func TestPausesGrow(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Binds: &simulator.Binds{Refuse: simulator.Status(pdu.StatusBindFail)}}},
		func(o *Transport) { o.MaxReconnectDelay = options.Duration(time.Hour) })
	b.awaitStatus("bind_refused")
	time.Sleep(500 * time.Millisecond) // what must not happen: a loop
	if n := b.smsc.Counters().Refused; n > 8 {
		t.Errorf("%d binds in half a second", n)
	}
}

func TestSilentSMSC(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Binds: &simulator.Binds{Silent: true}}},
		func(o *Transport) { o.BindTimeout = quick })
	s := b.awaitStatus("bind_timeout")
	if !strings.Contains(s.Text, "did not answer") {
		t.Errorf("status = %s", s.Encode())
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	b := &bundle{T: t, line: transporttest.NewPublisher()}
	transporttest.Start(t, connected(t, address, remember(t), nil), b.line)
	b.awaitStatus("connection_refused")
}

func TestUnansweredEnquireLinkDropsTheLink(t *testing.T) {
	b := start(t, simulator.Settings{EnquireInterval: -1, Behaviour: simulator.Behaviour{Links: &simulator.Links{IgnoreEnquire: true}}},
		func(o *Transport) { o.EnquireLinkInterval = quick })
	s := b.awaitStatus("connection_lost")
	if !strings.Contains(s.Text, "enquire_link") {
		t.Errorf("status = %s", s.Encode())
	}
	b.smsc.SetBehaviour(simulator.Behaviour{})
	b.awaitStatus("bound")
}

func TestEnquireLinkIsAnswered(t *testing.T) {
	b := start(t, simulator.Settings{EnquireInterval: options.Duration(10 * time.Millisecond), ResponseTimeout: quick}).bound()
	err := b.smsc.Wait(within(t), "answers to enquire_link", func(c simulator.Counters) bool { return c.Received["enquire_link_resp"] >= 5 })
	if err != nil || b.smsc.Counters().Connections != 1 {
		t.Errorf("%v, %d connections", err, b.smsc.Counters().Connections)
	}
}

func TestTransmitterAndReceiver(t *testing.T) {
	b := start(t, simulator.Settings{}, func(o *Transport) { o.BindMode, o.Binds = binds.ModeSplit, 2 })
	if err := b.smsc.WaitBound(within(t), 4); err != nil {
		t.Fatal(err)
	}
	for _, err := range b.sendMany(100) {
		t.Error(err)
	}
	for range 100 {
		if e := b.line.NextEvent(t); e.DeliveryStatus != message.Delivered {
			t.Errorf("event = %s", e.Encode())
		}
	}
	used := 0
	for _, s := range b.smsc.Counters().Sessions {
		if s.Submits > 0 {
			used++
		}
	}
	if used != 2 {
		t.Errorf("%d binds were submitted through, want both transmitters", used)
	}
}

func TestOutbind(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	b := start(t, simulator.Settings{}, func(o *Transport) {
		o.BindMode, o.OutbindEndpoint, o.OutbindSystemID = binds.ModeTransmitter, "tcp:"+port+":interface=127.0.0.1", "theirs"
		o.OutbindPassword = "pass"
	}).bound()
	if err := b.smsc.Outbind(within(t), l.Addr().String(), "theirs", "pass"); err != nil {
		t.Fatal(err)
	}
	if err := b.smsc.WaitBound(within(t), 2); err != nil {
		t.Fatal(err)
	}
	b.send(outgoing("hello"))
	if e := b.line.NextEvent(t); e.DeliveryStatus != message.Delivered {
		t.Errorf("event = %s", e.Encode())
	}
}

func TestVersionIsAgreed(t *testing.T) {
	b := start(t, simulator.Settings{Version: "3.3"}, func(o *Transport) {
		o.BindMode, o.InterfaceVersion, o.SendMultipartSAR = binds.ModeSplit, 0x50, true
	})
	if err := b.smsc.WaitBound(within(t), 2); err != nil {
		t.Fatal(err)
	}
	b.awaitStatus("bound")
	b.awaitStatus("bound")
	b.send(outgoing(strings.Repeat("x", 161)))
	if m := b.smsc.Submitted()[0].Message(); len(m.TLVs) != 0 || !m.ESMClass.UDHI() {
		t.Errorf("an SMSC of version 3.3 got parameters: %v", m.TLVs)
	}
}

// Two transports of one process share the registry and differ by their label.
func TestTwoTransportsOneRegistry(t *testing.T) {
	reg := prometheus.NewRegistry()
	v := simulate(t, simulator.Settings{Behaviour: simulator.Behaviour{Receipts: noReceipts()}})
	for _, name := range []string{"one", "two"} {
		tr := connected(t, v.Addr(), remember(t), reg, func(o *Transport) { o.TransportName = name })
		transporttest.Start(t, tr, transporttest.NewPublisher())
		if _, err := tr.Send(within(t), outgoing("hello")); err != nil {
			t.Fatal(err)
		}
	}
	b := &bundle{T: t, registry: reg}
	for _, name := range []string{"one", "two"} {
		if n := b.metric("switchboard_smpp_submits_total", "transport", name); n != 1 {
			t.Errorf("transport %s: %v submits", name, n)
		}
	}
}

// lockedBuffer is a log that goroutines write and a test reads.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.String()
}

func TestPasswordIsNeverShown(t *testing.T) {
	var log lockedBuffer
	v := simulate(t, simulator.Settings{Behaviour: simulator.Behaviour{Binds: &simulator.Binds{Refuse: simulator.Status(pdu.StatusInvPaswd), First: 1}}})
	tr := connected(t, v.Addr(), remember(t), nil, func(o *Transport) { o.Password = "hunter2-hunter2" })
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if err := tr.Provision(t.Context(), transports.Env{State: remember(t), Logger: logger}); err != nil {
		t.Fatal(err)
	}
	b := &bundle{T: t, line: transporttest.NewPublisher()}
	stop := transporttest.Start(t, tr, b.line)
	if s := b.awaitStatus("bind_refused"); strings.Contains(string(s.Encode()), "hunter2") {
		t.Errorf("status = %s", s.Encode())
	}
	b.awaitStatus("bound")
	stop()
	if text := log.text(); strings.Contains(text, "hunter2") || !strings.Contains(text, "longer than the 8 characters") {
		t.Errorf("the log says %s", text)
	}
}

// A receipt begins with what the person was sent; that is for debugging only.
func TestAReceiptsTextIsNotLogged(t *testing.T) {
	var log lockedBuffer
	v := simulate(t, simulator.Settings{Behaviour: simulator.Behaviour{Receipts: &simulator.Receipts{Form: "text", Text: "unreadable: my diagnosis"}}})
	tr := connected(t, v.Addr(), remember(t), nil)
	if err := tr.Provision(t.Context(), transports.Env{State: remember(t), Logger: slog.New(slog.NewTextHandler(&log, nil))}); err != nil {
		t.Fatal(err)
	}
	b := &bundle{T: t, Transport: tr, smsc: v, line: transporttest.NewPublisher()}
	stop := transporttest.Start(t, tr, b.line)
	defer stop()
	b.send(outgoing("hello"))
	testutil.Eventually(t, "the log names the receipt", func() bool { return strings.Contains(log.text(), "cannot be read") })
	if text := log.text(); strings.Contains(text, "diagnosis") {
		t.Errorf("the log says %s", text)
	}
}

// Messages that wait for a bind are sent once there is one.
func TestSendWaitsForTheBind(t *testing.T) {
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{Binds: &simulator.Binds{Refuse: simulator.Status(pdu.StatusSysErr)}}})
	b.awaitStatus("bind_refused")
	ctx, cancel := context.WithTimeout(t.Context(), quick.Std())
	defer cancel()
	if _, err := b.Send(ctx, outgoing("too early")); err == nil || message.IsPermanent(err) {
		t.Errorf("Send = %v, want to be asked again", err)
	}
	b.smsc.SetBehaviour(simulator.Behaviour{})
	b.send(outgoing("in time"))
	if list := b.smsc.Submitted(); len(list) != 1 || list[0].Text() != "in time" {
		t.Errorf("submitted %d, want the one that waited", len(list))
	}
}

// Answers that are on their way when the SMSC unbinds are waited for: a submit
// without a receipt could not be found out about otherwise.
func TestAnswersAfterTheSMSCUnbinds(t *testing.T) {
	const submits = 5
	b := start(t, simulator.Settings{Behaviour: simulator.Behaviour{
		Answers: &simulator.Answers{Delay: simulator.Fixed(100 * time.Millisecond)}, Receipts: noReceipts(),
		Links: &simulator.Links{UnbindAfter: submits},
	}}, func(o *Transport) {
		o.Window, o.RegisteredDelivery, o.UnknownPolicy = submits, false, transports.UnknownFail
	}).bound()
	var group sync.WaitGroup
	for range submits {
		group.Go(func() {
			if id, err := b.Send(within(b), outgoing("hello")); err != nil || id == "" {
				b.Errorf("got %q, %v", id, err)
			}
		})
	}
	group.Wait()
	if n := b.smsc.Counters().Received["submit_sm"]; n != submits {
		t.Errorf("%d submits, want %d", n, submits)
	}
}
