package gsm_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"switchboard/smpp/gsm"
)

// sizes are the segments' payloads in the units of Limits.
func sizes(m gsm.Message) (n []int) {
	for _, s := range m.Segments {
		switch m.Coding {
		case gsm.GSM7Packed:
			n = append(n, len(gsm.Unpack(s.Payload, -1, len(s.Header))))
		case gsm.UCS2:
			n = append(n, len(s.Payload)/2)
		default:
			n = append(n, len(s.Payload))
		}
	}
	return n
}

// Characters of several octets stay whole, so that each segment can be read alone; of ISO
// 2022, whose segments do not repeat the escape sequence in force, all together can.
func TestCharacterSetsAreCutBetweenCharacters(t *testing.T) {
	for coding, characters := range map[gsm.Coding]string{
		gsm.ShiftJIS: "日本aｱ語ミ", gsm.ISO2022JP: "日本a語ミ", gsm.EUCJP: "日本aｱ語丂", gsm.EUCKR: "한국a어", gsm.GBK: "中文a字", gsm.GB18030: "中文a字𠀋", gsm.Big5: "中文a字",
	} {
		runes := []rune(characters)
		rng := rand.New(rand.NewPCG(1, 2))
		for n := 1; n < 400; n += 7 {
			var text strings.Builder
			for range n {
				text.WriteRune(runes[rng.IntN(len(runes))])
			}
			m, err := gsm.Splitter{Codings: []gsm.Coding{coding}}.Text(text.String(), 1)
			if err != nil {
				t.Fatalf("%s: %v", coding, err)
			}
			var all []gsm.Part
			for _, s := range m.Segments {
				all = append(all, s.Part)
				if len(s.Octets()) > 140 {
					t.Fatalf("%s: a segment has %d octets", coding, len(s.Octets()))
				}
				if alone, err := m.Decode(s.Payload, 0); err != nil && coding != gsm.ISO2022JP {
					t.Fatalf("%s: a segment reads %q: %v", coding, alone, err)
				}
			}
			if got, err := m.DecodeParts(all); err != nil || got != text.String() {
				t.Fatalf("%s: %q became %q, %v", coding, text.String(), got, err)
			}
		}
	}
}

