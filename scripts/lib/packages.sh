# shellcheck shell=bash
# Debian and Ubuntu packages: the third way to a server, and what `need` installs.

can_install() { have apt-get && [[ $(id -u) == 0 ]]; }

# packages_install WHY PACKAGE...; one caller on the machine at a time.
packages_install() {
	local why="$1"
	shift
	say "$why: installing $* with apt-get"
	(
		have flock && exec 8>/var/lock/switchboard-packages.lock && flock 8
		keep_services_stopped
		export DEBIAN_FRONTEND=noninteractive
		apt_get update || say "apt-get update failed; trying with the package lists at hand"
		apt_get install -y --no-install-recommends "$@" && stay_stopped "$@"
	) </dev/null || die "apt-get could not install $*; the reason is in $SERVICES_DIR/log/apt.log"
}

apt_get() {
	mkdir -p "$SERVICES_DIR/log"
	apt-get -q -o DPkg::Lock::Timeout=300 "$@" >>"$SERVICES_DIR/log/apt.log" 2>&1 8>&- 9>&-
}

# A package starts its server as it is installed, on the standard port and for
# the whole machine; policy-rc.d is the distribution's way to say no. Runs in a
# subshell, whose end puts back what was there.
keep_services_stopped() {
	local policy=/usr/sbin/policy-rc.d
	if [[ -x $policy ]] && refuses "$policy"; then return; fi
	[[ -e $policy ]] && mv "$policy" "$policy.switchboard"
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	trap 'rm -f /usr/sbin/policy-rc.d; [ ! -e /usr/sbin/policy-rc.d.switchboard ] || mv /usr/sbin/policy-rc.d.switchboard /usr/sbin/policy-rc.d' EXIT
}
# Nor at the machine's next start; packages are named like their units.
stay_stopped() {
	if have systemctl; then systemctl disable "$@" >/dev/null 2>&1 || true; fi
}
refuses() {
	local code=0
	"$1" rabbitmq-server start >/dev/null 2>&1 || code=$?
	((code == 101))
}

# The packages that bring a program.
packages_of() {
	case "$1" in
	gcc) echo gcc libc6-dev ;;
	node) echo nodejs ;;
	pika | slixmpp) echo "python3-$1" ;;
	*) echo "$1" ;;
	esac
}

# Whether a program is there, or one of Python's libraries.
present() {
	case "$1" in
	pika | slixmpp) /usr/bin/python3 -c "import $1" 2>/dev/null ;;
	*) have "$1" ;;
	esac
}

packages_need() {
	local program missing=() packages=()
	for program in "$@"; do
		present "$program" || missing+=("$program")
	done
	((${#missing[@]})) || return 0
	can_install ||
		die "missing: ${missing[*]}; install them (Debian and Ubuntu, as root: apt-get install ${missing[*]})"
	for program in "${missing[@]}"; do
		read -ra names <<<"$(packages_of "$program")"
		packages+=("${names[@]}")
	done
	packages_install "missing: ${missing[*]}" "${packages[@]}"
}
