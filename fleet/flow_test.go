package fleet_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"switchboard/broker"
	"switchboard/broker/memory"
	"switchboard/message"
)

const (
	flowStages  = 6
	flowTotal   = 10000
	flowPerTick = 3
)

// flow sends messages through a dispatcher while its file is edited.
type flow struct {
	*site
	prefix string // of every connector, so that tests can share a broker
	mu     sync.Mutex
	got    map[string][]string // message IDs by queue, in the order they came
	all    chan struct{}       // closed when flowTotal messages from each side have come
	left   int
}

// config is the n-th state of the file: the transport leads to another exposed
// name each time, by another router every second time.
func (f *flow) config(n int) string {
	app := fmt.Sprintf("%sapp%d", f.prefix, n)
	text := fmt.Sprintf("worker_name: join\ntransport_names: [%[1]ssms, %[1]sspare%[3]d]\nexposed_names: [%[2]s, %[1]swriter]\n", f.prefix, app, n)
	if n%2 == 1 {
		return text + fmt.Sprintf("router_class: to_addr\ntoaddr_mappings: {%s: '123'}\n", app)
	}
	return text + fmt.Sprintf("router_class: simple\nroute_mappings: {%ssms: %s}\n", f.prefix, app)
}

// edit replaces the file by turns in each of the ways files are replaced.
func (f *flow) edit(n int) {
	path := filepath.Join(f.dir, "join.yaml")
	switch n % 3 {
	case 0:
		f.write("join.yaml", f.config(n))
	case 1:
		f.write(".join.yaml.new", f.config(n))
		must(f.t, os.Rename(filepath.Join(f.dir, ".join.yaml.new"), path))
	case 2:
		target := fmt.Sprintf("..version%d", n)
		f.write(target, f.config(n))
		must(f.t, os.Symlink(target, filepath.Join(f.dir, "..tmp")))
		must(f.t, os.Rename(filepath.Join(f.dir, "..tmp"), path))
	}
}

// collect notes what reaches a queue until ctx ends.
func (f *flow) collect(ctx context.Context, connector string, kind message.Flow) {
	key := message.Key(connector, kind)
	err := f.Broker.Consume(ctx, broker.Queue{Name: key, Keys: []string{key}}, 1000, func(d *broker.Delivery) {
		m, err := message.Decode(d.Body)
		f.mu.Lock()
		defer f.mu.Unlock()
		if err != nil {
			f.t.Error(err)
			return
		}
		f.got[key] = append(f.got[key], m.ID)
		if f.left--; f.left == 0 {
			close(f.all)
		}
		d.Ack()
	})
	if err != nil {
		f.t.Error(err)
	}
}

// keys are those the messages are sent to.
func (f *flow) keys() []string {
	return []string{f.prefix + "sms.inbound", f.prefix + "writer.outbound"}
}

// publish sends all messages from both sides, some each millisecond, so that
// they keep coming while the file is edited.
func (f *flow) publish() {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for i := range flowTotal {
		if i%flowPerTick == 0 {
			<-tick.C
		}
		m := message.New()
		m.ID, m.To, m.From, m.TransportName = fmt.Sprint(i), "12345", "+27831234567", f.prefix+"sms"
		for _, key := range f.keys() {
			f.Broker.PublishAsync(f.t.Context(), broker.Publication{Key: key, Body: m.Encode()}, func(err error) {
				if err != nil {
					f.t.Error(err)
				}
			})
		}
	}
}

// run sends the messages through five reloads and checks what arrived.
func (f *flow) run() {
	ctx, stop := context.WithCancel(f.t.Context())
	var group sync.WaitGroup
	for n := range flowStages {
		group.Go(func() { f.collect(ctx, fmt.Sprintf("%sapp%d", f.prefix, n), message.Inbound) })
	}
	group.Go(func() { f.collect(ctx, f.prefix+"sms", message.Outbound) })
	for n := range flowStages {
		if n == 0 {
			group.Go(f.publish)
			continue
		}
		f.edit(n)
		if changes := f.reload(); len(changes.Swapped) != 1 {
			f.t.Errorf("reload %d: %s", n, changes)
		}
	}
	select {
	case <-f.all:
	case <-time.After(time.Minute):
		f.t.Error("not all messages arrived within a minute")
	}
	stop()
	group.Wait()
	f.check()
}

// check puts together what each exposed name got: it must be all that was sent,
// once, in its order.
func (f *flow) check() {
	var inbound []string
	for n := range flowStages {
		ids := f.got[fmt.Sprintf("%sapp%d.inbound", f.prefix, n)]
		if len(ids) == 0 {
			f.t.Errorf("no message came while configuration %d was in use", n)
		}
		inbound = append(inbound, ids...)
	}
	for what, ids := range map[string][]string{"inbound": inbound, "outbound": f.got[f.prefix+"sms.outbound"]} {
		if len(ids) != flowTotal {
			f.t.Errorf("%s: %d of %d messages", what, len(ids), flowTotal)
		}
		for i, id := range ids {
			if id != fmt.Sprint(i) {
				f.t.Fatalf("%s: at place %d is message %s", what, i, id)
			}
		}
	}
}

func newFlow(t *testing.T, prefix string, b broker.Broker) *flow {
	f := &flow{prefix: prefix, got: map[string][]string{}, all: make(chan struct{}), left: 2 * flowTotal}
	f.site = newSite(t)
	f.write("join.yaml", f.config(0))
	for _, key := range f.keys() {
		must(t, b.Declare(t.Context(), broker.Queue{Name: key, Keys: []string{key}}))
	}
	f.start(b)
	return f
}

// Ten thousand messages from each side pass while the file is edited five
// times: none is lost, none goes two ways, and each queue's order is kept.
func TestTenThousandMessagesThroughFiveEdits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlow(t, "", memory.New(memory.Settings{}))
		defer f.stop()
		synctest.Wait()
		f.run()
	})
}
