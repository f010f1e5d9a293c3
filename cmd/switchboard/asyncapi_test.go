package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"switchboard/broker"
	"switchboard/message"
)

// wireDocument is docs/asyncapi.yaml.
type wireDocument struct {
	whole    any
	compiler *jsonschema.Compiler
	Channels map[string]struct {
		Address  string
		Messages map[string]struct {
			Ref string `json:"$ref"`
		}
		Bindings struct {
			AMQP struct {
				Is       string
				Exchange struct {
					Name, Type string
					Durable    bool
				}
			}
		}
	}
}

func readWireDocument(t *testing.T) *wireDocument {
	t.Helper()
	text, err := os.ReadFile("../../docs/asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d := &wireDocument{compiler: jsonschema.NewCompiler()}
	var whole map[string]any
	if err := yaml.Unmarshal(text, &whole); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(whole)
	if err == nil {
		err = json.Unmarshal(asJSON, d)
	}
	if err == nil {
		d.whole, err = jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	}
	if err == nil {
		d.compiler.DefaultDraft(jsonschema.Draft7) // AsyncAPI's, where a payload names no other
		err = d.compiler.AddResource("wire.json", d.whole)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// refuses says what the document has against a body of a kind; nil is nothing.
func (d *wireDocument) refuses(t *testing.T, kind string, body []byte) error {
	t.Helper()
	schema, err := d.compiler.Compile("wire.json#/components/schemas/" + kind)
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return schema.Validate(value)
}

// bodyKinds are the kinds of bodies by their message_type, and what reads them.
var bodyKinds = map[string]struct {
	kind   string
	decode func(body []byte) error
}{
	"user_message":    {"userMessage", func(b []byte) error { _, err := message.Decode(b); return err }},
	"event":           {"event", func(b []byte) error { _, err := message.DecodeEvent(b); return err }},
	"failure_message": {"failure", func(b []byte) error { _, err := message.DecodeFailure(b); return err }},
	"status_event":    {"status", func(b []byte) error { _, err := message.DecodeStatus(b); return err }},
}

// The document admits what Vumi's workers and ours publish. Of what differs from that in
// one member it admits what our workers and Vumi's read, and nothing else.
func TestAsyncAPIBodies(t *testing.T) {
	d := readWireDocument(t)
	files, err := filepath.Glob("../../message/testdata/vumi/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("found %v, %v", files, err)
	}
	m := message.New()
	m.From, m.To, m.Content, m.SessionEvent = "+27831234567", "8080", "hi", message.SessionNew
	bodies := [][]byte{
		m.Encode(), m.Reply("hello", message.EndSession).Encode(), message.NewAck(m, "1").Encode(), message.NewNack(m, "no").Encode(),
		message.NewDeliveryReport(m, message.Failed).Encode(), message.NewFailure(m, message.FailurePermanent, "no").Encode(),
		message.NewStatus("connection", message.Down, "refused", "The SMSC refused the bind.", "one").Encode(),
	}
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, body)
	}
	outcomes := map[bool]int{}
	for _, body := range bodies {
		var members map[string]any
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatal(err)
		}
		kind := bodyKinds[members["message_type"].(string)]
		if err := d.refuses(t, kind.kind, body); err != nil {
			t.Errorf("%s is refused: %v", body, err)
		}
		for key, was := range members {
			for _, other := range []any{nil, "", "x", true, []any{}, map[string]any{}, "absent"} {
				members[key] = other
				if other == "absent" {
					delete(members, key)
				}
				changed, err := json.Marshal(members)
				if err != nil {
					t.Fatal(err)
				}
				refused, unread := d.refuses(t, kind.kind, changed), kind.decode(changed)
				_, object := was.(map[string]any)
				vumiRefuses := object && key != "retry_metadata" && other == nil || key == "session_event" && other == ""
				if (refused == nil) != (unread == nil && !vumiRefuses) {
					t.Errorf("%s: the document says %v, the worker %v\n%s", key, refused, unread, changed)
				}
				outcomes[refused == nil]++
			}
			members[key] = was
		}
	}
	if outcomes[true] < 1000 || outcomes[false] < 1000 {
		t.Errorf("%v were tried", outcomes)
	}
}

// A receipt is not among what Vumi's workers know.
func TestAsyncAPIReceipt(t *testing.T) {
	d := readWireDocument(t)
	m := message.New()
	_, receipt, ok := message.DeletionReceipt(message.Key("shop", message.Outbound), m.Encode(), "deleted by hand", m.Timestamp)
	body, err := json.Marshal(receipt)
	if !ok || err != nil {
		t.Fatalf("%+v, %v", receipt, err)
	}
	if err := d.refuses(t, "receipt", body); err != nil {
		t.Errorf("%s is refused: %v", body, err)
	}
	if d.refuses(t, "receipt", []byte(`{"message_id": "1"}`)) == nil {
		t.Error("a receipt of nothing is admitted")
	}
}

// Routing keys and the exchange are the ones of the code, and each reference leads somewhere.
func TestAsyncAPIChannels(t *testing.T) {
	d := readWireDocument(t)
	const connector = "{connector}"
	want := map[string]string{
		"inbound": message.Key(connector, message.Inbound), "outbound": message.Key(connector, message.Outbound),
		"event": message.Key(connector, message.EventFlow), "receipt": message.ReceiptKey(connector),
		"failures": connector + ".failures", "status": connector + ".status.status",
	}
	for name, c := range d.Channels {
		amqp := c.Bindings.AMQP
		if c.Address != want[name] || amqp.Is != "routingKey" || amqp.Exchange.Name != broker.Exchange || amqp.Exchange.Type != "direct" || !amqp.Exchange.Durable {
			t.Errorf("channel %s is %+v", name, c)
		}
		delete(want, name)
	}
	if len(want) != 0 {
		t.Errorf("the document lacks %v", want)
	}
	references := 0
	eachReference(d.whole, func(ref string) {
		references++
		at := d.whole
		for step := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			object, _ := at.(map[string]any)
			at = object[step]
		}
		if at == nil {
			t.Errorf("%s leads nowhere", ref)
		}
	})
	if references < 30 {
		t.Errorf("found %d references", references)
	}
}

func eachReference(value any, do func(ref string)) {
	switch value := value.(type) {
	case map[string]any:
		if ref, is := value["$ref"]; is {
			do(fmt.Sprint(ref))
		}
		for _, each := range value {
			eachReference(each, do)
		}
	case []any:
		for _, each := range value {
			eachReference(each, do)
		}
	}
}
