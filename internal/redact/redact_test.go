package redact_test

import (
	"strings"
	"testing"

	"switchboard/internal/redact"
)

// Every form in which the address of a broker or database may hold a password,
// as it stands and within a sentence.
func TestNoPasswordIsLeft(t *testing.T) {
	for _, address := range []string{
		"amqp://app:s3cr3t@rabbit:5672/vhost",
		"amqps://app:p@s3cr3t@rabbit:5671/",
		"amqp://app:%2Fs3cr3t@rabbit/",
		"postgres://app:s3cr3t@db/switchboard?sslmode=disable",
		"postgresql://app:s3cr3t@db1,db2/switchboard",
		"postgres://db/switchboard?user=app&password=s3cr3t&sslmode=disable",
		"postgres://:s3cr3t@db/switchboard",
		"host=db user=app password=s3cr3t dbname=switchboard",
		"host=db password = 's3cr3t with \\' blanks' dbname=switchboard",
		"host=db PASSWORD=s3cr3t",
		"host=db sslpassword=s3cr3t sslkey=k",
		"http://guest:s3cr3t@localhost:15672",
		"https://api.example.org/send?api_key=s3cr3t&to=1",
		"https://api.example.org/send?auth_token=s3cr3t",
	} {
		for _, text := range []string{address, "opening " + address + ": connection refused", `"` + address + `"`} {
			if got := redact.Text(text); strings.Contains(got, "s3cr3t") || !strings.Contains(got, redact.Mask) {
				t.Errorf("%s becomes %s", text, got)
			}
		}
	}
}

func TestTheRestIsLeftAlone(t *testing.T) {
	for text, want := range map[string]string{
		"amqp://app:x@rabbit:5672/vhost":           "amqp://app:…@rabbit:5672/vhost",
		"host=db password=x dbname=switchboard":    "host=db password=… dbname=switchboard",
		"postgres://db/s?password=x&sslmode=off":   "postgres://db/s?password=…&sslmode=off",
		"http://localhost:8080/status":             "http://localhost:8080/status",
		"sms.yaml:3: password: is missing":         "sms.yaml:3: password: is missing",
		"write to support@example.org about 10:30": "write to support@example.org about 10:30",
		"the password is wrong":                    "the password is wrong",
		"":                                         "",
	} {
		if got := redact.Text(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}
