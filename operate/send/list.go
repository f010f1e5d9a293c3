package send

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"switchboard/operate"
	"switchboard/options"
	"switchboard/persistence"
	"switchboard/store"
	"switchboard/worker"
)

// List says to whom a text is sent: To, a CSV file, or a query.
type List struct {
	Transport string // where the list names none
	To        []string
	File      string
	Query     string
	// AddressColumn is the column of the address, where several may be it.
	AddressColumn string
	Strict        bool // send nothing when a line is bad

	recorded map[string]bool // the transports that may be sent by; nil is any
}

// Source is where lists are read from.
type Source struct {
	// Open opens a list's file, and says its size in bytes, 0 where it is unknown.
	Open func(path string) (in io.ReadCloser, size int64, err error)
	// DatabaseURL is where a list's query is asked.
	DatabaseURL string
}

// learnTransports lets the list be sent by recorded transports only.
func (l *List) learnTransports(ctx context.Context, db store.State) error {
	recorded, err := persistence.ReadRecorded(ctx, db)
	if err != nil {
		return err
	}
	if len(recorded.Transports) == 0 {
		return operate.Misused(errors.New("no persistence worker has run on this database, so nobody would hand a broadcast over; " +
			"start one, or store it all the same with --force"))
	}
	l.recorded = map[string]bool{}
	for _, name := range recorded.Transports {
		l.recorded[name] = true
	}
	if l.Transport == "" {
		return nil
	}
	return operate.Misused(l.checkTransport(l.Transport))
}

func (l *List) checkTransport(name string) error {
	if l.recorded == nil || l.recorded[name] {
		return worker.CheckConnector(name)
	}
	names := slices.Sorted(maps.Keys(l.recorded))
	return fmt.Errorf("no persistence worker records a transport %q%s (recorded: %s; --force sends all the same)",
		name, options.DidYouMean(name, names), strings.Join(names, ", "))
}

func (l *List) check() error {
	kinds := 0
	for _, given := range [...]bool{len(l.To) > 0, l.File != "", l.Query != ""} {
		if given {
			kinds++
		}
	}
	switch {
	case kinds == 0:
		return errors.New("say to whom: --to ADDRESS, --from-file people.csv or --sql 'SELECT …'")
	case kinds > 1:
		return errors.New("--to, --from-file and --sql exclude each other")
	case len(l.To) > 0 && l.Transport == "":
		return errors.New("say by which transport: --transport NAME")
	}
	for _, address := range l.To {
		if err := checkAddress(store.Address{Backend: l.Transport, Identity: address}); err != nil {
			return fmt.Errorf("--to: %w", err)
		}
	}
	return nil
}

// open opens the list.
func (l *List) open(ctx context.Context, source Source) (*table, error) {
	switch {
	case l.Query != "":
		return openQuery(ctx, source.DatabaseURL, l.Query, l)
	case l.File != "":
		in, _, err := source.Open(l.File)
		if err != nil {
			return nil, err
		}
		return openCSV(in, l)
	}
	return newTable(addressNames[:1], &named{addresses: l.To}, l)
}

// rows are a list's lines.
type rows interface {
	// next returns the fields of a line and its number. Its error is errEnd
	// after the last, and a badLine when only this line is bad.
	next(ctx context.Context) (fields []string, line int, err error)
	// read is how many bytes have been read so far; 0 where it is unknown.
	read() int64
	close()
}

// errEnd ends a list.
var errEnd = errors.New("end of the list")

// badLine is a line that is skipped.
type badLine struct {
	line int
	why  error
}

func (b badLine) Error() string { return fmt.Sprintf("line %d: %v", b.line, b.why) }

// table is an open list.
type table struct {
	rows
	columns   []string
	address   int // the index of its column
	transport int // -1 where the list has no such column
}

// addressNames are the columns that may hold the address.
var addressNames = []string{"address", "to", "to_addr", "identity", "msisdn", "phone", "number"}

const transportName = "transport"

