// Package processes asks running processes how their workers are.
package processes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"switchboard/fleet"
	"switchboard/message"
	"switchboard/operate"
	"switchboard/worker"
)

// The ports of localhost on which processes serve /status where nobody names one. No
// worker's file uses them.
const (
	FirstPort = 7780
	LastPort  = 7879
)

// Answer is what one process says of itself.
type Answer struct {
	URL string `json:"url"`
	fleet.Status
}

const (
	askTimeout = 3 * time.Second
	maxAnswer  = 16 << 20 // bytes
)

// Ask asks processes by their URLs (http://host:port). Without any it asks those that
// it finds on this machine. The error joins what was wrong with each that was named;
// the answers of the others are valid.
func Ask(ctx context.Context, urls ...string) ([]Answer, error) {
	if err := Check(urls...); err != nil {
		return nil, err
	}
	found := len(urls) == 0
	if found {
		for port := FirstPort; port <= LastPort; port++ {
			urls = append(urls, fmt.Sprintf("http://127.0.0.1:%d", port))
		}
	}
	answers, errs := make([]*Answer, len(urls)), make([]error, len(urls))
	var group sync.WaitGroup
	for i, address := range urls {
		group.Go(func() { answers[i], errs[i] = ask(ctx, address) })
	}
	group.Wait()
	var all []Answer
	for _, answer := range answers {
		if answer != nil {
			all = append(all, *answer)
		}
	}
	if found {
		return all, nil // the other ports are nobody's, or another program's
	}
	return all, errors.Join(errs...)
}

// Check refuses what is no URL of a process, and asks nobody.
func Check(urls ...string) error {
	for _, text := range urls {
		if u, err := url.Parse(text); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return operate.Misused(fmt.Errorf("process %q is no URL; write http://host:port", text))
		}
	}
	return nil
}

func ask(ctx context.Context, address string) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(address, "/")+"/status?format=json", nil)
	if err != nil {
		return nil, fmt.Errorf("asking process %s: %w", address, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking a process: %w", err) // it names the URL
	}
	defer func() { _ = response.Body.Close() }()
	answer := Answer{URL: address}
	err = json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&answer.Status)
	if response.StatusCode != http.StatusOK || err != nil || len(answer.Workers) == 0 {
		return nil, fmt.Errorf("asking process %s: it answers %s, and not how its workers are", address, response.Status)
	}
	return &answer, nil
}

// Connectors are those of the workers that answered.
func Connectors(answers []Answer) (names []string) {
	for _, answer := range answers {
		for _, w := range answer.Workers {
			if w.Connector != "" {
				names = append(names, w.Connector)
			}
			names = append(append(names, w.Transports...), w.Exposed...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// LinkDown is the link that keeps back what is published to a transport: its own, where it is
// down at every worker that answered; behind a dispatcher that exposes the name, those of
// all the transports it joins. Nil where one is up, or nobody knows.
func LinkDown(answers []Answer, transport string) *worker.Dependency {
	return linkDown(answers, transport, map[string]bool{})
}

func linkDown(answers []Answer, transport string, seen map[string]bool) (down *worker.Dependency) {
	if seen[transport] {
		return nil // a cycle
	}
	seen[transport] = true
	defer delete(seen, transport) // replicas of a dispatcher lead to it, too
	for _, answer := range answers {
		for _, w := range answer.Workers {
			var behind *worker.Dependency
			switch {
			case w.Kind == fleet.KindTransport && w.Connector == transport:
				behind = brokenLink(w)
			case w.Kind == fleet.KindDispatcher && slices.Contains(w.Exposed, transport):
				behind = allDown(answers, w.Transports, seen)
			default:
				continue
			}
			if behind == nil {
				return nil
			}
			down = behind
		}
	}
	return down
}

// allDown is one of the links of transports when all are down.
func allDown(answers []Answer, transports []string, seen map[string]bool) (down *worker.Dependency) {
	for _, name := range transports {
		if down = linkDown(answers, name, seen); down == nil {
			return nil
		}
	}
	return down
}

// AnyLinkDown says whether a transport's link is down.
func AnyLinkDown(answers []Answer) bool {
	return slices.ContainsFunc(answers, func(a Answer) bool {
		return slices.ContainsFunc(a.Workers, func(w fleet.WorkerStatus) bool { return w.Kind == fleet.KindTransport && brokenLink(w) != nil })
	})
}

func brokenLink(w fleet.WorkerStatus) *worker.Dependency {
	i := slices.IndexFunc(w.Dependencies, func(d worker.Dependency) bool {
		return d.Kind == worker.DependsOnLink && d.Health == message.Down
	})
	if i < 0 {
		return nil
	}
	return &w.Dependencies[i]
}

// Describe says how a thing is that a worker depends on, since when, and why.
func Describe(d worker.Dependency) string {
	text := fmt.Sprintf("%s %s %s for %s", d.Kind, d.Name, d.Health, time.Since(d.Since).Round(time.Second))
	if d.Kind == d.Name || d.Name == "" {
		text = fmt.Sprintf("%s %s for %s", d.Kind, d.Health, time.Since(d.Since).Round(time.Second))
	}
	if d.Reason != "" {
		text += ": " + strings.ReplaceAll(d.Reason, "\n", " ")
	}
	return text
}
