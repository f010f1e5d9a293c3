package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"switchboard/smpp/pdu"
)

// smppBareMode is the argument that makes this program the yardstick of SMPP: a
// bare loop over one connection, with no broker and nothing remembered.
const smppBareMode = "smpp-bare-loop"

// smppBareMain submits n times the same submit_sm with at most window of them
// unanswered, or takes n deliver_sm, and prints the seconds from the first to
// the last.
func smppBareMain(args []string) error {
	if len(args) != 4 {
		return errors.New("usage: smpp-bare-loop HOST:PORT submit|receive WINDOW N")
	}
	window, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", args[0])
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer func() { _ = conn.Close() }()
	l := &smppLoop{conn: conn, in: pdu.NewReader(bufio.NewReader(conn), 0), out: bufio.NewWriter(conn), n: n, window: window}
	command := pdu.CmdBindTransmitter
	run := l.submit
	if args[1] == "receive" {
		command, run = pdu.CmdBindReceiver, l.receive
	}
	if err := l.bind(command); err != nil {
		return err
	}
	took, err := run()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(took.Seconds())
}

type smppLoop struct {
	conn      net.Conn
	in        *pdu.Reader
	out       *bufio.Writer
	n, window int
}

func (l *smppLoop) bind(command pdu.CommandID) error {
	body := &pdu.Bind{ID: command, SystemID: "bench", Password: "secret", InterfaceVersion: pdu.Version34}
	if _, err := (&pdu.PDU{Sequence: 1, Body: body}).WriteTo(l.conn); err != nil {
		return err
	}
	answer, err := l.in.Read()
	if err == nil && answer.Status != pdu.StatusOK {
		err = fmt.Errorf("binding: %s", answer.Status)
	}
	return err
}

// smppFrame is what the transport makes of benchText, as octets.
func smppFrame() ([]byte, error) {
	body := &pdu.SubmitSM{Message: pdu.Message{
		Source:             pdu.Address{Addr: benchFrom},
		Dest:               pdu.Address{TON: 1, NPI: 1, Addr: benchTo[1:]},
		ShortMessage:       []byte(benchText),
		RegisteredDelivery: 1,
	}}
	return (&pdu.PDU{Body: body}).AppendTo(nil)
}

// sequenceAt is where a PDU has its sequence_number (§3.2).
const sequenceAt = 12

func (l *smppLoop) submit() (time.Duration, error) {
	frame, err := smppFrame()
	if err != nil {
		return 0, err
	}
	person := bytes.Index(frame, []byte(benchTo[1:])) + len(benchTo[1:8])
	free := make(chan struct{}, l.window)
	for range l.window {
		free <- struct{}{}
	}
	failed := make(chan error, 1)
	began := time.Now()
	go func() { failed <- l.answers(free) }()
	for i := range l.n {
		select {
		case <-free:
		default:
			if err := l.out.Flush(); err != nil {
				return 0, err
			}
			<-free
		}
		binary.BigEndian.PutUint32(frame[sequenceAt:], uint32(i)+2)
		copy(frame[person:], fmt.Sprintf("%04d", i%10_000)) // as preloadSMS
		if _, err := l.out.Write(frame); err != nil {
			return 0, err
		}
	}
	if err := l.out.Flush(); err != nil {
		return 0, err
	}
	err = <-failed
	return time.Since(began), err
}

func (l *smppLoop) answers(free chan<- struct{}) error {
	for range l.n {
		answer, err := l.in.Read()
		if err != nil {
			return err
		}
		if answer.Status != pdu.StatusOK {
			return fmt.Errorf("submitting: %s", answer.Status)
		}
		free <- struct{}{}
	}
	return nil
}

func (l *smppLoop) receive() (time.Duration, error) {
	var began time.Time
	for i := range l.n {
		p, err := l.in.Read()
		if err != nil {
			return 0, err
		}
		if i == 0 {
			began = time.Now()
		}
		if _, err := p.Respond(pdu.StatusOK).WriteTo(l.out); err != nil {
			return 0, err
		}
		if err := l.out.Flush(); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

// measureSMPPBare runs the loop in a process of its own.
func measureSMPPBare(ctx context.Context, address, what string, window, n int) (measure, error) {
	return measureYardstick(ctx, n, smppBareMode, address, what, strconv.Itoa(window), strconv.Itoa(n))
}

// measureYardstick runs this program as a yardstick, which prints the seconds that n took.
func measureYardstick(ctx context.Context, n int, args ...string) (measure, error) {
	self, err := os.Executable()
	if err != nil {
		return measure{}, err
	}
	c, err := startChild(ctx, "memory:", self, args...)
	if err != nil {
		return measure{}, err
	}
	if err := c.cmd.Wait(); err != nil {
		return measure{}, fmt.Errorf("the bare loop: %w\n%s", err, c.out.String())
	}
	var seconds float64
	if err := json.Unmarshal(c.out.Bytes(), &seconds); err != nil {
		return measure{}, fmt.Errorf("the bare loop wrote %q: %w", c.out.String(), err)
	}
	state := c.cmd.ProcessState
	return measure{rate: float64(n) / seconds, cpu: (state.UserTime() + state.SystemTime()) / time.Duration(n)}, nil
}
