package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/message"
	"switchboard/persistence"
)

// broadcastSection sends one text to many persons, through a transport that
// answers at once, and compares with the dispatcher in the same run.
func broadcastSection(ctx context.Context, s settings) (string, error) {
	b, err := rabbitmq.Open(rabbitmq.Settings{URL: s.amqpURL, Name: "bench"})
	if err != nil {
		return "", err
	}
	defer func() { _ = b.Close(context.Background()) }()
	dispatched, err := measureDispatcher(ctx, b, s, 1, s.n)
	if err != nil {
		return "", err
	}
	var text strings.Builder
	text.WriteString(fmt.Sprintf("`switchboard send --from-file` with a list of persons and a personal field; one `persistence` worker\n"+
		"hands over; a transport in the benchmark acknowledges each message at once, which is recorded too.\n"+
		"The dispatcher's own rate, in the same run, is %.0f messages/s.\n\n", dispatched.rate))
	text.WriteString("| persons | what | time | messages/s | of the dispatcher | peak memory |\n|---:|---|---:|---:|---:|---:|\n")
	for _, people := range s.people {
		sent, err := measureBroadcast(ctx, b, s, people)
		if err != nil {
			return "", fmt.Errorf("%d persons: %w", people, err)
		}
		text.WriteString(sent.rows(people, dispatched.rate))
	}
	return strings.TrimRight(text.String(), "\n"), nil
}

func (m *sentBroadcast) rows(people int, dispatcher float64) string {
	line := func(what string, took time.Duration, beside, memory string) string {
		return fmt.Sprintf("| %d | %s | %.1f s | %.0f | %s | %s |\n", people, what, took.Seconds(), float64(people)/took.Seconds(), beside, memory)
	}
	memory := func(u usage) string { return fmt.Sprintf("%.0f MB", float64(u.peakRSS)/1e6) }
	return line("stored (the command's whole run)", m.stored, "–", memory(m.storing)) +
		line("handed over", m.handed, fmt.Sprintf("%.2f", float64(people)/m.handed.Seconds()/dispatcher), memory(m.handing)) +
		line("recorded as sent", m.recorded, "–", "–")
}

// sentBroadcast is how long a broadcast took: until it was stored, and from
// the recorder's start until the last message had come and was recorded as
// sent.
type sentBroadcast struct {
	stored, handed, recorded time.Duration
	storing, handing         usage
}

func measureBroadcast(ctx context.Context, b *rabbitmq.Broker, s settings, people int) (m sentBroadcast, err error) {
	l, err := newLedger(ctx, s, "bench_broadcast")
	if err != nil {
		return m, err
	}
	defer l.drop()
	for _, queue := range []string{persistence.RecordQueue("bench"), persistence.TaskQueue("bench"), "bench_rec.outbound"} {
		if err := b.Delete(ctx, queue); err != nil {
			return m, err
		}
		defer func() { _ = b.Delete(context.Background(), queue) }()
	}
	if m.stored, m.storing, err = storeBroadcast(ctx, s, l, people); err != nil {
		return m, err
	}
	hearing, stop := context.WithCancel(ctx)
	defer stop()
	came := new(atomic.Int64)
	heard := make(chan error, 1)
	go func() { heard <- answerAtOnce(hearing, b, came) }()
	began := time.Now()
	c, err := startRecorder(ctx, s, l)
	if err != nil {
		return m, err
	}
	m.handed, m.recorded, err = timeBroadcast(ctx, l, began, came, people)
	var stopErr error
	m.handing, stopErr = c.stop()
	stop()
	_, _ = os.Stderr.Write(c.out.Bytes()) // what it warned of
	if err = errors.Join(err, stopErr, <-heard); err != nil {
		err = fmt.Errorf("%w\n%s", err, c.out.String())
	}
	return m, err
}

func storeBroadcast(ctx context.Context, s settings, l *ledger, people int) (took time.Duration, used usage, err error) {
	list := filepath.Join(s.dir, "people.csv")
	if err := writePeople(list, people); err != nil {
		return 0, used, err
	}
	began := time.Now()
	c, err := startChild(ctx, l.url, s.binary, "send", "--force", "--transport", "bench_rec",
		"--from-file", list, "--text", "Hi {{name}}, the clinic is open on Monday.")
	if err != nil {
		return 0, used, err
	}
	used, err = c.finish()
	return time.Since(began), used, err
}

func writePeople(path string, n int) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(file)
	_, _ = out.WriteString("address,name\n") // an error stays with the writer and is met at Flush
	for i := range n {
		_, _ = fmt.Fprintf(out, "+27%09d,person %d\n", i, i)
	}
	return errors.Join(out.Flush(), file.Close())
}

// sinkPrefetch is so large that the transport's own confirms hold nothing up.
const sinkPrefetch = 5000

// answerAtOnce plays the transport: an ack for each message, and only then does
// it leave its queue.
func answerAtOnce(ctx context.Context, b *rabbitmq.Broker, came *atomic.Int64) error {
	queue := broker.Queue{Name: "bench_rec.outbound", Keys: []string{"bench_rec.outbound"}}
	return b.Consume(ctx, queue, sinkPrefetch, func(d *broker.Delivery) {
		m, err := message.Decode(d.Body)
		if err != nil {
			return // the clock never stops, and says so
		}
		came.Add(1)
		ack := message.NewAck(m, m.ID)
		ack.TransportName = "bench_rec"
		b.PublishAsync(context.WithoutCancel(ctx), broker.Publication{Key: "bench_rec.event", Body: ack.Encode()}, func(err error) {
			if err != nil {
				d.Requeue()
				return
			}
			d.Ack()
		})
	})
}

func timeBroadcast(ctx context.Context, l *ledger, began time.Time, came *atomic.Int64, n int) (handed, recorded time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if handed == 0 && came.Load() >= int64(n) {
			handed = time.Since(began)
		}
		if handed > 0 {
			if done, err := l.count(ctx, "status = 'S'"); err != nil || done == n {
				return handed, time.Since(began), err
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(10 * pollEvery):
		}
	}
	return 0, 0, fmt.Errorf("%d of %d messages came: %w", came.Load(), n, ctx.Err())
}
