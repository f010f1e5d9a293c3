package rules

import (
	"strings"
	"testing"

	"switchboard/dispatcher"
)

// A condition that no message can meet is pointed at; one that some message can
// meet is not.
func TestLintPointsAtConditionsThatNeverHold(t *testing.T) {
	for when, want := range map[string]string{
		`false`:                                         "it says false",
		`inbound and false`:                             "it says false",
		`not true`:                                      "it says not true",
		`inbound and outbound`:                          "two values of flow",
		`flow == "inbound" and (event)`:                 "two values of flow",
		`to == "1" and inbound and to == "2"`:           "two values of to",
		`to in ["1", "2"] and to == "3"`:                "two values of to",
		`word == "JOIN"`:                                `word is never "JOIN"; it is one word in lower case`,
		`inbound and word in ["JOIN", "STOP now"]`:      `word is never "JOIN"`,
		`word == "A" or word == "B"`:                    `word is never "A"`,
		`flow == "in"`:                                  "it is inbound, outbound or event",
		`event_type == "delivered"`:                     "it is ack, nack or delivery_report",
		`event and delivery_status == "sent"`:           "it is pending, delivered or failed",
		`session == "begin"`:                            "it is new, resume or close, or empty",
		`true`:                                          "",
		`inbound`:                                       "",
		`not false`:                                     "",
		`not (inbound and outbound)`:                    "",
		`inbound or outbound`:                           "",
		`word == "join"`:                                "",
		`word in ["JOIN", "join"]`:                      "",
		`word != "JOIN"`:                                "",
		`content == "JOIN"`:                             "",
		`session == ""`:                                 "",
		`to in ["1", "2"] and to in ["2", "3"]`:         "",
		`from == "1" and to == "2" and from in ["1"]`:   "",
		`event and event_type == "nack" or outbound`:    "",
		`country(from) == "ZA" and country(to) == "KE"`: "",
	} {
		r := mustLoad(t, "rules:\n- to: app\n  when: "+quoted(when))
		err := r.Lint(dispatcher.Names{})
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", when, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), "can never match: ") || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: got %v, want %q", when, err, want)
		}
	}
}

func quoted(text string) string { return "'" + text + "'" }

func TestNothingIsReachedBelowAConditionThatAlwaysHolds(t *testing.T) {
	for _, when := range []string{"true", "not false", "inbound or true"} {
		_, err := load(t, "rules:\n- {when: "+quoted(when)+", to: app}\n- {when: inbound, to: log}")
		if err == nil || !strings.Contains(err.Error(), "rules.1: can never match: rules.0 above takes all that it could") {
			t.Errorf("below %s: %v", when, err)
		}
	}
	if _, err := load(t, "rules:\n- {when: 'true', continue: true, set: {content: x}}\n- {to: app}"); err != nil {
		t.Errorf("a rule that continues: %v", err)
	}
}
