package http_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"switchboard/message"
	"switchboard/options"
)

func mac(key, text string) []byte {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(text))
	return h.Sum(nil)
}

func macBase64(key, text string) string { return base64.StdEncoding.EncodeToString(mac(key, text)) }

func macHex(key, text string) string { return hex.EncodeToString(mac(key, text)) }

func sha(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// birdJWT is a token as MessageBird signs them.
func birdJWT(key, address, body string) string {
	encode := base64.RawURLEncoding.EncodeToString
	claims := fmt.Sprintf(`{"iss":"MessageBird","nbf":%d,"exp":%d,"jti":"1","url_hash":%q`, signedAt.Unix(), signedAt.Unix()+60, sha(address))
	if body != "" {
		claims += fmt.Sprintf(`,"payload_hash":%q`, sha(body))
	}
	text := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode([]byte(claims+"}"))
	return text + "." + encode(mac(key, text))
}

var signedAt = time.Unix(1700000000, 0)

// telnyxKey is a key pair of our own.
var telnyxKey = ed25519.NewKeyFromSeed([]byte("0123456789abcdef0123456789abcdef"))

func telnyxHeader(body string, at time.Time) []string {
	stamp := fmt.Sprint(at.Unix())
	return []string{
		"telnyx-timestamp", stamp,
		"telnyx-signature-ed25519", base64.StdEncoding.EncodeToString(ed25519.Sign(telnyxKey, []byte(stamp+"|"+body))),
	}
}

func gateHeader(body string) []string {
	stamp := fmt.Sprint(signedAt.Unix())
	return []string{"X-Timestamp", stamp, "X-Signature", macHex("signing-key", body+stamp)}
}

const (
	telnyxInbound = `{"data":{"event_type":"message.received","id":"EV1","occurred_at":"2023-11-14T22:13:20.000Z","payload":{"id":"TX1","from":{"phone_number":"+27831234567"},"to":[{"phone_number":"+27820001001"}],"text":"hello","media":[],"type":"SMS"}},"meta":{"attempt":1}}`
	telnyxReport  = `{"data":{"event_type":"message.finalized","id":"%s","occurred_at":"2023-11-14T22:13:20.000Z","payload":{"id":"TXO","to":[{"phone_number":"+27831234567","status":"%s"}],"errors":[%s]}}}`

	telegramUpdate = `{"update_id":10,"message":{"message_id":7,"date":1700000000,"from":{"id":42,"is_bot":false,"first_name":"Anna"},"chat":{"id":42,"type":"private"},"text":"hello"}}`
	telegramGroup  = `{"update_id":11,"message":{"message_id":8,"date":1700000000,"from":{"id":42,"first_name":"Anna"},"chat":{"id":-100,"type":"supergroup"},"text":"all"}}`

	whatsappInbound = `{"object":"whatsapp_business_account","entry":[{"id":"1","changes":[{"field":"messages","value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"27820001001","phone_number_id":"PN1"},` +
		`"contacts":[{"wa_id":"27831234567","profile":{"name":"Anna"}}],"messages":[{"id":"wamid.1","from":"27831234567","timestamp":"1700000000","type":"text","text":{"body":"hello"}},` +
		`{"id":"wamid.2","from":"27831234567","timestamp":"1700000001","type":"interactive","interactive":{"type":"button_reply","button_reply":{"id":"b1","title":"Yes"}}}]}}]},` +
		`{"id":"1","changes":[{"field":"messages","value":{"metadata":{"display_phone_number":"1","phone_number_id":"OTHER"},"messages":[{"id":"wamid.3","from":"1","type":"text","text":{"body":"not ours"}}]}}]}]}`
	whatsappReport = `{"object":"whatsapp_business_account","entry":[{"changes":[{"value":{"metadata":{"phone_number_id":"PN1"},"statuses":[{"id":"wamid.O","status":"%s","timestamp":"1700000002","recipient_id":"27831234567"%s}]}}]}]}`

	gateInbound = `{"id":"WH1","event":"sms:received","deviceId":"D1","webhookId":"W","payload":{"messageId":"abc","message":"hello","sender":"+27831234567","recipient":"+27820001001","simNumber":1,"receivedAt":"2023-11-14T22:13:20.000+02:00"}}`
)

func whatsappSigned(body string) []string {
	return []string{"X-Hub-Signature-256", "sha256=" + macHex("app-s3cret", body)}
}

func telnyxEvent(id, status, failure string, events ...reported) request {
	body := fmt.Sprintf(telnyxReport, id, status, failure)
	return request{method: "POST", path: "/", kind: jsonType, body: body, header: telnyxHeader(body, signedAt), events: events}
}

func whatsappStatus(status, failure string, events ...reported) request {
	body := fmt.Sprintf(whatsappReport, status, failure)
	return request{method: "POST", path: "/", kind: jsonType, body: body, header: whatsappSigned(body), events: events}
}

func templated() *message.Message {
	m := outbound("hello")
	m.TransportMetadata.Set("template", map[string]any{"name": "welcome", "language": "sw"})
	return m
}

var plivoBody = form("From", "27831234567", "To", "27820001001", "Text", "hello", "Type", "sms", "MessageUUID", "PL1")

var exercises2 = []exercise{
	{
		preset: "plivo", settings: map[string]string{"auth_id": "MA1", "api_url": "PROVIDER"}, secrets: map[string]options.Secret{"auth_token": "my_auth_token"}, public: public,
		inbound: []request{
			{
				method: "POST", path: "/", kind: formType, body: plivoBody, messages: []received{{"27831234567", "27820001001", "hello", "PL1"}},
				header: []string{"X-Plivo-Signature-V2", macBase64("my_auth_token", public+"12345"), "X-Plivo-Signature-V2-Nonce", "12345"},
			},
			{
				method: "GET", path: "/?From=1&To=2&text=other+case&messageUUID=PL2", messages: []received{{"1", "2", "other case", "PL2"}},
				header: []string{"X-Plivo-Signature-V3", "wrong, " + macBase64("my_auth_token", public+"?From=1&To=2&text=other+case&messageUUID=PL2.777"), "X-Plivo-Signature-V3-Nonce", "777"},
			},
		},
		forged: []request{{
			method: "POST", path: "/", kind: formType, body: plivoBody, status: 403, answer: "the signature is wrong; is public_url what the provider calls, and the secret its own?",
			header: []string{"X-Plivo-Signature-V2", macBase64("another", public+"12345"), "X-Plivo-Signature-V2-Nonce", "12345"},
		}, {
			method: "POST", path: "/", kind: formType, body: plivoBody, status: 403, answer: "the request carries no token or signature",
		}, {
			method: "POST", path: "/", kind: formType, body: plivoBody, status: 403, answer: "the request carries no token or signature",
			header: []string{"X-Plivo-Signature-V3", ","},
		}},
		sends: sent{
			method: "POST", path: "/v1/Account/MA1/Message/", status: 202, answer: `{"message":"message(s) queued","message_uuid":["PLO"],"api_id":"a"}`, id: "PLO",
			json: `{"src":"27820001001","dst":"27831234567","text":"hello","url":"https://sms.example.org/t/receipts","method":"POST"}`,
		},
		receipts: []request{
			plivoReport("sent", "", pending), plivoReport("undelivered", "30", failed("30")), plivoReport("delivered", "000", delivered),
		},
		classes: []classified{{400, `{"error":"dst is invalid","api_id":"a"}`, "permanent"}, {401, `{"error":"unauthorized"}`, "alert"}, {429, `{}`, "throttled"}, {202, `{"message_uuid":["x"]}`, "sent"}},
	},
	{
		preset: "messagebird", settings: map[string]string{"api_url": "PROVIDER"}, secrets: map[string]options.Secret{"access_key": "acc3ss-key", "signing_key": "signing-key"}, public: public, now: signedAt,
		inbound: []request{
			{
				method: "GET", path: "/?id=MB1&originator=27831234567&recipient=27820001001&body=hello&createdDatetime=2023-11-14T22:13:20%2B00:00", answer: "OK",
				header:   []string{"MessageBird-Signature-JWT", birdJWT("signing-key", public+"?id=MB1&originator=27831234567&recipient=27820001001&body=hello&createdDatetime=2023-11-14T22:13:20%2B00:00", "")},
				messages: []received{{"27831234567", "27820001001", "hello", "MB1"}},
			},
			{
				method: "POST", path: "/", kind: formType, body: form("mid", "MB2", "shortcode", "1008", "originator", "27831234567", "message", "short", "receive_datetime", "20231114221320"), answer: "OK",
				header:   []string{"MessageBird-Signature-JWT", birdJWT("signing-key", public, form("mid", "MB2", "shortcode", "1008", "originator", "27831234567", "message", "short", "receive_datetime", "20231114221320"))},
				messages: []received{{"27831234567", "1008", "short", "MB2"}},
			},
		},
		forged: []request{
			{
				method: "GET", path: "/?id=MB1&originator=2&recipient=1&body=other", status: 403, answer: "the signature is wrong; is public_url what the provider calls, and the secret its own?",
				header: []string{"MessageBird-Signature-JWT", birdJWT("signing-key", public+"?id=MB1&originator=1&recipient=2&body=hello", "")},
			},
			{
				method: "GET", path: "/?id=MB1&originator=2&recipient=1", status: 403, answer: "the signature is wrong; is public_url what the provider calls, and the secret its own?",
				header: []string{"MessageBird-Signature-JWT", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"MessageBird"}`)) + "."},
			},
		},
		sends: sent{
			method: "POST", path: "/messages", status: 201, wants: map[string]string{"Authorization": "AccessKey acc3ss-key"}, id: "MBO/27831234567",
			answer: `{"id":"MBO","recipients":{"totalCount":1,"items":[{"recipient":27831234567,"status":"sent","statusDatetime":"2023-11-14T22:13:20+00:00"}]}}`,
			json:   `{"originator":"+27820001001","recipients":["27831234567"],"body":"hello","datacoding":"auto","reference":"MSGID","reportUrl":"https://sms.example.org/t/receipts"}`,
		},
		classes: []classified{
			{422, `{"errors":[{"code":10,"description":"no (correct) recipients found","parameter":"recipients"}]}`, "permanent"},
			{401, `{"errors":[{"code":2,"description":"Request not allowed (incorrect access_key)"}]}`, "alert"},
			{402, `{"errors":[{"code":25,"description":"Not enough balance"}]}`, "alert"},
			{500, `{"errors":[{"code":98,"description":"x"}]}`, "temporary"},
		},
	},
	{
		preset: "bird", settings: map[string]string{"workspace_id": "w", "channel_id": "c", "api_url": "PROVIDER"}, secrets: map[string]options.Secret{"access_key": "acc3ss-key"},
		inbound: []request{{
			method: "POST", path: "/", kind: jsonType, messages: []received{{"+27831234567", "+27820001001", "hello", "BI1"}},
			body: `{"event":"sms.inbound","payload":{"id":"BI1","direction":"incoming","sender":{"contact":{"identifierValue":"+27831234567"}},"receiver":{"connectors":[{"identifierValue":"+27820001001"}]},"body":{"type":"text","text":{"text":"hello"}}}}`,
		}},
		forged: []request{{method: "POST", path: "/elsewhere", status: 404, answer: "nothing is taken here\n"}},
		sends: sent{
			method: "POST", path: "/workspaces/w/channels/c/messages", status: 202, answer: `{"id":"BO"}`, id: "BO", wants: map[string]string{"Authorization": "AccessKey acc3ss-key"},
			json: `{"receiver":{"contacts":[{"identifierValue":"+27831234567"}]},"body":{"type":"text","text":{"text":"hello"}},"reference":"MSGID"}`,
		},
		receipts: []request{
			{method: "POST", path: "/", kind: jsonType, body: `{"event":"sms.outbound","payload":{"id":"BO","status":"sent"}}`, events: []reported{pending}},
			{method: "POST", path: "/", kind: jsonType, body: `{"event":"sms.outbound","payload":{"id":"BO","status":"delivered"}}`, events: []reported{delivered}},
		},
		classes: []classified{{401, `{"code":"Unauthorized","message":"x"}`, "alert"}, {422, `{"code":"InvalidPayload","message":"x"}`, "permanent"}},
	},
	{
		preset: "clickatell", settings: map[string]string{"api_url": "PROVIDER"}, secrets: map[string]options.Secret{"api_key": "cl1ckatell-key"}, public: public,
		inbound: []request{
			{
				method: "POST", path: "/", kind: jsonType, messages: []received{{"27831234567", "27820001001", "hello", "CL1"}},
				body: `{"integrationId":"i","messageId":"CL1","replyMessageId":"r","apiKey":"cl1ckatell-key","fromNumber":"27831234567","toNumber":"27820001001","timestamp":1700000000000,"text":"hello","charset":"UTF-8"}`,
			},
			{
				method: "POST", path: "/", kind: jsonType, messages: []received{{"27831234567", "27820001001", "س☃", "CL2"}},
				body: `{"messageId":"CL2","apiKey":"cl1ckatell-key","fromNumber":"27831234567","toNumber":"27820001001","timestamp":1700000000000,"text":"%06%33%26%03","charset":"UTF-16BE"}`,
			},
			{
				method: "POST", path: "/", kind: jsonType, header: []string{"Authorization", "cl1ckatell-key"}, messages: []received{{"27831234567", "27820001001", "one", "CL3"}},
				body: `{"event":{"moText":[{"channel":"sms","messageId":"CL3","from":"27831234567","to":"27820001001","content":"one","timestamp":1700000000000}]}}`,
			},
		},
		forged: []request{{method: "POST", path: "/", kind: jsonType, body: `{"messageId":"x","apiKey":"wrong","fromNumber":"1","toNumber":"2","text":"x"}`, status: 403, answer: "the token is wrong"}},
		sends: sent{
			method: "POST", path: "/v1/message", status: 202, wants: map[string]string{"Authorization": "cl1ckatell-key"}, id: "CLO",
			answer: `{"messages":[{"apiMessageId":"CLO","accepted":true,"to":"27831234567","error":null}],"error":null}`,
			json:   `{"messages":[{"channel":"sms","to":"27831234567","from":"27820001001","content":"hello","clientMessageId":"MSGID"}]}`,
		},
		receipts: []request{
			{method: "POST", path: "/receipts", kind: jsonType, body: `{"apiKey":"cl1ckatell-key","messageId":"CLO","clientMessageId":"MSGID","statusCode":3,"status":"DELIVERED_TO_GATEWAY"}`, events: []reported{pending}},
			{method: "POST", path: "/receipts", kind: jsonType, body: `{"apiKey":"cl1ckatell-key","messageId":"CLO","clientMessageId":"MSGID","statusCode":7,"status":"ERROR_DELIVERING"}`, events: []reported{failed("7")}},
			{method: "POST", path: "/receipts", kind: jsonType, body: `{"apiKey":"cl1ckatell-key","messageId":"CLO","clientMessageId":"MSGID","statusCode":4,"status":"RECEIVED_BY_RECIPIENT"}`, events: []reported{delivered}},
		},
		classes: []classified{
			{207, `{"messages":[{"apiMessageId":null,"accepted":false,"to":"27831234567","error":{"code":9,"description":"x"}}],"error":null}`, "permanent"},
			{202, `{"messages":[{"apiMessageId":"1","accepted":true,"to":"27831234567","error":null}],"error":null}`, "sent"},
			{402, `{}`, "alert"},
			{503, ``, "temporary"},
		},
	},
	{
		preset: "telnyx", settings: map[string]string{"api_url": "PROVIDER", "public_key": base64.StdEncoding.EncodeToString(telnyxKey.Public().(ed25519.PublicKey))},
		secrets: map[string]options.Secret{"api_key": "KEY-telnyx"}, public: public, now: signedAt,
		inbound: []request{
			{method: "POST", path: "/", kind: jsonType, body: telnyxInbound, header: telnyxHeader(telnyxInbound, signedAt.Add(2*time.Second)), messages: []received{{"+27831234567", "+27820001001", "hello", "TX1"}}},
		},
		forged: []request{
			{method: "POST", path: "/", kind: jsonType, body: telnyxInbound + " ", header: telnyxHeader(telnyxInbound, signedAt), status: 403, answer: "the signature is wrong; is public_url what the provider calls, and the secret its own?"},
			{method: "POST", path: "/", kind: jsonType, body: telnyxInbound, header: telnyxHeader(telnyxInbound, signedAt.Add(-301*time.Second)), status: 403, answer: "the signature is too old or too new; is the clock right?"},
		},
		sends: sent{
			method: "POST", path: "/v2/messages", wants: map[string]string{"Authorization": "Bearer KEY-telnyx"}, id: "TXO",
			answer: `{"data":{"id":"TXO","to":[{"phone_number":"+27831234567","status":"queued"}],"parts":1,"errors":[]}}`,
			json:   `{"from":"+27820001001","to":"+27831234567","text":"hello","webhook_url":"https://sms.example.org/t"}`,
		},
		receipts: []request{
			telnyxEvent("E1", "sent", "", pending), telnyxEvent("E2", "delivery_failed", `{"code":"40300","title":"Blocked","detail":"STOP"}`, failed("40300")), telnyxEvent("E3", "delivered", "", delivered),
		},
		classes: []classified{
			{400, `{"errors":[{"code":"40300","title":"x","detail":"Blocked due to STOP message"}]}`, "blocked"},
			{429, `{"errors":[{"code":"40011"}]}`, "throttled"},
			{401, `{"errors":[{"code":"10009"}]}`, "alert"},
			{422, `{"errors":[{"code":"40008"}]}`, "permanent"},
		},
	},
	{
		preset: "telegram", settings: map[string]string{"api_url": "PROVIDER", "bot_name": "helper_bot"}, secrets: map[string]options.Secret{"bot_token": "123:ABC-def", "secret_token": "hook-s3cret"}, public: public,
		inbound: []request{
			{method: "POST", path: "/", kind: jsonType, body: telegramUpdate, header: []string{"X-Telegram-Bot-Api-Secret-Token", "hook-s3cret"}, messages: []received{{"42", "helper_bot", "hello", "42/7"}}},
			{method: "POST", path: "/", kind: jsonType, body: telegramGroup, header: []string{"X-Telegram-Bot-Api-Secret-Token", "hook-s3cret"}, messages: []received{{"-100", "helper_bot", "all", "-100/8"}}},
			{
				method: "POST", path: "/", kind: jsonType, header: []string{"X-Telegram-Bot-Api-Secret-Token", "hook-s3cret"}, messages: []received{{"42", "helper_bot", "STOP", "12"}},
				body: `{"update_id":12,"my_chat_member":{"chat":{"id":42,"type":"private"},"from":{"id":42},"new_chat_member":{"status":"kicked"}}}`,
			},
		},
		forged: []request{{method: "POST", path: "/", kind: jsonType, body: telegramUpdate, status: 403, answer: "the request carries no token or signature"}},
		sends: sent{
			method: "POST", path: "/bot123:ABC-def/sendMessage", answer: `{"ok":true,"result":{"message_id":9,"chat":{"id":42}}}`, id: "42/9",
			json: `{"chat_id":"+27831234567","text":"hello"}`,
		},
		classes: []classified{
			{429, `{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 3","parameters":{"retry_after":3}}`, "throttled"},
			{403, `{"ok":false,"error_code":403,"description":"Forbidden: bot was blocked by the user"}`, "blocked"},
			{400, `{"ok":false,"error_code":400,"description":"Bad Request: message is too long"}`, "permanent"},
			{401, `{"ok":false,"error_code":401,"description":"Unauthorized"}`, "alert"},
		},
	},
	{
		preset: "whatsapp", settings: map[string]string{"phone_number_id": "PN1", "api_url": "PROVIDER/v21.0"},
		secrets: map[string]options.Secret{"access_token": "EAAtoken", "app_secret": "app-s3cret", "verify_token": "v3rify"}, public: public,
		inbound: []request{
			{method: "GET", path: "/?hub.mode=subscribe&hub.verify_token=v3rify&hub.challenge=1158201444", answer: "1158201444"},
			{
				method: "POST", path: "/", kind: jsonType, body: whatsappInbound, header: whatsappSigned(whatsappInbound),
				messages: []received{{"27831234567", "27820001001", "hello", "wamid.1"}, {"27831234567", "27820001001", "Yes", "wamid.2"}},
			},
		},
		forged: []request{
			{method: "GET", path: "/?hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1", status: 403, answer: "the token is wrong"},
			{method: "POST", path: "/", kind: jsonType, body: whatsappInbound, header: whatsappSigned(whatsappInbound + "x"), status: 403, answer: "the signature is wrong; is public_url what the provider calls, and the secret its own?"},
		},
		sends: sent{
			method: "POST", path: "/v21.0/PN1/messages", wants: map[string]string{"Authorization": "Bearer EAAtoken"}, id: "wamid.O",
			answer: `{"messaging_product":"whatsapp","contacts":[{"input":"27831234567","wa_id":"27831234567"}],"messages":[{"id":"wamid.O"}]}`,
			json:   `{"messaging_product":"whatsapp","recipient_type":"individual","to":"27831234567","type":"text","text":{"body":"hello"}}`,
		},
		receipts: []request{
			whatsappStatus("sent", "", pending), whatsappStatus("failed", `,"errors":[{"code":131026,"title":"Message undeliverable"}]`, failed("131026")),
			whatsappStatus("deleted", ""), whatsappStatus("read", "", delivered),
		},
		classes: []classified{
			{400, `{"error":{"message":"Re-engagement message","code":131047,"error_data":{"details":"24 hours"}}}`, "permanent"},
			{400, `{"error":{"message":"Pair rate limit","code":131056}}`, "throttled"},
			{401, `{"error":{"message":"expired","code":190}}`, "alert"},
			{500, `{"error":{"message":"x","code":131000}}`, "temporary"},
			{400, `{"error":{"code":131050}}`, "blocked"},
		},
	},
	{
		preset: "sms_gate", settings: map[string]string{"api_url": "PROVIDER/3rdparty/v1/messages", "username": "me"}, secrets: map[string]options.Secret{"password": "pa55word", "signing_key": "signing-key"},
		public: public, now: signedAt,
		inbound: []request{
			{method: "POST", path: "/", kind: jsonType, body: gateInbound, header: gateHeader(gateInbound), messages: []received{{"+27831234567", "+27820001001", "hello", "abc"}}},
			{
				method: "POST", path: "/", kind: jsonType, body: strings.ReplaceAll(gateInbound, "WH1", "WH2"), header: gateHeader(strings.ReplaceAll(gateInbound, "WH1", "WH2")),
				messages: []received{{"+27831234567", "+27820001001", "hello", "abc"}}, // the same text a second time
			},
		},
		forged: []request{{
			method: "POST", path: "/", kind: jsonType, body: gateInbound, header: []string{"X-Timestamp", "1700000000", "X-Signature", "00"}, status: 403,
			answer: "the signature is wrong; is public_url what the provider calls, and the secret its own?",
		}},
		sends: sent{
			method: "POST", path: "/3rdparty/v1/messages", status: 202, wants: map[string]string{"Authorization": "Basic bWU6cGE1NXdvcmQ="}, id: "MSGID",
			answer: `{"id":"MSGID","state":"Pending","recipients":[{"phoneNumber":"+27831234567","state":"Pending"}]}`,
			json:   `{"id":"MSGID","textMessage":{"text":"hello"},"phoneNumbers":["+27831234567"],"withDeliveryReport":true}`,
		},
		classes: []classified{{409, `{"message":"exists"}`, "sent"}, {503, `{"code":"QueueLimitExceeded"}`, "throttled"}, {429, ``, "throttled"}, {400, `{"message":"bad"}`, "permanent"}, {500, ``, "temporary"}},
	},
	{
		preset: "smssync", secrets: map[string]options.Secret{"secret": "ph0ne-secret"},
		inbound: []request{
			{
				method: "POST", path: "/", kind: formType, answer: `{"payload":{"error":null,"success":true}}`, answerType: jsonType,
				body:     form("from", "+27831234567", "message", "hello", "message_id", "S1", "sent_to", "0820001001", "secret", "ph0ne-secret", "device_id", "1", "sent_timestamp", "1700000000000"),
				messages: []received{{"+27831234567", "0820001001", "hello", "S1"}},
			},
		},
		forged: []request{{
			method: "POST", path: "/", kind: formType, body: form("from", "1", "message", "x", "secret", "wrong"),
			answer: `{"payload":{"error":"the token is wrong","success":false}}`,
		}},
	},
	{
		preset: "jasmin", settings: map[string]string{"send_url": "PROVIDER/send", "username": "me"}, secrets: map[string]options.Secret{"password": "pa55word", "token": "t0ken"}, public: public,
		inbound: []request{
			{
				method: "POST", path: "/?token=t0ken", kind: formType, body: form("id", "j1", "from", "27831234567", "to", "1001", "origin-connector", "c1", "content", "hello", "coding", "0"),
				answer: "ACK/Jasmin", messages: []received{{"27831234567", "1001", "hello", "j1"}},
			},
			{
				method: "POST", path: "/?token=t0ken", kind: formType, body: form("id", "j2", "from", "27831234567", "to", "1001", "content", "", "binary", "06332603", "coding", "8"),
				answer: "ACK/Jasmin", messages: []received{{"27831234567", "1001", "س☃", "j2"}},
			},
		},
		forged: []request{{method: "POST", path: "/?token=wrong", kind: formType, body: form("id", "j1", "from", "1"), status: 403, answer: "the token is wrong"}},
		sends: sent{
			method: "POST", path: "/send", answer: `Success "07033084-5cfd-4812-90a4-e4d24ffb6e3d"`, id: "07033084-5cfd-4812-90a4-e4d24ffb6e3d",
			form: form("username", "me", "password", "pa55word", "to", "27831234567", "from", "27820001001", "coding", "0", "content", "hello", "dlr", "yes",
				"dlr-url", "https://sms.example.org/t/receipts?token=t0ken", "dlr-level", "3", "dlr-method", "POST"),
		},
		receipts: []request{
			{method: "POST", path: "/receipts?token=t0ken", kind: formType, answer: "ACK/Jasmin", body: form("id", "07033084-5cfd-4812-90a4-e4d24ffb6e3d", "message_status", "ESME_ROK", "level", "1"), events: []reported{pending}},
			{method: "POST", path: "/receipts?token=t0ken", kind: formType, answer: "ACK/Jasmin", body: form("id", "07033084-5cfd-4812-90a4-e4d24ffb6e3d", "message_status", "UNDELIV", "err", "011", "level", "2"), events: []reported{failed("011")}},
			{method: "POST", path: "/receipts?token=t0ken", kind: formType, answer: "ACK/Jasmin", body: form("id", "07033084-5cfd-4812-90a4-e4d24ffb6e3d", "message_status", "DELIVRD", "err", "000", "level", "2"), events: []reported{delivered}},
		},
		classes: []classified{
			{400, `Error "Mandatory argument [to] is not found."`, "permanent"},
			{403, `Error "Authentication failure for username:me"`, "alert"},
			{412, `Error "No route found"`, "permanent"},
			{500, `Error "Cannot send submit_sm, check SMPPClientManagerPB log file for details"`, "temporary"},
		},
	},
	{
		preset: "generic_form", settings: map[string]string{"send_url": "PROVIDER/send"}, secrets: map[string]options.Secret{"token": "t0ken"}, public: public,
		inbound: []request{
			{method: "POST", path: "/messages", kind: formType, body: form("id", "f1", "sender", "+27831234567", "to", "1001", "text", "hello", "token", "t0ken"), messages: []received{{"+27831234567", "1001", "hello", "f1"}}},
			{method: "GET", path: "/messages?" + form("id", "f2", "from", "+27831234567", "to", "1001", "text", "hello", "token", "t0ken"), messages: []received{{"+27831234567", "1001", "hello", "f2"}}},
		},
		forged: []request{{method: "GET", path: "/messages?id=f1&from=1&text=x", status: 403, answer: "the request carries no token or signature"}},
		sends: sent{
			method: "POST", path: "/send", answer: "f-9 accepted\n", id: "f-9", header: map[string]string{"Content-Type": "text/plain"},
			form: form("id", "MSGID", "to", "+27831234567", "from", "+27820001001", "text", "hello", "receipt_url", "https://sms.example.org/t/receipts", "token", "t0ken"),
		},
		receipts: []request{
			{method: "GET", path: "/receipts?token=t0ken&id=f-9&status=failed&code=7", events: []reported{failed("7")}},
			{method: "POST", path: "/receipts", kind: formType, body: form("token", "t0ken", "id", "f-9", "status", "delivered"), events: []reported{delivered}},
		},
		classes: []classified{{200, `{"id":"1"}`, "sent"}, {400, ``, "permanent"}, {503, ``, "temporary"}},
	},
}

func plivoReport(status, code string, events ...reported) request {
	return request{
		method: "POST", path: "/receipts", kind: formType, body: form("MessageUUID", "PLO", "From", "27820001001", "To", "27831234567", "Status", status, "ErrorCode", code), events: events,
		header: []string{"X-Plivo-Signature-V2", macBase64("my_auth_token", public+"/receipts"+"1"), "X-Plivo-Signature-V2-Nonce", "1"},
	}
}
