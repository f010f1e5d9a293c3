package gsmmodem

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"go.bug.st/serial"

	"switchboard/smpp/gsm"
)

// modem is a simulated one on a pseudo-terminal. Its fields say how it misbehaves.
type modem struct {
	t    testing.TB
	link string // the device's name, whichever pseudo-terminal is behind it

	writing    sync.Mutex // one octet after the other goes over a line
	mu         sync.Mutex
	master     *os.File
	slave      *os.File // kept open, so that the master outlives each session
	done       chan struct{}
	memory     map[int]string
	capacity   int
	next       int
	deleted    chan struct{} // closed at each deletion
	submitted  []string      // PDUs that it accepted
	heard      chan string
	collected  map[string][]gsm.Part
	reference  int
	echo       bool
	garbage    bool          // lines of nonsense between those of answers
	slow       time.Duration // before each octet's answer
	pin        string        // "" when the SIM wants none
	pinTries   []string
	puk        bool
	hung       bool // until it is reset
	resets     int
	answers    []string // to the next submits, in place of +CMGS
	silent     bool     // takes the next submit without a word, and hangs
	stalled    chan struct{}
	reportWith []byte   // statuses that the next submit is reported with
	refuses    []string // beginnings of commands it does not know
	noise      bool     // spoils what it lists, until it was once too busy to read one
	signal     string
	registered string
}

func newModem(t testing.TB, change ...func(*modem)) *modem {
	m := &modem{
		t: t, link: filepath.Join(t.TempDir(), "modem"), memory: map[int]string{}, capacity: 20, deleted: make(chan struct{}),
		heard: make(chan string, 1000), collected: map[string][]gsm.Part{}, echo: true, signal: "20,99", registered: "0,1",
	}
	for _, c := range change {
		c(m)
	}
	m.plugIn()
	t.Cleanup(m.pullOut)
	return m
}

