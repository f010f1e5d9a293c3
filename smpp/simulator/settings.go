package simulator

import (
	"io"
	"log/slog"
	"time"

	"switchboard/options"
	"switchboard/smpp/pdu"
	"switchboard/smpp/session"
)

const (
	defaultListen = "127.0.0.1:0"
	defaultKeep   = 100_000
	// closeTimeout is how long Close waits for peers to agree to unbind.
	closeTimeout = 500 * time.Millisecond
)

// Settings say what is simulated. The zero value is an SMSC on a free port of
// the loopback address that lets everybody bind, accepts every message at once
// and reports it delivered.
type Settings struct {
	Listen   string `yaml:"listen"`    // host:port; 127.0.0.1 and a free port unless set
	HTTP     string `yaml:"http"`      // host:port of /counters, /metrics, /received and /deliver; empty: none
	SystemID string `yaml:"system_id"` // ours, in bind answers; "simulator" unless set
	Version  string `yaml:"version"`   // the highest spoken: 3.3, 3.4 or 5.0; 3.4 unless set
	Seed     uint64 `yaml:"seed"`      // the same seed, binds and messages: the same behaviour

	Certificate string `yaml:"certificate"` // file, PEM; with key: TLS
	Key         string `yaml:"key"`         // file, PEM

	Keep   int    `yaml:"keep"`   // PDUs kept for Received, and messages for query_sm; 100,000 unless set, negative: none
	Record string `yaml:"record"` // file that gets what comes, a JSON object a line

	EnquireInterval options.Duration `yaml:"enquire_interval"` // of silence before enquire_link; 30s unless set, negative: never
	ResponseTimeout options.Duration `yaml:"response_timeout"` // for answers to deliver_sm and enquire_link; 30s unless set
	BindTimeout     options.Duration `yaml:"bind_timeout"`     // from the connection to the bind; 30s unless set

	Accounts  []Account `yaml:"accounts"`  // who may bind; empty: everybody
	Behaviour Behaviour `yaml:"behaviour"` // of all accounts
	Phases    []Phase   `yaml:"phases"`    // how it changes over time

	Log    io.Writer    `yaml:"-"` // instead of Record
	Logger *slog.Logger `yaml:"-"` // silent unless set
	// Hook sees every PDU that comes, before anything else; when it returns true
	// nothing is done with the PDU but counting and recording it.
	Hook func(s *session.Session, p *pdu.PDU) (taken bool) `yaml:"-"`
}

// Account is a client that may bind.
type Account struct {
	SystemID  string         `yaml:"system_id"`
	Password  options.Secret `yaml:"password"`  // empty: any
	MaxBinds  int            `yaml:"max_binds"` // at once, more get ESME_RALYBND; 0: any number
	Behaviour Behaviour      `yaml:"behaviour"` // over that of all accounts
}

// Phase changes the behaviour for a time. Phases that overlap are applied one over
// the other, the later in the list on top.
type Phase struct {
	After     options.Duration `yaml:"after"`     // from the start
	For       options.Duration `yaml:"for"`       // 0: to the end
	Every     options.Duration `yaml:"every"`     // again and again, counted from After; 0: once
	Account   string           `yaml:"account"`   // whose; empty: everybody's
	Behaviour Behaviour        `yaml:"behaviour"` // over what else holds
}

func (s Settings) withDefaults() Settings {
	if s.Listen == "" {
		s.Listen = defaultListen
	}
	if s.SystemID == "" {
		s.SystemID = "simulator"
	}
	if s.Keep == 0 {
		s.Keep = defaultKeep
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	return s
}

func (s Settings) version() uint8 {
	switch s.Version {
	case "3.3":
		return pdu.Version33
	case "5.0":
		return pdu.Version50
	}
	return pdu.Version34
}

func (v *SMSC) session() session.Settings {
	s := v.settings
	return session.Settings{
		Version: s.version(), SystemID: s.SystemID, Logger: s.Logger,
		BindTimeout: s.BindTimeout.Std(), ResponseTimeout: s.ResponseTimeout.Std(), EnquireInterval: s.EnquireInterval.Std(),
		OnMalformed: func(*session.Session, *pdu.Error) { v.ledger.count(func(c *tally) { c.unreadable++ }) },
	}
}
