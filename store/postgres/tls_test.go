package postgres

import (
	"testing"
)

// Another machine's certificate is verified, unless the address says otherwise.
func TestOtherMachinesAreVerified(t *testing.T) {
	t.Setenv("PGSSLMODE", "")
	t.Setenv("PGSERVICE", "")
	for address, want := range map[string]string{
		"postgres://us@db.example.org/s": "verified", "postgres://us@10.0.0.1/s?connect_timeout=5": "verified",
		"host=db.example.org user=us": "verified", "postgres://us@localhost,db.example.org/s": "verified",
		"postgres://us@db.example.org/s?sslmode=require": "encrypted", "host=db.example.org sslmode = disable": "plain",
		"postgres://us@db.example.org/s?sslmode=disable": "plain",
		"postgres://us@127.0.0.1/s":                      "either", "postgres://us@[::1]/s": "either", "postgres://us@localhost/s": "either",
		"postgres:///s?host=/run/postgresql": "plain",
	} {
		config, err := poolConfig(Settings{URL: address})
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		// The last host counts: of several, local ones may come first.
		c, fallbacks := config.ConnConfig.TLSConfig, config.ConnConfig.Fallbacks
		plain := c == nil
		if n := len(fallbacks); n > 0 {
			plain = fallbacks[n-1].TLSConfig == nil
			if fallbacks[n-1].TLSConfig != nil {
				c = fallbacks[n-1].TLSConfig
			}
		}
		got := "plain"
		switch {
		case c != nil && plain:
			got = "either"
		case c != nil && c.InsecureSkipVerify:
			got = "encrypted"
		case c != nil:
			got = "verified"
		}
		if got != want {
			t.Errorf("%s is %s, want %s", address, got, want)
		}
	}
}
