package storetest

import (
	"slices"
	"testing"
	"time"

	"switchboard/store"
)

// oneNumber: however a number is spelled, it is one recipient, one opt-out and one address to
// look for.
func oneNumber(t *testing.T, db Ledger) {
	six := []string{"0831234567", "083 123 4567", "27831234567", "+27831234567", "0027831234567", "+27 (83) 123-4567"}
	ctx := t.Context()
	was := inbound("before", at(0)) // recorded before anybody said which country it is
	was.Message.From = six[0]
	record(t, db, was)
	if err := db.SetCountry(ctx, "sms", "ZA"); err != nil {
		t.Fatal(err)
	}
	if err := db.SetCountry(ctx, "sms", "Zululand"); err == nil {
		t.Error("a country that is none was taken")
	}
	spelled := func(numbers ...string) func(func(store.Recipient, error) bool) {
		return func(yield func(store.Recipient, error) bool) {
			for _, n := range numbers {
				if !yield(store.Recipient{Address: store.Address{Backend: "sms", Identity: n}}, nil) {
					return
				}
			}
		}
	}
	made := create(t, db, store.Broadcast{Text: "x"}, spelled(append(slices.Clone(six), "0841234567", "32020")...))
	if made.Total != 3 || made.Duplicates != 5 {
		t.Errorf("a list with one number six times and two others: %+v", made)
	}
	for _, stop := range six {
		if err := db.OptOut(ctx, store.Address{Backend: "sms", Identity: stop}, true); err != nil {
			t.Fatal(err)
		}
		for _, to := range six {
			if made, err := db.Create(ctx, store.Broadcast{Text: "x"}, spelled(to)); err == nil || made.OptedOut != 1 {
				t.Errorf("STOP from %s, broadcast to %s: %+v, %v", stop, to, made, err)
			}
			if c, err := db.ContactOf(ctx, store.Address{Backend: "sms", Identity: to}); err != nil || !c.OptedOut {
				t.Errorf("STOP from %s, contact of %s: %+v, %v", stop, to, c, err)
			}
		}
		if err := db.OptOut(ctx, store.Address{Backend: "sms", Identity: six[3]}, false); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Create(ctx, store.Broadcast{Text: "x", Start: time.Now().Add(time.Hour)}, spelled(stop)); err != nil {
			t.Errorf("START from %s, broadcast to %s: %v", six[3], stop, err)
		}
	}
	for _, address := range six {
		if got := ids(list(t, db, store.Filter{Address: address, Direction: store.Inbound})); !slices.Equal(got, []string{"before"}) {
			t.Errorf("looking for %s finds %q", address, got)
		}
	}
	// Another transport's numbers are another country's.
	for _, n := range six[:1] {
		one := func(yield func(store.Recipient, error) bool) {
			yield(store.Recipient{Address: store.Address{Backend: "xmpp", Identity: n}}, nil)
		}
		if made := create(t, db, store.Broadcast{Text: "x"}, one); made.Total != 1 {
			t.Errorf("to %s on another backend: %+v", n, made)
		}
	}
}
