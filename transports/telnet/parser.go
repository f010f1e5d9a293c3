package telnet

import (
	"strings"
	"unicode/utf8"
)

// maxLine is how many bytes a line may have.
const maxLine = 8 << 10

// The commands of RFC 854, p. 14, that need something done.
const (
	cmdSE   = 240 // the end of a subnegotiation
	cmdAYT  = 246 // are you there
	cmdEC   = 247 // erase character
	cmdEL   = 248 // erase line
	cmdSB   = 250 // the beginning of a subnegotiation
	cmdWILL = 251
	cmdWONT = 252
	cmdDO   = 253
	cmdDONT = 254
	cmdIAC  = 255 // a command follows; twice, it is the byte 255
)

type tokenKind int

const (
	nothing tokenKind = iota // all bytes are taken
	lineEnd                  // bytes are a line without its end
	tooLong                  // a line ended that was longer than the limit
	answer                   // bytes are to be written to the client
)

// token is what the parser found; bytes are good until the next call.
type token struct {
	kind  tokenKind
	bytes []byte
}

type state int

const (
	inText       state = iota
	afterCR            // an LF or NUL belongs to the line end before
	inCommand          // after IAC
	inOption           // after WILL, WONT, DO or DONT
	inSub              // after IAC SB
	inSubCommand       // after IAC within a subnegotiation
)

// parser takes the byte stream of a telnet client apart (RFC 854, RFC 855): it
// strips commands, refuses every option, and finds lines. The stream may be cut
// anywhere. A parser{limit: n} is at the beginning of one.
type parser struct {
	limit   int // the most bytes a line may have
	line    []byte
	over    bool // the line is too long; it is dropped up to its end
	given   bool // line was handed out and starts anew
	state   state
	resume  state // where a command interrupted: inText or afterCR
	command byte  // WILL, WONT, DO or DONT, in inOption
}

// next takes bytes until there is a token, and returns the bytes left.
func (p *parser) next(in []byte) (token, []byte) {
	if p.given {
		p.line, p.over, p.given = p.line[:0], false, false
	}
	for i, b := range in {
		if found := p.take(b); found.kind != nothing {
			return found, in[i+1:]
		}
	}
	return token{}, nil
}

func (p *parser) take(b byte) token {
	switch p.state {
	case inText, afterCR:
		return p.takeText(b)
	case inCommand:
		return p.takeCommand(b)
	case inOption:
		p.state = p.resume
		return refuse(p.command, b)
	case inSub:
		if b == cmdIAC {
			p.state = inSubCommand
		}
	case inSubCommand: // IAC IAC is a byte of the subnegotiation
		p.state = inSub
		if b == cmdSE {
			p.state = p.resume
		}
	}
	return token{}
}

// takeText takes a byte of text. Lines end with CR LF, CR NUL (RFC 854, p. 11)
// or, as nc sends them, LF; a NUL is nothing.
func (p *parser) takeText(b byte) token {
	ended := p.state == afterCR
	if b == cmdIAC {
		p.resume, p.state = p.state, inCommand
		return token{}
	}
	p.state = inText
	switch {
	case b == 0, b == '\n' && ended:
	case b == '\r':
		p.state = afterCR
		return p.endLine()
	case b == '\n':
		return p.endLine()
	default:
		p.add(b)
	}
	return token{}
}

func (p *parser) add(b byte) {
	if len(p.line) >= p.limit {
		p.over = true
		return
	}
	p.line = append(p.line, b)
}

func (p *parser) endLine() token {
	p.given = true
	if p.over {
		return token{kind: tooLong}
	}
	return token{lineEnd, p.line}
}

func (p *parser) takeCommand(b byte) token {
	p.state = p.resume
	switch b {
	case cmdIAC:
		p.state = inText
		p.add(b)
	case cmdSB:
		p.state = inSub
	case cmdWILL, cmdWONT, cmdDO, cmdDONT:
		p.command, p.state = b, inOption
	case cmdAYT:
		return token{answer, []byte("[yes]\r\n")}
	case cmdEC:
		_, size := utf8.DecodeLastRune(p.line)
		p.line = p.line[:len(p.line)-size]
	case cmdEL:
		p.line, p.over = p.line[:0], false
	}
	return token{}
}

// refuse answers a request for an option, as RFC 854 wants; WONT and DONT need
// no answer, or two servers could talk for ever.
func refuse(command, option byte) token {
	switch command {
	case cmdWILL:
		return token{answer, []byte{cmdIAC, cmdDONT, option}}
	case cmdDO:
		return token{answer, []byte{cmdIAC, cmdWONT, option}}
	}
	return token{}
}

var crlf = strings.NewReplacer("\r\n", "\r\n", "\n", "\r\n", "\r", "\r\n")

// encodeText writes text as a client is to get it: UTF-8, each line ended by
// CR LF. UTF-8 has no byte 255, so nothing in it looks like a command.
func encodeText(text string) []byte {
	text = strings.TrimSuffix(strings.ToValidUTF8(text, "\uFFFD"), "\n")
	return []byte(crlf.Replace(strings.TrimSuffix(text, "\r")) + "\r\n")
}
