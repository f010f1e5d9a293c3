package simulator

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"switchboard/smpp/pdu"
)

const (
	// shortestBeat is how often at most messages are made; at higher rates
	// several at once.
	shortestBeat = 5 * time.Millisecond
	// maxWaiting is how much may wait for an account before no more is made.
	maxWaiting    = 10_000
	defaultLength = 400
)

// Generate is traffic from phones, made while a client is bound to receive it.
type Generate struct {
	Rate    float64     `yaml:"rate"`     // messages a second; 0: none
	Count   int         `yaml:"count"`    // messages in all; 0: no end
	From    string      `yaml:"from"`     // each # a digit that is drawn; 316######## unless set
	To      string      `yaml:"to"`       // 1234 unless set
	Texts   []string    `yaml:"texts"`    // one after the other; {n} is the message's number
	Long    Probability `yaml:"long"`     // of messages of more than one segment
	Length  int         `yaml:"length"`   // of those, in characters; 400 unless set
	Coding  string      `yaml:"coding"`   // the cheapest unless set
	Methods []string    `yaml:"methods"`  // of segments, one after the other: udh8, udh16, sar, payload
	Shuffle bool        `yaml:"shuffle"`  // segments
	LoseOne Probability `yaml:"lose_one"` // of long messages a segment of which never comes
}

// traffic is what an account was sent so far. The account's lock guards it.
type traffic struct {
	running bool
	made    int
	random  *rand.Rand
	last    time.Time
	due     float64
	called  int
	calls   float64 // due
}

// begin starts the traffic, unless it runs or there is none.
func (a *account) begin(b *Behaviour) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.traffic.running || b.Generate.Rate <= 0 && b.USSD.Rate <= 0 {
		return
	}
	if a.traffic.random == nil {
		a.traffic.random = rand.New(rand.NewPCG(a.smsc.settings.Seed, 1<<48))
	}
	a.traffic.running, a.traffic.last = true, time.Now()
	a.next(b)
}

// next schedules the beat after this one.
func (a *account) next(b *Behaviour) {
	d := max(shortestBeat, time.Duration(float64(time.Second)/max(b.Generate.Rate, b.USSD.Rate)))
	a.smsc.schedule.after(d, a.beat)
}

// beat makes the messages that are due.
func (a *account) beat() {
	b := a.behaviour.Load()
	conf := b.Generate
	var list []Incoming
	a.mu.Lock()
	if conf.Rate <= 0 && b.USSD.Rate <= 0 {
		a.traffic.running = false
		a.mu.Unlock()
		return
	}
	now := time.Now()
	passed := now.Sub(a.traffic.last).Seconds()
	a.traffic.last = now
	if len(a.receivers) > 0 && len(a.queue) < maxWaiting {
		list = a.traffic.make(conf, passed)
	}
	a.next(b)
	a.mu.Unlock()
	for _, m := range list {
		a.smsc.ledger.generate(m)
		if err := a.smsc.deliver(a, m, nil); err != nil {
			a.smsc.settings.Logger.Warn("a message that was made cannot be sent", "error", err)
		}
	}
	a.callUp(b.USSD, passed)
}

func (t *traffic) make(conf *Generate, seconds float64) (list []Incoming) {
	t.due += conf.Rate * seconds
	for ; t.due >= 1 && (conf.Count == 0 || t.made < conf.Count); t.due-- {
		list = append(list, t.one(conf))
		t.made++
	}
	t.due = min(t.due, 1) // a Count that is reached leaves nothing behind
	return list
}

func (t *traffic) one(conf *Generate) Incoming {
	m := Incoming{
		From: draw(conf.From, "316########", t.random), To: draw(conf.To, "1234", t.random),
		Text: "message {n}", Coding: conf.Coding, Shuffle: conf.Shuffle,
	}
	if n := len(conf.Texts); n > 0 {
		m.Text = conf.Texts[t.made%n]
	}
	m.Text = strings.ReplaceAll(m.Text, "{n}", strconv.Itoa(t.made+1))
	if n := len(conf.Methods); n > 0 {
		m.Method = conf.Methods[t.made%n]
	}
	if conf.Long.draw(t.random) {
		m.Text = lengthen(m.Text, conf.Length)
		m.LoseOne = conf.LoseOne.draw(t.random)
	}
	return m
}

// draw replaces each # by a digit.
func draw(pattern, otherwise string, random *rand.Rand) string {
	if pattern == "" {
		pattern = otherwise
	}
	return strings.Map(func(r rune) rune {
		if r == '#' {
			return '0' + rune(random.IntN(10))
		}
		return r
	}, pattern)
}

// lengthen repeats numbered words, so that a segment in the wrong place shows.
func lengthen(s string, length int) string {
	if length == 0 {
		length = defaultLength
	}
	var b strings.Builder
	b.WriteString(s)
	for i := 1; b.Len() < length; i++ {
		b.WriteString(" w" + strconv.Itoa(i))
	}
	return b.String()
}

// callUp begins the USSD sessions that are due.
func (a *account) callUp(conf *USSD, seconds float64) {
	a.mu.Lock()
	t := &a.traffic
	t.calls += conf.Rate * seconds
	var from []string
	if len(a.receivers) == 0 {
		t.calls = 0
	}
	for ; t.calls >= 1 && (conf.Count == 0 || t.called < conf.Count); t.calls-- {
		from = append(from, draw(conf.From, "316########", t.random))
		t.called++
	}
	t.calls = min(t.calls, 1)
	a.mu.Unlock()
	code := conf.Code
	if code == "" {
		code = "*120#"
	}
	for _, phone := range from {
		c := a.dial(phone, code, conf)
		c.auto, c.inputs = true, conf.Inputs
		c.send(code, pdu.USSDPSSRIndication, false, func(pdu.Status, error) {})
	}
}
