package sqlite_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"switchboard/message"
	"switchboard/store"
	"switchboard/store/sqlite"
)

// Envelopes are recorded and looked up.
func Example_record() {
	ctx := context.Background()
	db, err := sqlite.Open(ctx, sqlite.Memory, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		log.Fatal(err)
	}

	m := message.New()
	m.To, m.From, m.Content = "+27831234567", "12345", "Your balance is R 12."
	_, err = db.Record(ctx, []store.Envelope{
		{Direction: store.Outbound, Backend: "sms_za", Application: "balance", Message: m},
		{Backend: "sms_za", Event: message.NewAck(m, "smsc-4711")},
	})
	if err != nil {
		log.Fatal(err)
	}

	trace, err := db.Trace(ctx, "smsc-4711")
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range trace.Records {
		fmt.Println(r.Status, r.Backend, r.Address, r.Text)
	}
	for _, r := range trace.Records {
		fmt.Println("missing:", r.Missing())
	}
	// Output:
	// S sms_za +27831234567 Your balance is R 12.
	// missing: no delivery report from transport sms_za
}

// A broadcast is stored, then handed over in batches.
func Example_broadcast() {
	ctx := context.Background()
	db, err := sqlite.Open(ctx, sqlite.Memory, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		log.Fatal(err)
	}

	people := func(yield func(store.Recipient, error) bool) {
		for _, name := range []string{"Thandi", "Sipho"} {
			address := store.Address{Backend: "sms_za", Identity: "+27 " + name}
			if !yield(store.Recipient{Address: address, Fields: map[string]string{"name": name}}, nil) {
				return
			}
		}
	}
	made, err := db.Create(ctx, store.Broadcast{Text: "Hi {{name}}!", From: "12345"}, people)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(made.Total, "in", made.Batches)

	const lease = time.Minute
	batches, err := db.Due(ctx, 10, lease) // publish a task for each
	if err != nil {
		log.Fatal(err)
	}
	for _, batch := range batches { // what the task's handler does
		handovers, err := db.Claim(ctx, batch.ID, "task 1", lease)
		if err != nil {
			log.Fatal(err)
		}
		for i := range handovers {
			m := handovers[i].Message() // publish on sms_za.outbound, and wait for the confirm
			fmt.Println(m.TransportName, m.Content)
		}
		if err := db.Finish(ctx, batch.ID, "task 1", handovers, true); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// 2 in 1
	// sms_za Hi Thandi!
	// sms_za Hi Sipho!
}
