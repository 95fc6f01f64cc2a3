#!/usr/bin/env bash
# Builds the program, the .deb and the .rpm into a directory, given as the only
# argument. What comes out depends on the commit and the variables below alone: built
# again, elsewhere and later, it is the same to the byte.
#
#   MAINTAINER, HOMEPAGE
#            who answers for the package, as NAME <ADDRESS>, and where it is
#            from; default: the authors of LICENSE, with an address that is
#            none (RFC 2606), and no homepage
#   ARCH     amd64 (the default), arm64, …, as Go names it
#   NFPM     the nfpm to use; default: built from tools/
#   VERSION  default: from the newest tag v1.2.3, or of a commit without one
#            0.0.0~git20260102.0123456789ab
set -euo pipefail
out=$(realpath -m "${1:?usage: build.sh DIRECTORY}")
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)

export ARCH=${ARCH:-amd64}
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct)}
if [ -z "${VERSION:-}" ]; then
	if tag=$(git -C "$root" describe --tags --match 'v[0-9]*' 2>/dev/null); then
		VERSION=$(sed -E 's/^v//; s/-([0-9]+)-g/+\1.g/' <<<"$tag")
	else
		VERSION=0.0.0~git$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d).$(git -C "$root" rev-parse --short=12 HEAD)
	fi
fi
export VERSION
export MAINTAINER=${MAINTAINER:-the domain-park authors <nobody@domain-park.example>} HOMEPAGE=${HOMEPAGE:-}

umask 022
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

# program OUTPUT: -trimpath takes the directory out, -buildvcs=false the state
# of the working tree; the version stands in for both.
program() {
	(cd "$root" && CGO_ENABLED=0 GOFLAGS= GOOS=linux go build -trimpath -buildvcs=false \
		-ldflags "-s -w -buildid= -X main.release=$VERSION" -o "$1" ./cmd/domain-park)
}
GOARCH=$ARCH program "$out/domain-park"
program "$work/here" # of this machine, to write the manual and the sample
nfpm=${NFPM:-$work/nfpm}
[ -n "${NFPM:-}" ] || (cd "$here/tools" && go build -o "$nfpm" github.com/goreleaser/nfpm/v2/cmd/nfpm)

export STAGE=$work/stage
# file MODE DESTINATION, from standard input
file() {
	install -D -m "$1" /dev/stdin "$STAGE$2"
}
install -D -m 0755 "$out/domain-park" "$STAGE/usr/bin/domain-park"
for unit in "$root"/deploy/systemd/*.{service,socket}; do
	file 0644 "/usr/lib/systemd/system/${unit##*/}" <"$unit"
done
file 0644 /usr/lib/sysusers.d/domain-park.conf <"$here/sysusers.conf"
"$work/here" check --sample | file 0644 /usr/share/domain-park/domain-park.yaml
"$work/here" manual program | gzip -9n | file 0644 /usr/share/man/man1/domain-park.1.gz
"$work/here" manual settings | gzip -9n | file 0644 /usr/share/man/man5/domain-park.yaml.5.gz
"$work/here" completion bash | file 0644 /usr/share/bash-completion/completions/domain-park
"$work/here" completion zsh | file 0644 /usr/share/zsh/vendor-completions/_domain-park
"$work/here" completion fish | file 0644 /usr/share/fish/vendor_completions.d/domain-park.fish
file 0644 /usr/share/doc/domain-park/copyright <"$root/LICENSE"
cat <<-END | gzip -9n | file 0644 /usr/share/doc/domain-park/changelog.gz
	domain-park ($VERSION) stable; urgency=medium

	  * The changes are the commits of the repository.

	 -- $MAINTAINER  $(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")
END
file 0644 /usr/share/lintian/overrides/domain-park <"$here/lintian-overrides"
find "$STAGE" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +

cd "$here"
rm -f "$out"/domain-park[_-]*.deb "$out"/domain-park[_-]*.rpm
for kind in deb rpm; do
	"$nfpm" package --packager "$kind" --target "$out"
done
ls "$out"/domain-park "$out"/*.deb "$out"/*.rpm
