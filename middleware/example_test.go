package middleware_test

import (
	"context"
	"errors"
	"fmt"

	"switchboard/message"
	"switchboard/worker"
)

// Retry is a middleware: it tries what fails a second time at once.
type Retry struct{}

func (Retry) Wrap(_ message.Flow, next worker.Handler) worker.Handler {
	return func(ctx context.Context, e *message.Envelope) error {
		err := next(ctx, e)
		if err == nil || message.IsPermanent(err) || message.IsRejection(err) {
			return err
		}
		fmt.Println("trying again after:", err)
		return next(ctx, e)
	}
}

// Censor is a middleware: it keeps a word from being sent.
type Censor struct {
	// Word is what nobody may write.
	Word string `yaml:"word"`
}

func (c Censor) Wrap(flow message.Flow, next worker.Handler) worker.Handler {
	if flow != message.Outbound {
		return next
	}
	return func(ctx context.Context, e *message.Envelope) error {
		if e.Message.Content == c.Word {
			return message.Reject("that word is not sent")
		}
		return next(ctx, e)
	}
}

// A middleware wraps what a worker does with a message, and sees what became of it.
func Example_middleware() {
	stack := worker.NewStack(
		worker.Layer{Name: "retry", Middleware: Retry{}},
		worker.Layer{Name: "censor", Middleware: Censor{Word: "darn"}},
	)
	tries := 0
	send := func(_ context.Context, e *message.Envelope) error {
		if tries++; tries == 1 {
			return errors.New("the line was busy")
		}
		fmt.Println("sent:", e.Message.Content)
		return nil
	}
	for _, text := range []string{"hello", "darn"} {
		m := message.New()
		m.Content = text
		err := stack.Consume(context.Background(), &message.Envelope{Flow: message.Outbound, Connector: "sms", Message: m}, send)
		fmt.Println("outcome:", err)
	}
	// Output:
	// trying again after: the line was busy
	// sent: hello
	// outcome: <nil>
	// outcome: middleware censor: discarded: that word is not sent
}
