package dispatcher_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"switchboard/dispatcher"
	"switchboard/message"
	"switchboard/options"
	"switchboard/store/memory"
	"switchboard/worker"
)

// ByLanguage is a router: it sends people who write Portuguese to one
// application, everybody else to another, and replies to the transport they name.
type ByLanguage struct {
	// Words are first words that only Portuguese has.
	Words options.Names `yaml:"words"`
	// Portuguese and Others are exposed names.
	Portuguese string `yaml:"portuguese"`
	Others     string `yaml:"others"`
}

func (r *ByLanguage) Route(_ context.Context, a dispatcher.Arrival) ([]dispatcher.Target, error) {
	switch a.Flow {
	case message.Outbound:
		return dispatcher.To(a.Message.TransportName), nil
	case message.EventFlow:
		return nil, dispatcher.NoRoute("nothing tells who sent the message of %s", &a)
	}
	for _, word := range r.Words {
		if strings.HasPrefix(strings.ToLower(a.Message.Content), word) {
			return dispatcher.To(r.Portuguese), nil
		}
	}
	return dispatcher.To(r.Others), nil
}

// A router decides; the dispatcher publishes. A Simulator shows what it decides.
func Example_router() {
	state := memory.New()
	defer func() { _ = state.Close() }()
	opts := dispatcher.DefaultOptions()
	opts.Transports, opts.Exposed = options.Names{"sms"}, options.Names{"survey", "inquerito"}
	router := &ByLanguage{Words: options.Names{"olá", "obrigado"}, Portuguese: "inquerito", Others: "survey"}
	env := worker.Dependencies{Name: "join", Kind: worker.KindDispatcher, State: state, Logger: slog.New(slog.DiscardHandler)}
	simulator, err := dispatcher.NewSimulator(context.Background(), env, opts, router, dispatcher.Conditions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer simulator.Close()
	for _, text := range []string{"Hello!", "Olá!"} {
		m := message.New()
		m.Content, m.TransportName = text, "sms"
		decision, err := simulator.Decide(context.Background(), &message.Envelope{Flow: message.Inbound, Connector: "sms", Message: m})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(text, "→", decision.Targets[0].Connector)
	}
	// Output:
	// Hello! → survey
	// Olá! → inquerito
}
