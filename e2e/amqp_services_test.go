//go:build services

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rabbitmq/amqp091-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"switchboard/broker"
	"switchboard/message"
)

// The applications of examples/amqp speak over RabbitMQ with a fleet. A reply that no
// queue takes ends them, and the message it answers waits for the next start.
func TestAMQPExamples(t *testing.T) {
	if out, err := exec.Command("../scripts/services", "need", "pika").CombinedOutput(); err != nil {
		t.Fatalf("pika is needed: %v\n%s", err, out)
	}
	dir := installPeers(t, "../examples/amqp")
	for _, command := range [][]string{{"/usr/bin/python3", "shop.py"}, {"node", "shop.js"}} {
		t.Run(command[1], func(t *testing.T) { amqpExample(t, dir, command) })
	}
}

func amqpExample(t *testing.T, dir string, command []string) {
	url := os.Getenv("AMQP_URL")
	if url == "" {
		t.Fatal("AMQP_URL is not set; `make test` sets it")
	}
	id := message.NewID()[:8]
	phone, shop := "phone"+id, "shop"+id
	b := connect(t, url)
	t.Cleanup(func() {
		for _, name := range []string{phone, shop} {
			for _, flow := range []message.Flow{message.Inbound, message.Outbound, message.EventFlow} {
				if err := b.Delete(context.Background(), message.Key(name, flow)); err != nil {
					t.Error(err)
				}
			}
		}
	})
	connection, err := amqp091.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	channel, err := connection.Channel()
	if err != nil {
		t.Fatal(err)
	}

	first := startExample(t, dir, shop, command)
	awaitConsumer := func() {
		eventually(t, command[1]+" consumes", func() bool {
			q, err := channel.QueueDeclarePassive(message.Key(shop, message.EventFlow), true, false, false, false, nil)
			if err != nil { // which closes the channel
				channel, _ = connection.Channel()
			}
			return err == nil && q.Consumers == 1
		})
	}
	awaitConsumer()
	outbound := message.Key(shop, message.Outbound)
	if err := channel.QueueUnbind(outbound, outbound, broker.Exchange, nil); err != nil {
		t.Fatal(err)
	}
	early := message.New()
	early.From, early.To, early.TransportName, early.TransportType, early.Content = "+27830000001", "8080", phone, "sms", "early"
	inbound := message.Key(shop, message.Inbound)
	if err := b.Publish(t.Context(), broker.Publication{Key: inbound, Body: early.Encode()}); err != nil {
		t.Fatal(err)
	}
	first.awaitFailure()
	eventually(t, "the message waits", func() bool {
		q, err := channel.QueueDeclarePassive(inbound, true, false, false, false, nil)
		return err == nil && q.Messages == 1
	})

	second := startExample(t, dir, shop, command)
	awaitConsumer()
	fleet, port := t.TempDir(), fmt.Sprint(freePort(t))
	for file, text := range map[string]string{
		"phone.yaml": fmt.Sprintf("transport_class: httptester\ntransport_name: %s\nweb_host: 127.0.0.1\nweb_port: %s\n", phone, port),
		"join.yaml":  fmt.Sprintf("router_class: simple\ntransport_names: [%[1]s]\nexposed_names: [%[2]s]\nroute_mappings: {%[1]s: %[2]s}\n", phone, shop),
	} {
		if err := os.WriteFile(filepath.Join(fleet, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	startArgs(t, "fleet", []string{"DATABASE_URL=memory:"}, "run", fleet)
	second.awaitAck() // of the early one
	page := openPhonePage(t, port)
	page.say("+27830000002", "hello")
	if got := page.read("+27830000002"); got != "You wrote: hello" {
		t.Errorf("the person got %q", got)
	}
	second.awaitAck()
	eventually(t, "everything is acknowledged", func() bool {
		q, err := channel.QueueDeclarePassive(inbound, true, false, false, false, nil)
		return err == nil && q.Messages == 0
	})
}

// runningExample is a program of examples/amqp.
type runningExample struct {
	t   *testing.T
	cmd *exec.Cmd
	out *bufio.Scanner
}

func startExample(t *testing.T, dir, name string, command []string) *runningExample {
	t.Helper()
	e := &runningExample{t: t, cmd: exec.CommandContext(t.Context(), command[0], command[1:]...)}
	e.cmd.Dir, e.cmd.Env = dir, append(os.Environ(), "NAME="+name)
	out, err := e.cmd.StdoutPipe()
	if err == nil {
		err = e.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	e.out = bufio.NewScanner(out)
	t.Cleanup(func() { _, _ = e.cmd.Process.Kill(), e.cmd.Wait() })
	return e
}

// killLater kills the program when it takes too long, so that nothing waits for it for ever.
func (e *runningExample) killLater() (cancel func() bool) {
	return time.AfterFunc(patience, func() { _ = e.cmd.Process.Kill() }).Stop
}

// awaitFailure waits until the program ends with an error.
func (e *runningExample) awaitFailure() {
	e.t.Helper()
	cancel := e.killLater()
	if err := e.cmd.Wait(); err == nil || !cancel() {
		e.t.Errorf("%s ends with %v, not with an error within %s", e.cmd, err, patience)
	}
}

// awaitAck waits until the program prints an ack.
func (e *runningExample) awaitAck() {
	e.t.Helper()
	defer e.killLater()()
	if !e.out.Scan() || !strings.HasPrefix(e.out.Text(), "ack ") {
		e.t.Fatalf("the program prints %q, no ack: %v", e.out.Text(), e.out.Err())
	}
}

// docs/asyncapi.yaml is what AsyncAPI's own schema wants.
func TestAsyncAPIDocument(t *testing.T) {
	text, err := os.ReadFile("../docs/asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document map[string]any
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	specs := filepath.Join(installPeers(t, "asyncapi"), "node_modules/@asyncapi/specs/schemas")
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join(specs, fmt.Sprintf("%v.json", document["asyncapi"])))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(document); err != nil {
		t.Error(err)
	}
	delete(document["info"].(map[string]any), "title")
	if schema.Validate(document) == nil {
		t.Error("a document without a title is valid, too")
	}
}
