package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"switchboard/options"
	"switchboard/persistence"
	"switchboard/store"
	"switchboard/worker"
)

// list says to whom `switchboard send` sends.
type list struct {
	transport string
	to        []string
	file      string
	query     string
	strict    bool
	recorded  map[string]bool // the transports that may be sent by; nil is any
}

// know lets the list be sent by recorded transports only.
func (l *list) know(ctx context.Context, db store.State) error {
	names, err := persistence.Recorded(ctx, db)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return misused(errors.New("no persistence worker has run on this database, so nobody would hand a broadcast over; " +
			"start one, or store it all the same with --force"))
	}
	l.recorded = map[string]bool{}
	for _, name := range names {
		l.recorded[name] = true
	}
	if l.transport == "" {
		return nil
	}
	return misused(l.checkTransport(l.transport))
}

func (l *list) checkTransport(name string) error {
	if l.recorded == nil || l.recorded[name] {
		return worker.CheckConnector(name)
	}
	names := slices.Sorted(maps.Keys(l.recorded))
	return fmt.Errorf("no persistence worker records a transport %q%s (recorded: %s; --force sends all the same)",
		name, options.DidYouMean(name, names), strings.Join(names, ", "))
}

func (l *list) check() error {
	kinds := 0
	for _, given := range [...]bool{len(l.to) > 0, l.file != "", l.query != ""} {
		if given {
			kinds++
		}
	}
	switch {
	case kinds == 0:
		return errors.New("say to whom: --to ADDRESS, --from-file people.csv or --sql 'SELECT …'")
	case kinds > 1:
		return errors.New("--to, --from-file and --sql exclude each other")
	case len(l.to) > 0 && l.transport == "":
		return errors.New("say by which transport: --transport NAME")
	}
	return nil
}

// rows are a list's lines.
type rows interface {
	// next returns the fields of a line and its number. Its error is errEnd
	// after the last, and a badLine when only this line is bad.
	next(ctx context.Context) (fields []string, line int, err error)
	// read is how many bytes have been read so far; 0 where nobody knows.
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

func isBad(err error) bool {
	var bad badLine
	return errors.As(err, &bad)
}

// roll is an open list.
type roll struct {
	rows
	columns   []string
	address   int
	transport int   // -1 where the list has no such column
	size      int64 // bytes; 0 where nobody knows
}

// The names of the columns that are no personal fields.
var addressNames = []string{"address", "to", "to_addr", "identity", "msisdn", "phone", "number"}

const transportName = "transport"

func newRoll(columns []string, lines rows, size int64) (*roll, error) {
	r := &roll{rows: lines, columns: columns, size: size}
	is := func(names ...string) func(string) bool {
		return func(column string) bool { return slices.Contains(names, strings.ToLower(column)) }
	}
	r.address = -1
	for _, name := range addressNames {
		if r.address < 0 {
			r.address = slices.IndexFunc(columns, is(name))
		}
	}
	if r.address < 0 {
		lines.close()
		return nil, misused(fmt.Errorf("no column is called %s; the columns are %s",
			strings.Join(addressNames, " or "), strings.Join(columns, ", ")))
	}
	r.transport = slices.IndexFunc(columns, is(transportName))
	return r, nil
}

// open opens the list; databaseURL is where its query is asked.
func (l *list) open(cmd *cobra.Command, databaseURL string) (*roll, error) {
	switch {
	case l.query != "":
		return openQuery(cmd.Context(), databaseURL, l.query)
	case l.file != "":
		in, size, closeIn, err := openInput(cmd, []string{l.file})
		if err != nil {
			return nil, err
		}
		return openCSV(in, size, closeIn)
	}
	return newRoll(addressNames[:1], &named{addresses: l.to}, 0)
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

// reading is a list being read.
type reading struct {
	*roll
	list     *list
	warn     io.Writer
	progress *progress
	lines    int // read so far
	bad      int // of them
}

func (r *reading) nextRecipient(ctx context.Context) (recipient store.Recipient, err error) {
	fields, line, err := r.next(ctx)
	if errors.Is(err, errEnd) {
		return recipient, err
	}
	r.lines++
	r.progress.advance(r.read()-r.progress.done, r.lines)
	if err == nil {
		if recipient, err = r.recipient(fields); err != nil {
			err = badLine{line, err}
		}
	}
	return recipient, err
}

func (r *reading) recipient(fields []string) (store.Recipient, error) {
	if len(fields) != len(r.columns) {
		return store.Recipient{}, fmt.Errorf("it has %s, the header %d", plural(len(fields), "field"), len(r.columns))
	}
	to := store.Recipient{Address: store.Address{Backend: r.list.transport, Identity: strings.TrimSpace(fields[r.address])}}
	if r.transport >= 0 && strings.TrimSpace(fields[r.transport]) != "" {
		to.Backend = strings.TrimSpace(fields[r.transport])
	}
	if err := checkAddress(to.Address); err != nil {
		return to, err
	}
	if err := r.list.checkTransport(to.Backend); err != nil {
		return to, err
	}
	to.Fields = make(map[string]string, len(r.columns))
	for i, column := range r.columns {
		if !utf8.ValidString(fields[i]) {
			return to, fmt.Errorf("%s is not UTF-8", column)
		}
		to.Fields[column] = fields[i]
	}
	return to, nil
}

// maxAddress is the longest address a list may have, in bytes.
const maxAddress = 255

func checkAddress(a store.Address) error {
	switch {
	case a.Identity == "":
		return errors.New("it has no address")
	case len(a.Identity) > maxAddress:
		return fmt.Errorf("address %.20q… is longer than %d bytes", a.Identity, maxAddress)
	case strings.ContainsFunc(a.Identity, unicode.IsControl):
		return fmt.Errorf("address %q has control characters", a.Identity)
	case a.Backend == "":
		return errors.New("it names no transport, and neither does --transport")
	}
	return nil
}

// skip names a bad line, as long as there are not too many of them.
func (r *reading) skip(err error) {
	r.bad++
	if r.bad > maxNamed+1 {
		return
	}
	r.progress.clear()
	if r.bad > maxNamed {
		_, _ = fmt.Fprintln(r.warn, "… further bad lines are only counted")
		return
	}
	_, _ = fmt.Fprintln(r.warn, err)
}
