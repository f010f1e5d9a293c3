// Package worker is what all workers share: settings, the environment of
// plugins, consuming, publishing, retries, dead letters, middleware and metrics.
// Frames (dispatcher, transports, applications, persistence) are built on a
// Runtime; plugins see an Env.
package worker

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"switchboard/broker"
	"switchboard/message"
	"switchboard/options"
)

// Worker is one of a fleet's processes.
type Worker interface {
	// Run works until ctx ends and returns nil after a clean stop. An error
	// marked message.Permanent is one that a restart cannot mend.
	Run(ctx context.Context) error
}

// Listener is the optional ability of a plugin to say at which addresses
// (host:port) it listens, so that `switchboard check` finds two on one port.
type Listener interface {
	Listens() []string
}

// Account is the optional ability of a plugin to say whom it logs in as, so that
// `switchboard check` finds two files with one account.
type Account interface {
	LogsInAs() string
}

// Settings are the options every worker has at the top level of its file.
type Settings struct {
	// Name is the worker's name; the file's own when empty.
	Name string `yaml:"worker_name"`
	// Prefetch is how many messages are in flight at once, of each queue. 0 leaves
	// it to the worker: from 20 to 500, as many as it handles in a second or side by
	// side, as a rule; a dispatcher shares 500 out among its queues, at least 10 for
	// each.
	Prefetch int `yaml:"amqp_prefetch_count"`
	// MaxBodyBytes is the largest body that is taken from a queue or published. A
	// larger one becomes a dead letter whose error says its size. At most 8 MiB.
	MaxBodyBytes int `yaml:"max_body_bytes"`
	// StopTimeout is how long a stop waits for what is in flight; then it returns to
	// its queue and the process exits with an error.
	StopTimeout options.Duration `yaml:"stop_timeout"`
	// QueueType is what queues are made: classic or quorum. All workers of a fleet
	// must agree.
	QueueType broker.QueueType `yaml:"queue_type"`
	// MaxAttempts is how often handling a message is tried before it is
	// dead-lettered.
	MaxAttempts int `yaml:"max_attempts"`
	// RetryInitialDelay is the wait before the second attempt.
	RetryInitialDelay options.Duration `yaml:"retry_initial_delay"`
	// RetryDelayFactor is what each further wait is multiplied by.
	RetryDelayFactor int `yaml:"retry_delay_factor"`
	// RetryMaxDelay is the longest wait.
	RetryMaxDelay options.Duration `yaml:"retry_max_delay"`
	// RetryOrder says what becomes of a person's messages behind one that waits for its
	// next try, in transports and applications: they "pass" it, or it is tried in its place
	// and they wait ("hold"), for ten minutes at most.
	RetryOrder RetryOrder `yaml:"retry_order"`
}

// RetryOrder is what becomes of a person's messages behind one that is tried again.
type RetryOrder string

// The orders. Pass is the default: nothing waits for a message that fails.
const (
	Pass RetryOrder = "pass"
	Hold RetryOrder = "hold"
)

// IgnoredKeys are those that any worker of Vumi's may have.
func (Settings) IgnoredKeys() map[string]string {
	const (
		state  = "DATABASE_URL names the store, which takes its place"
		broker = "AMQP_URL names the broker; the exchange is always vumi"
	)
	return map[string]string{
		"redis_manager": state, "riak_manager": state,
		"amqp_host": broker, "vhost": broker, "exchange_name": broker, "exchange_type": broker,
		"sentry_dsn":       "errors are in the log, and counted in /metrics",
		"metrics_prefix":   "/metrics has the worker's name as a label",
		"concurrent_sends": "amqp_prefetch_count bounds what is in flight",
	}
}

// The defaults: retries at 1, 3, 9, … s, at most 1 h apart, for about four hours.
const (
	defaultMaxBody     = 1 << 20
	leastMaxBody       = 1 << 10 // an envelope without a word in it has about half
	defaultStopTimeout = 20 * time.Second
	defaultAttempts    = 12
	defaultRetryDelay  = time.Second
	defaultRetryFactor = 3
	defaultRetryMax    = time.Hour
	maxPrefetch        = 65535 // AMQP 0-9-1 basic.qos prefetch-count is a short
)

// DefaultSettings are the settings of a worker whose file names none.
func DefaultSettings() Settings {
	return Settings{
		MaxBodyBytes:      defaultMaxBody,
		StopTimeout:       options.Duration(defaultStopTimeout),
		QueueType:         broker.Classic,
		MaxAttempts:       defaultAttempts,
		RetryInitialDelay: options.Duration(defaultRetryDelay),
		RetryDelayFactor:  defaultRetryFactor,
		RetryMaxDelay:     options.Duration(defaultRetryMax),
		RetryOrder:        Pass,
	}
}

// Validate checks the settings.
func (s *Settings) Validate() error {
	switch {
	case s.Prefetch < 0 || s.Prefetch > maxPrefetch:
		return options.Fieldf("amqp_prefetch_count", "must be between 1 and %d, or 0 for the worker's own choice", maxPrefetch)
	case s.MaxBodyBytes < leastMaxBody || s.MaxBodyBytes > broker.MaxBody:
		return options.Fieldf("max_body_bytes", "must be between %d and %d", leastMaxBody, broker.MaxBody)
	case s.QueueType != broker.Classic && s.QueueType != broker.Quorum:
		return options.Fieldf("queue_type", "is %q; write classic or quorum", s.QueueType)
	case s.MaxAttempts < 1:
		return options.Fieldf("max_attempts", "must be at least 1")
	case s.RetryInitialDelay <= 0 || s.RetryMaxDelay < s.RetryInitialDelay:
		return options.Fieldf("retry_max_delay", "must not be below retry_initial_delay, and both above 0")
	case s.RetryOrder != Pass && s.RetryOrder != Hold:
		return options.Fieldf("retry_order", "is %q; write pass or hold", s.RetryOrder)
	case s.RetryDelayFactor < 1:
		return options.Fieldf("retry_delay_factor", "must be at least 1")
	case s.StopTimeout < 0:
		return options.Fieldf("stop_timeout", "must not be negative")
	}
	return nil
}

// CheckSize returns an error marked message.Permanent for a body over MaxBodyBytes.
func (s *Settings) CheckSize(body []byte) error {
	if len(body) > s.MaxBodyBytes {
		return message.Permanent(fmt.Errorf("the body has %d bytes, and max_body_bytes is %d", len(body), s.MaxBodyBytes))
	}
	return nil
}

var connectorName = regexp.MustCompile(`^[a-z0-9][a-z0-9_.:@+-]*$`)

// maxConnectorName leaves room for ".outbound.dead" in AMQP's 255 bytes.
const maxConnectorName = 200

// CheckConnector says what is wrong with a connector's name. Names are lower
// case, since Vumi's workers fold routing keys to it.
func CheckConnector(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("a connector needs a name")
	case len(name) > maxConnectorName:
		return fmt.Errorf("connector name %.20q… is longer than %d bytes", name, maxConnectorName)
	case !connectorName.MatchString(name):
		return fmt.Errorf("connector name %q must be lower case letters, digits and . _ - : @ +, and begin with a letter or digit", name)
	}
	return nil
}
