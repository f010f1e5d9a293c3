package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
	"switchboard/message"
	"switchboard/persistence"
)

// queueKind is what the queues of a conversation are made.
type queueKind struct {
	name    string
	version int // of classic queues, set by a policy; 0 is the broker's own
	kind    broker.QueueType
}

// queueKinds are those that can be had: a policy takes RabbitMQ's own tool, which
// scripts/services has.
func queueKinds(ctx context.Context) []queueKind {
	kinds := []queueKind{{"classic, as the broker makes them", 0, broker.Classic}}
	if err := setVersion(ctx, 1); err == nil {
		kinds = []queueKind{{"classic, version 2", 2, broker.Classic}, {"classic, version 1", 1, broker.Classic}}
	}
	return append(kinds, queueKind{"quorum", 0, broker.Quorum})
}

// policy is the policy that sets the version of the queues measured.
const policy = "bench-queue-version"

func setVersion(ctx context.Context, version int) error {
	return rabbitmqctl(ctx, "set_policy", policy, "bench_c", fmt.Sprintf(`{"queue-version":%d}`, version), "--apply-to", "queues")
}

func rabbitmqctl(ctx context.Context, args ...string) error {
	services := os.Getenv("SERVICES")
	if services == "" {
		return errors.New("only scripts/services has RabbitMQ's own tool at hand")
	}
	return exec.CommandContext(ctx, services, append([]string{"rabbitmqctl"}, args...)...).Run()
}

// The shapes of a conversation's way.
const (
	bareShape     = "bare loop"
	memoryShape   = "fleet, state in memory"
	recordedShape = "fleet, recorded, state in PostgreSQL"
)

var shapes = []string{bareShape, memoryShape, recordedShape}

// conversationSection lets people talk to an echo, and be answered: source → dispatcher →
// echo → dispatcher → sink.
func conversationSection(ctx context.Context, s settings) (string, error) {
	defer func() { _ = rabbitmqctl(context.Background(), "clear_policy", policy) }()
	var out, usages strings.Builder
	out.WriteString("A source publishes what people say, an echo answers, a sink takes the answers: three confirmed hops,\n" +
		"dispatcher → echo → dispatcher, each worker a process of its own with its defaults. The bare loop\n" +
		"makes the same hops in as many processes, and looks into nothing. 1,000 conversations at once give\n" +
		"the rate; the time of a whole conversation is taken at half of that rate. Queues of the first kind\n" +
		"have all the rounds, the others one.\n\n" +
		"| queues | what | conversations/s | of the bare loop | of the unrecorded | half of it: median | 99 of 100 |\n|---|---|---:|---:|---:|---:|---:|\n")
	for i, kind := range queueKinds(ctx) {
		s := s
		if s.n = min(s.n, mostTalks); i > 0 {
			s.rounds = 1 // to look beside
		}
		measured, err := conversationRounds(ctx, s, kind)
		if err != nil {
			return "", fmt.Errorf("%s: %w", kind.name, err)
		}
		bare, unrecorded := median(measured[bareShape], talkRate), median(measured[memoryShape], talkRate)
		for _, shape := range shapes {
			all := measured[shape]
			rate := median(all, talkRate)
			ofUnrecorded := "–"
			if shape == recordedShape {
				ofUnrecorded = fmt.Sprintf("%.2f", rate/unrecorded)
			}
			fmt.Fprintf(&out, "| %s | %s | %.0f | %.2f | %s | %.1f ms | %.1f ms |\n", kind.name, shape, rate, rate/bare, ofUnrecorded,
				median(all, talkMedian), median(all, talkWorst))
		}
		if i == 0 {
			fmt.Fprintf(&usages, "\nBy process, with queues of the first kind:\n\n"+
				"| process | CPU a conversation, unrecorded | recorded | peak memory, unrecorded | recorded |\n|---|---:|---:|---:|---:|\n")
			for _, process := range []string{"source and sink", "dispatcher", "echo", "persistence", "RabbitMQ", "PostgreSQL"} {
				usages.WriteString(usageRow(process, measured[memoryShape], measured[recordedShape]))
			}
		}
	}
	return strings.TrimRight(out.String()+usages.String(), "\n"), nil
}

func usageRow(process string, unrecorded, recorded []talk) string {
	cell := func(all []talk, format string, of func(usage) float64) string {
		if _, there := all[0].used[process]; !there {
			return "–"
		}
		value := median(all, func(t talk) float64 { return of(t.used[process]) })
		if value == 0 {
			return "–"
		}
		return fmt.Sprintf(format, value)
	}
	cpu := func(u usage) float64 { return float64(u.cpu) / 1e6 }
	rss := func(u usage) float64 { return float64(u.peakRSS) / 1e6 }
	return fmt.Sprintf("| %s | %s | %s | %s | %s |\n", process, cell(unrecorded, "%.3f ms", cpu), cell(recorded, "%.3f ms", cpu),
		cell(unrecorded, "%.0f MB", rss), cell(recorded, "%.0f MB", rss))
}

