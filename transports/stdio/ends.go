package stdio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"switchboard/message"
)

// ends are the two ends of a pipe.
type ends struct {
	in    io.ReadCloser // Close ends a Read
	out   io.WriteCloser
	own   bool          // this process's own input and output
	lines chan *line    // to be written
	wait  func() error  // of the program: waits for its end; nil for none
	kill  func()        // of the program
	mu    sync.Mutex    // of err
	err   error         // why nothing can be written any more
	gone  chan struct{} // closed once err is set
}

type line struct {
	text []byte
	done chan error // buffered
}

func newEnds(in io.ReadCloser, out io.WriteCloser) *ends {
	return &ends{in: in, out: out, own: true, lines: make(chan *line), gone: make(chan struct{})}
}

// write writes lines until ctx ends or one cannot be written.
func (e *ends) write(ctx context.Context) {
	for {
		select {
		case l := <-e.lines:
			_, err := e.out.Write(l.text)
			if err != nil {
				e.fail(fmt.Errorf("writing a line: %w", err))
				_ = e.in.Close() // ends the reader too
			}
			l.done <- err
			if err != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

func (e *ends) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.err = err
		close(e.gone)
	}
}

// awaitBroken waits until nothing can be written any more, which is an error, or ctx
// ends.
func (e *ends) awaitBroken(ctx context.Context) error {
	select {
	case <-e.gone:
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.err
	case <-ctx.Done():
		return nil
	}
}

var errGone = errors.New("the other end is gone")

// writeLine waits until a line is written.
func (e *ends) writeLine(ctx context.Context, text []byte) error {
	l := &line{append(bytes.Clone(text), '\n'), make(chan error, 1)}
	select {
	case e.lines <- l:
	case <-e.gone:
		return errGone
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-l.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// endTimeout is how long a program may take to end after its input has.
const endTimeout = 3 * time.Second

// close ends both ends, and says how the program ended. A write to this process's own
// output that nobody reads cannot be ended: it is left alone.
func (e *ends) close(wrote <-chan struct{}) error {
	_ = e.in.Close()
	if !e.own || e.kill != nil {
		_ = e.out.Close()
	}
	e.fail(errGone)
	select {
	case <-wrote:
	case <-time.After(endTimeout):
	}
	if e.wait == nil {
		return nil
	}
	defer time.AfterFunc(endTimeout, e.kill).Stop()
	return e.wait()
}

func (t *Transport) openEnds(ctx context.Context) (*ends, error) {
	if len(t.Command) == 0 {
		return newEnds(standardInput(), os.Stdout), nil
	}
	return t.start(ctx)
}

// standardInput is this process's input. It is opened anew where the system can: a
// Read of that one ends when it is closed.
func standardInput() io.ReadCloser {
	if again, err := os.OpenFile("/dev/stdin", os.O_RDONLY|syscall.O_NONBLOCK, 0); err == nil {
		return again
	}
	return os.Stdin
}

// start starts the program.
func (t *Transport) start(ctx context.Context) (*ends, error) {
	cmd := exec.CommandContext(context.WithoutCancel(ctx), t.Command[0], t.Command[1:]...)
	cmd.Stderr = &stderrLog{logger: t.logger.With("program", t.Command[0])}
	cmd.WaitDelay = endTimeout
	in, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		err = fmt.Errorf("starting the program: %w", err)
		if errors.Is(err, exec.ErrNotFound) || errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			err = message.Permanent(err)
		}
		return nil, err
	}
	e := newEnds(in, out)
	e.own, e.wait, e.kill = false, cmd.Wait, func() { _ = cmd.Process.Kill() }
	return e, nil
}

// maxLogLine is how much of a line of the program's standard error is logged.
const maxLogLine = 4096

// stderrLog logs each line that is written to it.
type stderrLog struct {
	logger *slog.Logger
	line   []byte
}

func (l *stderrLog) Write(text []byte) (int, error) {
	for _, b := range text {
		switch {
		case b == '\n':
			l.logger.Info("the program says", "line", string(l.line))
			l.line = l.line[:0]
		case len(l.line) < maxLogLine:
			l.line = append(l.line, b)
		}
	}
	return len(text), nil
}
