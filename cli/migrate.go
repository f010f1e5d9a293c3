package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"switchboard/fleet"
	"switchboard/operate"
	"switchboard/store"
)

// databaseFlag is the flag of commands that look into the database.
type databaseFlag struct{ url string }

func (f *databaseFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.url, "database-url", os.Getenv("DATABASE_URL"),
		"the database: postgres:// or sqlite:PATH (DATABASE_URL)")
	cmd.Flags().Lookup("database-url").DefValue = "" // it may hold a password
}

// open opens a database that is there; it must have the schema the program wants.
func (f *databaseFlag) open(ctx context.Context) (store.Database, error) {
	db, err := f.opened(ctx, fleet.OpenDatabase)
	if err != nil {
		return nil, err
	}
	if err := db.Check(ctx); err != nil {
		_ = db.Close()
		return nil, unreachable(err)
	}
	return db, nil
}

// opener is fleet.OpenDatabase or fleet.MakeDatabase.
type opener func(ctx context.Context, address string, logger *slog.Logger) (store.Database, error)

func (f *databaseFlag) opened(ctx context.Context, open opener) (store.Database, error) {
	if f.url == "" {
		return nil, misused(errors.New("no database: set DATABASE_URL or --database-url to postgres://… or sqlite:PATH"))
	}
	db, err := open(ctx, f.url, slog.New(slog.DiscardHandler))
	return db, misused(err)
}

// unreachable says what to do about a database that does not answer. What the
// driver says of each address that it tried becomes one line, and is said once.
func unreachable(err error) error {
	if errors.Is(err, store.ErrSchemaOlder) || errors.Is(err, store.ErrSchemaNewer) {
		return misused(err)
	}
	var lines []string
	for line := range strings.Lines(err.Error()) { // an address that was tried twice fails twice
		if line = strings.TrimSpace(line); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return operate.Unreachable{Err: fmt.Errorf("%s; look at DATABASE_URL and whether the database is up", strings.Join(lines, " "))}
}

func migrateCommand() *cobra.Command {
	var flag databaseFlag
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database to the schema this program wants; safe to run from several places at once",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			db, err := flag.opened(cmd.Context(), fleet.MakeDatabase)
			if err != nil {
				return err
			}
			defer func() { _ = db.Close() }()
			if err := db.Migrate(cmd.Context()); err != nil {
				return fmt.Errorf("migrating the database: %w", unreachable(err))
			}
			current, _, err := db.Version(cmd.Context())
			if err != nil {
				return err
			}
			cmd.Printf("the database's schema is at version %d\n", current)
			return nil
		},
	}
	flag.add(cmd)
	return cmd
}
