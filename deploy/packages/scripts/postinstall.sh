#!/bin/sh
# After files are in place: dpkg says "configure OLD-VERSION", rpm how many
# versions are installed now.
set -e

settings=/etc/domain-park/domain-park.yaml
sample=/usr/share/domain-park/domain-park.yaml
service=domain-park.service
sockets='domain-park-udp.socket domain-park-tcp.socket domain-park-dot.socket
	domain-park-doh.socket domain-park-doh3.socket domain-park-doq.socket'

case "$1" in
configure) before=$2 ;;
1) before= ;;
[2-9]*) before=some ;;
*) exit 0 ;;
esac

systemd-sysusers domain-park.conf

# The settings are made here instead of being a file of the package: who manages
# them by other means would be asked about every new sample, and unattended
# upgrades stop at a question. They may hold secrets.
install -d -o root -g domain-park -m 0750 /etc/domain-park
[ -e "$settings" ] || install -o root -g domain-park -m 0640 "$sample" "$settings"

running=no
[ ! -d /run/systemd/system ] || running=yes

# systemd 253 came with notify-reload. An older one is told how to reload.
version=$(systemctl --version | sed -n '1s/[^0-9]*\([0-9]*\).*/\1/p')
older=/etc/systemd/system/$service.d/reload-before-systemd-253.conf
if [ "${version:-0}" -lt 253 ]; then
	install -d -m 0755 "${older%/*}"
	printf '[Service]\nType=notify\nExecReload=kill -HUP $MAINPID\n' >"$older"
else
	rm -f "$older"
fi

[ $running = no ] || systemctl daemon-reload

if [ -z "$before" ]; then
	if cmp -s "$settings" "$sample"; then
		echo "domain-park: write your name servers into $settings, then start it:"
		echo "  systemctl enable --now" $sockets $service
		exit 0
	fi
	systemctl enable $sockets $service
	[ $running = no ] || systemctl start $sockets $service
	exit 0
fi

# An upgrade. The socket units keep the sockets, in which queries wait while the
# server restarts. A server that runs is not given up for one that will not start.
if [ $running = yes ] && systemctl --quiet is-active $service; then
	if ! runuser -u domain-park -- /usr/bin/domain-park check --config "$settings" >/dev/null; then
		echo "domain-park: this version does not take the settings; the one before runs on until they are mended:" >&2
		echo "  domain-park check --config $settings && systemctl restart $service" >&2
		exit 1
	fi
	systemctl restart $service
fi