func TestSegmentsHaveTheRightSize(t *testing.T) {
	a, ж := strings.Repeat, "ж"
	turkish := []gsm.Language{gsm.Turkish}
	for name, test := range map[string]struct {
		splitter gsm.Splitter
		text     string
		coding   gsm.Coding
		want     []int
	}{
		"empty":                           {gsm.Splitter{}, "", gsm.GSM7, []int{0}},
		"160 characters are one":          {gsm.Splitter{}, a("a", 160), gsm.GSM7, []int{160}},
		"161 are two":                     {gsm.Splitter{}, a("a", 161), gsm.GSM7, []int{153, 8}},
		"306 are two":                     {gsm.Splitter{}, a("a", 306), gsm.GSM7, []int{153, 153}},
		"307 are three":                   {gsm.Splitter{}, a("a", 307), gsm.GSM7, []int{153, 153, 1}},
		"16-bit references":               {gsm.Splitter{Method: gsm.UDH16}, a("a", 305), gsm.GSM7, []int{152, 152, 1}},
		"parameters":                      {gsm.Splitter{Method: gsm.SAR}, a("a", 161), gsm.GSM7, []int{153, 8}},
		"parameters, wide":                {gsm.Splitter{Method: gsm.SAR16}, a("a", 161), gsm.GSM7, []int{152, 9}},
		"payload":                         {gsm.Splitter{Method: gsm.Payload}, a("a", 1000), gsm.GSM7, []int{1000}},
		"80 euros are one":                {gsm.Splitter{}, a("€", 80), gsm.GSM7, []int{160}},
		"81 euros: no escape is cut":      {gsm.Splitter{}, a("€", 81), gsm.GSM7, []int{152, 10}},
		"one escape at the cut":           {gsm.Splitter{}, a("a", 152) + "€" + a("a", 10), gsm.GSM7, []int{152, 12}},
		"packed":                          {gsm.Splitter{Codings: []gsm.Coding{gsm.GSM7Packed}}, a("a", 160), gsm.GSM7Packed, []int{160}},
		"packed, two":                     {gsm.Splitter{Codings: []gsm.Coding{gsm.GSM7Packed}}, a("a", 161), gsm.GSM7Packed, []int{153, 8}},
		"70 in UCS2":                      {gsm.Splitter{}, a(ж, 70), gsm.UCS2, []int{70}},
		"71 in UCS2":                      {gsm.Splitter{}, a(ж, 71), gsm.UCS2, []int{67, 4}},
		"UCS2, 16-bit references":         {gsm.Splitter{Method: gsm.UDH16}, a(ж, 71), gsm.UCS2, []int{66, 5}},
		"35 faces are one":                {gsm.Splitter{}, a("😀", 35), gsm.UCS2, []int{70}},
		"36 faces: no pair is cut":        {gsm.Splitter{}, a("😀", 36), gsm.UCS2, []int{66, 6}},
		"Latin-1":                         {gsm.Splitter{Codings: []gsm.Coding{gsm.Latin1}}, a("é", 141), gsm.Latin1, []int{134, 7}},
		"Latin-1, 16-bit references":      {gsm.Splitter{Codings: []gsm.Coding{gsm.Latin1}, Method: gsm.UDH16}, a("é", 141), gsm.Latin1, []int{133, 8}},
		"ASCII counts what is on the air": {gsm.Splitter{Codings: []gsm.Coding{gsm.ASCII}}, a("a", 159) + "{", gsm.ASCII, []int{153, 7}},
		"ASCII":                           {gsm.Splitter{Codings: []gsm.Coding{gsm.ASCII}}, a("a", 160), gsm.ASCII, []int{160}},
		"UTF-8: no character is cut":      {gsm.Splitter{Codings: []gsm.Coding{gsm.UTF8}}, "a" + a("é", 70), gsm.UTF8, []int{133, 8}},
		"septets although UCS2 is first":  {gsm.Splitter{Codings: []gsm.Coding{gsm.UCS2, gsm.GSM7}}, a("a", 100), gsm.GSM7, []int{100}},
		"the first of equals":             {gsm.Splitter{Codings: []gsm.Coding{gsm.UCS2, gsm.GSM7}}, "a", gsm.UCS2, []int{1}},
		"no table that is not allowed":    {gsm.Splitter{}, a("ş", 71), gsm.UCS2, []int{67, 4}},
		"a single shift table":            {gsm.Splitter{Languages: turkish}, a("a", 153) + "ş", gsm.GSM7, []int{155}},
		"a locking shift table":           {gsm.Splitter{Languages: turkish}, a("ş", 155), gsm.GSM7, []int{155}},
		"no table without need":           {gsm.Splitter{Languages: turkish}, a("a", 160), gsm.GSM7, []int{160}},
		"tables and segments":             {gsm.Splitter{Languages: turkish}, a("ş", 156), gsm.GSM7, []int{149, 7}},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := test.splitter.Text(test.text, 0x1FF)
			if err != nil {
				t.Fatal(err)
			}
			got := sizes(m)
			if m.Coding != test.coding || len(got) != len(test.want) {
				t.Fatalf("%s %v, want %s %v", m.Coding, got, test.coding, test.want)
			}
			for i := range got {
				if got[i] != test.want[i] {
					t.Fatalf("%v, want %v", got, test.want)
				}
			}
			if back := reassemble(t, m); back != test.text {
				t.Errorf("read as %q", back)
			}
		})
	}
}

