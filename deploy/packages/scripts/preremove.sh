#!/bin/sh
# Before the files go: dpkg says "remove", rpm how many versions stay. An
# upgrade stops nothing, the new package restarts the server.
set -e

units=$(cd /usr/lib/systemd/system && echo domain-park*.socket domain-park.service)
case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl stop $units || true
	fi
	# What was enabled is enabled again when a Debian package comes back; an rpm
	# is gone for good.
	[ "$1" != 0 ] || systemctl --no-reload disable $units || true
	;;
esac
