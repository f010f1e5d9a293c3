package http_test

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"switchboard/message"
	"switchboard/options"
)

const public = "https://sms.example.org/t"

// twilioSign signs as Twilio documents it.
func twilioSign(token, address, body string) string {
	fields, _ := url.ParseQuery(body)
	text := address
	for _, name := range sorted(fields) {
		text += name + fields.Get(name)
	}
	h := hmac.New(sha1.New, []byte(token))
	h.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

func sorted(fields url.Values) (names []string) {
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func vonageSign(secret string, fields ...string) string {
	values, _ := url.ParseQuery(form(fields...))
	text := ""
	for _, name := range sorted(values) {
		text += "&" + name + "=" + strings.NewReplacer("&", "_", "=", "_").Replace(values.Get(name))
	}
	sum := md5.Sum([]byte(text + secret))
	return form(append(fields, "sig", hex.EncodeToString(sum[:]))...)
}

// replyTo is a reply to a message that the provider knows as id.
func replyTo(id string, metadata ...string) func() *message.Message {
	return func() *message.Message {
		m := outbound("hello")
		m.TransportMetadata.Set("external_id", id)
		for i := 0; i < len(metadata); i += 2 {
			m.TransportMetadata.Set(metadata[i], metadata[i+1])
		}
		return m
	}
}

var (
	twilioBody = form("MessageSid", "SM1", "AccountSid", "AC1", "From", "+27831234567", "To", "+27820001001", "Body", "hello", "NumMedia", "0")
	longBody   = base64.StdEncoding.EncodeToString([]byte("this text came in several parts and was put together!"))
	delivered  = reported{message.Delivered, ""}
	pending    = reported{message.Pending, ""}
)

func failed(code string) reported { return reported{message.Failed, code} }

var vonageInbound = []string{"msisdn", "27831234567", "to", "27820001001", "messageId", "V1", "text", "a&b=c", "type", "text", "timestamp", fmt.Sprint(vonageNow.Unix())}

var vonageNow = time.Unix(1234567890, 0)

var exercises = []exercise{
	{
		preset: "generic_json", settings: map[string]string{"send_url": "PROVIDER/send"}, secrets: map[string]options.Secret{"token": "s3cret-token"}, public: public,
		inbound: []request{{
			method: "POST", path: "/messages", kind: jsonType, body: `{"id":"m1","from":"+27831234567","to":"1001","text":"hello"}`, header: []string{"Authorization", bearer},
			answer: `{"status":"ok"}`, answerType: jsonType, messages: []received{{"+27831234567", "1001", "hello", "m1"}},
		}},
		sends: sent{
			method: "POST", path: "/send", answer: `{"id":"p-1"}`, id: "p-1", wants: map[string]string{"Authorization": bearer},
			json: `{"id":"MSGID","to":"+27831234567","from":"+27820001001","text":"hello","receipt_url":"https://sms.example.org/t/receipts"}`,
		},
		receipts: []request{
			{
				method: "POST", path: "/receipts", kind: jsonType, body: `{"message_id":"MSGID","status":"pending"}`, header: []string{"Authorization", bearer},
				answer: `{"status":"ok"}`, events: []reported{pending},
			},
			{
				method: "POST", path: "/receipts", kind: jsonType, body: `{"message_id":"MSGID","status":"delivered"}`, header: []string{"Authorization", bearer},
				answer: `{"status":"ok"}`, events: []reported{delivered},
			},
		},
		classes: []classified{{202, `{"id":"x"}`, "sent"}, {429, `{}`, "throttled"}, {503, ``, "temporary"}, {401, `{"reason":"s3cret-token"}`, "alert"}, {400, `{}`, "permanent"}},
	},
	{
		preset: "twilio", settings: map[string]string{"account_sid": "AC1", "api_url": "PROVIDER"}, secrets: map[string]options.Secret{"auth_token": "12345"},
		public: "https://mycompany.com/myapp.php",
		inbound: []request{
			{
				method: "POST", path: "/", kind: formType, body: twilioBody, answer: "<Response/>", answerType: "text/xml",
				header:   []string{"X-Twilio-Signature", twilioSign("12345", "https://mycompany.com/myapp.php", twilioBody)},
				messages: []received{{"+27831234567", "+27820001001", "hello", "SM1"}},
			},
			{ // signed with the port that the URL leaves out
				method: "POST", path: "/", kind: formType, body: strings.Replace(twilioBody, "SM1", "SM2", 1), answer: "<Response/>",
				header:   []string{"X-Twilio-Signature", twilioSign("12345", "https://mycompany.com:443/myapp.php", strings.Replace(twilioBody, "SM1", "SM2", 1))},
				messages: []received{{"+27831234567", "+27820001001", "hello", "SM2"}},
			},
			{
				method: "POST", path: "/", kind: formType, body: form("MessageSid", "SM3", "From", "1", "To", "2", "Body", longBody), answer: "<Response/>",
				header:   []string{"X-Twilio-Signature", twilioSign("12345", "https://mycompany.com/myapp.php", form("MessageSid", "SM3", "From", "1", "To", "2", "Body", longBody))},
				messages: []received{{"1", "2", "this text came in several parts and was put together!", "SM3"}},
			},
		},
		forged: []request{
			{method: "POST", path: "/", kind: formType, body: twilioBody, status: 403, answer: "the request carries no token or signature"},
			{
				method: "POST", path: "/?more=1", kind: formType, body: twilioBody, status: 403, header: []string{"X-Twilio-Signature", twilioSign("12345", "https://mycompany.com/myapp.php", twilioBody)},
				answer: "the signature is wrong; is public_url what the provider calls, and the secret its own?",
			},
		},
		sends: sent{
			method: "POST", path: "/2010-04-01/Accounts/AC1/Messages.json", status: 201, answer: `{"sid":"SM9","status":"queued"}`, id: "SM9",
			wants: map[string]string{"Authorization": "Basic QUMxOjEyMzQ1", "Content-Type": formType},
			form:  form("To", "+27831234567", "From", "+27820001001", "Body", "hello", "StatusCallback", "https://mycompany.com/myapp.php/receipts?id=MSGID"),
		},
		classes: []classified{
			{400, `{"code":21610,"message":"Attempt to send to unsubscribed recipient","status":400}`, "blocked"},
			{400, `{"code":21211,"message":"Invalid To"}`, "permanent"},
			{429, `{"code":20429,"message":"Too Many Requests"}`, "throttled"},
			{401, `{"code":20003,"message":"Authenticate"}`, "alert"},
			{400, `{"code":30001}`, "temporary"},
			{201, `{"sid":"SM1"}`, "sent"},
		},
	},
	{
		preset: "kannel", settings: map[string]string{"sendsms_url": "PROVIDER/cgi-bin/sendsms", "username": "me"},
		secrets: map[string]options.Secret{"password": "pa55word", "token": "t0ken"}, public: public,
		inbound: []request{
			{
				method: "GET", path: "/?" + form("id", "k1", "sender", "+27831234567", "to", "1001", "text", "hello", "ts", "1700000000", "charset", "UTF-8", "token", "t0ken"),
				messages: []received{{"+27831234567", "1001", "hello", "k1"}},
			},
			{
				method: "GET", path: "/?" + form("id", "k2", "sender", "+27831234567", "to", "1001", "charset", "UTF-16BE", "token", "t0ken") + "&text=%06%33%26%03",
				messages: []received{{"+27831234567", "1001", "س☃", "k2"}},
			},
			{
				method: "GET", path: "/?" + form("id", "k3", "sender", "+27831234567", "to", "1001", "charset", "WINDOWS-1252", "token", "t0ken") + "&text=caf%E9+%80",
				messages: []received{{"+27831234567", "1001", "café €", "k3"}},
			},
		},
		forged: []request{{method: "GET", path: "/?sender=1&to=2&text=x&token=wrong", status: 403}},
		sends: sent{
			method: "GET", path: "/cgi-bin/sendsms", status: 202, answer: "0: Accepted for delivery",
			query: form("username", "me", "password", "pa55word", "from", "+27820001001", "to", "+27831234567", "text", "hello", "coding", "0", "charset", "UTF-8",
				"dlr-mask", "31", "dlr-url", "https://sms.example.org/t/receipts?id=MSGID&status=%d&answer=%A&token=t0ken"),
		},
		receipts: []request{
			{method: "GET", path: "/receipts?token=t0ken&id=MSGID&status=8", events: []reported{pending}},
			{method: "GET", path: "/receipts?token=t0ken&id=MSGID&status=2&answer=" + url.QueryEscape("id:1 stat:UNDELIV err:001 text:"), events: []reported{failed("001")}},
			{method: "GET", path: "/receipts?token=t0ken&id=MSGID&status=1", events: []reported{delivered}},
		},
		classes: []classified{
			{202, "3: Queued for later delivery", "sent"},
			{202, "Sent.", "sent"},
			{403, "Authorization failed for sendsms", "alert"},
			{403, "Not routable. Do not try again.", "permanent"},
			{503, "Temporal failure, try again later.", "temporary"},
			{500, "Sending failed.", "temporary"},
		},
	},
	{
		preset: "vas2nets", settings: map[string]string{"send_url": "PROVIDER/send", "username": "me", "owner": "owner", "service": "svc", "default_provider": "net"},
		secrets: map[string]options.Secret{"password": "pa55word"}, public: public,
		inbound: []request{{
			method: "POST", path: "/", kind: formType, messages: []received{{"0041791234567", "9292", "hello world", "1"}},
			body: form("messageid", "1", "time", "2009.02.13 23:31:30", "sender", "0041791234567", "destination", "9292", "provider", "provider", "keyword", "", "header", "header", "text", "hello world"),
		}},
		forged: []request{{method: "POST", path: "/", kind: formType, body: "messageid=1", status: 400, answer: "the message comes from nobody: its sender is missing"}},
		sends: sent{
			message: replyTo("1", "network_id", "provider", "keyword", "kw"), method: "POST", path: "/send", header: map[string]string{"X-Nth-Smsid": "sms-1"}, answer: "ok", id: "sms-1",
			form: form("username", "me", "password", "pa55word", "owner", "owner", "service", "svc", "subservice", "kw", "call-number", "0027831234567", "origin", "+27820001001",
				"messageid", "1", "provider", "provider", "tariff", "0", "text", "hello"),
		},
		receipts: []request{
			{method: "POST", path: "/receipts", kind: formType, body: form("smsid", "sms-1", "messageid", "1", "status", "1", "text", "on its way", "time", "2009.02.13 23:31:30"), events: []reported{pending}},
			{method: "POST", path: "/receipts", kind: formType, body: form("smsid", "sms-1", "messageid", "1", "status", "-9", "text", "failed", "time", "2009.02.13 23:31:30"), events: []reported{failed("-9")}},
			{method: "POST", path: "/receipts", kind: formType, body: form("smsid", "sms-1", "messageid", "1", "status", "2", "text", "delivered", "time", "2009.02.13 23:31:30"), events: []reported{delivered}},
		},
		classes: []classified{{200, "Result_code: 04, Internal system error occurred while processing message", "temporary"}, {200, "something else", "permanent"}, {404, "", "permanent"}},
	},
	{
		preset: "infobip", settings: map[string]string{"base_url": "PROVIDER"}, secrets: map[string]options.Secret{"api_key": "k3y-of-infobip"}, public: public,
		inbound: []request{{
			method: "POST", path: "/", kind: jsonType, messages: []received{{"385916242493", "385921004026", "QUIZ Correct answer is Paris", "817790313235066447"}, {"385916242494", "385921004026", "second", "817790313235066448"}},
			body: `{"results":[{"messageId":"817790313235066447","from":"385916242493","to":"385921004026","text":"QUIZ Correct answer is Paris","cleanText":"Correct answer is Paris","keyword":"QUIZ","receivedAt":"2016-10-06T09:28:39.220+0000","smsCount":1,"price":{"pricePerMessage":0,"currency":"EUR"},"callbackData":"x"},
				{"messageId":"817790313235066448","from":"385916242494","to":"385921004026","text":"second","receivedAt":"2016-10-06T09:28:39.220+0000"}],"messageCount":2,"pendingMessageCount":0}`,
		}},
		sends: sent{
			method: "POST", path: "/sms/3/messages", wants: map[string]string{"Authorization": "App k3y-of-infobip"}, id: "MSGID",
			answer: `{"bulkId":"b","messages":[{"messageId":"MSGID","destination":"27831234567","status":{"groupId":1,"groupName":"PENDING","id":26,"name":"PENDING_ACCEPTED","description":"Message sent to next instance"}}]}`,
			json: `{"messages":[{"sender":"+27820001001","destinations":[{"to":"27831234567","messageId":"MSGID"}],"content":{"text":"hello"},
				"webhooks":{"delivery":{"url":"https://sms.example.org/t/receipts"},"contentType":"application/json","callbackData":"MSGID"}}]}`,
		},
		receipts: []request{
			{method: "POST", path: "/receipts", kind: jsonType, body: infobipReport(3, "DELIVERED", 2, "DELIVERED_TO_OPERATOR", ""), events: []reported{pending}},
			{method: "POST", path: "/receipts", kind: jsonType, body: infobipReport(4, "EXPIRED", 15, "EXPIRED_EXPIRED", "EC_ABSENT_SUBSCRIBER"), events: []reported{failed("EC_ABSENT_SUBSCRIBER")}},
			{method: "POST", path: "/receipts", kind: jsonType, body: infobipReport(3, "DELIVERED", 5, "DELIVERED_TO_HANDSET", ""), events: []reported{delivered}},
		},
		classes: []classified{
			{200, `{"messages":[{"messageId":"x","destination":"27831234567","status":{"groupId":5,"groupName":"REJECTED","id":12,"name":"REJECTED_NOT_ENOUGH_CREDITS"}}]}`, "alert"},
			{200, `{"messages":[{"messageId":"x","destination":"27831234567","status":{"groupId":5,"name":"REJECTED_SENDER"}}]}`, "permanent"},
			{401, `{"requestError":{"serviceException":{"messageId":"UNAUTHORIZED","text":"Invalid login details"}}}`, "alert"},
			{400, `{"errorCode":"E400","description":"Request cannot be processed."}`, "permanent"},
			{429, `{}`, "throttled"},
		},
	},
	{
		preset: "africastalking", settings: map[string]string{"username": "sandbox", "api_url": "PROVIDER"}, secrets: map[string]options.Secret{"api_key": "k3y-of-at"}, public: public,
		inbound: []request{
			{
				method: "POST", path: "/", kind: formType, body: form("id", "a1", "from", "+254711082000", "to", "20880", "text", "hello", "date", "2017-05-03T06:04:45Z", "linkId", "L1"),
				messages: []received{{"+254711082000", "20880", "hello", "a1"}},
			},
			{method: "POST", path: "/receipts", kind: formType, body: form("id", "ATXid_unknown", "status", "Success")},
		},
		forged: []request{{method: "POST", path: "/", kind: formType, body: "text=x", status: 400, answer: "the message comes from nobody: its sender is missing"}},
		sends: sent{
			message: replyTo("a1", "link_id", "L1"), method: "POST", path: "/version1/messaging", status: 201, id: "ATXid_1", wants: map[string]string{"Apikey": "k3y-of-at", "Accept": jsonType},
			answer: `{"SMSMessageData":{"Message":"Sent to 1/1 Total Cost: KES 0.8000","Recipients":[{"statusCode":101,"number":"+27831234567","status":"Success","cost":"KES 0.8000","messageId":"ATXid_1"}]}}`,
			form:   form("username", "sandbox", "to", "+27831234567", "message", "hello", "from", "+27820001001", "bulkSMSMode", "0", "enqueue", "1", "linkId", "L1"),
		},
		receipts: []request{
			{method: "POST", path: "/receipts", kind: formType, body: form("id", "ATXid_1", "status", "Buffered", "phoneNumber", "+27831234567"), events: []reported{pending}},
			{method: "POST", path: "/receipts", kind: formType, body: form("id", "ATXid_1", "status", "Failed", "failureReason", "UserInBlackList"), events: []reported{failed("UserInBlackList")}},
			{method: "POST", path: "/receipts", kind: formType, body: form("id", "ATXid_1", "status", "Success"), events: []reported{delivered}},
		},
		classes: []classified{
			{201, `{"SMSMessageData":{"Message":"","Recipients":[{"statusCode":406,"number":"+27831234567","status":"UserInBlacklist"}]}}`, "blocked"},
			{201, `{"SMSMessageData":{"Message":"","Recipients":[{"statusCode":405,"number":"+27831234567","status":"InsufficientBalance"}]}}`, "alert"},
			{201, `{"SMSMessageData":{"Message":"InvalidSenderId","Recipients":[]}}`, "permanent"},
			{201, `{"SMSMessageData":{"Message":"","Recipients":[{"statusCode":500,"number":"+27831234567","status":"InternalServerError"}]}}`, "temporary"},
			{401, `The supplied authentication is invalid`, "alert"},
		},
	},
	{
		preset: "vonage", settings: map[string]string{"api_key": "k1", "api_url": "PROVIDER"}, secrets: map[string]options.Secret{"api_secret": "s3cret-api", "signature_secret": "signature_secret"},
		public: public, now: vonageNow,
		inbound: []request{
			{method: "POST", path: "/", kind: formType, body: vonageSign("signature_secret", vonageInbound...), messages: []received{{"27831234567", "27820001001", "a&b=c", "V1"}}},
			{method: "GET", path: "/?" + vonageSign("signature_secret", append(vonageInbound, "n", "1")...)},
			{method: "GET", path: "/"}, // the provider tries the address
			{method: "GET", path: "/?" + vonagePart("P1", 2, "world")},
			{method: "GET", path: "/?" + vonagePart("P0", 1, "hello "), messages: []received{{"27831234567", "27820001001", "hello world", "P0"}}},
		},
		forged: []request{
			{method: "GET", path: "/?msisdn=1&to=2&text=x", status: 403, answer: "the request carries no token or signature"},
			{
				method: "POST", path: "/", kind: jsonType, status: 403, answer: "the request carries no token or signature",
				body: fmt.Sprintf(`{"msisdn":"1","to":"2","text":"x","sig":[],"timestamp":"%d"}`, vonageNow.Unix()),
			},
			{
				method: "GET", path: "/?" + vonageSign("signature_secret", "msisdn", "1", "to", "2", "text", "x", "timestamp", fmt.Sprint(vonageNow.Add(-6*time.Minute).Unix())), status: 403,
				answer: "the signature is too old or too new; is the clock right?",
			},
		},
		sends: sent{
			method: "POST", path: "/sms/json", id: "VOUT", answer: `{"message-count":"1","messages":[{"to":"27831234567","message-id":"VOUT","status":"0","remaining-balance":"1","message-price":"0.1","network":"1"}]}`,
			form: form("api_key", "k1", "api_secret", "s3cret-api", "from", "27820001001", "to", "27831234567", "text", "hello", "type", "text", "status-report-req", "1",
				"callback", "https://sms.example.org/t/receipts", "client-ref", "MSGID"),
		},
		receipts: []request{
			{method: "GET", path: "/receipts"}, // the provider tries the address
			{method: "GET", path: "/receipts?" + vonageReport("buffered", "0"), events: []reported{pending}},
			{method: "GET", path: "/receipts?" + vonageReport("failed", "6"), events: []reported{failed("err-6")}},
			{method: "POST", path: "/receipts", kind: formType, body: vonageReport("delivered", "0"), events: []reported{delivered}},
		},
		classes: []classified{
			{200, `{"messages":[{"status":"1","error-text":"Throughput Rate Exceeded - please wait [ 250 ] and retry"}]}`, "throttled"},
			{200, `{"messages":[{"status":"9","error-text":"Partner quota exceeded"}]}`, "alert"},
			{200, `{"messages":[{"status":"5","error-text":"Internal Error"}]}`, "temporary"},
			{200, `{"messages":[{"status":"29","error-text":"Non-Whitelisted Destination"}]}`, "permanent"},
			{200, `{"messages":[{"status":"0","message-id":"1"},{"status":"5","error-text":"Internal Error"}]}`, "temporary"},
		},
	},
}

func vonageReport(status, code string) string {
	return vonageSign("signature_secret", "messageId", "VOUT", "msisdn", "27831234567", "to", "27820001001", "status", status, "err-code", code,
		"network-code", "65501", "scts", "0902132331", "message-timestamp", "2009-02-13 23:31:30", "timestamp", fmt.Sprint(vonageNow.Unix()))
}

func infobipReport(group int, groupName string, id int, name, failure string) string {
	return fmt.Sprintf(`{"results":[{"bulkId":"b","messageId":"MSGID","to":"27831234567","sentAt":"2019-11-09T16:00:00.000+0000","doneAt":"2019-11-09T16:00:00.000+0000","smsCount":1,
		"callbackData":"MSGID","status":{"groupId":%d,"groupName":%q,"id":%d,"name":%q},"error":{"groupId":0,"id":%d,"name":%q,"permanent":false}}]}`,
		group, groupName, id, name, len(failure), failure)
}

func vonagePart(id string, n int, text string) string {
	return vonageSign("signature_secret", "msisdn", "27831234567", "to", "27820001001", "messageId", id, "text", text, "type", "text",
		"concat", "true", "concat-ref", "7", "concat-total", "2", "concat-part", fmt.Sprint(n), "timestamp", fmt.Sprint(vonageNow.Unix()))
}
