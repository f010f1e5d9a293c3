package cli

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progress is a bar on a terminal; elsewhere it is silent.
type progress struct {
	out   io.Writer // nil where nothing is to be shown
	size  int64     // bytes to come; 0 where it is unknown
	done  int64
	count int
	began time.Time
	shown time.Time
}

const (
	progressWidth = 30
	progressEvery = 100 * time.Millisecond
)

func newProgress(out io.Writer, size int64) *progress {
	p := &progress{size: size, began: time.Now()}
	if file, ok := out.(*os.File); ok && isTerminal(file) {
		p.out = out
	}
	return p
}

// advance notes that bytes more were read, and that they were count things so
// far.
func (p *progress) advance(bytes int64, count int) {
	p.done, p.count = p.done+bytes, count
	if now := time.Now(); p.out != nil && now.Sub(p.shown) >= progressEvery {
		p.shown = now
		_, _ = fmt.Fprint(p.out, "\r\x1b[K"+p.bar(now))
	}
}

func (p *progress) bar(now time.Time) string {
	rate := float64(p.count) / max(now.Sub(p.began).Seconds(), 0.001)
	text := fmt.Sprintf("%d messages, %.0f/s", p.count, rate)
	if p.size == 0 {
		return text
	}
	part := min(1, float64(p.done)/float64(p.size))
	full := int(part * progressWidth)
	return fmt.Sprintf("[%s%s] %3.0f%%  %s", strings.Repeat("=", full), strings.Repeat(" ", progressWidth-full), 100*part, text)
}

// clear makes room for a line of text.
func (p *progress) clear() {
	if p.out != nil {
		_, _ = fmt.Fprint(p.out, "\r\x1b[K")
	}
}

// end shows the last state and leaves the line.
func (p *progress) end() {
	if p.out != nil {
		_, _ = fmt.Fprintln(p.out, "\r\x1b[K"+p.bar(time.Now()))
	}
}

// maxNamed is how many bad lines are named one by one.
const maxNamed = 20

// namer names the first bad lines of an input above the bar.
func (p *progress) namer(out io.Writer, what string) func(err error, n int) {
	return func(err error, n int) {
		if n > maxNamed+1 {
			return
		}
		p.clear()
		if n > maxNamed {
			err = fmt.Errorf("… further %s are only counted", what)
		}
		_, _ = fmt.Fprintln(out, printable(err.Error()))
	}
}
