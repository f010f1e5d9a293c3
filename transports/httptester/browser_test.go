//go:build services

package httptester

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"switchboard/message"
	"switchboard/transports/transporttest"
)

// browserPatience is for the whole of a test: a browser starts slowly where
// much else runs.
const browserPatience = 2 * time.Minute

// browser is a real one, without a window. SCREENSHOTS=dir keeps what it shows.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string // what the page complained of on its console
}

func openBrowser(t *testing.T) *browser {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), browserPatience)
	t.Cleanup(cancel)
	// The sandbox does not work for root, as tests in containers are.
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithAllocatorOptions(chromedp.NoSandbox))
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	b.do(chromedp.EmulateViewport(1280, 900))
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *browser) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		b.problems = append(b.problems, fmt.Sprint(e.ExceptionDetails.Text, " ", e.ExceptionDetails.Exception.Description))
	case *log.EventEntryAdded:
		if !strings.Contains(e.Entry.Text, "net::ERR_") { // the transport is stopped on purpose
			b.problems = append(b.problems, e.Entry.Text)
		}
	}
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.keep("failed")
		b.t.Fatalf("in the browser: %v", err)
	}
}

// sees waits until a JavaScript expression is true.
func (b *browser) sees(expression string, args ...any) {
	b.t.Helper()
	expression = fmt.Sprintf(expression, args...)
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(20*time.Second),
		chromedp.WithPollingInterval(20*time.Millisecond))); err != nil {
		b.keep("failed")
		b.t.Fatalf("waiting for %s: %v", expression, err)
	}
}

func (b *browser) keep(name string) {
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600)
	}
	if err != nil {
		b.t.Logf("keeping a screenshot: %v", err)
	}
}

// types writes into the phone with a number (its place on the page, from 1) and
// presses Enter.
func (b *browser) types(phone int, text string) {
	b.t.Helper()
	b.do(chromedp.SendKeys(chromedp.CSS(fmt.Sprintf(".phone:nth-child(%d) .composer input", phone)), text+"\r"))
}

func (b *browser) click(css string) {
	b.t.Helper()
	b.do(chromedp.Click(chromedp.CSS(css)))
}

