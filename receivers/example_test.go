package receivers_test

import (
	"context"
	"fmt"

	"switchboard/broker/memory"
	"switchboard/receivers"
)

// A program registers a function on a queue, runs the set, and sends to it from anywhere.
func Example() {
	type email struct{ To, Text string }
	set := receivers.New()
	set.MessageLimit = 1 // a program that stays has none
	emails := receivers.Register(set, receivers.Queue[email]{
		Name: "emails",
		Receive: func(_ context.Context, e email) error {
			fmt.Printf("to %s: %s\n", e.To, e.Text)
			return nil
		},
	})
	mq := memory.New(memory.Settings{}) // or rabbitmq.Open
	set.Use(mq)
	ctx := context.Background()
	if err := emails.Send(ctx, email{"ann@example.org", "Your order has left."}); err != nil {
		fmt.Println(err)
	}
	if err := set.Run(ctx, mq); err != nil {
		fmt.Println(err)
	}
	// Output: to ann@example.org: Your order has left.
}