// reassemble reads a message's segments as a receiver does, last first.
func reassemble(t interface{ Fatalf(string, ...any) }, m gsm.Message) string {
	parts := make([]gsm.Part, len(m.Segments))
	e := m.Encoding
	for i, s := range m.Segments {
		p := gsm.Part{Total: 1, Seq: 1, Payload: s.Octets()}
		if len(s.Header) > 0 {
			var h gsm.Header
			var err error
			if p, h, err = gsm.ParsePart(s.Octets()); err != nil {
				t.Fatalf("segment %d: %v", i, err)
			}
			e.Shift = h.Shift()
		}
		if m.Method == gsm.SAR || m.Method == gsm.SAR16 {
			p.Total, p.Seq, p.Reference, p.Wide = s.Total, s.Seq, s.Reference, s.Wide
		}
		if p.Total != s.Total || p.Seq != s.Seq || p.Multipart() && (p.Reference != s.Reference || p.Wide != s.Wide) {
			t.Fatalf("segment %d: read as part %d of %d of %d", i, p.Seq, p.Total, p.Reference)
		}
		parts[len(parts)-1-i] = p
	}
	text, err := e.DecodeParts(parts)
	if err != nil {
		t.Fatalf("reading: %v", err)
	}
	return text
}

func TestNoSegmentIsOverfilled(t *testing.T) {
	septets := []rune("@£$aé ñüà\n0ÅΔ€{}[]~|^\\")
	national := append([]rune("şŞğĞıİç"), septets...)
	rapid.Check(t, func(t *rapid.T) {
		s := gsm.Splitter{Method: gsm.Method(rapid.IntRange(0, 4).Draw(t, "method"))}
		var text string
		s.Codings = []gsm.Coding{gsm.Coding(rapid.IntRange(int(gsm.GSM7), int(gsm.UTF8)).Draw(t, "coding"))}
		n := rapid.IntRange(0, 700).Draw(t, "length")
		switch s.Codings[0] {
		case gsm.GSM7, gsm.GSM7Packed:
			from := septets
			if rapid.Bool().Draw(t, "turkish") {
				s.Languages, from = []gsm.Language{gsm.Turkish}, national
			}
			text = rapid.StringOfN(rapid.SampledFrom(from), n, n, -1).Draw(t, "text")
		case gsm.UCS2, gsm.UCS2LE, gsm.UTF8:
			text = rapid.StringOfN(rapid.SampledFrom([]rune("aж漢😀🇿🇦\uFFFD")), n, n, -1).Draw(t, "text")
		default:
			text = rapid.StringOfN(rapid.SampledFrom([]rune("ab~[c")), n, n, -1).Draw(t, "text")
		}
		if s.Codings[0] == gsm.GSM7Packed {
			text += "." // an "@" at the very end may be lost, see Unpack
		}
		var extra []gsm.Element
		if rapid.Bool().Draw(t, "ports") {
			extra = append(extra, gsm.Ports16(1, 2))
		}
		m, err := s.Text(text, rapid.Uint16().Draw(t, "reference"), extra...)
		if err != nil {
			t.Fatal(err)
		}
		checkSegments(t, m, extra)
		if back := reassemble(t, m); back != text {
			t.Fatalf("%q is read as %q", text, back)
		}
	})
}

func checkSegments(t *rapid.T, m gsm.Message, extra []gsm.Element) {
	single, part := gsm.Limits(m.Encoding, m.Method, extra...)
	widest := 2 // of a character, in units of Limits
	switch m.Coding {
	case gsm.UTF8:
		widest = utf8.UTFMax
	case gsm.GSM7Packed:
		widest++ // and an "@" that would be taken for filling
	}
	for i, s := range m.Segments {
		if m.Method == gsm.Payload {
			continue
		}
		units := onAir(m.Coding, s)
		limit := single
		if len(m.Segments) > 1 {
			limit = part
		}
		if units > limit {
			t.Fatalf("segment %d has %d, more than %d", i, units, limit)
		}
		if i < len(m.Segments)-1 && units <= limit-widest {
			t.Fatalf("segment %d has %d, although %d would fit", i, units, limit)
		}
		if octets := len(s.Octets()); m.Coding != gsm.GSM7 && m.Coding != gsm.ASCII && octets > 140 {
			t.Fatalf("segment %d has %d octets", i, octets)
		}
	}
	if len(m.Segments) == 2 && onAir(m.Coding, m.Segments[0])+onAir(m.Coding, m.Segments[1]) <= single {
		t.Fatal("cut in two although one would do")
	}
}