// bubble is an expression: the phone shows a text that went a way.
func bubble(phone int, flow message.Flow, text string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('.phone:nth-child(%d) .talk .%s')].some(li => li.textContent === %q)`, phone, flow, text)
}

// echo answers what comes on the line until the test ends.
func echo(t *testing.T, tr *Transport, line *echoPublisher) {
	t.Helper()
	line.answer = func(m *message.Message) {
		var options []message.ReplyOption
		if m.Content == "bye" {
			options = append(options, message.EndSession)
		}
		if _, err := tr.Send(context.Background(), m.Reply("echo: "+m.Content, options...)); err != nil {
			t.Errorf("answering: %v", err)
		}
	}
}

// echoPublisher answers beside the line, as a fleet does.
type echoPublisher struct {
	*transporttest.Publisher
	answer  func(*message.Message)
	answers sync.WaitGroup
}

func (l *echoPublisher) Inbound(ctx context.Context, m *message.Message) error {
	if err := l.Publisher.Inbound(ctx, m); err != nil {
		return err
	}
	if m.SessionEvent != message.SessionClose {
		answered := m.Clone()
		l.answers.Go(func() { l.answer(answered) })
	}
	return nil
}

func TestPhonesInTheBrowser(t *testing.T) {
	tr, line := New(), &echoPublisher{Publisher: transporttest.NewPublisher()}
	tr.TransportName, tr.WebHost, tr.WebPort = "phone", "127.0.0.1", 0
	echo(t, tr, line)
	t.Cleanup(line.answers.Wait)
	stop := transporttest.Start(t, tr, line)
	page := pageOf(t, tr)
	b := openBrowser(t)
	b.do(chromedp.Navigate(page))
	b.sees(`document.querySelector('#link').dataset.state === 'live'`)

	b.types(1, "hello")
	b.sees(bubble(1, message.Outbound, "echo: hello"))
	b.types(1, `<img src=x onerror="document.title='owned'">`)
	b.sees(bubble(1, message.Inbound, `<img src=x onerror="document.title='owned'">`))
	b.sees(`document.title.includes('phone') && !document.querySelector('.talk img')`)
	b.types(1, "سلام ☃ naïve")
	b.sees(bubble(1, message.Outbound, "echo: سلام ☃ naïve"))

	b.click("#open button:not([type])") // a second phone beside the first
	b.types(2, "I am another")
	b.sees(bubble(2, message.Outbound, "echo: I am another"))
	b.sees(`!(` + bubble(1, message.Outbound, "echo: I am another") + `)`)
	b.click(".phone:nth-child(2) .session")
	b.sees(`document.querySelector('.phone:nth-child(2) .session').getAttribute('aria-pressed') === 'true'`)
	b.types(2, "bye")
	b.sees(`document.querySelector('.phone:nth-child(2) .talk').textContent.includes('the application ended the session')`)
	b.sees(`document.querySelector('.phone:nth-child(2) .session').getAttribute('aria-pressed') === 'false'`)
	b.isLegible("light")
	b.isLegible("dark")
	b.isLegible("light")

	b.do(chromedp.Reload())
	b.sees(bubble(1, message.Outbound, "echo: hello"))
	b.sees(bubble(2, message.Outbound, "echo: I am another"))

	b.click(".bulk summary")
	b.do(chromedp.SendKeys(chromedp.CSS("#lines"), "+12025550101, one\n+12025550102, two"))
	b.click("#bulk button")
	b.sees(`document.querySelector('#bulk-result').textContent === '2 messages were sent.'`)
	b.sees(`[...document.querySelectorAll('#log .text')].some(span => span.textContent === 'echo: two')`)

	release := line.Hold()
	b.types(1, "slow")
	b.sees(`document.querySelector('.phone:nth-child(1) .problem').textContent.startsWith('Still sending')`)
	b.sees(`!(` + bubble(1, message.Inbound, "slow") + `)`)
	release()
	b.sees(bubble(1, message.Outbound, "echo: slow"))
	b.sees(`document.querySelector('.phone:nth-child(1) .problem').hidden`)

	b.survivesARestart(tr, line, stop)
	b.fitsASmallScreen()
	b.click("#clear-all")
	b.sees(`!document.querySelector('.talk li, #log li')`)
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.problems) > 0 {
		t.Errorf("the page complained:\n%s", strings.Join(b.problems, "\n"))
	}
}

// survivesARestart: the page comes back by itself and gets what it missed.
func (b *browser) survivesARestart(tr *Transport, line *echoPublisher, stop func()) {
	b.t.Helper()
	addr, err := tr.Addr(b.ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	stop()
	b.sees(`document.querySelector('#link').dataset.state === 'waiting'`)
	b.types(1, "is anybody there?")
	b.sees(`document.querySelector('.phone:nth-child(1) .problem').textContent.includes('cannot reach')`)
	tr.WebPort = addr.(*net.TCPAddr).Port
	tr.history.add(entry{Flow: message.Outbound, Phone: b.numberOf(1), Other: "8080", Content: "you missed this"})
	transporttest.Start(b.t, tr, line)
	b.sees(`document.querySelector('#link').dataset.state === 'live'`)
	b.sees(bubble(1, message.Outbound, "you missed this"))
	b.sees(`document.querySelectorAll('.phone:nth-child(1) .talk .inbound').length === 4`) // none of them twice
	b.types(1, "\b\b")                                                                     // the text is still there to send again; shorten it
	b.sees(bubble(1, message.Outbound, "echo: is anybody ther"))
}

func (b *browser) numberOf(phone int) string {
	b.t.Helper()
	number, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](
		fmt.Sprintf(`document.querySelector('.phone:nth-child(%d)').dataset.number`, phone)))
	if err = errors.Join(err, checkNumber(number)); err != nil {
		b.t.Fatal(err)
	}
	return number
}

// fitsASmallScreen: as wide as the smallest phones, nothing is cut off, and
// what is tapped is big enough.
func (b *browser) fitsASmallScreen() {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(320, 640, chromedp.EmulateMobile), chromedp.Reload())
	b.sees(`document.querySelector('#link').dataset.state === 'live'`)
	b.types(1, "from a small screen")
	b.sees(bubble(1, message.Outbound, "echo: from a small screen"))
	b.sees(`document.documentElement.scrollWidth <= 320`)
	b.sees(`[...document.querySelectorAll('.phone button, .bar button, .composer input')].every(
		one => one.offsetParent === null || one.getBoundingClientRect().height >= 36)`)
	b.keep("small")
}

// contrasts lists texts whose contrast with what is behind them is below 4.5
// to 1 (WCAG 2.2, success criterion 1.4.3).
const contrasts = `(() => {
	const rgb = (color) => color.match(/[\d.]+/g).map(Number);
	const light = (color) => {
		const [r, g, b] = rgb(color).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
		return .2126 * r + .7152 * g + .0722 * b;
	};
	const behind = (e) => {
		const color = getComputedStyle(e).backgroundColor;
		return rgb(color)[3] === 0 && e.parentElement ? behind(e.parentElement) : color;
	};
	return [...document.querySelectorAll('body *')]
		.filter(e => e.offsetParent && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
		.map(e => ({ e, pair: [light(getComputedStyle(e).color), light(behind(e))].sort((a, b) => b - a) }))
		.filter(({ pair }) => (pair[0] + .05) / (pair[1] + .05) < 4.5)
		.map(({ e }) => e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 30));
})()`

// isLegible looks at the page as somebody who prefers a light or a dark one.
func (b *browser) isLegible(scheme string) {
	b.t.Helper()
	b.do(func(ctx context.Context, tab *chromedp.Target) (void chromedp.Void, err error) {
		_, err = cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return void, err
	})
	b.sees(`matchMedia('(prefers-color-scheme: %s)').matches`, scheme)
	faint, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](contrasts))
	if err != nil {
		b.t.Fatal(err)
	}
	if len(faint) > 0 {
		b.t.Errorf("hard to read on a %s page: %s", scheme, strings.Join(faint, "; "))
	}
	b.keep(scheme)
}
