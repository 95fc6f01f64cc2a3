#!/bin/sh
# After the files are gone. Settings, certificates and the ACME account stay
# until a Debian package is purged; rpm knows no purge and leaves them.
set -e

case "$1" in
purge)
	rm -rf /etc/domain-park /var/lib/domain-park /var/log/domain-park
	rm -f /etc/systemd/system/*.target.wants/domain-park*
	;;
esac
case "$1" in
remove | purge | 0)
	rm -f /etc/systemd/system/domain-park.service.d/reload-before-systemd-253.conf
	rmdir --ignore-fail-on-non-empty /etc/systemd/system/domain-park.service.d 2>/dev/null || true
	[ ! -d /run/systemd/system ] || systemctl daemon-reload || true
	;;
esac
