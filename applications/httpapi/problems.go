package httpapi

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"
)

// problem is an error as it is answered (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	// Pointer leads to what is wrong in the body (RFC 6901).
	Pointer string `json:"pointer,omitempty"`

	retryAfter time.Duration
}

func (p *problem) Error() string { return p.Title + ": " + p.Detail }

// with is a copy that says more.
func (p *problem) with(detail string) *problem {
	more := *p
	more.Detail = detail
	return &more
}

// at is a copy that says where it is.
func (p *problem) at(pointer string) *problem {
	there := *p
	there.Pointer = pointer
	return &there
}

// kind makes a kind of problem. Its type leads to its line on the page of the API.
func kind(name string, status int, title string) *problem {
	return &problem{Type: "/docs#problem-" + name, Title: title, Status: status}
}

// problems are all kinds.
var problems = struct {
	unauthorized, forbidden, invalid, notFound, unknownReply, sessionClosed, notAllowed, tooLarge, rateLimited,
	keyReused, keyInUse, noRecord, unavailable *problem
}{
	unauthorized:  kind("unauthorized", http.StatusUnauthorized, "No valid token"),
	forbidden:     kind("forbidden", http.StatusForbidden, "The token may not do this"),
	invalid:       kind("invalid", http.StatusBadRequest, "The request is not valid"),
	notFound:      kind("not-found", http.StatusNotFound, "There is no such thing"),
	unknownReply:  kind("unknown-reply", http.StatusUnprocessableEntity, "reply_to names no message that can be replied to"),
	sessionClosed: kind("session-closed", http.StatusConflict, "The session of the message is closed"),
	notAllowed:    kind("method-not-allowed", http.StatusMethodNotAllowed, "The path does not have this method"),
	tooLarge:      kind("too-large", http.StatusRequestEntityTooLarge, "The request is too large"),
	rateLimited:   kind("rate-limited", http.StatusTooManyRequests, "Too many requests"),
	keyReused:     kind("key-reused", http.StatusUnprocessableEntity, "The Idempotency-Key was used for another request"),
	keyInUse:      kind("key-in-use", http.StatusConflict, "The first request of this Idempotency-Key has no outcome yet"),
	noRecord:      kind("no-record", http.StatusNotImplemented, "The fleet keeps no record"),
	unavailable:   kind("unavailable", http.StatusServiceUnavailable, "Try again later"),
}

// asProblem is what an error is answered with. What went wrong inside is not told.
func asProblem(err error) *problem {
	if p, is := errors.AsType[*problem](err); is {
		return p
	}
	if _, is := errors.AsType[*http.MaxBytesError](err); is {
		return problems.tooLarge.with("a body may have 1 MiB")
	}
	p := problems.unavailable.with("the broker or the store is out of reach; a request with an Idempotency-Key can be repeated safely")
	p.retryAfter = time.Second
	return p
}

func (p *problem) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}
