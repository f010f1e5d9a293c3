# shellcheck shell=bash
# scripts/services run: up, a command, down. Several may run at once: the last
# one to leave takes down what none of them found up, unless `up` was said.

mark_kept() { touch "$SERVICES_DIR/keep"; }

cmd_run() {
	if [[ ${1:-} == --private ]]; then
		PRIVATE_ONLY=1
		shift
	fi
	[[ ${1:-} != -- ]] || shift
	(($#)) || die "run: which command?"
	trap run_leave EXIT
	with_lock run_enter
	eval "$(cmd_env)"
	local code=0
	if [[ -t 0 ]]; then run_on_terminal "$@"; else run_in_group "$@"; fi || code=$?
	exit "$code"
}

run_enter() {
	mkdir -p "$SERVICES_DIR/users"
	: >"$SERVICES_DIR/users/$$"
	services_up "${SERVERS[@]}"
}

run_leave() {
	local code=$?
	trap '' INT TERM HUP
	exec 9>&- # we may have been ended while holding the lock
	rm -f "$SERVICES_DIR/users/$$"
	(with_lock run_last_one_out) || true
	exit "$code"
}

run_last_one_out() {
	local user
	[[ ! -e $SERVICES_DIR/keep ]] || return 0
	for user in "$SERVICES_DIR"/users/*; do
		if process_is "${user##*/}" services; then return; fi
		rm -f "$user"
	done
	services_down
}

# The terminal sends Ctrl-C to the command as well: it ends as it likes, and we
# take down afterwards.
run_on_terminal() {
	trap : INT
	"$@"
}

# Without a terminal a signal reaches only us; it is passed on to the command
# and all it has started, which therefore get a process group of their own.
run_in_group() {
	local code=0 child
	set -m
	"$@" <&0 &
	child=$!
	set +m
	trap 'kill -INT -- -'"$child"' 2>/dev/null || true' INT
	trap 'kill -TERM -- -'"$child"' 2>/dev/null || true' TERM HUP
	# wait also returns when a signal was passed on; the command may still live.
	while :; do
		code=0
		wait "$child" || code=$?
		kill -0 "$child" 2>/dev/null || return "$code"
	done
}
