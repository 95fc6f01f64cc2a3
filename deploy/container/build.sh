#!/usr/bin/env bash
# Builds the container image from a program that packages/build.sh has built
# (static, of Linux), by buildah, under the name given:
#
#   deploy/container/build.sh OUT/domain-park domain-park:1.2.3
set -euo pipefail
usage='usage: build.sh PROGRAM IMAGE'
program=${1:?$usage} image=${2:?$usage}
here=$(cd "$(dirname "$0")" && pwd)
epoch=${SOURCE_DATE_EPOCH:-$(git -C "$here" log -1 --format=%ct)}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stage=$work/stage
install -D -m 0755 "$program" "$stage/root/usr/bin/domain-park"
# Who vouches for an ACME directory: the authorities that Debian trusts, of the
# machine that builds.
install -D -m 0644 /etc/ssl/certs/ca-certificates.crt "$stage/root/etc/ssl/certs/ca-certificates.crt"
install -d -m 0755 "$stage/root/etc/domain-park"
install -d -m 0700 "$stage/state/domain-park"
find "$stage" -exec touch --date="@$epoch" {} +
cp "$here/Containerfile" "$work"

# Without RUN nothing is mounted, and vfs, which is only copies, does everywhere.
buildah --storage-driver "${STORAGE_DRIVER:-vfs}" build --quiet --format docker --isolation chroot \
	--layers=false --timestamp "$epoch" --tag "$image" --file "$work/Containerfile" "$work"
