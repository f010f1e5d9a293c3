package gsmmodem

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// conversation speaks AT commands (3GPP TS 27.005, 27.007) over a port. One goroutine
// gives commands, and hears between them what the modem says by itself.
type conversation struct {
	port  io.ReadWriteCloser
	lines chan string // what the modem says; closed when the port is gone
	heard func(line string)
	next  func(line string) // takes the line behind a +CDS: or +CMT:; nil for none
}

const (
	// maxLine bounds a line; a PDU has at most 350 characters.
	maxLine = 2048
	// maxUnread bounds what the modem says before anybody listens.
	maxUnread = 256
	prompt    = ">"
)

func converse(port io.ReadWriteCloser, heard func(line string)) *conversation {
	c := &conversation{port: port, lines: make(chan string, maxUnread), heard: heard}
	go c.read()
	return c
}

// read cuts what the modem says into lines. A prompt has no end of its own.
func (c *conversation) read() {
	defer close(c.lines)
	buffer := make([]byte, 512)
	var line []byte
	for {
		n, err := c.port.Read(buffer)
		for _, b := range buffer[:n] {
			switch {
			case b == '\r' || b == '\n':
				c.say(&line)
			case b == '>' && len(line) == 0:
				line = append(line, b)
				c.say(&line)
			case b == ' ' && len(line) == 0, b == 0:
			case len(line) < maxLine:
				line = append(line, b)
			}
		}
		if err != nil || n == 0 {
			return
		}
	}
}

// say hands a line over. Nobody may be listening: the oldest are dropped then.
func (c *conversation) say(line *[]byte) {
	text := string(bytes.TrimSpace(*line))
	*line = (*line)[:0]
	if text == "" {
		return
	}
	for {
		select {
		case c.lines <- text:
			return
		default:
		}
		select {
		case <-c.lines:
		default:
		}
	}
}

var (
	errGone   = errors.New("the modem's port is gone")
	errSilent = errors.New("the modem does not answer")
)

// modemError is an answer that says that a command failed.
type modemError struct {
	kind string // CMS, CME or "" for a plain ERROR
	code int
}

func (e *modemError) Error() string {
	if e.kind == "" {
		return "the modem says ERROR"
	}
	text := fmt.Sprintf("the modem says +%s ERROR: %d", e.kind, e.code)
	if words := errorWords[e.kind][e.code]; words != "" {
		text += ", " + words
	}
	return text
}

// errorWords are what codes mean (3GPP TS 27.005 §3.2.5, 27.007 §9.2, 24.011 annex E).
var errorWords = map[string]map[int]string{
	"CMS": {
		1: "the number is not assigned", 8: "barred by the operator", 10: "the call is barred", 21: "the short message is rejected",
		27: "the destination is out of order", 28: "the subscriber is not identified", 29: "the facility is rejected", 30: "the subscriber is not known",
		38: "the network is out of order", 41: "a temporary failure", 42: "the network is congested", 47: "resources are not available",
		50: "the facility is not subscribed", 69: "the facility is not implemented", 302: "the operation is not allowed", 304: "the PDU is invalid",
		310: "no SIM is in the modem", 311: "the SIM's PIN is wanted", 312: "the phone's PIN is wanted", 313: "the SIM fails", 314: "the SIM is busy",
		316: "the SIM's PUK is wanted", 320: "the memory fails", 321: "the memory has no such place", 322: "the memory is full",
		330: "the service centre's number is not known", 331: "there is no network", 332: "the network did not answer", 500: "it does not know why",
	},
	"CME": {
		10: "no SIM is in the modem", 11: "the SIM's PIN is wanted", 12: "the SIM's PUK is wanted", 13: "the SIM fails", 14: "the SIM is busy",
		16: "the password is wrong", 30: "there is no network", 100: "it does not know why",
	},
}

var errorLine = regexp.MustCompile(`^\+(CMS|CME) ERROR: *(\d+)`)

// final says whether a line ends the answer to a command, and with which error.
func final(line string) (err error, is bool) {
	switch line {
	case "OK":
		return nil, true
	case "ERROR", "COMMAND NOT SUPPORT":
		return &modemError{}, true
	}
	if m := errorLine.FindStringSubmatch(line); m != nil {
		code, _ := strconv.Atoi(m[2]) // digits
		return &modemError{m[1], code}, true
	}
	return nil, false
}

// unsolicited are the beginnings of what modems say by themselves.
var unsolicited = []string{"+CMTI:", "+CDSI:", "+CDS:", "+CMT:", "+CREG:", "+CUSD:", "RING", "NO CARRIER", "^", "+CIEV:", "+PIN:", "SMS DONE", "CALL READY"}

// listen takes a line that nobody asked for.
func (c *conversation) listen(line string) {
	if take := c.next; take != nil {
		c.next = nil
		take(line)
		return
	}
	c.heard(line)
}

// isUnsolicited says whether a line is none of a command's answer. What the command
// asks for begins like it: +CREG: after AT+CREG?.
func (c *conversation) isUnsolicited(line, command string) bool {
	if c.next != nil {
		return true
	}
	for _, begin := range unsolicited {
		if strings.HasPrefix(line, begin) {
			asked := strings.TrimSuffix(begin, ":")
			return !strings.HasPrefix(begin, "+") || !strings.Contains(command, asked)
		}
	}
	return false
}

// drain hears what was said before a command.
func (c *conversation) drain() {
	for {
		select {
		case line, open := <-c.lines:
			if !open {
				return
			}
			c.listen(line)
		default:
			return
		}
	}
}

// ask gives a command and returns the lines of its answer.
func (c *conversation) ask(ctx context.Context, command string, patience time.Duration) (lines []string, err error) {
	c.drain()
	if _, err := io.WriteString(c.port, command+"\r"); err != nil {
		return nil, fmt.Errorf("%w: %w", errGone, err)
	}
	return c.answer(ctx, command, patience, false)
}

// answer reads up to the end of an answer, or to a prompt where one is to come.
func (c *conversation) answer(ctx context.Context, command string, patience time.Duration, toPrompt bool) (lines []string, err error) {
	over := time.NewTimer(patience)
	defer over.Stop()
	for {
		select {
		case line, open := <-c.lines:
			switch {
			case !open:
				return lines, errGone
			case c.isUnsolicited(line, command):
				c.listen(line)
				continue
			case line == command, toPrompt && strings.HasPrefix(line, command): // its echo
				continue
			case toPrompt && line == prompt:
				return lines, nil
			}
			if err, is := final(line); is {
				return lines, err
			}
			lines = append(lines, line)
		case <-over.C:
			return lines, errSilent
		case <-ctx.Done():
			return lines, ctx.Err()
		}
	}
}

// value is what stands behind NAME: in an answer; "" when it is not there.
func value(lines []string, name string) string {
	for _, line := range lines {
		if text, found := strings.CutPrefix(line, name+":"); found {
			return strings.TrimSpace(text)
		}
	}
	return ""
}
