package stdio

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"switchboard/message"
	"switchboard/options"
	"switchboard/transports/transporttest"
)

func TestConformance(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) *transporttest.Outside {
		p := newProgram()
		tr := New()
		tr.TransportName, tr.FromAddr, tr.AnswerLines, tr.AnswerTimeout = "pipe", "thandi", true, options.Duration(time.Second)
		tr.open = p.open
		return &transporttest.Outside{
			Transport: tr, Say: p.say, Hear: p.hear, Repeat: p.repeat, Stall: p.stall,
			Meet: map[transporttest.Outcome]func(){
				transporttest.Pending: func() {
					p.meet(`{"event_type": "ack", "user_message_id": %[1]q, "sent_message_id": "1"}`,
						`{"event_type": "delivery_report", "user_message_id": %[1]q, "delivery_status": "pending"}`)
				},
				transporttest.Temporary: func() {
					p.meet(`{"event_type": "nack", "user_message_id": %q, "nack_reason": "busy", "retry_after": 0.01}`)
				},
				transporttest.Permanent: func() {
					p.meet(`{"event_type": "nack", "user_message_id": %q, "nack_reason": "no such person"}`)
				},
				transporttest.Unknown: func() { p.meet() },
			},
		}
	})
}

// program is the other end: it answers each line it gets, and numbers those it writes.
type program struct {
	mu       sync.Mutex
	in       *os.File
	out      *os.File
	lines    int
	last     string
	answered map[int]chan error
	heard    chan string
	events   []string // what the next line is answered with
	meets    bool
	stalled  chan struct{} // closed when answers may go on; nil for at once
	done     chan struct{} // closed when it reads no more
}

func newProgram() *program { return &program{heard: make(chan string, 1000)} }

// open is a new pipe each time, and its numbers begin anew.
func (p *program) open(context.Context) (*ends, error) {
	in, toIt, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	fromIt, out, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.in, p.out, p.lines, p.answered, p.done = in, out, 0, map[int]chan error{}, make(chan struct{})
	e := newEnds(fromIt, toIt)
	done := p.done
	e.own, e.wait, e.kill = false, func() error {
		_ = out.Close()
		<-done
		return nil
	}, func() {}
	go p.read(in, p.done)
	return e, nil
}

func (p *program) read(in *os.File, done chan struct{}) {
	defer close(done)
	defer func() { _ = in.Close() }()
	lines := bufio.NewReader(in)
	for {
		text, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		var l struct {
			Line    int
			Error   string
			ID      string `json:"message_id"`
			Content string
			Kind    string `json:"message_type"`
		}
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			panic(err)
		}
		if l.Kind == "user_message" {
			go p.take(l.ID, l.Content)
			continue
		}
		p.mu.Lock()
		told := p.answered[l.Line]
		p.mu.Unlock()
		if l.Error != "" {
			told <- errors.New(l.Error)
		} else {
			told <- nil
		}
	}
}

// take answers a message.
func (p *program) take(id, content string) {
	p.mu.Lock()
	events, meets, stalled := p.events, p.meets, p.stalled
	p.events, p.meets = nil, false
	p.mu.Unlock()
	if stalled != nil {
		<-stalled
	}
	if !meets {
		events = []string{`{"event_type": "ack", "user_message_id": %q, "sent_message_id": "1"}`}
	}
	if refused := meets && len(events) == 1; !refused {
		p.heard <- content
	}
	for _, e := range events {
		_, _ = p.write(fmt.Sprintf(e, id))
	}
}

func (p *program) meet(events ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events, p.meets = events, true
}

func (p *program) stall() (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	held := make(chan struct{})
	p.stalled = held
	return sync.OnceFunc(func() { close(held) })
}

func (p *program) write(text string) (told chan error, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines++
	told = make(chan error, 1)
	p.answered[p.lines] = told
	_, err = io.WriteString(p.out, text+"\n")
	return told, err
}

func (p *program) say(ctx context.Context, content string) error {
	text, _ := json.Marshal(map[string]string{"message_id": message.NewID(), "content": content})
	p.mu.Lock()
	p.last = string(text)
	p.mu.Unlock()
	return p.repeat(ctx)
}

func (p *program) repeat(ctx context.Context) error {
	var told chan error
	for told == nil { // the transport opens the pipe some time
		p.mu.Lock()
		ready, last := p.out != nil, p.last
		p.mu.Unlock()
		if ready {
			var err error
			if told, err = p.write(last); err != nil && !errors.Is(err, os.ErrClosed) {
				return err
			} else if err != nil {
				told = nil
			}
		}
		if told == nil {
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	p.mu.Lock()
	done := p.done
	p.mu.Unlock()
	select {
	case err := <-told:
		return err
	case <-done:
		return errors.New("the pipe was closed without an answer")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *program) hear(ctx context.Context) (string, error) {
	select {
	case text := <-p.heard:
		return text, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}
