package simulator

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// spell writes the message id of a number, as the answer has it and as receipts
// have it.
func (i *IDs) spell(seed, number uint64) (answer, receipt string) {
	if i.Start > 0 {
		number += i.Start - 1
	}
	answer = i.Prefix + format(i.Format, i.Width, seed, number)
	if i.InReceipts == "" {
		return answer, answer
	}
	return answer, i.Prefix + format(i.InReceipts, i.ReceiptWidth, seed, number)
}

func format(name string, width int, seed, number uint64) string {
	var s string
	switch name {
	case "hex":
		s = strconv.FormatUint(number, 16)
	case "upper_hex":
		s = strings.ToUpper(strconv.FormatUint(number, 16))
	case "uuid":
		return numbered(seed, number).String()
	case "upper_uuid":
		return strings.ToUpper(numbered(seed, number).String())
	default:
		s = strconv.FormatUint(number, 10)
	}
	if len(s) < width {
		s = strings.Repeat("0", width-len(s)) + s
	}
	return s
}

// numbered is the uuid of a number: always the same for the same seed.
func numbered(seed, number uint64) uuid.UUID {
	var name [16]byte
	binary.BigEndian.PutUint64(name[:], seed)
	binary.BigEndian.PutUint64(name[8:], number)
	return uuid.NewSHA1(uuid.NameSpaceOID, name[:])
}

func checkIDFormat(name string) error {
	switch name {
	case "", "decimal", "hex", "upper_hex", "uuid", "upper_uuid":
		return nil
	}
	return fmt.Errorf("no id format is called %q: there are decimal, hex, upper_hex, uuid and upper_uuid", name)
}
