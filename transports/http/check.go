package http

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	nethttp "net/http"
	"strconv"
	"strings"
	"time"
)

// check holds a request to the tokens and signatures it must carry.
func (r *run) check(route *route, s scope) error {
	for _, c := range route.checks {
		if !c.active {
			continue
		}
		if counts, err := c.when.holds(s); err == nil && !counts {
			continue
		}
		if err := c.verify(s, r.transport.env.Now()); err != nil {
			return reject(nethttp.StatusForbidden, "authentication", "%w", err)
		}
	}
	return nil
}

var (
	errNoToken   = errors.New("the request carries no token or signature")
	errToken     = errors.New("the token is wrong")
	errSignature = errors.New("the signature is wrong; is public_url what the provider calls, and the secret its own?")
	errTooOld    = errors.New("the signature is too old or too new; is the clock right?")
)

func (c *check) verify(s scope, now time.Time) error {
	value, err := c.value.of(s)
	if err != nil || asText(value) == "" || len(asList(value)) == 0 {
		return errNoToken
	}
	algorithm, err := c.with.text(s)
	if err != nil {
		return err
	}
	if algorithm == "" {
		token, err := c.equals.text(s)
		for _, one := range asList(value) {
			if err == nil && Equal(asText(one), token) {
				return nil
			}
		}
		return errToken
	}
	key, err := c.key.text(s)
	if err != nil {
		return err
	}
	if err := c.inTime(s, now); err != nil {
		return err
	}
	for _, one := range asList(value) {
		if algorithm == "jwt" {
			err = c.verifyJWT(asText(one), key, s, now)
		} else {
			err = c.verifySignature(algorithm, key, asText(one), s)
		}
		if err == nil {
			return nil
		}
	}
	return err
}

func (c *check) inTime(s scope, now time.Time) error {
	if c.timestamp == nil || c.Window == 0 {
		return nil
	}
	text, err := c.timestamp.text(s)
	if err != nil {
		return errTooOld
	}
	at, ok := parseTime(text)
	if off := now.Sub(at).Abs(); !ok || off > c.Window.Std() {
		return errTooOld
	}
	return nil
}

// verifySignature tries each of what may have been signed.
func (c *check) verifySignature(algorithm, key, value string, s scope) error {
	for _, over := range c.over {
		signed, err := over.of(s)
		if err != nil || signed == nil {
			continue
		}
		text := asText(signed)
		if algorithm == "ed25519" {
			public, err := base64.StdEncoding.DecodeString(key)
			given, err2 := base64.StdEncoding.DecodeString(value)
			if err == nil && err2 == nil && len(public) == ed25519.PublicKeySize && ed25519.Verify(public, []byte(text), given) {
				return nil
			}
			continue
		}
		sum, err := digest(algorithm, key, text)
		if err != nil {
			return err
		}
		if c.Encoding == "base64" {
			if Equal(value, base64.StdEncoding.EncodeToString(sum)) {
				return nil
			}
		} else if Equal(strings.ToLower(value), hex.EncodeToString(sum)) {
			return nil
		}
	}
	return errSignature
}

// digest is a keyed hash: hmac-sha256 and its like, or, as md5hash, the hash of the
// text with the key behind it.
func digest(algorithm, key, text string) ([]byte, error) {
	if name, plain := strings.CutSuffix(algorithm, "hash"); plain && hashes[name] != nil {
		h := hashes[name]()
		_, _ = h.Write([]byte(text + key)) // never fails
		return h.Sum(nil), nil
	}
	name := strings.TrimPrefix(algorithm, "hmac-")
	if hashes[name] == nil {
		return nil, fmt.Errorf("the signature method %.20q is not known", algorithm)
	}
	return sign(hashes[name], key, text), nil
}

// jwtLeeway is how far the sender's clock may be off.
const jwtLeeway = time.Second

// jwtHashes are the algorithms of RFC 7518 §3.2; there is no "none".
var jwtHashes = map[string]string{"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}

// verifyJWT checks a JSON web token (RFC 7519) that is signed with a shared key.
func (c *check) verifyJWT(token, key string, s scope, now time.Time) error {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return errSignature
	}
	header, err := jwtPart(parts[0])
	algorithm := hashes[jwtHashes[asText(at(header, "alg"))]]
	if err != nil || algorithm == nil {
		return errSignature
	}
	given, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || !Equal(string(given), string(sign(algorithm, key, parts[0]+"."+parts[1]))) {
		return errSignature
	}
	claims, err := jwtPart(parts[1])
	if err != nil {
		return errSignature
	}
	if from, set := seconds(at(claims, "nbf")); set && now.Add(jwtLeeway).Before(from) {
		return errTooOld
	}
	if until, set := seconds(at(claims, "exp")); set && !now.Add(-jwtLeeway).Before(until) {
		return errTooOld
	}
	if holds, err := c.claims.holds(s.with(scope{"claims": claims})); err != nil || !holds {
		return errSignature
	}
	return nil
}

func jwtPart(text string) (any, error) {
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	return parseJSON(string(decoded))
}

func seconds(value any) (time.Time, bool) {
	n, err := strconv.ParseFloat(asText(value), 64)
	return time.Unix(int64(n), 0), err == nil
}
