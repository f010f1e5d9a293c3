package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"switchboard/message"
	"switchboard/store"
)

func anyOrder(t *testing.T, db Ledger) {
	envelopes, want := theConversation()
	order := rand.New(rand.NewPCG(1, 2))
	for round := range 15 {
		twice := slices.Concat(rename(envelopes, round), rename(envelopes, round))
		order.Shuffle(len(twice), func(i, j int) { twice[i], twice[j] = twice[j], twice[i] })
		for len(twice) > 0 {
			n := 1 + order.IntN(len(twice))
			record(t, db, twice[:n]...)
			twice = twice[n:]
		}
		name := fmt.Sprint(round)
		var got []store.Record
		for _, r := range []string{"out" + name, "in" + name} {
			got = append(got, find(t, db, r))
		}
		wantRecords(t, got, renameRecords(want, name))
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	if a, err := db.Audit(t.Context(), store.AuditLimits{}); err != nil || a.Orphan != 0 {
		t.Errorf("Audit = %+v, %v; want no event left without its message", a, err)
	}
}

// rename makes other messages of the same conversation.
func rename(envelopes []store.Envelope, round int) []store.Envelope {
	name := fmt.Sprint(round)
	renamed := slices.Clone(envelopes)
	for i := range renamed {
		switch e := &renamed[i]; {
		case e.Message != nil:
			e.Message = e.Message.Clone()
			e.Message.ID += name
			if e.Message.InReplyTo != "" {
				e.Message.InReplyTo += name
			}
		case e.Event != nil:
			e.Event = e.Event.Clone()
			e.Event.ID += name
			e.Event.MessageID += name
		case e.Receipt != nil:
			r := *e.Receipt
			r.MessageID += name
			e.Receipt = &r
		}
	}
	return renamed
}

func renameRecords(records []store.Record, name string) []store.Record {
	renamed := slices.Clone(records)
	for i := range renamed {
		r := &renamed[i]
		r.Text = strings.TrimSuffix(r.Text, name)
		r.ID, r.MessageID = r.ID+name, r.MessageID+name
		if r.InResponseTo != "" {
			r.InResponseTo += name
		}
	}
	return renamed
}

func recordersAtOnce(t *testing.T, db Ledger) {
	envelopes, want := theConversation()
	const conversations, recorders = 30, 4
	atOnce(t, recorders, func(worker int) error {
		order := rand.New(rand.NewPCG(uint64(worker), 7))
		var all []store.Envelope
		for n := range conversations {
			all = append(all, rename(envelopes, n)...)
		}
		order.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		for len(all) > 0 {
			n := min(len(all), 1+order.IntN(50))
			rejected, err := db.Record(t.Context(), all[:n])
			if err != nil || len(rejected) > 0 {
				return fmt.Errorf("recording: %w, rejected %v", err, rejected)
			}
			all = all[n:]
		}
		return nil
	})
	for n := range conversations {
		name := fmt.Sprint(n)
		wantRecords(t, []store.Record{find(t, db, "out"+name), find(t, db, "in"+name)}, renameRecords(want, name))
	}
	if a, err := db.Audit(t.Context(), store.AuditLimits{}); err != nil || a.Orphan != 0 {
		t.Errorf("Audit = %+v, %v; want no event left without its message", a, err)
	}
}

// eventsAtOnce: an event and its message that two recorders store at once are joined.
func eventsAtOnce(t *testing.T, db Ledger) {
	const rounds = 20
	for n := range rounds {
		id := fmt.Sprint("m", n)
		batches := []store.Envelope{outbound(id, "", at(0)), ack(id, at(1)), report(id, message.Delivered, at(2))}
		atOnce(t, len(batches), func(i int) error {
			_, err := db.Record(t.Context(), batches[i:i+1])
			return err
		})
		if r := find(t, db, id); r.Status != store.StatusDelivered || r.Sent.IsZero() || r.ProviderID == "" {
			t.Fatalf("round %d: %+v", n, r)
		}
	}
}
