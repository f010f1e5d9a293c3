package fleet

import (
	"path/filepath"
	"slices"
	"strings"
)

// served is who of a fleet is at which connectors.
type served struct {
	transports, apps map[string][]*Definition // by connector
	joins, exposes   map[string][]*Definition // dispatchers by transport_names, by exposed_names
}

func serve(defs []*Definition) served {
	s := served{
		map[string][]*Definition{}, map[string][]*Definition{}, map[string][]*Definition{}, map[string][]*Definition{},
	}
	for _, d := range defs {
		switch d.Kind {
		case KindTransport:
			s.transports[d.Connector] = append(s.transports[d.Connector], d)
		case KindApplication:
			s.apps[d.Connector] = append(s.apps[d.Connector], d)
		}
		for _, name := range d.Names.Transports {
			s.joins[name] = append(s.joins[name], d)
		}
		for _, name := range d.Names.Exposed {
			s.exposes[name] = append(s.exposes[name], d)
		}
	}
	return s
}

// names finds connectors with nobody at one of their ends.
func (all *findings) names(defs []*Definition) {
	s := serve(defs)
	for _, d := range defs {
		for _, name := range d.Names.Transports {
			if len(s.transports[name])+len(s.exposes[name]) == 0 {
				all.add(Warning, d.At("transport_names", name), "no transport here serves %s; add one with transport_name: %s, "+
					"or leave it so if it runs elsewhere", name, name)
			}
		}
		for _, name := range d.Names.Exposed {
			if len(s.apps[name])+len(s.joins[name]) == 0 {
				all.add(Warning, d.At("exposed_names", name), "no application here serves %s; add one with transport_name: %s, "+
					"or leave it so if it runs elsewhere", name, name)
			}
		}
		switch {
		case d.Kind == KindTransport && len(s.joins[d.Connector])+len(s.apps[d.Connector]) == 0:
			all.add(Warning, d.At("transport_name"), "nobody here takes what comes from %s; add it to a dispatcher's transport_names, "+
				"or leave it so if that runs elsewhere", d.Connector)
		case d.Kind == KindApplication && len(s.exposes[d.Connector])+len(s.transports[d.Connector]) == 0:
			all.add(Warning, d.At("transport_name"), "no dispatcher here exposes %s; add it to one's exposed_names, "+
				"or leave it so if that runs elsewhere", d.Connector)
		}
	}
}

// At is file:line of the deepest of keys that is there; for the names of
// endpoint dispatchers, under the words they use.
func (d *Definition) At(keys ...string) string {
	if len(keys) > 0 && !d.doc.Has(keys[0]) {
		switch keys[0] {
		case "transport_names":
			keys[0] = "receive_inbound_connectors"
		case "exposed_names":
			keys[0] = "receive_outbound_connectors"
		}
	}
	return d.doc.Position(keys...)
}

// circles finds dispatchers that pass messages on in a circle.
func (all *findings) circles(defs []*Definition) {
	s := serve(defs)
	seen := map[*Definition]bool{}
	for _, d := range defs {
		if circle := s.circle(d, []*Definition{d}, nil); circle != nil && !slices.ContainsFunc(circle, func(d *Definition) bool { return seen[d] }) {
			for _, d := range circle {
				seen[d] = true
			}
			all.add(Error, d.At("exposed_names"), "messages can run in a circle: %s; take one of the names away", s.describe(circle))
		}
	}
}

// circle goes on from the last dispatcher of path until it is back at start.
func (s served) circle(start *Definition, path []*Definition, been map[*Definition]bool) []*Definition {
	if been == nil {
		been = map[*Definition]bool{}
	}
	last := path[len(path)-1]
	been[last] = true
	for _, name := range last.Names.Exposed {
		for _, next := range s.joins[name] {
			if next == start {
				return path
			}
			if been[next] {
				continue
			}
			if found := s.circle(start, append(slices.Clone(path), next), been); found != nil {
				return found
			}
		}
	}
	return nil
}

// describe is `a exposes x, which b takes as a transport and exposes y, …`.
func (s served) describe(circle []*Definition) string {
	steps := make([]string, len(circle))
	for i, d := range circle {
		next := circle[(i+1)%len(circle)]
		for _, name := range d.Names.Exposed {
			if slices.Contains(next.Names.Transports, name) {
				steps[i] = "dispatcher " + d.Name + " → " + name
				break
			}
		}
	}
	return strings.Join(append(steps, "dispatcher "+circle[0].Name), " → ")
}

// sharedQueues finds workers that take from the same queue: each message
// reaches whichever comes first.
func (all *findings) sharedQueues(defs []*Definition) {
	s := serve(defs)
	for _, group := range []struct {
		at      map[string][]*Definition
		key, is string
	}{
		{s.transports, "transport_name", "transport"},
		{s.apps, "transport_name", "application"},
		{s.joins, "transport_names", "dispatcher"},
		{s.exposes, "exposed_names", "dispatcher"},
	} {
		for _, name := range sortedKeys(group.at) {
			for _, d := range group.at[name][1:] {
				all.shared(group.at[name][0], d, group.key, group.is, name)
			}
		}
	}
}

func (all *findings) shared(first, second *Definition, key, kind, name string) {
	if first.doc.Hash() == second.doc.Hash() {
		return // replicas
	}
	at := second.At(key, name)
	switch {
	case filepath.Dir(first.Path) != filepath.Dir(second.Path):
		all.add(Error, at, "connector %s is used by %s in another fleet too (%s); on one broker the two would take each other's messages: "+
			"rename one", name, first.Name, first.Path)
	case kind == "dispatcher":
		all.add(Error, at, "dispatcher %s (%s) takes from %s too; each message would go by the routes of whichever comes first: "+
			"take the name away from one, or make both files the same", first.Name, first.Path, name)
	default:
		all.add(Warning, at, "%s %s (%s) serves %s too; each message reaches only one of them: rename one, unless they share the work",
			kind, first.Name, first.Path, name)
	}
}

// sharedPorts finds workers that listen on the same port.
func (all *findings) sharedPorts(defs []*Definition) {
	first := map[string]*Definition{}
	for _, d := range defs {
		for _, address := range d.Listens() {
			_, port := splitPort(address)
			if port == "0" || port == "" {
				continue
			}
			if was := first[port]; was != nil {
				all.add(Warning, d.doc.Path, "%s listens on port %s as %s (%s) does; on one machine only one of them can: change one",
					d.Name, port, was.Name, was.Path)
				continue
			}
			first[port] = d
		}
	}
}

// sharedAccounts finds workers that log in as one another.
func (all *findings) sharedAccounts(defs []*Definition) {
	first := map[string]*Definition{}
	for _, d := range defs {
		account := d.logsInAs()
		was := first[account]
		switch {
		case account == "":
		case was == nil:
			first[account] = d
		case was.doc.Hash() != d.doc.Hash(): // replicas may
			all.add(Warning, d.doc.Path, "%s logs in as %s, as %s (%s) does; what people send reaches one of the two: give each an account of its own",
				d.Name, account, was.Name, was.Path)
		}
	}
}

func splitPort(address string) (host, port string) {
	i := strings.LastIndexByte(address, ':')
	if i < 0 {
		return address, ""
	}
	return address[:i], address[i+1:]
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
