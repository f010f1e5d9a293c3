package middleware_test

import (
	"testing"

	"switchboard/message"
	"switchboard/middleware"
	"switchboard/worker"
)

var (
	_ worker.Middleware  = (*middleware.Dedupe)(nil)
	_ worker.Provisioner = (*middleware.Dedupe)(nil)
)

func TestAddressTranslation(t *testing.T) {
	m := mustLoad(t, middleware.NewAddressTranslation(), `outbound_map: {"555OUT": "+27831111111", "other": "+27832222222"}`)
	for name, c := range map[string]struct {
		flow     message.Flow
		from, to string
		wantFrom string
		wantTo   string
	}{
		"outbound known":              {message.Outbound, "12345", "555OUT", "12345", "+27831111111"},
		"outbound unknown":            {message.Outbound, "12345", "+27830000000", "12345", "+27830000000"},
		"outbound from is left":       {message.Outbound, "555OUT", "x", "555OUT", "x"},
		"inbound known":               {message.Inbound, "+27832222222", "12345", "other", "12345"},
		"inbound unknown":             {message.Inbound, "+27830000000", "12345", "+27830000000", "12345"},
		"inbound to is left":          {message.Inbound, "x", "+27832222222", "x", "+27832222222"},
		"inbound inside name stays":   {message.Inbound, "other", "12345", "other", "12345"},
		"outbound outside name is so": {message.Outbound, "12345", "+27831111111", "12345", "+27831111111"},
	} {
		t.Run(name, func(t *testing.T) {
			e := envelope(c.flow, func(m *message.Message) { m.From, m.To = c.from, c.to })
			if err := pass(t, m, e); err != nil {
				t.Fatal(err)
			}
			if e.Message.From != c.wantFrom || e.Message.To != c.wantTo {
				t.Errorf("got %s → %s, want %s → %s", e.Message.From, e.Message.To, c.wantFrom, c.wantTo)
			}
		})
	}
	if err := pass(t, m, event()); err != nil {
		t.Error(err)
	}
	refused(t, middleware.NewAddressTranslation, map[string]string{
		"no map": "", "two insides of one outside": `outbound_map: {a: x, b: x}`, "another key": "outbound_maps: {a: b}",
	})
}

func TestStaticProvider(t *testing.T) {
	m := mustLoad(t, middleware.NewStaticProvider(), "provider: MTN")
	for _, flow := range []message.Flow{message.Inbound, message.Outbound} {
		e := envelope(flow, func(m *message.Message) { m.Provider = "Vodacom" })
		if err := pass(t, m, e); err != nil || e.Message.Provider != "MTN" {
			t.Errorf("%s: provider %q, %v", flow, e.Message.Provider, err)
		}
	}
	if err := pass(t, m, event()); err != nil {
		t.Error(err)
	}
	refused(t, middleware.NewStaticProvider, map[string]string{"no provider": ""})
}

func TestPrefixProvider(t *testing.T) {
	const plain = `provider_prefixes: {"+27": land, "+2782": vodacom, "+27821": special, "083": cellc}`
	const normal = plain + "\nnormalize_msisdn: {country_code: '27'}"
	const stripped = `provider_prefixes: {"2782": vodacom}` + "\nnormalize_msisdn: {country_code: '27', strip_plus: true}"
	for name, c := range map[string]struct{ yaml, address, had, want string }{
		"longest wins":              {plain, "+27821234567", "", "special"},
		"next longest":              {plain, "+27829234567", "", "vodacom"},
		"shortest":                  {plain, "+27119234567", "", "land"},
		"none":                      {plain, "+44119234567", "", ""},
		"not normalised":            {plain, "0821234567", "", ""},
		"one that is known is kept": {plain, "+27821234567", "mtn", "mtn"},
		"national":                  {normal, "082 923-4567", "", "vodacom"},
		"double zero":               {normal, "0027829234567", "", "vodacom"},
		"no plus":                   {normal, "27829234567", "", "vodacom"},
		"short code":                {normal, "08312", "", "cellc"},
		"stripped":                  {stripped, "+27829234567", "", "vodacom"},
	} {
		t.Run(name, func(t *testing.T) {
			m := mustLoad(t, middleware.NewPrefixProvider(), c.yaml)
			in := envelope(message.Inbound, func(m *message.Message) { m.From, m.Provider = c.address, c.had })
			out := envelope(message.Outbound, func(m *message.Message) { m.To, m.Provider = c.address, c.had })
			for _, e := range []*message.Envelope{in, out} {
				if err := pass(t, m, e); err != nil || e.Message.Provider != c.want || e.Person() != c.address {
					t.Errorf("%s: provider %q of %s, want %q, %v", e.Flow, e.Message.Provider, e.Person(), c.want, err)
				}
			}
		})
	}
	refused(t, middleware.NewPrefixProvider, map[string]string{
		"no prefixes": "", "no country": plain + "\nnormalize_msisdn: {strip_plus: true}", "odd country": plain + "\nnormalize_msisdn: {country_code: ZA}",
	})
}