// plugIn gives the modem a port.
func (m *modem) plugIn() {
	master, slave, err := pty.Open()
	if err != nil {
		m.t.Fatal(err)
	}
	raw, err := serial.Open(slave.Name(), &serial.Mode{BaudRate: 115200}) // no echo of the terminal's own, as on a line
	if err != nil {
		m.t.Fatal(err)
	}
	_ = raw.Close()
	_ = os.Remove(m.link)
	if err := os.Symlink(slave.Name(), m.link); err != nil {
		m.t.Fatal(err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.master, m.slave, m.done = master, slave, make(chan struct{})
	go m.run(master, m.done)
}

func (m *modem) pullOut() {
	m.mu.Lock()
	master, slave, done := m.master, m.slave, m.done
	m.master = nil
	m.mu.Unlock()
	if master == nil {
		return
	}
	_ = os.Remove(m.link)
	_ = slave.Close()
	_ = master.Close()
	<-done
}

func (m *modem) run(master *os.File, done chan struct{}) {
	defer close(done)
	var line []byte
	buffer := make([]byte, 1024)
	wantsPDU := false
	for {
		n, err := master.Read(buffer)
		if err != nil {
			return
		}
		for _, b := range buffer[:n] {
			switch {
			case b == 0x1b:
				line, wantsPDU = nil, false
			case wantsPDU && b == 0x1a:
				m.submit(master, string(line))
				line, wantsPDU = nil, false
			case !wantsPDU && b == '\r':
				wantsPDU = m.command(master, string(line))
				line = nil
			case b != '\n':
				line = append(line, b)
			}
		}
	}
}

func (m *modem) write(to *os.File, text string) {
	m.mu.Lock()
	slow, hung := m.slow, m.hung
	m.mu.Unlock()
	if hung {
		return
	}
	m.writing.Lock()
	defer m.writing.Unlock()
	if slow == 0 {
		_, _ = to.WriteString(text)
		return
	}
	for _, b := range []byte(text) {
		time.Sleep(slow)
		_, _ = to.Write([]byte{b})
	}
}

func (m *modem) say(to *os.File, lines ...string) {
	m.mu.Lock()
	garbage := m.garbage
	m.mu.Unlock()
	for _, line := range lines {
		if garbage {
			m.write(to, "\r\n^RSSI: 17\r\n\x00\xff\xfe~~\r\n+CREG: 1\r\n")
		}
		m.write(to, "\r\n"+line+"\r\n")
	}
}

// command answers one; wantsPDU when it prompted for one.
func (m *modem) command(to *os.File, text string) (wantsPDU bool) {
	if text == "" {
		return false
	}
	m.mu.Lock()
	echo, hung := m.echo, m.hung
	if text == "AT+CFUN=1,1" {
		m.resets++
		m.hung = false
	}
	m.mu.Unlock()
	if hung {
		return false
	}
	if echo {
		m.write(to, text+"\r")
	}
	for _, begin := range m.refuses { // set before it began
		if strings.HasPrefix(text, begin) {
			m.say(to, "ERROR")
			return false
		}
	}
	switch {
	case text == "ATE0":
		m.mu.Lock()
		m.echo = false
		m.mu.Unlock()
	case text == "AT+CPIN?":
		m.say(to, "+CPIN: "+m.wants())
	case strings.HasPrefix(text, "AT+CPIN="):
		if !m.unlock(strings.Trim(strings.TrimPrefix(text, "AT+CPIN="), `"`)) {
			m.say(to, "+CME ERROR: 16")
			return false
		}
	case strings.HasPrefix(text, "AT+CMGS="):
		m.write(to, "\r\n> ")
		return true
	case text == "AT+CMGL=4":
		m.mu.Lock()
		var lines []string
		for i, p := range m.memory {
			lines = append(lines, fmt.Sprintf("+CMGL: %d,1,,%d", i, len(p)/2-1), p)
			if m.noise {
				lines[len(lines)-1] = "~" + p
			}
		}
		m.mu.Unlock()
		m.say(to, lines...)
	case strings.HasPrefix(text, "AT+CMGR="):
		i, _ := strconv.Atoi(strings.TrimPrefix(text, "AT+CMGR="))
		m.mu.Lock()
		p, busy := m.memory[i], m.noise
		m.noise = false
		m.mu.Unlock()
		if busy {
			m.say(to, "+CMS ERROR: 314")
			return false
		}
		m.write(to, fmt.Sprintf("\r\n+CMGR: 1,,%d\r\n%s\r\n", len(p)/2-1, p))
	case strings.HasPrefix(text, "AT+CMGD="):
		i, _ := strconv.Atoi(strings.TrimPrefix(text, "AT+CMGD="))
		m.mu.Lock()
		delete(m.memory, i)
		close(m.deleted)
		m.deleted = make(chan struct{})
		m.mu.Unlock()
	case text == "AT+COPS?":
		m.say(to, `+COPS: 0,0,"Vodacom-SA",2`)
	case text == "AT+CREG?":
		m.say(to, "+CREG: "+m.registered)
	case text == "AT+CSQ":
		m.say(to, "+CSQ: "+m.signal)
	}
	m.say(to, "OK")
	return false
}

func (m *modem) wants() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.puk:
		return "SIM PUK"
	case m.pin != "":
		return "SIM PIN"
	}
	return "READY"
}

func (m *modem) unlock(pin string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pinTries = append(m.pinTries, pin)
	if pin != m.pin {
		return false
	}
	m.pin = ""
	return true
}

// submit answers a PDU that is to be sent.
func (m *modem) submit(to *os.File, line string) {
	m.mu.Lock()
	answer, silent, stalled, statuses := "", m.silent, m.stalled, m.reportWith
	if len(m.answers) > 0 {
		answer, m.answers = m.answers[0], m.answers[1:]
	}
	m.silent, m.reportWith = false, nil
	m.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
	if answer != "" {
		m.say(to, answer)
		return
	}
	m.mu.Lock()
	m.reference = (m.reference + 1) % 256
	reference := m.reference
	m.submitted = append(m.submitted, line)
	m.hung = silent
	m.mu.Unlock()
	m.collect(line)
	m.say(to, "+CMGS: "+strconv.Itoa(reference), "OK")
	for _, status := range statuses {
		m.store(fmt.Sprintf("0006%02X0B917238214365F7%s%s%02X", reference, stamp, stamp, status), "+CDSI:")
	}
}

const stamp = "62112981030080" // a time

