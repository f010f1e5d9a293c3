package routers

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"switchboard/dispatcher"
	"switchboard/options"
)

var (
	_ dispatcher.Linter = (*Simple)(nil)
	_ dispatcher.Linter = (*TransportToTransport)(nil)
	_ dispatcher.Linter = (*Redirect)(nil)
	_ dispatcher.Linter = (*ToAddr)(nil)
	_ dispatcher.Linter = (*ContentKeyword)(nil)
	_ dispatcher.Linter = (*RoutingTable)(nil)
)

// Lint points at transports without a route, and at routes without a transport.
func (r *Simple) Lint(names dispatcher.Names) error {
	return errors.Join(lintUnmapped(r.RouteMappings, names, "route_mappings"), lintSources(r.RouteMappings, names, "route_mappings"))
}

// Lint points at transports without a route, and at routes without a transport.
func (r *TransportToTransport) Lint(names dispatcher.Names) error {
	return errors.Join(lintUnmapped(r.RouteMappings, names, "route_mappings"), lintSources(r.RouteMappings, names, "route_mappings"))
}

// lintUnmapped points at transports without a route; where a mapping has keys
// of other names, those may be what their messages have as transport_name.
func lintUnmapped(m options.Map[options.Names], names dispatcher.Names, option string) error {
	var errs []error
	for _, pair := range m {
		if !slices.Contains(names.Transports, pair.Key) {
			return nil
		}
	}
	for _, name := range names.Transports {
		if _, mapped := m.Get(name); !mapped {
			errs = append(errs, options.Field(fmt.Errorf("has no %s; what comes from there is dead-lettered", name), option))
		}
	}
	return errors.Join(errs...)
}

// Lint points at redirections of no transport.
func (r *Redirect) Lint(names dispatcher.Names) error {
	return lintSources(singles(r.RedirectInbound), names, "redirect_inbound")
}

// Lint points at patterns that are there twice: two applications get a copy.
func (r *ToAddr) Lint(dispatcher.Names) error {
	var errs []error
	for i, pair := range r.ToAddrMappings {
		for _, above := range r.ToAddrMappings[:i] {
			if above.Value == pair.Value {
				errs = append(errs, options.Field(fmt.Errorf("has the pattern of %s; both get a copy of each message", above.Key),
					"toaddr_mappings", pair.Key))
				break
			}
		}
	}
	return errors.Join(errs...)
}

// Lint points at keywords that change nothing, because a rule above sends all
// that they match to the same name.
func (r *ContentKeyword) Lint(dispatcher.Names) error {
	var errs []error
	for i, k := range r.Rules {
		for j, above := range r.Rules[:i] {
			if above.covers(k) {
				errs = append(errs, options.Field(fmt.Errorf("never decides: rules.%d above sends all that it matches to %s", j, k.App),
					"rules", strconv.Itoa(i)))
				break
			}
		}
	}
	for _, pair := range r.KeywordMappings {
		k := KeywordRule{App: pair.Key, Keyword: pair.Value}
		for j, above := range r.Rules {
			if above.covers(k) {
				errs = append(errs, options.Field(fmt.Errorf("never decides: rules.%d sends all that it matches to %s", j, k.App),
					"keyword_mappings", pair.Key))
				break
			}
		}
	}
	return errors.Join(errs...)
}

func (k KeywordRule) covers(other KeywordRule) bool {
	return k.App == other.App && strings.EqualFold(k.Keyword, other.Keyword) && strings.HasPrefix(other.Prefix, k.Prefix) &&
		(k.ToAddr == nil || other.ToAddr != nil && *k.ToAddr == *other.ToAddr)
}

// Lint points at connectors without a row in the table.
func (r *RoutingTable) Lint(names dispatcher.Names) error {
	var errs []error
	for _, name := range slices.Concat(names.Transports, names.Exposed) {
		if _, there := r.RoutingTable.Get(name); !there {
			errs = append(errs, options.Field(fmt.Errorf("has no %s; what comes from there is dead-lettered", name), "routing_table"))
		}
	}
	return errors.Join(errs...)
}
