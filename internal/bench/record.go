package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/message"
	"switchboard/persistence"
)

const (
	recordSchema = "bench_record"
	// singlyFor is how long single rows are inserted.
	singlyFor = 3 * time.Second
	// people is how many persons the conversations are with.
	people = 50_000
)

// exchange is one conversation: a message in, its reply, the ack and the
// delivery report of that.
type exchange struct {
	in, out     *message.Message
	ack, report *message.Event
}

func newExchange(i int) exchange {
	in := message.New()
	in.From, in.To, in.TransportName, in.Content = fmt.Sprintf("+27%09d", i%people), "12345", "bench_rec", "balance please"
	out := message.New()
	out.To, out.From, out.TransportName, out.InReplyTo = in.From, in.To, "bench_rec", in.ID
	out.Content = "Your balance is R 12.34. Thank you for being with us."
	out.RoutingMetadata.Set(message.PathKey, []string{"bench_app"})
	return exchange{in, out, message.NewAck(out, message.NewID()), message.NewDeliveryReport(out, message.Delivered)}
}

func (x exchange) publications() []broker.Publication {
	return []broker.Publication{
		{Key: "bench_rec.inbound", Body: x.in.Encode()},
		{Key: "bench_rec.outbound", Body: x.out.Encode()},
		{Key: "bench_rec.event", Body: x.ack.Encode()},
		{Key: "bench_rec.event", Body: x.report.Encode()},
	}
}

const envelopesEach = 4

// recordSection records conversations that wait in the worker's queue, and
// inserts the same rows one by one.
func recordSection(ctx context.Context, s settings) (string, error) {
	b, err := rabbitmq.Open(rabbitmq.Settings{URL: s.amqpURL, Name: "bench"})
	if err != nil {
		return "", err
	}
	defer func() { _ = b.Close(context.Background()) }()
	var recorded, singly, eight []measure
	for range s.rounds {
		m, err := s.measured("Record", func(s settings) (measure, error) { return measureRecord(ctx, b, s) })
		if err != nil {
			return "", err
		}
		recorded = append(recorded, m)
		for _, c := range []struct {
			clients int
			into    *[]measure
		}{{1, &singly}, {8, &eight}} {
			if m, err = measureSingly(ctx, s, c.clients); err != nil {
				return "", err
			}
			*c.into = append(*c.into, m)
		}
	}
	ours, one, many := median(recorded, rate), median(singly, rate), median(eight, rate)
	text := fmt.Sprintf("%d conversations (a message in, its reply, the ack, the delivery report: four envelopes, six rows)\n"+
		"wait in the queue of one `persistence` worker; the clock runs until the last is in PostgreSQL and\n"+
		"delivered. The yardstick inserts the same rows with one statement and one commit each, as pgbench\n"+
		"does.\n\n", s.n)
	text += "| what | envelopes/s | times | CPU an envelope | peak memory |\n|---|---:|---:|---:|---:|\n"
	text += fmt.Sprintf("| single-row inserts, 1 client | %.0f | 1.0 | – | – |\n", one)
	text += fmt.Sprintf("| single-row inserts, 8 clients | %.0f | %.1f | – | – |\n", many, many/one)
	text += fmt.Sprintf("| `persistence` | %.0f | %.1f | %.3f ms | %.0f MB |", ours, ours/one,
		median(recorded, cpuMillis), median(recorded, megabytes))
	return text, nil
}

func measureRecord(ctx context.Context, b *rabbitmq.Broker, s settings) (measure, error) {
	l, err := newLedger(ctx, s, recordSchema)
	if err != nil {
		return measure{}, err
	}
	defer l.drop()
	queue := persistence.RecordQueue("bench")
	if err := fillTap(ctx, b, queue, s.n); err != nil {
		return measure{}, err
	}
	defer func() { _ = b.Delete(context.Background(), queue) }()
	c, err := startRecorder(ctx, s, l)
	if err != nil {
		return measure{}, err
	}
	took, err := timeRecorded(ctx, b, l, queue, s.n)
	used, stopErr := c.stop()
	if err = errors.Join(err, stopErr); err != nil {
		return measure{}, fmt.Errorf("%w\n%s", err, c.out.String())
	}
	n := envelopesEach * s.n
	return measure{rate: float64(n) / took.Seconds(), cpu: used.cpu / time.Duration(n), rss: used.peakRSS}, nil
}