func TestMSISDN(t *testing.T) {
	for name, c := range map[string]struct{ yaml, address, want string }{
		"national":               {"country: ZA", "082 123 4567", "+27821234567"},
		"country in small":       {"country: za", "0821234567", "+27821234567"},
		"international":          {"country: ZA", "+254722000000", "+254722000000"},
		"double zero":            {"country: ZA", "00254722000000", "+254722000000"},
		"own country, no plus":   {"country: ZA", "27821234567", "+27821234567"},
		"other country, no plus": {"country: ZA", "254722000000", "+254722000000"},
		"without a country":      {"", "27821234567", "+27821234567"},
		"no country to tell":     {"", "0821234567", "0821234567"},
		"digits":                 {"{country: ZA, format: digits}", "082-123-4567", "27821234567"},
		"as national":            {"{country: ZA, format: national}", "+27821234567", "0821234567"},
		"as national, abroad":    {"{country: ZA, format: national}", "254722000000", "+254722000000"},
		"a short code stays":     {"country: ZA", "12345", "12345"},
		"a name stays":           {"country: ZA", "alice@example.org", "alice@example.org"},
		"a sender name stays":    {"country: ZA", "MyBank", "MyBank"},
		"nobody stays":           {"country: ZA", "", ""},
		"much too long":          {"country: ZA", "082 123 4567 082 123 4567 082 123 4567 082", "082 123 4567 082 123 4567 082 123 4567 082"},
	} {
		t.Run(name, func(t *testing.T) {
			m := mustLoad(t, middleware.NewMSISDN(), c.yaml)
			in := envelope(message.Inbound, func(m *message.Message) { m.From, m.To = c.address, "0821234567" })
			out := envelope(message.Outbound, func(m *message.Message) { m.To, m.From = c.address, "0821234567" })
			for _, e := range []*message.Envelope{in, out} {
				if err := pass(t, m, e); err != nil || e.Person() != c.want {
					t.Errorf("%s: %q, want %q, %v", e.Flow, e.Person(), c.want, err)
				}
			}
			if in.Message.To != "0821234567" || out.Message.From != "0821234567" {
				t.Error("our own address changed")
			}
		})
	}
	if err := pass(t, mustLoad(t, middleware.NewMSISDN(), ""), event()); err != nil {
		t.Error(err)
	}
	refused(t, middleware.NewMSISDN, map[string]string{
		"no country": "country: Mars", "odd format": "format: e165", "odd address": "addresses: [his]", "no addresses": "addresses: []",
		"odd flow": "flows: event", "odd answer": "unparsable: drop", "national of nowhere": "format: national",
	})
}

func TestMSISDNChoices(t *testing.T) {
	m := mustLoad(t, middleware.NewMSISDN(), "{country: ZA, addresses: own, flows: inbound}")
	in := envelope(message.Inbound, func(m *message.Message) { m.From, m.To = "0821111111", "0822222222" })
	out := envelope(message.Outbound, func(m *message.Message) { m.From, m.To = "0821111111", "0822222222" })
	if err := pass(t, m, in); err != nil || in.Message.From != "0821111111" || in.Message.To != "+27822222222" {
		t.Errorf("inbound: %s → %s, %v", in.Message.From, in.Message.To, err)
	}
	if err := pass(t, m, out); err != nil || out.Message.From != "0821111111" || out.Message.To != "0822222222" {
		t.Errorf("outbound: %s → %s, %v", out.Message.From, out.Message.To, err)
	}
	nobody := func(m *message.Message) { m.From = "nobody" }
	drop := mustLoad(t, middleware.NewMSISDN(), "unparsable: discard")
	if err := pass(t, drop, envelope(message.Inbound, nobody)); !message.IsRejection(err) {
		t.Errorf("discard: %v", err)
	}
	fail := mustLoad(t, middleware.NewMSISDN(), "unparsable: fail")
	if err := pass(t, fail, envelope(message.Inbound, nobody)); !message.IsPermanent(err) {
		t.Errorf("fail: %v", err)
	}
}

// One number in six spellings is one person to all who compare numbers.
func TestOneNumberIsOneNumber(t *testing.T) {
	spellings := []string{"+27821234567", "27821234567", "0821234567", "0027821234567", "082 123 4567", "+27 (82) 123-4567"}
	to := func(address string) *message.Envelope {
		return envelope(message.Outbound, func(m *message.Message) { m.To = address })
	}
	from := func(address string) *message.Envelope {
		return envelope(message.Inbound, func(m *message.Message) { m.From = address })
	}
	for _, first := range spellings {
		for _, second := range spellings {
			stop := mustLoad(t, middleware.NewOptOut(), "country: za")
			bind(t, stop, worker.KindDispatcher)
			asked := from(first)
			asked.Message.Content = "STOP"
			if err := pass(t, stop, asked); err != nil {
				t.Fatal(err)
			}
			if err := pass(t, stop, to(second)); !message.IsRejection(err) {
				t.Errorf("STOP from %s, and a message to %s: %v", first, second, err)
			}
			limit := mustLoad(t, middleware.NewRateLimit(), "{limit: 1, country: ZA}")
			bind(t, limit, worker.KindDispatcher)
			if err := pass(t, limit, to(first)); err != nil {
				t.Fatal(err)
			}
			if err := pass(t, limit, to(second)); err == nil {
				t.Errorf("%s and %s are two people to rate_limit", first, second)
			}
			twice := mustLoad(t, middleware.NewDedupe(), "country: ZA")
			bind(t, twice, worker.KindDispatcher)
			if err := pass(t, twice, from(first)); err != nil {
				t.Fatal(err)
			}
			if err := pass(t, twice, from(second)); err == nil {
				t.Errorf("%s and %s are two people to dedupe", first, second)
			}
		}
	}
	refused(t, middleware.NewOptOut, map[string]string{"no country": "country: Zululand"})
	refused(t, middleware.NewDedupe, map[string]string{"no country": "country: Zululand"})
	refused(t, middleware.NewRateLimit, map[string]string{"no country": "{limit: 1, country: Zululand}"})
}