// talk is one measurement.
type talk struct {
	rate          float64 // conversations/s
	median, worst time.Duration
	used          map[string]usage // by process; CPU of one conversation
}

func talkRate(t talk) float64   { return t.rate }
func talkMedian(t talk) float64 { return float64(t.median) / 1e6 }
func talkWorst(t talk) float64  { return float64(t.worst) / 1e6 }

// conversationRounds measures every shape in each round.
func conversationRounds(ctx context.Context, s settings, kind queueKind) (map[string][]talk, error) {
	if kind.version > 0 {
		if err := setVersion(ctx, kind.version); err != nil {
			return nil, fmt.Errorf("setting the version of queues: %w", err)
		}
	}
	measured := map[string][]talk{}
	for range s.rounds {
		for _, shape := range shapes {
			t, err := measureConversation(ctx, s, kind, shape)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", shape, err)
			}
			measured[shape] = append(measured[shape], t)
			if shape != bareShape {
				s.results.add(&s.results.now, "Conversation/"+kind.name+"/"+shape, measure{rate: t.rate})
			}
		}
	}
	return measured, nil
}

// The connectors of a conversation, and the worker that records it.
const (
	talkTransport   = "bench_c"
	talkApplication = "bench_capp"
	talkRecorder    = "bench_crec"
)

var talkQueues = []string{
	talkTransport + ".inbound", talkTransport + ".outbound", talkTransport + ".event",
	talkApplication + ".inbound", talkApplication + ".outbound", talkApplication + ".event",
	persistence.RecordQueue(talkRecorder), persistence.TaskQueue(talkRecorder),
}

func measureConversation(ctx context.Context, s settings, kind queueKind, shape string) (t talk, err error) {
	b, err := rabbitmq.Open(rabbitmq.Settings{URL: s.amqpURL, Name: "bench"})
	if err != nil {
		return t, err
	}
	defer func() {
		for _, queue := range talkQueues {
			_ = b.Delete(context.Background(), queue)
		}
		_ = b.Close(context.Background())
	}()
	for _, queue := range talkQueues {
		_ = b.Delete(ctx, queue)
	}
	keys := talkQueues[:6]
	for _, key := range keys {
		if err := b.Declare(ctx, broker.Queue{Name: key, Keys: []string{key}, Type: kind.kind}); err != nil {
			return t, err
		}
	}
	database := "memory:"
	if shape == recordedShape {
		l, err := newLedger(ctx, s, recordSchema)
		if err != nil {
			return t, err
		}
		defer l.drop()
		database = l.url
	}
	processes, err := startShape(ctx, s, kind, shape, database)
	defer func() {
		for name, c := range processes {
			_, stopErr := c.stop()
			if stopErr != nil {
				err = errors.Join(err, fmt.Errorf("%s: %w", name, stopErr))
			}
		}
	}()
	if err != nil {
		return t, err
	}
	return converse(ctx, b, s.n, kind, processes)
}

// startShape starts the processes between source and sink.
func startShape(ctx context.Context, s settings, kind queueKind, shape, database string) (map[string]*child, error) {
	processes := map[string]*child{}
	start := func(name, program string, args ...string) error {
		c, err := startChild(ctx, database, program, args...)
		if err == nil {
			processes[name] = c
		}
		return err
	}
	if shape == bareShape {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		return processes, errors.Join(
			start("dispatcher", self, bareMode, talkQueues[0], talkQueues[3], talkQueues[4], talkQueues[1]),
			start("echo", self, bareMode, talkQueues[3], talkQueues[4]))
	}
	files := map[string]string{
		"dispatcher": fmt.Sprintf("router_class: simple\ntransport_names: [%s]\nexposed_names: [%s]\nroute_mappings: {%[1]s: %[2]s}\n", talkTransport, talkApplication),
		"echo":       fmt.Sprintf("application_class: echo\ntransport_name: %s\n", talkApplication),
	}
	if shape == recordedShape {
		files["persistence"] = fmt.Sprintf("worker_class: persistence\nworker_name: %s\ntransport_names: [%s]\nexposed_names: [%s]\n", talkRecorder, talkTransport, talkApplication)
	}
	for name, text := range files {
		if kind.kind == broker.Quorum {
			text += "queue_type: quorum\n"
		}
		file := filepath.Join(s.dir, "bench_"+name+".yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return processes, err
		}
		if err := start(name, s.binary, "run", "--http", "127.0.0.1:0", "--log-level", "warn", file); err != nil {
			return processes, err
		}
	}
	return processes, nil
}

const (
	talksAtOnce  = 1000
	latencyFor   = 3 * time.Second
	leastWarm    = 2000
	mostTalks    = 8000 // of one measurement
	talkPatience = 3 * time.Minute
)

