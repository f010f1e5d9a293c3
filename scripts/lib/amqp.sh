# shellcheck shell=bash
# Just enough AMQP 0-9-1 to log in: an open port alone does not say that this
# is RabbitMQ, that it has finished starting, or that the password is right.

# Seconds the server may take for each part of its answer.
AMQP_TIMEOUT=5

# amqp_login URL: whether the server opens the URL's virtual host for its user.
amqp_login() {
	local host port
	host="$(url_part "$1" host)"
	port="$(url_part "$1" port)"
	case "$1" in
	amqps://*) amqp_bytes "$1" | amqp_tls "$host" "${port:-5671}" | amqp_opened ;;
	*) amqp_bytes "$1" | amqp_plain "$host" "${port:-5672}" ;;
	esac 2>/dev/null
}

amqp_plain() {
	exec 3<>"/dev/tcp/$1/$2" || return 1
	cat >&3
	amqp_opened <&3
}
# openssl ends with its input, hence the pause for the answer.
amqp_tls() { { cat && sleep 2; } | openssl s_client -quiet -connect "$1:$2"; }

# Whether connection.open-ok (class 10, method 41: bytes 0 10 0 41) comes in;
# read stops at every zero byte, which it does not keep.
amqp_opened() {
	local last="" part
	while IFS= LC_ALL=C read -r -d '' -t "$AMQP_TIMEOUT" part; do
		[[ $last == $'\n' && $part == ')' ]] && return
		last="$part"
	done
	return 1
}

# The client's half of the conversation, sent at once (AMQP 0-9-1 §2.2.4).
amqp_bytes() {
	local user password vhost secret
	user="$(url_part "$1" user)"
	password="$(url_part "$1" password)"
	vhost="$(url_part "$1" path)"
	secret="00$(hex "${user:-guest}")00$(hex "${password:-guest}")"
	unhex "$(hex AMQP)00000901"
	amqp_method 0a000b "00000000$(short PLAIN)$(be32 $((${#secret} / 2)))$secret$(short en_US)" # start-ok
	amqp_method 0a001f "0001000010000000"                                                       # tune-ok: 1 channel, 4096 bytes, no heartbeat
	amqp_method 0a0028 "$(short "${vhost:-/}")0000"                                             # open
	amqp_method 0a0032 "00c80000000000"                                                         # close, 200
}

# amqp_method CLASS+METHOD ARGUMENTS, both in hex: one frame on channel 0.
amqp_method() {
	local payload="00$1$2"
	unhex "010000$(be32 $((${#payload} / 2)))${payload}ce"
}
be32() { printf '%08x' "$1"; }
hex() { printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n'; }
short() { printf '%02x%s' "$(printf '%s' "$1" | wc -c)" "$(hex "$1")"; }
# shellcheck disable=SC2001
unhex() { printf '%b' "$(sed 's/../\\x&/g' <<<"$1")"; }
