# shellcheck shell=bash
# What all parts of scripts/services share: messages, the lock, state files,
# free ports, processes, waiting.

# Seconds a server may take to answer after it was started, and to end after it
# was told to.
START_TIMEOUT="${SERVICES_START_TIMEOUT:-90}"
STOP_TIMEOUT="${SERVICES_STOP_TIMEOUT:-30}"
# Seconds a caller waits for another one that is starting or installing.
LOCK_TIMEOUT=600

say() { echo "services: $*" >&2; }
die() {
	echo "services: $*" >&2
	exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# Two callers at once take turns. File descriptor 9 is the lock; whatever is
# left running must be started with 9>&-, or it would hold the lock for ever.
with_lock() {
	mkdir -p "$SERVICES_DIR/log"
	chmod 700 "$SERVICES_DIR"
	exec 9>"$SERVICES_DIR/lock"
	if have flock; then
		flock -w "$LOCK_TIMEOUT" 9 ||
			die "another scripts/services has held $SERVICES_DIR/lock for ${LOCK_TIMEOUT}s; end it and try again"
	fi
	"$@"
	exec 9>&-
}

# save NAME VAR... writes the named variables; load NAME sets them again.
save() {
	local file="$SERVICES_DIR/$1.state" var
	shift
	for var in "$@"; do printf '%s=%q\n' "$var" "${!var}"; done >"$file.new"
	mv "$file.new" "$file"
}
load() {
	[[ -f "$SERVICES_DIR/$1.state" ]] || return 1
	# shellcheck disable=SC1090
	source "$SERVICES_DIR/$1.state"
}
clear_variables() {
	local var
	for var in "$@"; do printf -v "$var" '%s' ''; done
}
forget() { rm -f "$SERVICES_DIR/$1.state"; }

random_hex() { od -An -N"${1:-16}" -tx1 /dev/urandom | tr -d ' \n'; }

# Below the range systems use for outgoing connections (32768 and up on Linux),
# so that no client socket takes the port between two starts of a server.
free_port() {
	local port
	while :; do
		port=$((20000 + (RANDOM << 15 | RANDOM) % 12000))
		listening 127.0.0.1 "$port" || break
	done
	echo "$port"
}
listening() { (exec 3<>"/dev/tcp/$1/$2") 2>/dev/null; }

# Whether process $1 lives and its command line holds $2: process ids are reused.
process_is() {
	[[ ${1:-} ]] && kill -0 "$1" 2>/dev/null || return 1
	if [[ -r /proc/$1/cmdline ]]; then
		tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -qF -- "$2"
	else
		ps -ww -o command= -p "$1" | grep -qF -- "$2"
	fi
}

# eventually SECONDS COMMAND... asks every tenth of a second until COMMAND is true.
eventually() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		((SECONDS < end)) || return 1
		sleep 0.1
	done
}
gone() { ! process_is "$@"; }

# detached LOG COMMAND... leaves COMMAND running in a session of its own (a
# Ctrl-C at the terminal must not reach it) and puts its process id into PID.
detached() {
	local log="$1" setsid=()
	shift
	have setsid && setsid=(setsid)
	# ${a[@]+…}: bash before 4.4 takes an empty array for an unset variable.
	${setsid[@]+"${setsid[@]}"} "$@" </dev/null >>"$log" 2>&1 9>&- &
	PID=$!
	disown "$PID" 2>/dev/null || true
}

without_password() { sed -E 's#(//[^:/@]*):[^@]*@#\1:***@#' <<<"$1"; }

# url_part URL user|password|host|port|path; percent-escapes are resolved.
url_part() {
	local rest="${1#*://}" user="" host
	host="${rest%%[/?]*}"
	[[ $host == *@* ]] && user="${host%@*}" && host="${host##*@}"
	case "$2" in
	user) unescape "${user%%:*}" ;;
	password) [[ $user == *:* ]] && unescape "${user#*:}" ;;
	host) host="${host#[}" && [[ $host == *]* ]] && echo "${host%%]*}" || echo "${host%:*}" ;;
	port) [[ $host =~ :([0-9]+)$ ]] && echo "${BASH_REMATCH[1]}" ;;
	path) rest="${rest%%\?*}" && [[ $rest == */* ]] && unescape "${rest#*/}" ;;
	esac || true
}
unescape() { printf '%b' "${1//%/\\x}"; }
