package rabbitmq_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"switchboard/broker/rabbitmq"
)

// TestSettingsThatCannotWork are refused at once, and say nothing of the password.
func TestSettingsThatCannotWork(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]rabbitmq.Settings{
		"no URL":               {},
		"another scheme":       {URL: "http://user:sEcret@host/"},
		"an unescaped slash":   {URL: "amqp://user:sEcret/x@host:5672/"},
		"a port that is none":  {URL: "amqp://user:sEcret@host:port/"},
		"an unescaped percent": {URL: "amqp://user:%sEcret@host/"},
		"white space":          {URL: "amqp://user:sEcret @host/"},
		"no CA file":           {URL: "amqps://user:sEcret@host/", TLS: rabbitmq.TLS{CAFile: "/does/not/exist"}},
		"no CA in the file":    {URL: "amqps://user:sEcret@host/", TLS: rabbitmq.TLS{CAFile: empty}},
		"no key":               {URL: "amqps://user:sEcret@host/", TLS: rabbitmq.TLS{CertFile: empty}},
	} {
		b, err := rabbitmq.Open(s)
		if err == nil {
			b.Close(t.Context())
			t.Errorf("%s: accepted", name)
			continue
		}
		if strings.Contains(err.Error(), "sEcret") {
			t.Errorf("%s: the error shows the password: %v", name, err)
		}
	}
}
