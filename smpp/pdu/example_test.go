package pdu_test

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"switchboard/smpp/pdu"
)

// A session reads until the link ends, and answers what it cannot read.
func ExampleReader_Read() {
	r := pdu.NewReader(strings.NewReader(
		"\x00\x00\x00\x10\x00\x00\x00\x15\x00\x00\x00\x00\x00\x00\x00\x01"+
			"\x00\x00\x00\x10\x00\x00\x00\x99\x00\x00\x00\x00\x00\x00\x00\x02"+
			"HTTP/1.1 400 Bad Request"), 0)
	for {
		p, err := r.Read()
		var bad *pdu.Error
		switch {
		case err == nil:
			fmt.Println(p, "→", p.Respond(pdu.StatusOK))
			continue
		case errors.Is(err, io.EOF):
			return
		case errors.As(err, &bad):
			fmt.Println(bad.Kind, "→", bad.Answer())
			if bad.KeepLink() {
				continue
			}
		}
		fmt.Println("link dropped")
		return
	}
	// Output:
	// enquire_link 1 → enquire_link_resp 1 ESME_ROK
	// unknown command → generic_nack 2 ESME_RINVCMDID
	// not SMPP → generic_nack 0 ESME_RINVCMDLEN
	// link dropped
}
