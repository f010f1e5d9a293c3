package faq_test

import (
	"strings"
	"switchboard/applications/applicationtest"
	"testing"

	"example.org/plugins/faq"
)

func TestTalks(t *testing.T) {
	app := faq.New()
	if err := applicationtest.Configure(app, "answers: {hours: From 9 to 5., price: It is free.}"); err != nil {
		t.Fatal(err)
	}
	applicationtest.Start(t, app).Talk("+27831234567",
		"hours", "From 9 to 5.",
		" PRICE of it?", "It is free.",
		"hello", "Write one of: hours, price",
		"", "Write one of: hours, price")
}

func TestBadFiles(t *testing.T) {
	for yaml, want := range map[string]string{
		"":                                "answers: is missing",
		"answers: {HOURS: From 9 to 5.}":  "must be one word in small letters",
		"answers: {a: b}\notherwize: huh": `unknown key "otherwize"; did you mean "otherwise"?`,
	} {
		if err := applicationtest.Configure(faq.New(), yaml); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gave %v, not %s", yaml, err, want)
		}
	}
}
