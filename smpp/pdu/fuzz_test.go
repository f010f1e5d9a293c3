package pdu_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"switchboard/smpp/pdu"
)

// Whatever comes is read or refused, and what is read can be written and read
// again.
func FuzzDecode(f *testing.F) {
	for _, b := range vectors(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := pdu.Decode(b)
		if err != nil {
			var e *pdu.Error
			if !errors.As(err, &e) {
				t.Fatalf("an untyped error: %v", err)
			}
			answerable(t, e)
			return
		}
		_ = p.String()
		_ = p.Validate()
		again, err := p.AppendTo(nil)
		if err != nil {
			t.Fatalf("cannot write %v: %v", p, err)
		}
		q, err := pdu.Decode(again)
		if err != nil {
			t.Fatalf("cannot read what was written: %v", err)
		}
		if diff := cmp.Diff(p, q, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// A stream is read to its end, however it is cut, without more memory than the
// limit allows.
func FuzzReader(f *testing.F) {
	stream := []byte{}
	for _, b := range vectors(f) {
		f.Add(b)
		stream = append(stream, b...)
	}
	f.Add(stream)
	f.Fuzz(func(t *testing.T, b []byte) {
		r := pdu.NewReader(bytes.NewReader(b), limit)
		for reads := 0; ; reads++ {
			if reads > len(b)/pdu.HeaderLength+1 {
				t.Fatal("reads more PDUs than there is room for")
			}
			_, err := r.Read()
			var e *pdu.Error
			switch {
			case err == nil:
			case errors.Is(err, io.EOF):
				return
			case !errors.As(err, &e):
				t.Fatalf("an untyped error: %v", err)
			default:
				answerable(t, e)
				if !e.KeepLink() {
					return
				}
			}
		}
	})
}

func answerable(t *testing.T, e *pdu.Error) {
	t.Helper()
	_ = e.Error()
	if a := e.Answer(); a != nil {
		if _, err := a.AppendTo(nil); err != nil || !a.Command().IsResponse() {
			t.Fatalf("answers %v: %v", a, err)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	f.Add("020610233429000R")
	f.Add("261121143015008+")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := pdu.ParseTime(s)
		if err != nil || got.Relative {
			return
		}
		again, err := pdu.ParseTime(pdu.FormatAbsolute(got.Moment))
		if err != nil || !again.Moment.Equal(got.Moment) {
			t.Fatalf("%q: %v, then %v, %v", s, got, again, err)
		}
	})
}
