package httpapi

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"switchboard/options"
)

// Token is what a request proves itself with: `Authorization: Bearer TOKEN`.
type Token struct {
	// Token is the secret; of 16 characters or more, or there is a warning.
	Token options.Secret `yaml:"token"`
	// Scopes are what it may do: send (messages), read (messages, channels, the webhook's
	// state), broadcast (broadcasts and scheduled messages), retry (what the webhook did
	// not take), optouts (who wants no messages). Default send and read.
	Scopes options.Names `yaml:"scopes"`
	// Rate is how many requests, or messages where a request has several, it may make in a
	// second; 0 is no bound.
	Rate float64 `yaml:"rate"`
}

const (
	scopeSend      = "send"
	scopeRead      = "read"
	scopeBroadcast = "broadcast"
	scopeRetry     = "retry"
	scopeOptOuts   = "optouts"

	leastToken = 16 // characters
)

func (t *Token) validate() error {
	if len(t.Scopes) == 0 {
		t.Scopes = options.Names{scopeSend, scopeRead}
	}
	all := []string{scopeSend, scopeRead, scopeBroadcast, scopeRetry, scopeOptOuts}
	errs := make([]error, 0, len(t.Scopes))
	for _, scope := range t.Scopes {
		if !slices.Contains(all, scope) {
			errs = append(errs, options.Fieldf("scopes", "has no %q%s; there are %s", scope, options.DidYouMean(scope, all), strings.Join(all, ", ")))
		}
	}
	if t.Token == "" {
		errs = append(errs, options.Fieldf("token", "is missing"))
	}
	if !(t.Rate >= 0) {
		errs = append(errs, options.Fieldf("rate", "must not be negative"))
	}
	return errors.Join(errs...)
}

// client is who has a token.
type client struct {
	name   string
	scopes []string
	limit  *rate.Limiter
}

// clients are those who have tokens, by the hashes of these: a look-up by hash takes as
// long for a token that is nearly right as for any other.
type clients map[[sha256.Size]byte]*client

func newClients(tokens options.Map[Token]) clients {
	all := clients{}
	for _, t := range tokens {
		limit := rate.NewLimiter(rate.Inf, 0)
		if t.Value.Rate > 0 {
			limit = rate.NewLimiter(rate.Limit(t.Value.Rate), max(int(t.Value.Rate), maxMessages))
		}
		all[sha256.Sum256([]byte(t.Value.Token.Reveal()))] = &client{t.Key, t.Value.Scopes, limit}
	}
	return all
}

// admit says whose a request is, if its token may do what the scope says.
func (c clients) admit(q *http.Request, scope string) (*client, error) {
	scheme, token, _ := strings.Cut(q.Header.Get("Authorization"), " ")
	found := c[sha256.Sum256([]byte(strings.TrimSpace(token)))]
	switch {
	case found == nil || !strings.EqualFold(scheme, "Bearer"):
		return nil, problems.unauthorized.with("send Authorization: Bearer with a token of the application")
	case !slices.Contains(found.scopes, scope):
		return nil, problems.forbidden.with(fmt.Sprintf("the token has the scopes %s, and not %s", strings.Join(found.scopes, ", "), scope))
	}
	return found, nil
}

// spend takes n of what the token may do in a second.
func (c *client) spend(n int) error {
	reservation := c.limit.ReserveN(time.Now(), n)
	wait := reservation.Delay()
	if wait == 0 {
		return nil
	}
	reservation.Cancel()
	p := problems.rateLimited.with(fmt.Sprintf("the token may do %g a second", float64(c.limit.Limit())))
	p.retryAfter = wait
	return p
}
