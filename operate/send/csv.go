package send

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"

	"switchboard/operate"
)

// csvRows are the lines of a CSV file, each read by itself: a quote that is
// never closed spoils its own line and not the rest of the file. So no field
// may hold a line break.
type csvRows struct {
	in     *bufio.Scanner
	comma  rune
	line   int
	bytes  int64
	closer io.Closer
}

// maxCSVLine is the longest line that is read.
const maxCSVLine = 1 << 20

// Marks at the start of a file: what spreadsheets put before UTF-8, and before
// UTF-16 of either byte order.
const (
	byteOrderMark = "\uFEFF"
	utf16Little   = "\xFF\xFE"
	utf16Big      = "\xFE\xFF"
)

func openCSV(in io.ReadCloser, l *List) (*table, error) {
	c := &csvRows{in: bufio.NewScanner(in), closer: in}
	c.in.Buffer(make([]byte, 64<<10), maxCSVLine)
	columns, err := c.header()
	if err != nil {
		c.close()
		return nil, operate.Misused(err)
	}
	return newTable(columns, c, l)
}

func (c *csvRows) header() ([]string, error) {
	if !c.scan() {
		if err := c.failure(); err != nil {
			return nil, err
		}
		return nil, errors.New("the list is empty; its first line must name the columns")
	}
	header := strings.TrimPrefix(c.in.Text(), byteOrderMark)
	if strings.HasPrefix(header, utf16Little) || strings.HasPrefix(header, utf16Big) || strings.Contains(header, "\x00") {
		return nil, errors.New("the list is UTF-16; save it again as CSV in UTF-8")
	}
	// A spreadsheet may say in a line of its own what divides the columns.
	if mark, says := strings.CutPrefix(strings.TrimRight(header, "\r"), "sep="); says && len(mark) == 1 {
		c.comma = rune(mark[0])
		if !c.scan() {
			return nil, errors.New("the list has no line that names the columns")
		}
		header = c.in.Text()
	} else {
		c.comma = separator(header)
	}
	columns, err := c.split(header)
	if err != nil {
		return nil, fmt.Errorf("reading the header: %w", err)
	}
	for i := range columns {
		columns[i] = strings.TrimSpace(columns[i])
	}
	return columns, nil
}

// separator is the one the header has most of: spreadsheets of many countries
// write semicolons.
func separator(header string) rune {
	best := ','
	for _, other := range [...]rune{';', '\t'} {
		if strings.Count(header, string(other)) > strings.Count(header, string(best)) {
			best = other
		}
	}
	return best
}

// scan goes to the next line that is not empty.
func (c *csvRows) scan() bool {
	for c.in.Scan() {
		c.line++
		c.bytes += int64(len(c.in.Bytes())) + 1
		if len(bytes.TrimSpace(c.in.Bytes())) > 0 {
			return true
		}
	}
	return false
}

func (c *csvRows) next(context.Context) ([]string, int, error) {
	if !c.scan() {
		return nil, c.line, cmp.Or(c.failure(), errEnd)
	}
	fields, err := c.split(c.in.Text())
	if err != nil {
		return nil, c.line, badLine{c.line, err}
	}
	return fields, c.line, nil
}

// failure is why reading ended before the end of the list; nil at its end.
func (c *csvRows) failure() error {
	err := c.in.Err()
	switch {
	case errors.Is(err, bufio.ErrTooLong):
		return operate.Misused(fmt.Errorf("line %d is longer than 1 MiB; a list has one person a line", c.line+1))
	case err != nil:
		return fmt.Errorf("reading line %d: %w", c.line+1, err)
	}
	return nil
}

func (c *csvRows) split(line string) ([]string, error) {
	line = strings.TrimSuffix(line, "\r")
	if !strings.Contains(line, `"`) {
		return strings.Split(line, string(c.comma)), nil
	}
	r := csv.NewReader(strings.NewReader(line))
	r.Comma = c.comma
	fields, err := r.Read()
	if at, ok := errors.AsType[*csv.ParseError](err); ok {
		err = fmt.Errorf("column %d: %w", at.Column, at.Err)
	}
	return fields, err
}

func (c *csvRows) read() int64 { return c.bytes }

func (c *csvRows) close() { _ = c.closer.Close() }
