package http_test

import (
	"testing"

	"switchboard/options"
	"switchboard/transports/http"
)

func TestEveryPresetCompiles(t *testing.T) {
	for _, name := range http.Presets() {
		d, _, err := http.Load(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := withAll(d, name).Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// withAll is a transport of a preset with a value for all that has no default.
func withAll(d *http.Description, name string) *http.Transport {
	tr := http.New()
	port := 0
	tr.Provider, tr.WebPort, tr.TransportName = name, &port, "channel"
	tr.Options, tr.Secrets = map[string]string{}, map[string]options.Secret{}
	for _, p := range d.Options {
		if p.Value.Default == nil {
			tr.Options[p.Key] = "value"
		}
	}
	for _, p := range d.Secrets {
		tr.Secrets[p.Key] = "s3cret-" + options.Secret(p.Key)
	}
	return tr
}
