package postgres

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestMissingMonthInAnyLanguage: a missing partition is recognized in any lc_messages, and
// rejects no message.
func TestMissingMonthInAnyLanguage(t *testing.T) {
	for text, constraint := range map[string]string{
		`no partition of relation "message" found for row`:                            "",
		`keine Partition von Relation »message« für die Zeile gefunden`:               "",
		`aucune partition de la relation « message » trouvée pour la ligne`:           "",
		`no se encontró una partición de «message» para el registro`:                  "",
		`new row for relation "message" violates check constraint "partition"`:        "partition",
		`neue Zeile für Relation »message« verletzt Check-Constraint »message_check«`: "message_check",
	} {
		err := fmt.Errorf("recording: %w", &pgconn.PgError{Code: "23514", Message: text, ConstraintName: constraint})
		if missing := constraint == ""; (dialect{}).NoMonth(err) != missing || (dialect{}).BadData(err) == missing {
			t.Errorf("%s: taken for a missing month: %v, for bad data: %v", text, (dialect{}).NoMonth(err), (dialect{}).BadData(err))
		}
	}
}
