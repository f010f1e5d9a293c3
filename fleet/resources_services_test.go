//go:build services

package fleet_test

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"

	"switchboard/fleet"
	"switchboard/store"
)

// A database that was never migrated is refused at the start, and not at each
// message.
func TestEmptyDatabase(t *testing.T) {
	address, err := url.Parse(os.Getenv("DATABASE_URL"))
	if err != nil || address.Scheme == "" {
		t.Fatalf("DATABASE_URL must name a PostgreSQL: %v", err)
	}
	query := address.Query()
	query.Set("search_path", "none_"+strings.ToLower(rand.Text()))
	address.RawQuery = query.Encode()
	state, err := fleet.OpenState(t.Context(), address.String(), slog.New(slog.DiscardHandler))
	if !errors.Is(err, store.ErrSchemaOlder) {
		t.Errorf("OpenState = %v, %v", state, err)
	}
}