// collect joins the parts of what was submitted.
func (m *modem) collect(line string) {
	octets, err := hex.DecodeString(line)
	if err != nil {
		m.t.Errorf("submitted %q: %v", line, err)
		return
	}
	r := &reader{left: octets[1:]}
	first := r.octet()
	r.octet()
	a := r.address()
	r.octet()
	coding := r.octet()
	r.octet()
	length, data := int(r.octet()), r.left
	header := 0
	part := gsm.Part{Total: 1, Seq: 1}
	if first&flagUDHI != 0 {
		part, _, err = gsm.ParsePart(data)
		header = part.HeaderLength
	}
	e := gsm.Encoding{Coding: gsm.FromDataCoding(coding)}
	part.Payload = data[header:]
	if e.Coding == gsm.GSM7 {
		part.Payload = gsm.Unpack(data[header:], length-(header*8+6)/7, header)
	} else if len(data) != length {
		m.t.Errorf("the length of %s is wrong", line)
	}
	if err != nil || r.err != nil || len(octets) > 176 {
		m.t.Errorf("submitted %s: %v %v", line, err, r.err)
	}
	m.mu.Lock()
	key := a.Addr + strconv.Itoa(int(part.Reference))
	m.collected[key] = append(m.collected[key], part)
	parts := m.collected[key]
	if len(parts) == int(part.Total) {
		delete(m.collected, key)
	}
	m.mu.Unlock()
	if len(parts) == int(part.Total) {
		text, err := e.DecodeParts(parts)
		if err != nil {
			m.t.Error(err)
		}
		m.heard <- text
	}
}

// store puts a PDU into the memory and says so; false when there is no room.
func (m *modem) store(line, notice string) (index int, stored bool) {
	m.mu.Lock()
	if len(m.memory) >= m.capacity {
		m.mu.Unlock()
		return 0, false
	}
	m.next++
	index = m.next
	m.memory[index] = line
	master := m.master
	m.mu.Unlock()
	if master != nil {
		m.write(master, fmt.Sprintf("\r\n%s \"SM\",%d\r\n", notice, index))
	}
	return index, true
}

// awaitDeleted waits until none of the places is taken.
func (m *modem) awaitDeleted(ctx context.Context, places ...int) error {
	for {
		m.mu.Lock()
		changed := m.deleted
		left := slices.ContainsFunc(places, func(i int) bool { _, there := m.memory[i]; return there })
		m.mu.Unlock()
		if !left {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// delivers are the PDUs of a text from a person.
func delivers(t testing.TB, text string, reference uint16) (lines []string) {
	m, err := gsm.Splitter{}.Text(text, reference)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range m.Segments {
		first := byte(typeDeliver)
		if len(s.Header) > 0 {
			first |= flagUDHI
		}
		sender, _ := encodeAddress("+27831234567")
		octets := append(append([]byte{first}, sender...), 0, m.Encoding.Coding.DataCoding())
		scts, _ := hex.DecodeString(stamp)
		scts[6] = byte(reference) // so that no two are alike
		octets = append(octets, scts...)
		if m.Encoding.Coding == gsm.GSM7 {
			octets = append(octets, byte((len(s.Header)*8+6)/7+len(s.Payload)))
			octets = append(append(octets, s.Header...), gsm.AppendPacked(nil, s.Payload, len(s.Header))...)
		} else {
			octets = append(append(append(octets, byte(len(s.Header)+len(s.Payload))), s.Header...), s.Payload...)
		}
		lines = append(lines, "00"+hex.EncodeToString(octets))
	}
	return lines
}

var errFull = errors.New("the modem's memory is full")

// receive has a person's PDUs arrive, and returns when the modem has none of them any
// more.
func (m *modem) receive(ctx context.Context, lines []string) error {
	var places []int
	for _, line := range lines {
		place, stored := m.store(line, "+CMTI:")
		for !stored { // the network tries again
			m.mu.Lock()
			changed := m.deleted
			m.mu.Unlock()
			select {
			case <-changed:
			case <-ctx.Done():
				return errFull
			}
			place, stored = m.store(line, "+CMTI:")
		}
		places = append(places, place)
	}
	return m.awaitDeleted(ctx, places...)
}
