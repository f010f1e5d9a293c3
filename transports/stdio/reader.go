package stdio

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"

	"switchboard/internal/backoff"
	"switchboard/internal/lanes"
	"switchboard/message"
	"switchboard/transports"
)

const (
	// maxPublishing is how many lines are on their way to the broker at once; the next
	// is read when there is room.
	maxPublishing = 100
	readBuffer    = 64 << 10
	// The wait before a line that the broker did not take is published again.
	publishRetryMin = 100 * time.Millisecond
	publishRetryMax = 5 * time.Second
)

// reader reads lines and publishes what they say. Lines from one address keep their
// order.
type reader struct {
	*Transport
	ends       *ends
	out        transports.Publisher
	work       context.Context
	deliveries *transports.Deliveries
	lanes      lanes.Lanes[string]
	group      sync.WaitGroup
	room       chan struct{}
}

// read reads to the end of the input, io.EOF, and returns when all is published.
func (r *reader) read() error {
	r.room = make(chan struct{}, maxPublishing)
	defer r.deliveries.Wait()
	defer r.group.Wait()
	in := bufio.NewReaderSize(r.ends.in, readBuffer)
	for number := 1; ; number++ {
		text, err := readLine(in, r.MaxLineBytes)
		if len(bytes.TrimSpace(text)) > 0 || errors.Is(err, errTooLong) {
			r.take(number, text, err)
		}
		if err != nil && !errors.Is(err, errTooLong) {
			return err
		}
	}
}

var errTooLong = errors.New("the line is too long")

// readLine reads a line without its end. The last one needs no end. What is beyond
// limit is dropped, and the error is errTooLong.
func readLine(in *bufio.Reader, limit int) (text []byte, err error) {
	long := false
	for {
		piece, err := in.ReadSlice('\n')
		if long = long || len(text)+len(piece) > limit+1; !long {
			text = append(text, piece...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if long && (err == nil || errors.Is(err, io.EOF)) {
			return nil, fmt.Errorf("%w: it has more than max_line_bytes, %d", errTooLong, limit)
		}
		return bytes.TrimRight(text, "\r\n"), err
	}
}

// take handles one line. It waits while many are on their way to the broker.
func (r *reader) take(number int, text []byte, err error) {
	if errors.Is(err, errTooLong) {
		r.answer(number, "", err)
		return
	}
	m, e, err := r.parse(text)
	switch {
	case err != nil:
		r.answer(number, "", err)
	case e == nil:
		r.publish(number, m.From, m.ID, func() error {
			if m.named {
				_, err := r.deliveries.Inbound(r.work, r.out, m.Message)
				return err
			}
			return r.out.Inbound(r.work, m.Message)
		})
	case e.Type == message.DeliveryReport:
		r.publish(number, e.MessageID, e.ID, func() error { return r.out.Event(r.work, e) })
	default:
		r.answer(number, e.ID, r.settle(e))
	}
}

// publish publishes what a line says, when there is room, and answers the line. What has
// the same lane keeps its order.
func (r *reader) publish(number int, lane, id string, publish func() error) {
	select {
	case r.room <- struct{}{}:
	case <-r.work.Done():
		return
	}
	r.group.Add(1)
	r.lanes.Go(lane, func() {
		defer r.group.Done()
		r.answer(number, id, r.insist(id, publish))
		<-r.room
	})
}

// insist publishes until the broker has it, or never will.
func (r *reader) insist(id string, publish func() error) error {
	retry := backoff.Backoff{Min: publishRetryMin, Max: publishRetryMax}
	for {
		err := publish()
		if err == nil || message.IsPermanent(err) || r.work.Err() != nil {
			return err
		}
		r.logger.Warn("publishing a line failed; trying again", "id", id, "error", err)
		if !retry.Wait(r.work) {
			return err
		}
	}
}

// answer tells the log of a line that was refused, and the other end of each, where it
// wants to know.
func (r *reader) answer(number int, id string, err error) {
	if err != nil && r.work.Err() == nil {
		r.logger.Warn("a line was refused", "line", number, "error", err)
	}
	if !r.AnswerLines {
		return
	}
	answer := struct {
		Line  int    `json:"line"`
		ID    string `json:"message_id,omitempty"`
		Error string `json:"error,omitempty"`
	}{Line: number, ID: id}
	if err != nil {
		answer.ID, answer.Error = "", err.Error()
	}
	text, _ := json.Marshal(answer) // of texts and a number
	_ = r.ends.writeLine(r.work, text)
}

// timestamp is how Vumi writes a time.
const timestamp = "2006-01-02 15:04:05.000000"

// parsed is a message, and whether its line named it.
type parsed struct {
	*message.Message
	named bool
}

// parse reads a line: a message in, or an event about one that went out. What a
// message may lack is filled in.
func (t *Transport) parse(text []byte) (*parsed, *message.Event, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, nil, fmt.Errorf("the line is no JSON object: %w", err)
	}
	if members == nil {
		return nil, nil, errors.New("the line is no JSON object but null")
	}
	if members["event_type"] != nil {
		fill(members, map[string]string{"event_id": message.NewID(), "message_type": "event"})
		text, _ = json.Marshal(members) // it was read as JSON
		e, err := message.DecodeEvent(text)
		return nil, e, err
	}
	_, named := members["message_id"]
	fill(members, map[string]string{
		"message_id": message.NewID(), "from_addr": t.FromAddr, "to_addr": t.ToAddr, "transport_type": t.TransportType,
		"message_type": "user_message",
	})
	text, _ = json.Marshal(members)
	m, err := message.Decode(text)
	if err != nil {
		return nil, nil, err
	}
	if m.From == "" {
		return nil, nil, errors.New("from_addr is missing, and the option from_addr gives none")
	}
	return &parsed{m, named}, nil, nil
}

// fill fills in what a line left out.
func fill(members map[string]json.RawMessage, values map[string]string) {
	values["message_version"] = message.Version
	values["timestamp"] = time.Now().UTC().Format(timestamp)
	for key, value := range values {
		if raw, there := members[key]; !there || string(raw) == "null" {
			members[key], _ = json.Marshal(value)
		}
	}
}

// settle has an ack or nack of the other end answer Send.
func (r *reader) settle(e *message.Event) error {
	a := answer{providerID: e.SentMessageID}
	if e.Type == message.Nack {
		a.err = message.Permanent(errors.New(e.NackReason))
		extra := e.Extra()
		var seconds float64
		if extra.Decode("retry_after", &seconds) == nil && seconds > 0 {
			a.err = message.RetryAfter(time.Duration(min(seconds, math.MaxInt32)*float64(time.Second)), errors.New(e.NackReason))
		}
	}
	if !r.answers.give(e.MessageID, a) {
		return fmt.Errorf("nobody waits for an answer to %q: it was answered, its answer_timeout is over, or it is none of ours", e.MessageID)
	}
	return nil
}

// answers are the messages that wait for one. The prefetch bounds how many there are.
type answers struct {
	mu      sync.Mutex
	waiting map[string]chan answer
}

type answer struct {
	providerID string
	err        error
}

func (a *answers) expect(id string) <-chan answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.waiting == nil {
		a.waiting = map[string]chan answer{}
	}
	one := make(chan answer, 1)
	a.waiting[id] = one
	return one
}

func (a *answers) forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.waiting, id)
}

func (a *answers) give(id string, one answer) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	waiting := a.waiting[id]
	delete(a.waiting, id)
	if waiting != nil {
		waiting <- one
	}
	return waiting != nil
}