// converse measures n conversations, and then the time of some.
func converse(ctx context.Context, b *rabbitmq.Broker, n int, kind queueKind, processes map[string]*child) (t talk, err error) {
	ctx, cancel := context.WithTimeout(ctx, talkPatience)
	defer cancel()
	crowd := &crowd{b: b, window: make(chan struct{}, talksAtOnce), came: make(chan int, talksAtOnce)}
	sinking, stop := context.WithCancel(ctx)
	sunk := make(chan error, 1)
	go func() {
		queue := broker.Queue{Name: talkQueues[1], Keys: []string{talkQueues[1]}, Type: kind.kind}
		sunk <- b.Consume(sinking, queue, sinkPrefetch, crowd.hear)
	}()
	defer func() {
		stop()
		err = errors.Join(err, <-sunk)
	}()
	if _, err := crowd.talk(ctx, leastWarm, 0); err != nil {
		return t, err
	}
	before := usages(processes)
	began := time.Now()
	if _, err := crowd.talk(ctx, n, 0); err != nil {
		return t, err
	}
	t.rate = float64(n) / time.Since(began).Seconds()
	t.used = usages(processes)
	for name, u := range t.used {
		t.used[name] = usage{cpu: (u.cpu - before[name].cpu) / time.Duration(n), peakRSS: u.peakRSS}
	}
	if processes["persistence"] != nil { // it may be behind
		if err := awaitEmpty(ctx, b, persistence.RecordQueue(talkRecorder)); err != nil {
			return t, err
		}
	}
	took, err := crowd.talk(ctx, int(t.rate/2*latencyFor.Seconds()), t.rate/2)
	if err != nil {
		return t, err
	}
	slices.Sort(took)
	t.median, t.worst = took[len(took)/2], took[len(took)*99/100]
	return t, nil
}

// awaitEmpty waits until nothing waits in a queue.
func awaitEmpty(ctx context.Context, b *rabbitmq.Broker, queue string) error {
	for {
		info, err := b.Inspect(ctx, queue)
		if err != nil || info.Messages == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s still holds %d bodies: %w", queue, info.Messages, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}

// crowd is people who talk, and note how long their answers take.
type crowd struct {
	b      *rabbitmq.Broker
	window chan struct{}
	came   chan int
}

// personsOfTalks is how many people talk: a person's messages are handled one by one.
const personsOfTalks = 5000

// numberMark is before the number of a conversation, in what is said and in what is answered.
const numberMark = "conversation-"

// talk has n conversations, as fast as the window allows, or at a rate a second as many
// independent people begin them (Poisson). The time of one is from when it was due.
func (p *crowd) talk(ctx context.Context, n int, rate float64) (took []time.Duration, err error) {
	bodies := make([][]byte, n)
	for i := range bodies {
		m := message.New()
		m.From, m.To, m.TransportName, m.TransportType = fmt.Sprintf("+27%09d", i%personsOfTalks), "12345", talkTransport, "sms"
		m.Content = fmt.Sprintf("%s%08d The quick brown fox jumps over the lazy dog.", numberMark, i)
		bodies[i] = m.Encode()
	}
	said, took := make([]time.Time, n), make([]time.Duration, n)
	failed := make(chan error, n)
	go func() {
		due := time.Now()
		for i, body := range bodies {
			if rate > 0 {
				due = due.Add(time.Duration(rand.ExpFloat64() / rate * float64(time.Second)))
				sleepUntil(due)
			}
			select {
			case p.window <- struct{}{}:
			case <-ctx.Done():
				return
			}
			if said[i] = due; rate == 0 {
				said[i] = time.Now()
			}
			p.b.PublishAsync(ctx, broker.Publication{Key: talkQueues[0], Body: body}, func(err error) {
				if err != nil {
					failed <- err
				}
			})
		}
	}()
	for heard := 0; heard < n; {
		select {
		case i := <-p.came:
			if took[i] == 0 { // else a copy
				took[i] = time.Since(said[i])
				heard++
				<-p.window
			}
		case err := <-failed:
			return nil, err
		case <-ctx.Done():
			return nil, fmt.Errorf("%d of %d conversations were answered: %w", heard, n, ctx.Err())
		}
	}
	return took, nil
}

// sleepUntil is finer than time.Sleep, which wakes an idle process by whole milliseconds.
func sleepUntil(due time.Time) {
	if wait := time.Until(due); wait > 0 {
		nap := syscall.NsecToTimespec(wait.Nanoseconds())
		_ = syscall.Nanosleep(&nap, nil)
	}
}

// hear takes an answer.
func (p *crowd) hear(d *broker.Delivery) {
	d.Ack()
	at := bytes.Index(d.Body, []byte(numberMark)) + len(numberMark)
	i, err := strconv.Atoi(string(d.Body[at : at+8]))
	if err != nil {
		return // the clock never stops, and says so
	}
	p.came <- i
}
