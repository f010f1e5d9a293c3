package middleware_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"switchboard/middleware"
	"switchboard/worker"
)

// Every middleware and every option is on its page.
func TestDocs(t *testing.T) {
	page, err := os.ReadFile("../docs/middleware.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, m := range map[string]worker.Middleware{
		"address_translation": middleware.NewAddressTranslation(), "dedupe": middleware.NewDedupe(), "logging": middleware.NewLogging(),
		"msisdn": middleware.NewMSISDN(), "opt_out": middleware.NewOptOut(), "prefix_provider": middleware.NewPrefixProvider(),
		"rate_limit": middleware.NewRateLimit(), "session_length": middleware.NewSessionLength(),
		"static_provider": middleware.NewStaticProvider(), "storing": middleware.NewStoring(), "tagging": middleware.NewTagging(),
	} {
		_, section, found := strings.Cut(string(page), "\n### "+name+"\n")
		if !found {
			t.Errorf("%s has no section", name)
			continue
		}
		section, _, _ = strings.Cut(section, "\n## ")
		section, _, _ = strings.Cut(section, "\n### ")
		for _, field := range reflect.VisibleFields(reflect.TypeOf(m).Elem()) {
			option := field.Tag.Get("yaml")
			ignored := name == "storing" || option == "redis_manager"
			if option != "" && !ignored && !strings.Contains(section, "`"+option) {
				t.Errorf("%s: option %s is not in its section", name, option)
			}
		}
	}
}
