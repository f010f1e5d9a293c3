package gsm

import "unicode/utf8"

// appendSeptets appends text, one septet an octet, and returns the position in
// text of the first character the tables do not have, or -1.
func (s Shift) appendSeptets(b []byte, text string) ([]byte, int) {
	locking, single := s.tables()
	for i, r := range text {
		if septet, ok := locking.septet(r); ok {
			b = append(b, septet)
			continue
		}
		septet, ok := single.septet(r)
		if !ok {
			return b, i
		}
		b = append(b, escape, septet)
	}
	return b, -1
}

// decodeSeptets reads one septet an octet, and returns the position of the first
// octet that is none, or -1. An escape before a septet the extension table does
// not have counts for nothing; one at the end, and one before another, is a
// space (GSM 03.38 §6.2.1, notes 1 and 2; §6.2.1.1, note 1).
func (s Shift) decodeSeptets(b []byte) (string, int) {
	locking, single := s.tables()
	out, bad := make([]byte, 0, len(b)+len(b)/4), -1
	for i := 0; i < len(b); i++ {
		septet, r := b[i], undefined
		if septet == escape && i+1 < len(b) && b[i+1] < septetCount {
			i++
			r = single.extended(locking, b[i])
		} else if septet < septetCount {
			r = locking.plain(septet)
		}
		if r == undefined && bad < 0 {
			bad = i
		}
		out = utf8.AppendRune(out, r)
	}
	return string(out), bad
}

func (a *alphabet) plain(septet byte) rune {
	if septet == escape {
		return ' '
	}
	if r := a.decode[septet]; r != 0 {
		return r
	}
	return undefined
}

func (a *alphabet) extended(locking *alphabet, septet byte) rune {
	if r := a.decode[septet]; r != 0 {
		return r
	}
	return locking.plain(septet)
}

// carriageReturn fills the last seven bits of a packed text that would
// otherwise be read as one more "@" (GSM 03.38 §6.1.2.3.1).
const carriageReturn = '\r'

// AppendPacked appends septets, one an octet, packed as GSM 03.38 §6.1.2.1
// has it: eight in seven octets. A text behind a user data header of
// headerLength octets (its length octet included) starts at a septet
// boundary. Seven bits left over at the end are filled with a carriage
// return.
func AppendPacked(b, septets []byte, headerLength int) []byte {
	if len(septets) == 0 {
		return b
	}
	bits := fillBits(headerLength)
	var pending uint16
	pack := func(septet byte) {
		pending |= uint16(septet&(septetCount-1)) << bits
		for bits += 7; bits >= 8; bits -= 8 {
			b = append(b, byte(pending))
			pending >>= 8
		}
	}
	for _, septet := range septets {
		pack(septet)
	}
	if bits == 1 {
		pack(carriageReturn)
	}
	if bits > 0 {
		b = append(b, byte(pending))
	}
	return b
}

// Unpack returns the septets of a packed text, one an octet. n is their
// number; when it is not known, as in SMPP, it is -1: then a last septet that
// ends with its octet and is 0 or a carriage return is taken for filling. An
// "@" or a carriage return meant in that place, as the eighth septet of seven
// octets, is lost: it cannot be told from the filling SMSCs use, zeros or the
// carriage return.
func Unpack(packed []byte, n, headerLength int) []byte {
	fill := fillBits(headerLength)
	available := max(0, (len(packed)*8-fill)/7)
	unknown := n < 0
	if unknown || n > available {
		n = available
	}
	out := make([]byte, n)
	for i := range out {
		bit := fill + 7*i
		v := uint16(packed[bit/8])
		if bit/8+1 < len(packed) {
			v |= uint16(packed[bit/8+1]) << 8
		}
		out[i] = byte(v>>(bit%8)) & (septetCount - 1)
	}
	endsWithOctet := fill+7*n == 8*len(packed)
	if unknown && n > 0 && endsWithOctet && likeFilling(out[n-1]) {
		out = out[:n-1]
	}
	return out
}

// likeFilling reports whether a septet that ends with its octet may stand for
// nothing.
func likeFilling(septet byte) bool { return septet == 0 || septet == carriageReturn }

// fillBits is the number of bits between a header and the next septet.
func fillBits(headerLength int) int { return (7 - headerLength*8%7) % 7 }
