package httpapi_test

import (
	"strings"
	"testing"
)

func TestEmbedded(t *testing.T) { runSuite(t, openEmbedded) }

// runSuite has a conversation, and trouble with the webhook, in places that open gives.
func runSuite(t *testing.T, open func(testing.TB) place) {
	for name, c := range map[string]struct {
		yaml string
		test func(*bundle)
	}{
		"a conversation":         {plain, conversation},
		"replies":                {plain, replies},
		"replies in the answer":  {plain, repliesInTheAnswer},
		"order behind a failure": {plain, orderBehindAFailure},
		"dead letters":           {strings.Replace(plain, "secret:", "retry_for: 1ms, secret:", 1), deadLetters},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.test(newBundleIn(t, open(t), c.yaml))
		})
	}
}
