package gsm

// Method is how the segments of a long text say that they belong together.
type Method uint8

// The methods.
const (
	UDH8    Method = iota // a user data header with an 8-bit reference
	UDH16                 // a user data header with a 16-bit reference
	SAR                   // SMPP's sar_ parameters; segments leave room for an 8-bit header
	SAR16                 // the same, with room for a 16-bit header, should the SMSC use one
	Payload               // no segments: all in message_payload, cut by the SMSC
)

const (
	segmentOctets  = 140 // of a short message, user data header included
	segmentSeptets = 160
	// MaxSegments is the most a text can be cut into: the total is one octet.
	MaxSegments = 255
	// MaxPayload is the most octets SMPP's message_payload holds.
	MaxPayload = 65535
)

// Limits returns how much a short message holds, alone and as one of several:
// in septets for GSM7, GSM7Packed and ASCII (which an SMSC sends on as septets),
// in 16-bit units for UCS2, in octets for the others. Extra are the elements the
// user data header has beside those of the method.
func Limits(e Encoding, m Method, extra ...Element) (single, part int) {
	base := append(e.Shift.elements(), extra...)
	single, part = e.Coding.room(base.Length()), e.Coding.room(append(base, m.element(Part{})...).Length())
	if unit := e.Coding.unitOctets(); unit > 1 {
		return single / unit, part / unit
	}
	return single, part
}

// room is how many septets or octets there are beside a header of n octets.
func (c Coding) room(header int) int {
	free := max(0, segmentOctets-header)
	switch {
	case c.septets():
		return free * 8 / 7
	case c.unitOctets() == 2:
		return free &^ 1
	}
	return free
}

func (c Coding) septets() bool { return c == GSM7 || c == GSM7Packed || c == ASCII }

func (c Coding) unitOctets() int {
	if c == UCS2 || c == UCS2LE {
		return 2
	}
	return 1
}

// element is what the header of a segment has, on the air at the latest, to say
// which part it is.
func (m Method) element(p Part) Header {
	switch m {
	case UDH16, SAR16:
		return Header{{IEConcat16, []byte{byte(p.Reference >> 8), byte(p.Reference), p.Total, p.Seq}}}
	case UDH8, SAR:
		return Header{{IEConcat8, []byte{byte(p.Reference), p.Total, p.Seq}}}
	}
	return nil
}

func (m Method) writesHeader() bool { return m == UDH8 || m == UDH16 }

// cut returns the ends of the segments units is cut into, each at most limit:
// one at least, for an empty text too. No character is cut in two. Header is
// the length of the user data header each segment will have.
func (c Coding) cut(units []byte, limit, header int) (ends []int) {
	for start := 0; ; {
		end := c.reach(units, start, limit)
		if end < len(units) {
			end = c.boundary(units, start, end, header)
		}
		ends = append(ends, end)
		if start = end; end == len(units) {
			return ends
		}
	}
}

// reach is how far a segment that begins at start can go.
func (c Coding) reach(units []byte, start, limit int) int {
	if c != ASCII {
		return min(start+limit, len(units))
	}
	end := start
	for used := 0; end < len(units); end++ {
		if used += asciiSeptets(units[end]); used > limit {
			break
		}
	}
	return end
}

// boundary moves a cut back to the beginning of the character it would split.
func (c Coding) boundary(units []byte, start, end, header int) int {
	back := end
	switch c {
	case GSM7:
		if units[end-1] == escape {
			back--
		}
	case GSM7Packed:
		// What a reader would take for filling must not end with an octet.
		for back > start && (units[back-1] == escape || likeFilling(units[back-1]) && (fillBits(header)+7*(back-start))%8 == 0) {
			back--
		}
	case UCS2:
		if units[end]&0xFC == 0xDC {
			back -= 2
		}
	case UCS2LE:
		if units[end+1]&0xFC == 0xDC {
			back -= 2
		}
	case UTF8:
		for back > start && units[back]&0xC0 == 0x80 {
			back--
		}
	case ShiftJIS, ISO2022JP, EUCJP, EUCKR, GBK, GB18030, Big5:
		wide := false
		for next := 0; next <= end; next += c.length(units[next:], &wide) {
			back = next
		}
	}
	if back > start {
		return back
	}
	return end
}

// length is how many octets the first character of b has, or the escape sequence in its
// place. Wide is the state of ISO 2022: characters of two octets.
func (c Coding) length(b []byte, wide *bool) int {
	first := b[0]
	switch {
	case c == ISO2022JP && first == iso2022Escape && len(b) > 2:
		*wide = b[1] == '$'
		if *wide && b[2] == '(' {
			return 4
		}
		return 3
	case c == ISO2022JP && *wide, c == EUCJP && first == 0x8E:
		return 2
	case c == EUCJP && first == 0x8F:
		return 3
	case first <= 0x80, c == ShiftJIS && first >= 0xA0 && first <= 0xDF:
		return 1
	case c == GB18030 && len(b) > 1 && b[1] >= '0' && b[1] <= '9':
		return 4
	}
	return 2
}

const iso2022Escape = 0x1B

// asciiSeptets is what an SMSC needs for an ASCII character on the air.
func asciiSeptets(b byte) int {
	switch b {
	case '^', '{', '}', '\\', '[', '~', ']', '|':
		return 2
	}
	return 1
}
