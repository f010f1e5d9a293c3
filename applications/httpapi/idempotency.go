package httpapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"switchboard/message"
	"switchboard/store"
)

const (
	keyHeader = "Idempotency-Key"
	maxKey    = 255 // bytes
	// keyTTL is how long the outcome of a key's request is kept.
	keyTTL = 24 * time.Hour
)

// namer names the messages of a request: with an Idempotency-Key their ids follow from it,
// so that a request that is repeated after a crash sends the same messages.
type namer struct {
	key   string
	again bool // an earlier request of the key has no known outcome
	begun bool // something may be sent or stored
}

func (n *namer) name(m *message.Message, i int) {
	if n.key == "" {
		return
	}
	sum := sha256.Sum256([]byte(n.key + "\x00" + strconv.Itoa(i)))
	m.ID = hex.EncodeToString(sum[:16])
	if n.again {
		m.RoutingMetadata.Set(message.AgainKey, true) // transports look whether they have sent it
	}
}

// once does the work of a request, or gives the answer that a request of the same
// Idempotency-Key got (draft-ietf-httpapi-idempotency-key-header-07).
func (r *run) once(q *request, work func(context.Context, *namer) (any, error)) (any, error) {
	given := q.Header.Get(keyHeader)
	if given == "" {
		return work(q.Context(), &namer{})
	}
	if len(given) > maxKey {
		return nil, problems.invalid.with(fmt.Sprintf("an Idempotency-Key may have %d bytes", maxKey))
	}
	sum := sha256.Sum256([]byte(r.connector + "\x00" + q.client.name + "\x00" + given))
	key := "idempotency/" + hex.EncodeToString(sum[:])
	if _, taken := r.keys.LoadOrStore(key, true); taken {
		p := problems.keyInUse.with("it is being worked on")
		p.retryAfter = time.Second
		return nil, p
	}
	defer r.keys.Delete(key)
	asked := sha256.Sum256([]byte(q.Method + q.URL.Path + "\x00" + string(q.body)))
	fingerprint := hex.EncodeToString(asked[:])
	known, added, err := r.state.Add(q.Context(), store.Entry{Key: key, Value: fingerprint, TTL: keyTTL})
	if err != nil {
		return nil, err
	}
	first, outcome, done := strings.Cut(known, " ")
	switch {
	case first != fingerprint:
		return nil, problems.keyReused
	case done:
		return answered{json.RawMessage(outcome), true}, nil
	}
	name := &namer{key: key, again: !added}
	answer, err := work(q.Context(), name)
	ctx, cancel := outlast(q.Context())
	defer cancel()
	if err != nil {
		if added && !name.begun {
			_ = r.state.Delete(ctx, key) // it may be used for a request that is valid
		}
		return nil, err
	}
	text, err := json.Marshal(answer)
	if err == nil {
		err = r.state.Set(ctx, store.Entry{Key: key, Value: fingerprint + " " + string(text), TTL: keyTTL})
	}
	return answered{json.RawMessage(text), false}, err
}

// unrepeatable is for work whose outcome an earlier request of the key may have left: it is
// not done twice.
func (n *namer) unrepeatable() error {
	if n.again {
		return problems.keyInUse.with("it may have been stored: look at GET /broadcasts, and use another key if it was not")
	}
	return nil
}

// storing notes the outcome of storing something; a problem means that nothing is stored.
func (n *namer) storing(err error) error {
	_, refused := errors.AsType[*problem](err)
	n.begun = n.begun || !refused
	return err
}

// outlastTimeout bounds what is stored when a request is over.
const outlastTimeout = 5 * time.Second

// outlast is for storing what came of a request, also where its client or its time is gone.
func outlast(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), outlastTimeout)
}
