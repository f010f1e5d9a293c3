package survey

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"switchboard/store"
)

// page is how many answers are read at once.
const page = 500

// Each calls do with each response of a survey, in the order in which they began.
// state is the survey's own: that of Scope.
func Each(ctx context.Context, state store.State, do func(Response) error) error {
	from, to := answersPrefix, answersPrefix+"\xff"
	for {
		found, err := state.Range(ctx, from, to, page)
		if err != nil {
			return fmt.Errorf("reading the answers: %w", err)
		}
		for _, e := range found {
			var r Response
			if err := json.Unmarshal([]byte(e.Value), &r); err != nil {
				return fmt.Errorf("reading the answers at %s: %w", e.Key, err)
			}
			if err := do(r); err != nil {
				return err
			}
		}
		if len(found) < page {
			return nil
		}
		from = found[len(found)-1].Key + "\x00"
	}
}

// Export writes the responses as CSV, a line each, and returns how many there were.
// Columns are the questions, also those that the file has no more. Where only those
// who are done are wanted, others are left out.
func Export(ctx context.Context, state store.State, out io.Writer, doneOnly bool) (n int, err error) {
	var questions []string
	if err := Each(ctx, state, func(r Response) error {
		at := 0
		for _, name := range r.Order {
			if i := slices.Index(questions, name); i >= 0 {
				at = i + 1
				continue
			}
			questions = slices.Insert(questions, at, name)
			at++
		}
		return nil
	}); err != nil {
		return 0, err
	}
	w := csv.NewWriter(out)
	_ = w.Write(append([]string{"person", "transport", "language", "started", "answered", "done"}, questions...))
	err = Each(ctx, state, func(r Response) error {
		if doneOnly && !r.Done {
			return nil
		}
		n++
		line := []string{
			harmless(r.Person), harmless(r.Transport), r.Language, r.Started.UTC().Format(time.RFC3339), r.Answered.UTC().Format(time.RFC3339), strconv.FormatBool(r.Done),
		}
		for _, name := range questions {
			line = append(line, harmless(r.Answers[name]))
		}
		return w.Write(line)
	})
	w.Flush()
	if err == nil {
		err = w.Error()
	}
	return n, err
}

// harmless keeps a spreadsheet from taking an answer as a formula.
func harmless(answer string) string {
	if answer == "" || !strings.ContainsRune("=+-@\t\r", rune(answer[0])) {
		return answer
	}
	if _, err := strconv.ParseFloat(answer, 64); err == nil {
		return answer
	}
	return "'" + answer
}
