# Debian machines for tests, to be sourced: booted by systemd-nspawn from one
# debootstrap that is kept, joined by a bridge in a network namespace of their
# own. Nothing is done to the network of the machine that this runs on.
#
#   $work      directory of this run, removed at its end
#   $client    the namespace of the bridge, from which machines are reached
#   machine_*  below

# The packages of a small Debian server, with what the role would install:
# machines reach no mirror.
packages=systemd,systemd-sysv,dbus,python3,python3-apt,openssh-server,nftables,iproute2,procps,ca-certificates,unattended-upgrades,rpm
suite=${SUITE:-bookworm}
mirror=${MIRROR:-http://deb.debian.org/debian}
kept=${DEBIAN_CACHE:-/var/tmp/domain-park-debian}

fail() {
	printf 'FAILED: %s\n' "$*" >&2
	exit 1
}

# base prints the directory of a fresh Debian, made by the first who asks.
base() {
	local dir
	dir=$kept/$suite-$(sha256sum <<<"$packages" | head -c 12)
	mkdir -p "$kept"
	(
		flock 9
		[ -e "$dir/.done" ] && exit
		rm -rf "$dir"
		debootstrap --variant=minbase --include="$packages" "$suite" "$dir" "$mirror" >"$kept/log" 2>&1 || {
			tail -n 20 "$kept/log" >&2
			exit 1
		}
		touch "$dir/.done"
	) 9>"$kept/lock" || fail 'debootstrap'
	echo "$dir"
}

# network makes the client's namespace: 10.53.0.1 and fd53::1 on a bridge.
network() {
	client=dp-client-$$
	ip netns add "$client"
	ip -n "$client" link set lo up
	ip -n "$client" link add bridge type bridge
	ip -n "$client" address add 10.53.0.1/24 dev bridge
	ip -n "$client" address add fd53::1/64 dev bridge nodad
	ip -n "$client" link set bridge up
}

# from_client runs a command in the client's namespace.
from_client() { ip netns exec "$client" "$@"; }

declare -A machine_pid=()

# machine_boot NAME NUMBER makes NAME from a copy of the base and boots it, with
# the addresses 10.53.0.NUMBER and fd53::NUMBER. root may come in with $work/key.
machine_boot() {
	local name=$1 number=$2 dir=$work/$1 space=dp-$1-$$
	cp -a --reflink=auto "$(base)" "$dir"
	echo "$name" >"$dir/etc/hostname"
	: >"$dir/etc/machine-id"
	install -D -m 0600 "$work/key.pub" "$dir/root/.ssh/authorized_keys"
	cp "$here/nftables.conf" "$dir/etc/nftables.conf"
	# Nothing is to change by itself while it is looked at.
	rm -f "$dir"/etc/systemd/system/timers.target.wants/*

	ip netns add "$space"
	ip -n "$space" link set lo up
	ip -n "$client" link add "$name" type veth peer name eth0 netns "$space"
	ip -n "$client" link set "$name" master bridge up
	ip -n "$space" address add "10.53.0.$number/24" dev eth0
	ip -n "$space" address add "fd53::$number/64" dev eth0 nodad
	ip -n "$space" link set eth0 up

	# Its own network includes what /proc/sys has of it.
	SYSTEMD_NSPAWN_API_VFS_WRITABLE=network systemd-nspawn --quiet --boot --directory="$dir" --machine="$name-$$" --network-namespace-path="/run/netns/$space" \
		--capability=CAP_NET_ADMIN --register=no --keep-unit --link-journal=no </dev/null >"$work/$name.console" 2>&1 &
	machine_pid[$name]=$!
}

# machine_run NAME COMMAND runs a command there, as root.
machine_run() {
	local name=$1
	shift
	from_client ssh -q -i "$work/key" -F "$work/ssh" "$name" "$@"
}

# machine_await NAME returns when it takes commands.
machine_await() {
	local _
	for _ in $(seq 300); do
		! machine_run "$1" true 2>/dev/null || return 0
		kill -0 "${machine_pid[$1]}" 2>/dev/null || break
		sleep 0.2
	done
	tail -n 30 "$work/$1.console" >&2
	fail "$1 does not boot"
}

# machine_tree NAME prints a line for each file of the machine's that is not
# written by merely running it.
machine_tree() {
	(cd "$work/$1" && find etc usr opt srv var/lib var/cache var/tmp var/spool -xdev \
		-path var/lib/systemd -prune -o -path var/lib/private -prune -o -type d -printf '%p %m %U %G\n' -o -printf '%p %s %m %U %G %T@ %l\n' | sort)
}

# machines_end stops the machines and removes all that was made. It is for EXIT.
machines_end() {
	local name init _
	for name in "${!machine_pid[@]}"; do
		init=$(pgrep -P "${machine_pid[$name]}" || true)
		[ -z "$init" ] || kill -RTMIN+4 $init 2>/dev/null || true # power off
	done
	for name in "${!machine_pid[@]}"; do
		for _ in $(seq 100); do
			kill -0 "${machine_pid[$name]}" 2>/dev/null || break
			sleep 0.1
		done
		if kill -0 "${machine_pid[$name]}" 2>/dev/null; then
			init=$(pgrep -P "${machine_pid[$name]}" || true)
			kill -KILL $init "${machine_pid[$name]}" 2>/dev/null || true
		fi
		wait "${machine_pid[$name]}" 2>/dev/null || true
		ip netns del "dp-$name-$$" 2>/dev/null || true
	done
	[ -z "${client:-}" ] || ip netns del "$client" 2>/dev/null || true
	rm -rf --one-file-system "$work"
}
