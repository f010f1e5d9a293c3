package routers

import (
	"strings"
	"testing"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/worker"
)

var balanced = dispatcher.Names{Transports: []string{"t1", "t2", "t3"}, Exposed: []string{"app"}}

// healths are transports that are not well.
type healths map[string]message.Health

func (h healths) Of(connector string) message.Health {
	if health, told := h[connector]; told {
		return health
	}
	return message.OK
}

func sendOn(t *testing.T, r dispatcher.Router, a dispatcher.Arrival) dispatcher.Target {
	t.Helper()
	targets, err := r.Route(t.Context(), a)
	if err != nil || len(targets) != 1 {
		t.Fatalf("got %v, %v", targets, err)
	}
	if targets[0].Envelope == nil {
		targets[0].Envelope = &a
	}
	return targets[0]
}

func TestLoadBalancingTakesTurns(t *testing.T) {
	r := mustLoad(t, NewLoadBalancing(), balanced, worker.Env{}, "")
	var went []string
	for range 6 {
		target := sendOn(t, r, userMessage(message.Outbound, "app", "app", "hi"))
		if target.Envelope.TransportName() != target.Connector {
			t.Errorf("sent to %s as transport %s", target.Connector, target.Envelope.TransportName())
		}
		went = append(went, target.Connector)
	}
	if got := strings.Join(went, " "); got != "t1 t2 t3 t1 t2 t3" {
		t.Errorf("went to %s", got)
	}
}

func TestLoadBalancingRepliesReturn(t *testing.T) {
	r := mustLoad(t, NewLoadBalancing(), balanced, worker.Env{}, "")
	in := userMessage(message.Inbound, "t2", "t2", "hi")
	in.Message.TransportType = "sms"
	in.Message.HelperMetadata = message.NewObject(map[string]any{"load_balancer": map[string]any{"transport_names": []string{"far"}}})
	arrived := sendOn(t, r, in)
	if arrived.Connector != "app" || arrived.Envelope.TransportName() != "app" {
		t.Errorf("arrived at %s as of %s", arrived.Connector, arrived.Envelope.TransportName())
	}
	if got := arrived.Envelope.Message.HelperMetadata.String(); got != `{"load_balancer":{"transport_names":["far","t2"]}}` {
		t.Errorf("carries %s", got)
	}
	reply := dispatcher.Arrival{Flow: message.Outbound, Connector: "app", Message: arrived.Envelope.Message.Reply("yes")}
	for range 2 {
		left := sendOn(t, r, reply)
		if left.Connector != "t2" || left.Rule != "reply_affinity" {
			t.Errorf("the reply left by %s because of %s", left.Connector, left.Rule)
		}
		if got := left.Envelope.Message.HelperMetadata.String(); got != `{"load_balancer":{"transport_names":["far"]}}` {
			t.Errorf("the reply carries %s", got)
		}
	}
	r.health = healths{"t2": message.Down}
	if left := sendOn(t, r, reply); left.Connector == "t2" {
		t.Error("the reply waits for a transport that is down")
	}
	reply.Message.TransportType = "ussd"
	if left := sendOn(t, r, reply); left.Connector != "t2" {
		t.Errorf("a session's reply left by %s", left.Connector)
	}
}

func TestLoadBalancingPassesOverWhatIsDown(t *testing.T) {
	r := mustLoad(t, NewLoadBalancing(), balanced, worker.Env{}, "rewrite_transport_names: false")
	well := healths{"t2": message.Down, "t3": message.Degraded}
	r.health = well
	count := func() map[string]int {
		went := map[string]int{}
		for range 12 {
			went[sendOn(t, r, userMessage(message.Outbound, "app", "x", "hi")).Connector]++
		}
		return went
	}
	if went := count(); went["t1"] != 6 || went["t2"] != 0 || went["t3"] != 6 {
		t.Errorf("with t2 down: %v", went)
	}
	delete(well, "t2")
	if went := count(); went["t2"] != 4 {
		t.Errorf("with t2 back: %v", went)
	}
	well["t1"], well["t2"], well["t3"] = message.Down, message.Down, message.Down
	if went := count(); went["t1"] != 4 || went["t2"] != 4 {
		t.Errorf("with all down: %v", went)
	}
}

func TestLoadBalancingWithoutAffinity(t *testing.T) {
	r := mustLoad(t, NewLoadBalancing(), balanced, worker.Env{}, "reply_affinity: false\nrewrite_transport_names: false")
	in := userMessage(message.Inbound, "t2", "t2", "hi")
	if target, err := r.Route(t.Context(), in); err != nil || target[0].Envelope != nil {
		t.Errorf("changed the message although nothing asks for it: %v, %v", target, err)
	}
	reply := dispatcher.Arrival{Flow: message.Outbound, Connector: "app", Message: in.Message.Reply("yes")}
	if left := sendOn(t, r, reply); left.Connector != "t1" {
		t.Errorf("the reply left by %s, out of turn", left.Connector)
	}
}

func TestLoadBalancingWithSeveralApplications(t *testing.T) {
	two := dispatcher.Names{Transports: []string{"t1", "t2"}, Exposed: []string{"app", "log"}}
	if _, err := load(t, NewLoadBalancing(), two, worker.Env{}, ""); err == nil || !strings.Contains(err.Error(), "inbound_names: is missing") {
		t.Errorf("got %v", err)
	}
	r := mustLoad(t, NewLoadBalancing(), two, worker.Env{}, "inbound_names: app")
	checkAll(t, r, []routed{
		{name: "inbound", arrival: userMessage(message.Inbound, "t2", "t2", "hi"), want: "app"},
		{name: "event", arrival: event("t1", "t1"), err: "it can be any of app, log"},
	})
	back, err := r.Return(t.Context(), event("t1", "t1"), "log")
	if err != nil || back.Connector != "log" || back.Envelope.TransportName() != "log" {
		t.Errorf("an event came back as %+v, %v", back, err)
	}
}

func TestLoadBalancingStaysWithMalformedMetadata(t *testing.T) {
	r := mustLoad(t, NewLoadBalancing(), balanced, worker.Env{}, "")
	reply := userMessage(message.Outbound, "app", "app", "hi")
	reply.Message.InReplyTo = "1"
	reply.Message.HelperMetadata = message.NewObject(map[string]any{"load_balancer": "t2"})
	if left := sendOn(t, r, reply); left.Connector != "t1" {
		t.Errorf("left by %s", left.Connector)
	}
}
