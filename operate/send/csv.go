package send

import (
	"bufio"
	"bytes"
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

// byteOrderMark is what spreadsheets put before UTF-8.
const byteOrderMark = "\uFEFF"

func openCSV(in io.ReadCloser) (*table, error) {
	c := &csvRows{in: bufio.NewScanner(in), closer: in}
	c.in.Buffer(make([]byte, 64<<10), maxCSVLine)
	if !c.scan() {
		c.close()
		return nil, errors.Join(operate.Misused(errors.New("the list is empty; its first line must name the columns")), c.in.Err())
	}
	header := strings.TrimPrefix(c.in.Text(), byteOrderMark)
	c.comma = separator(header)
	columns, err := c.split(header)
	if err != nil {
		c.close()
		return nil, operate.Misused(fmt.Errorf("reading the header: %w", err))
	}
	for i := range columns {
		columns[i] = strings.TrimSpace(columns[i])
	}
	return newTable(columns, c)
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
		if err := c.in.Err(); err != nil {
			return nil, c.line, fmt.Errorf("reading line %d: %w", c.line+1, err)
		}
		return nil, c.line, errEnd
	}
	fields, err := c.split(c.in.Text())
	if err != nil {
		return nil, c.line, badLine{c.line, err}
	}
	return fields, c.line, nil
}

func (c *csvRows) split(line string) ([]string, error) {
	line = strings.TrimSuffix(line, "\r")
	if !strings.Contains(line, `"`) {
		return strings.Split(line, string(c.comma)), nil
	}
	r := csv.NewReader(strings.NewReader(line))
	r.Comma = c.comma
	fields, err := r.Read()
	var at *csv.ParseError
	if errors.As(err, &at) {
		err = fmt.Errorf("column %d: %w", at.Column, at.Err)
	}
	return fields, err
}

func (c *csvRows) read() int64 { return c.bytes }

func (c *csvRows) close() { _ = c.closer.Close() }
