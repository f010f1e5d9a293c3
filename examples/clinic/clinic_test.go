package clinic_test

import (
	"log/slog"
	"switchboard/applications/applicationtest"
	"switchboard/message"
	"switchboard/store/sqlite"
	"switchboard/worker"
	"testing"
	"testing/synctest"
	"time"

	"example.org/plugins/clinic"
)

const (
	file   = "days: [Monday, Tuesday]\nstaff: ['+27830000000']"
	anna   = "+27831234567"
	asks   = "Which day?\n1 Monday\n2 Tuesday"
	booked = "You are booked for Monday.\nSee you on Monday."
)

func start(t *testing.T, change ...func(*worker.Dependencies)) *applicationtest.Worker {
	t.Helper()
	app := clinic.New()
	if err := applicationtest.Configure(app, file); err != nil {
		t.Fatal(err)
	}
	return applicationtest.Start(t, app, change...)
}

func TestBooking(t *testing.T) {
	w := start(t)
	w.Talk(anna, "*120#", asks, "7", asks)
	press := applicationtest.From(anna, "1")
	press.TransportType, press.SessionEvent = "ussd", message.SessionResume
	heard := w.Receive(press)
	if answer := heard[0]; answer.SessionEvent != message.SessionClose || answer.InReplyTo != press.ID {
		t.Errorf("the session goes on: %s", answer.Encode())
	}
	if sms := heard[1]; sms.Endpoint() != "sms" || sms.TransportName != "sms" || sms.To != anna || sms.InReplyTo != "" {
		t.Errorf("sent %s", sms.Encode())
	}

	w.Report(message.NewNack(heard[1], "the phone is off"))
	for deadline := time.Now().Add(applicationtest.Patience); w.Says(anna, "*120#")[0] == asks && time.Now().Before(deadline); {
		// The event is handled beside the messages.
	}
	w.Talk(anna, "*120#", "We could not reach you by SMS. "+asks, "1", booked, "*120#", asks)
}

func TestWhoWaitsBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		w.Talk(anna, "*120#", asks)
		time.Sleep(4 * time.Minute) // of the bubble's clock
		w.Talk(anna, "1", asks, "1", booked)
	})
}

func TestGroup(t *testing.T) {
	m := applicationtest.From(anna, "1")
	m.Group = "the village"
	if answer := start(t).Receive(m)[0]; answer.Group != m.Group || answer.To != "" {
		t.Errorf("not the group is answered: %s", answer.Encode())
	}
}

func TestReminder(t *testing.T) {
	record, err := sqlite.Open(t.Context(), t.TempDir()+"/record.db", slog.New(slog.DiscardHandler))
	if err == nil {
		err = record.Migrate(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = record.Close() })
	w := start(t, func(d *worker.Dependencies) { d.Record = record })
	w.Talk("+27830000000", "remind monday", "Nobody is booked for monday.")
	w.Talk(anna, "*120#", asks, "1", booked, "remind monday", asks)
	w.Talk("+27830000000", "Remind Monday", "1 will be reminded.")
	list, err := record.List(t.Context(), 10)
	if err != nil || len(list) != 1 || time.Until(list[0].Start) < 50*time.Minute {
		t.Errorf("stored %+v, %v", list, err)
	}
}

func TestBadFile(t *testing.T) {
	if applicationtest.Configure(clinic.New(), "staff: [a]") == nil {
		t.Error("a clinic without days is taken")
	}
}
