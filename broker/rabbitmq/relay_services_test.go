//go:build services

package rabbitmq_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"switchboard/broker"
	"switchboard/broker/rabbitmq"
)

// TestLargeBodiesMoveToTheDeadLetters: no consumer receives a body over broker.MaxBody. It
// becomes a dead letter, whole, once, also where the connection breaks meanwhile or the dead
// letters' queue is deleted. Those before and behind it come.
func TestLargeBodiesMoveToTheDeadLetters(t *testing.T) {
	for name, broken := range map[string]func(t *testing.T, p *proxy, b *rabbitmq.Broker, dead string){
		"undisturbed": func(*testing.T, *proxy, *rabbitmq.Broker, string) {},
		"cut":         func(_ *testing.T, p *proxy, _ *rabbitmq.Broker, _ string) { p.Cut() },
		"returned": func(t *testing.T, _ *proxy, _ *rabbitmq.Broker, dead string) {
			_, err := rawChannel(t).QueueDelete(dead, false, false, false)
			must(t, err)
		},
	} {
		for _, kind := range []broker.QueueType{broker.Classic, broker.Quorum} {
			if kind == broker.Quorum && name != "undisturbed" {
				continue
			}
			t.Run(name+" "+string(kind), func(t *testing.T) {
				ctx := testContext(t)
				direct := openClosed(t, rabbitmq.Settings{URL: amqpURL(t)})
				q := broker.Queue{Name: "rabbitmqtest." + rand.Text(), Type: kind}
				dead := broker.Queue{Name: q.Name + broker.DeadSuffix, Type: kind}
				must(t, direct.Declare(ctx, q))
				t.Cleanup(func() {
					for _, queue := range []string{q.Name, dead.Name} {
						must(t, openClosed(t, rabbitmq.Settings{URL: amqpURL(t)}).Delete(context.Background(), queue))
					}
				})
				large := make([]byte, broker.MaxBody+1)
				_, err := rand.Read(large)
				must(t, err)
				for _, body := range [][]byte{[]byte("a"), []byte("b"), large, []byte("c")} {
					must(t, direct.Publish(ctx, broker.Publication{Queue: q.Name, Body: body}))
				}

				p := newProxy(t)
				var attempts atomic.Int64
				var b *rabbitmq.Broker
				b = openClosed(t, rabbitmq.Settings{
					URL: p.url, Heartbeat: 2 * time.Second,
					DeadLetter: func(d *broker.Delivery, size uint64) broker.Headers {
						if d.Queue != q.Name || size != uint64(len(large)) {
							t.Errorf("%d bytes of %s", size, d.Queue)
						}
						if attempts.Add(1) == 1 {
							broken(t, p, b, dead.Name)
						}
						return broker.Headers{"why": "large"}
					},
				})
				consuming, stop := context.WithCancel(ctx)
				var held []*broker.Delivery
				settled := ""
				must(t, b.Consume(consuming, q, 10, func(d *broker.Delivery) {
					if len(d.Body) != 1 {
						t.Errorf("a consumer received %d bytes", len(d.Body))
					}
					if d.Body[0] == 'a' && !d.Redelivered { // it is unsettled when the connection ends
						held = append(held, d)
						return
					}
					settled += string(d.Body)
					d.Ack()
					if strings.Contains(settled, "a") && strings.Contains(settled, "b") && strings.Contains(settled, "c") {
						stop()
						for _, d := range held { // Consume waits for them
							d.Ack()
						}
					}
				}))
				must(t, direct.Browse(ctx, dead.Name, 10, func(d *broker.Delivery) (broker.Verdict, error) {
					if !bytes.Equal(d.Body, large) || d.Headers["why"] != "large" {
						t.Errorf("%d bytes with %v", len(d.Body), d.Headers)
					}
					large = nil
					return broker.Keep, nil
				}))
				if large != nil || attempts.Load() == 1 != (name == "undisturbed") {
					t.Errorf("the large body is gone, or took %d attempts", attempts.Load())
				}
			})
		}
	}
}