func onAir(c gsm.Coding, s gsm.Segment) int {
	switch c {
	case gsm.GSM7Packed:
		return len(gsm.Unpack(s.Payload, -1, len(s.Header)))
	case gsm.UCS2, gsm.UCS2LE:
		return len(s.Payload) / 2
	case gsm.ASCII:
		return len(s.Payload) + strings.Count(string(s.Payload), "~") + strings.Count(string(s.Payload), "[")
	}
	return len(s.Payload)
}

func TestTooLong(t *testing.T) {
	var long *gsm.TooLongError
	if m, err := (gsm.Splitter{}).Text(strings.Repeat("a", 255*153), 1); err != nil || len(m.Segments) != 255 {
		t.Errorf("what just fits: %v", err)
	}
	if _, err := (gsm.Splitter{}).Text(strings.Repeat("a", 255*153+1), 1); !errors.As(err, &long) || long.Segments == 0 {
		t.Errorf("got %v", err)
	}
	if _, err := (gsm.Splitter{Method: gsm.Payload}).Text(strings.Repeat("a", 65536), 1); !errors.As(err, &long) || long.Octets != 65536 {
		t.Errorf("got %v", err)
	}
	// UCS2 would carry it, so it is not the character that is wrong.
	s := gsm.Splitter{Codings: []gsm.Coding{gsm.UCS2, gsm.GSM7}}
	if _, err := s.Text(strings.Repeat("ж", 255*67+1), 1); !errors.As(err, &long) {
		t.Errorf("got %v", err)
	}
	if m, err := (gsm.Splitter{}).Text(strings.Repeat("ж", 10_000), 1); err != nil || len(m.Segments) != 150 {
		t.Errorf("10,000 characters: %v", err)
	}
	if _, err := (gsm.Splitter{}).Text("a", 1, gsm.Element{ID: 1, Data: make([]byte, 140)}); err == nil {
		t.Error("a header longer than the message is taken")
	}
	if _, err := (gsm.Splitter{}).Text(strings.Repeat("a", 161), 1, gsm.Element{ID: 1, Data: make([]byte, 131)}); err == nil {
		t.Error("a header that leaves no room is taken")
	}
	var e *gsm.EncodeError
	if _, err := (gsm.Splitter{Codings: []gsm.Coding{gsm.GSM7}}).Text("ж", 1); !errors.As(err, &e) {
		t.Errorf("got %v", err)
	}
}

func TestDataIsCutByOctets(t *testing.T) {
	for n, want := range map[int]int{0: 1, 140: 1, 141: 2, 268: 2, 269: 3} {
		if m, err := (gsm.Splitter{}).Data(make([]byte, n), 7); err != nil || len(m.Segments) != want {
			t.Errorf("%d octets: %d segments, %v", n, len(m.Segments), err)
		}
	}
	m, err := (gsm.Splitter{}).Data(make([]byte, 134), 7, gsm.Ports16(2948, 9200))
	if err != nil || len(m.Segments) != 2 {
		t.Fatalf("%d segments, %v", len(m.Segments), err)
	}
	_, h, err := gsm.ParsePart(m.Segments[1].Octets())
	if to, from, ok := h.Ports(); err != nil || !ok || to != 2948 || from != 9200 {
		t.Errorf("ports %d, %d, %v, %v", to, from, ok, err)
	}
}