func newTable(columns []string, lines rows, l *List) (*table, error) {
	t := &table{rows: lines, columns: columns, transport: -1}
	var candidates []string
	for i, column := range columns {
		switch name := strings.ToLower(column); {
		case name == transportName && t.transport < 0:
			t.transport = i
		case name == strings.ToLower(l.AddressColumn), l.AddressColumn == "" && slices.Contains(addressNames, name):
			candidates = append(candidates, column)
			t.address = i
		}
	}
	if err := oneAddress(candidates, columns, l.AddressColumn); err != nil {
		lines.close()
		return nil, operate.Misused(err)
	}
	if l.Transport != "" && isExport(columns) {
		t.transport = -1 // the column says what was, and not by what to send
	}
	return t, nil
}

func oneAddress(candidates, columns []string, wanted string) error {
	switch {
	case len(candidates) == 1:
		return nil
	case len(candidates) > 1:
		return fmt.Errorf("several columns may be the address: %s; say which with --address-column", strings.Join(candidates, ", "))
	case wanted != "":
		return fmt.Errorf("no column is called %s (--address-column); the columns are %s", wanted, strings.Join(columns, ", "))
	}
	return fmt.Errorf("no column is called %s; the columns are %s", strings.Join(addressNames, " or "), strings.Join(columns, ", "))
}

// isExport says whether the columns are those of `switchboard messages --csv`.
func isExport(columns []string) bool {
	for _, name := range []string{"id", "direction", "state", "own_address"} {
		if !slices.Contains(columns, name) {
			return false
		}
	}
	return true
}

func (t *table) recipient(l *List, fields []string) (store.Recipient, error) {
	if len(fields) != len(t.columns) {
		return store.Recipient{}, fmt.Errorf("it has %s, the header %d", counted(len(fields), "field"), len(t.columns))
	}
	identity := strings.TrimSpace(operate.UnescapeCell(fields[t.address]))
	to := store.Recipient{Address: store.Address{Backend: l.Transport, Identity: identity}}
	if t.transport >= 0 && strings.TrimSpace(fields[t.transport]) != "" {
		to.Backend = strings.TrimSpace(fields[t.transport])
	}
	if err := checkAddress(to.Address); err != nil {
		return to, err
	}
	if err := l.checkTransport(to.Backend); err != nil {
		return to, err
	}
	to.Fields = make(map[string]string, len(t.columns))
	for i, column := range t.columns {
		if !utf8.ValidString(fields[i]) {
			return to, fmt.Errorf("%s is not UTF-8", column)
		}
		to.Fields[column] = operate.UnescapeCell(fields[i])
	}
	return to, nil
}

// maxAddress is the longest address a list may have, in bytes.
const maxAddress = 255

// roundedNumber is a number as a spreadsheet writes it that takes it for an
// amount: 2.783E+10, 27830000131.0.
var roundedNumber = regexp.MustCompile(`^[+-]?\d+([.,]\d+)?[eE][+-]?\d+$|^[+-]?\d+[.,]\d+$`)

func checkAddress(a store.Address) error {
	switch {
	case a.Identity == "":
		return errors.New("it has no address")
	case len(a.Identity) > maxAddress:
		return fmt.Errorf("address %.20q… is longer than %d bytes", a.Identity, maxAddress)
	case strings.ContainsFunc(a.Identity, unicode.IsControl):
		return fmt.Errorf("address %q has control characters", a.Identity)
	case strings.ContainsAny(a.Identity, `,;"`):
		return fmt.Errorf("address %q is several fields in one; do quotes enclose the whole line?", a.Identity)
	case roundedNumber.MatchString(a.Identity):
		return fmt.Errorf("address %q is an amount: a spreadsheet has taken the number for one; format the column as text and save again", a.Identity)
	case a.Backend == "":
		return errors.New("it names no transport, and neither does --transport")
	}
	return nil
}

// named are the addresses of the command line.
type named struct {
	addresses []string
	taken     int
}

func (n *named) next(context.Context) ([]string, int, error) {
	if n.taken == len(n.addresses) {
		return nil, 0, errEnd
	}
	n.taken++
	return n.addresses[n.taken-1 : n.taken], n.taken, nil
}

func (n *named) read() int64 { return 0 }

func (n *named) close() {}