// fillTap fills the worker's queue with n conversations.
func fillTap(ctx context.Context, b *rabbitmq.Broker, queue string, n int) error {
	q := broker.Queue{Name: queue, Keys: []string{"bench_rec.inbound", "bench_rec.outbound", "bench_rec.event", "bench_app.receipt"}}
	if err := b.Declare(ctx, q); err != nil {
		return err
	}
	if _, err := b.Purge(ctx, queue); err != nil {
		return err
	}
	return fill(ctx, b, n, func(i int) []broker.Publication { return newExchange(i).publications() })
}

// timeRecorded is how long it takes from the first body that leaves the queue
// until all n conversations are in the database.
func timeRecorded(ctx context.Context, b *rabbitmq.Broker, l *ledger, queue string, n int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	var began time.Time
	for {
		info, err := b.Inspect(ctx, queue)
		if err != nil {
			return 0, err
		}
		if began.IsZero() && info.Messages < envelopesEach*n {
			began = time.Now()
		}
		if info.Messages == 0 {
			if done, err := l.count(ctx, "status = 'D'"); err != nil || done == n {
				return time.Since(began), err
			}
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("%s still holds %d bodies: %w", queue, info.Messages, ctx.Err())
		case <-time.After(2 * pollEvery):
		}
	}
}

func measureSingly(ctx context.Context, s settings, clients int) (measure, error) {
	l, err := newLedger(ctx, s, recordSchema)
	if err != nil {
		return measure{}, err
	}
	defer l.drop()
	type result struct {
		n   int
		err error
	}
	results := make(chan result, clients)
	began := time.Now()
	for client := range clients {
		go func() {
			n, err := insertSingly(ctx, l.url, client)
			results <- result{n, err}
		}()
	}
	total := 0
	for range clients {
		r := <-results
		if r.err != nil {
			return measure{}, r.err
		}
		total += r.n
	}
	return measure{rate: float64(total) / time.Since(began).Seconds()}, nil
}

// insertSingly inserts rows one by one for a while, and counts the envelopes.
func insertSingly(ctx context.Context, url string, client int) (n int, err error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close(context.Background()) }()
	for began := time.Now(); time.Since(began) < singlyFor; n += envelopesEach {
		if err := insertExchange(ctx, c, newExchange(client*people+n)); err != nil {
			return n, err
		}
	}
	return n, nil
}

func insertExchange(ctx context.Context, c *pgx.Conn, x exchange) error {
	now := time.Now().UTC()
	month := now.Year()*100 + int(now.Month())
	for direction, m := range map[string]*message.Message{"I": x.in, "O": x.out} {
		_, err := c.Exec(ctx, `INSERT INTO message (id, direction, month, status, text, own_address, in_response_to, body, date, updated,
			open_count, sent_count, done_count, error_count) VALUES ($1, $2, $3, 'Q', $4, '12345', $5, $6, $7, $7, 1, 0, 0, 0)`,
			m.ID, direction, month, m.Content, m.InReplyTo, string(m.Encode()), m.Timestamp)
		if err != nil {
			return err
		}
		_, err = c.Exec(ctx, `INSERT INTO transmission (id, direction, backend_id, month, message_id, connection_id, status, progress,
			attempt, date, updated) VALUES ($1, $2, 1, $3, $1, 1, 'Q', 0, 1, $4, $4)`, m.ID, direction, month, m.Timestamp)
		if err != nil {
			return err
		}
	}
	for _, e := range []*message.Event{x.ack, x.report} {
		_, err := c.Exec(ctx, `INSERT INTO event (id, month, message_id, direction, backend_id, type, date, recorded, body)
			VALUES ($1, $2, $3, 'O', 1, $4, $5, $5, $6)`, e.ID, month, e.MessageID, string(e.Type), e.Timestamp, string(e.Encode()))
		if err != nil {
			return err
		}
	}
	return nil
}
