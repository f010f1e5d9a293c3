package receipt_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"switchboard/smpp/pdu"
	"switchboard/smpp/receipt"
)

func at(t testing.TB, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.DateTime, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTextOfEveryKind(t *testing.T) {
	submitted, done := at(t, "2013-12-31 23:59:00"), at(t, "2014-01-01 00:01:00")
	standard := receipt.Receipt{
		ID: "0123456789", Status: receipt.Delivered, RawStatus: "DELIVRD", Error: "000",
		Sub: 1, Dlvrd: 1, Submitted: submitted, Done: done, Text: "Hello World",
	}
	with := func(change func(*receipt.Receipt)) receipt.Receipt {
		r := standard
		change(&r)
		return r
	}
	for name, test := range map[string]struct {
		in   string
		want receipt.Receipt
	}{
		"appendix B": {
			"id:0123456789 sub:001 dlvrd:001 submit date:1312312359 done date:1401010001 stat:DELIVRD err:000 text:Hello World",
			standard,
		},
		"Text": {
			"id:0123456789 sub:001 dlvrd:001 submit date:1312312359 done date:1401010001 stat:DELIVRD err:000 Text:Hello World",
			standard,
		},
		"seconds": {
			"id:0123456789 sub:001 dlvrd:001 submit date:131231235905 done date:140101000107 stat:DELIVRD err:000 text:Hello World",
			with(func(r *receipt.Receipt) {
				r.Submitted, r.Done = submitted.Add(5*time.Second), done.Add(7*time.Second)
			}),
		},
		"century": {
			"id:0123456789 sub:001 dlvrd:001 submit date:20131231235900 done date:201401010001 stat:DELIVRD err:000 text:Hello World",
			standard,
		},
		"dates with separators": {
			"id:0123456789 sub:001 dlvrd:001 submit date:2013-12-31 23:59:00 done date:14/01/01 00:01 stat:DELIVRD err:000 text:Hello World",
			standard,
		},
		"upper case": {
			"ID:0123456789 SUB:001 DLVRD:001 SUBMIT DATE:1312312359 DONE DATE:1401010001 STAT:DELIVRD ERR:000 TEXT:Hello World",
			standard,
		},
		"names with _": {
			"id:0123456789 sub:001 dlvrd:001 submit_date:1312312359 done_date:1401010001 stat:DELIVRD err:000 text:Hello World",
			standard,
		},
		"blanks": {
			"id: 0123456789  sub: 001 dlvrd: 001 submit date: 1312312359 done date : 1401010001 stat: DELIVRD err: 000 text: Hello World \x00",
			standard,
		},
		"= and commas": {
			"id=0123456789, sub=001, dlvrd=001, submit date=1312312359, done date=1401010001, stat=DELIVRD, err=000, text=Hello World",
			standard,
		},
		"other order, misspelt": {
			"stat:DELIVRD err:000 id:0123456789 dlvd:1 sub:1 done date:1401010001 submit date:1312312359 text:Hello World",
			standard,
		},
		"lower case status": {
			"id:1 stat:delivrd",
			receipt.Receipt{ID: "1", Status: receipt.Delivered, RawStatus: "delivrd", Sub: -1, Dlvrd: -1},
		},
		"only what must be there": {
			"id:abc-DEF stat:UNDELIV",
			receipt.Receipt{ID: "abc-DEF", Status: receipt.Failed, RawStatus: "UNDELIV", Sub: -1, Dlvrd: -1},
		},
		"empty fields": {
			"id:7 sub: dlvrd: submit date: done date: stat:EXPIRED err: text:",
			receipt.Receipt{ID: "7", Status: receipt.Failed, RawStatus: "EXPIRED", Sub: -1, Dlvrd: -1},
		},
		"numbers that are none": {
			"id:7 sub:xx dlvrd:-1 submit date:9999999999 stat:REJECTD err:0x1A",
			receipt.Receipt{ID: "7", Status: receipt.Failed, RawStatus: "REJECTD", Error: "0x1A", Sub: -1, Dlvrd: -1},
		},
		"an id with colons": {
			"id:a:b:c stat:ACCEPTD",
			receipt.Receipt{ID: "a:b:c", Status: receipt.Pending, RawStatus: "ACCEPTD", Sub: -1, Dlvrd: -1},
		},
		"a text that looks like a receipt": {
			"id:7 stat:UNDELIV err:011 text:id:8 stat:DELIVRD",
			receipt.Receipt{ID: "7", Status: receipt.Failed, RawStatus: "UNDELIV", Error: "011", Sub: -1, Dlvrd: -1, Text: "id:8 stat:DELIVRD"},
		},
		"a field twice": {
			"id:7 id:8 stat:UNDELIV stat:DELIVRD",
			receipt.Receipt{ID: "7", Status: receipt.Failed, RawStatus: "UNDELIV", Sub: -1, Dlvrd: -1},
		},
		"a word nobody knows": {
			"id:7 stat:BUFFERED",
			receipt.Receipt{ID: "7", Status: receipt.Pending, RawStatus: "BUFFERED", Sub: -1, Dlvrd: -1},
		},
		"message id and status": {
			"Message ID: 7, Status: DELIVERED, Error code: 5",
			receipt.Receipt{ID: "7", Status: receipt.Delivered, RawStatus: "DELIVERED", Error: "5", Sub: -1, Dlvrd: -1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := receipt.Parser{}.Parse(nil, test.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsNoReceipt(t *testing.T) {
	for _, text := range []string{"", "hello", "id:7", "stat:DELIVRD", "id: stat:DELIVRD", "grid:7 stat:DELIVRD", "text:id:7 stat:DELIVRD"} {
		if got, err := (receipt.Parser{}).Parse(nil, text); !errors.Is(err, receipt.ErrNoReceipt) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func TestParametersCountForMore(t *testing.T) {
	tlvs := pdu.TLVs{
		pdu.CString(pdu.TagReceiptedMessageID, "9f"),
		pdu.Byte(pdu.TagMessageState, uint8(pdu.StateUndeliverable)),
		pdu.NetworkError{Network: 3, Code: 27}.TLV(),
	}
	want := receipt.Receipt{ID: "9f", Status: receipt.Failed, RawStatus: "UNDELIVERABLE", Error: "27", Sub: -1, Dlvrd: -1, FromTLVs: true}
	if got, err := (receipt.Parser{}).Parse(tlvs, ""); err != nil || got != want {
		t.Errorf("alone: %+v, %v", got, err)
	}
	want.Error = "011"
	if got, err := (receipt.Parser{}).Parse(tlvs, "id:159 stat:DELIVRD err:011"); err != nil || got != want {
		t.Errorf("with a text: %+v, %v", got, err)
	}
	// Some SMSCs send the id alone, without its NUL, and the status in the text.
	tlvs = pdu.TLVs{{Tag: pdu.TagReceiptedMessageID, Value: []byte("9f")}}
	want = receipt.Receipt{ID: "9f", Status: receipt.Delivered, RawStatus: "DELIVRD", Sub: -1, Dlvrd: -1, FromTLVs: true}
	if got, err := (receipt.Parser{}).Parse(tlvs, "stat:DELIVRD"); err != nil || got != want {
		t.Errorf("id alone: %+v, %v", got, err)
	}
}

func TestStatuses(t *testing.T) {
	m := receipt.DefaultStatusMap()
	for word, want := range map[string]receipt.Status{
		"DELIVRD": receipt.Delivered, "DELIVERED": receipt.Delivered, "UNDELIV": receipt.Failed, "UNDELIVERABLE": receipt.Failed,
		"EXPIRED": receipt.Failed, "DELETED": receipt.Failed, "REJECTD": receipt.Failed, "REJECTED": receipt.Failed, "FAILED": receipt.Failed,
		"ENROUTE": receipt.Pending, "ACCEPTD": receipt.Pending, "ACCEPTED": receipt.Delivered, "0": receipt.Delivered, "1": receipt.Pending, "UNKNOWN": receipt.Pending, "SCHEDULED": receipt.Pending,
		"": receipt.Pending, "whatever": receipt.Pending, " delivrd ": receipt.Delivered,
	} {
		if got := m.Of(word); got != want {
			t.Errorf("%q: %s, want %s", word, got, want)
		}
	}
	for state, want := range map[pdu.MessageState]receipt.Status{
		1: receipt.Pending, 2: receipt.Delivered, 3: receipt.Failed, 4: receipt.Failed, 5: receipt.Failed,
		6: receipt.Delivered, 7: receipt.Pending, 8: receipt.Failed, 99: receipt.Pending,
	} {
		if got := m.OfState(state); got != want {
			t.Errorf("%s: %s, want %s", state, got, want)
		}
	}
}

func TestStatusesCanBeOverridden(t *testing.T) {
	m, err := receipt.DefaultStatusMap().With(map[string]string{"unknown": "failed", "BUFFRED": "pending", "DELETED": "Delivered"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := receipt.Parser{Statuses: m}.Parse(nil, "id:1 stat:UNKNOWN")
	if err != nil || got.Status != receipt.Failed || got.RawStatus != "UNKNOWN" {
		t.Errorf("%+v, %v", got, err)
	}
	if m.Of("DELETED") != receipt.Delivered || receipt.DefaultStatusMap().Of("UNKNOWN") != receipt.Pending {
		t.Error("the map is wrong, or the default was changed")
	}
	if _, err := receipt.DefaultStatusMap().With(map[string]string{"X": "lost"}); err == nil {
		t.Error("a status that is none is taken")
	}
}

func TestPattern(t *testing.T) {
	re, err := receipt.CompilePattern(`id:(?P<id>\S{,65})(?: +sub:(?P<sub>[^ ]+))?(?: +dlvrd:(?P<dlvrd>[^ ]+))?` +
		`(?: +submit date:(?P<submit_date>\d*))?(?: +done date:(?P<done_date>\d*))? +stat:(?P<stat>[A-Z]{5,7})` +
		`(?: +err:(?P<err>[^ ]+))? +[Tt]ext:(?P<text>.{,20}).*`)
	if err != nil {
		t.Fatal(err)
	}
	p := receipt.Parser{Pattern: re, Location: time.FixedZone("", 7200)}
	got, err := p.Parse(nil, "id:1b sub:1 dlvrd:0 submit date:1312312359 done date: stat:EXPIRED err:7 text:12345678901234567890 and more")
	want := receipt.Receipt{
		ID: "1b", Status: receipt.Failed, RawStatus: "EXPIRED", Error: "7", Sub: 1,
		Submitted: at(t, "2013-12-31 21:59:00"), Text: "12345678901234567890",
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	if got, err := p.Parse(nil, "id:1b stat:lower text:x"); !errors.Is(err, receipt.ErrNoReceipt) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestPatternIsChecked(t *testing.T) {
	for _, bad := range []string{`id:(?P<id>\d+)`, `(?P<stat>.*)`, `(?P<id>(?=x))(?P<stat>.)`, `(?P<id>.)(?P<stat>.)(?P<colour>.)`, `(`} {
		if re, err := receipt.CompilePattern(bad); err == nil {
			t.Errorf("%s is taken as %s", bad, re)
		}
	}
}
