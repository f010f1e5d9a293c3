// Package gsm turns text into the octets of short messages and back: the
// alphabets of GSM 03.38 (3GPP TS 23.038) with its national language shift
// tables, packed or not, UCS2 and the others SMPP names; the user data header
// of GSM 03.40 (3GPP TS 23.040 §9.2.3.24); and the cutting of long texts into
// segments.
package gsm
