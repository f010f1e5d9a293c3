package xmpp

import (
	"cmp"
	"context"
	"crypto/sha1" //nolint:gosec // XEP-0115 and XEP-0153 say so; nothing secret depends on it
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"switchboard/options"
	"switchboard/xmpp"
)

const (
	maxAvatar    = 64 << 10
	vCardTimeout = 20 * time.Second
	capsNode     = "urn:switchboard:xmpp"
)

// about answers what others ask of us: what we are and can (XEP-0030, XEP-0115), which
// program we are (XEP-0092), our name and picture (XEP-0054, XEP-0153).
type about struct {
	component bool
	rooms     bool
	name      string
	vCard     *xmpp.Element
	photo     string // SHA-1 of the picture, in hex
	version   string // of the capabilities

	mu   sync.Mutex
	told *simplelru.LRU[xmpp.JID, time.Time]
}

// features are those that are served.
var features = [...]string{
	xmpp.NSDiscoInfo, xmpp.NSDiscoItem, xmpp.NSCaps, xmpp.NSPing, xmpp.NSReceipts, xmpp.NSVersion, xmpp.NSVCard, xmpp.NSOOB, xmpp.NSCorrect, xmpp.NSDelay,
}

func newAbout(o *Options) (*about, error) {
	told, _ := simplelru.NewLRU[xmpp.JID, time.Time](maxRemembered, nil) // fails for sizes below 1
	j := o.jid()
	a := &about{component: o.Component != "", rooms: len(o.Rooms) > 0, name: cmp.Or(o.Nick, j.Local, j.Domain), told: told}
	a.vCard = xmpp.New(xmpp.NSVCard, "vCard", xmpp.NewText(xmpp.NSVCard, "FN", a.name))
	if o.AvatarFile != "" {
		if err := a.picture(o.AvatarFile); err != nil {
			return nil, options.Field(err, "avatar_file")
		}
	}
	category, kind, _ := a.identity(true)
	text := category + "/" + kind + "//" + a.name + "<" + strings.Join(a.features(), "<") + "<"
	sum := sha1.Sum([]byte(text)) //nolint:gosec // XEP-0115 §5
	a.version = base64.StdEncoding.EncodeToString(sum[:])
	return a, nil
}

func (a *about) picture(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the picture: %w", err)
	}
	kind := http.DetectContentType(data)
	if len(data) > maxAvatar || kind != "image/png" && kind != "image/jpeg" {
		return fmt.Errorf("%s has %d bytes of %s; it must be PNG or JPEG, at most %d", file, len(data), kind, maxAvatar)
	}
	sum := sha1.Sum(data) //nolint:gosec // XEP-0153 §3
	a.photo = hex.EncodeToString(sum[:])
	a.vCard.Add(xmpp.New(xmpp.NSVCard, "PHOTO",
		xmpp.NewText(xmpp.NSVCard, "TYPE", kind), xmpp.NewText(xmpp.NSVCard, "BINVAL", base64.StdEncoding.EncodeToString(data))))
	return nil
}

// identity is a robot's, a gateway's, or that of one of a gateway's addresses.
func (a *about) identity(domain bool) (category, kind, name string) {
	switch {
	case !a.component:
		return "client", "bot", a.name
	case domain:
		return "gateway", "sms", a.name
	}
	return "client", "sms", ""
}

func (a *about) features() []string {
	list := slices.Clone(features[:])
	if a.rooms {
		list = append(list, xmpp.NSMUC)
	}
	slices.Sort(list)
	return list
}

func (a *about) caps() *xmpp.Element {
	return xmpp.New(xmpp.NSCaps, "c").Set("hash", "sha-1").Set("node", capsNode).Set("ver", a.version)
}

// avatarHash lets clients ask for the picture once and not again.
func (a *about) avatarHash() *xmpp.Element {
	return xmpp.New(xmpp.NSVCardHash, "x", xmpp.NewText(xmpp.NSVCardHash, "photo", a.photo))
}

// publish gives an account's name and picture to its server, which answers for it.
func (a *about) publish(ctx context.Context, s *xmpp.Session) {
	ctx, cancel := context.WithTimeout(ctx, vCardTimeout)
	defer cancel()
	_, _ = s.IQ(ctx, xmpp.IQ("", "set", a.vCard)) // a server without vCards is no reason to complain
}

// tellAgain is how long a person is not told once more that their messages cannot be
// read.
const tellAgain = 24 * time.Hour

func (a *about) mayTell(person xmpp.JID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if was, there := a.told.Get(person); there && time.Since(was) < tellAgain {
		return false
	}
	a.told.Add(person, time.Now())
	return true
}

// answer answers an iq get or set; nil is service-unavailable.
func (r *run) answer(e *xmpp.Element) *xmpp.Element {
	if len(e.Children) == 0 {
		return nil
	}
	query, get := e.Children[0], e.Attr("type") == "get"
	switch {
	case query.Space == xmpp.NSRoster && !get:
		// Only our own server may change the roster.
		if from := e.From(); r.options.Component != "" || e.Attr("from") != "" && from.Bare() != r.jid {
			return nil
		}
		r.presence.take(query)
		return xmpp.Result(e)
	case query.Space == xmpp.NSDiscoInfo && get:
		return r.about.info(e, query.Attr("node"))
	case query.Space == xmpp.NSDiscoItem && get:
		if node := query.Attr("node"); node != "" {
			return xmpp.ErrorReply(e, "cancel", "item-not-found", "")
		}
		return xmpp.Result(e, xmpp.New(xmpp.NSDiscoItem, "query"))
	case query.Space == xmpp.NSVersion && get:
		return xmpp.Result(e, xmpp.New(xmpp.NSVersion, "query", xmpp.NewText(xmpp.NSVersion, "name", "Switchboard")))
	case query.Space == xmpp.NSVCard && get:
		return xmpp.Result(e, r.about.vCard)
	}
	return nil
}

func (a *about) info(e *xmpp.Element, node string) *xmpp.Element {
	if node != "" && node != capsNode+"#"+a.version {
		return xmpp.ErrorReply(e, "cancel", "item-not-found", "")
	}
	category, kind, name := a.identity(e.To().Local == "")
	query := xmpp.New(xmpp.NSDiscoInfo, "query").Set("node", node)
	query.Add(xmpp.New(xmpp.NSDiscoInfo, "identity").Set("category", category).Set("type", kind).Set("name", name))
	for _, f := range a.features() {
		query.Add(xmpp.New(xmpp.NSDiscoInfo, "feature").Set("var", f))
	}
	return xmpp.Result(e, query)
}
