package gsm_test

import (
	"fmt"
	"strings"

	"switchboard/smpp/gsm"
)

// A text goes out in the cheapest coding that carries it.
func ExampleSplitter_Text() {
	for _, text := range []string{strings.Repeat("a", 160), strings.Repeat("a", 161), "Привет"} {
		m, err := gsm.Splitter{}.Text(text, 7)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Printf("%s: data_coding %d, segments:", m.Coding, m.Coding.DataCoding())
		for _, s := range m.Segments {
			fmt.Printf(" %d+%d", len(s.Header), len(s.Payload))
		}
		fmt.Println()
	}
	// Output:
	// gsm0338: data_coding 0, segments: 0+160
	// gsm0338: data_coding 0, segments: 6+153 6+8
	// ucs2: data_coding 8, segments: 0+12
}

// A part says which tables and which coding its text needs.
func ExampleParsePart() {
	shortMessage := []byte("\x08\x00\x03\x2a\x02\x01\x24\x01\x01merhaba \x1bs")
	part, header, err := gsm.ParsePart(shortMessage)
	if err != nil {
		fmt.Println(err)
		return
	}
	e := gsm.Encoding{Coding: gsm.FromDataCoding(0), Shift: header.Shift()}
	text, err := e.Decode(part.Payload, part.HeaderLength)
	fmt.Printf("part %d of %d, reference %d: %q %v\n", part.Seq, part.Total, part.Reference, text, err)
	// Output: part 1 of 2, reference 42: "merhaba ş" <nil>
}
