# What becomes of the package on machine one, to be sourced by hosts: removed,
# upgraded unattended, purged, and installed again as an rpm.

step 'removed, it leaves its state; installed again, it serves'
sockets=$(echo domain-park-{udp,tcp,dot,doh,doh3,doq,http}.socket)
cp "$work"/1.0.0/*.{deb,rpm} "$work"/1.0.1/*.rpm "$work/one/root"
machine_run one apt-get -qq remove --yes domain-park >/dev/null
machine_run one 'test -e /var/lib/domain-park/seed && test -e /etc/domain-park/domain-park.yaml' || fail 'removing took the state'
! machine_run one systemctl --quiet is-active domain-park.service domain-park-udp.socket || fail 'the server outlives its package'
machine_run one apt-get -qq install --yes ./domain-park_1.0.0_amd64.deb >/dev/null 2>&1
machine_run one systemctl start $sockets domain-park.service
expect '0 .' dig @10.53.0.11 +short +tries=1 +time=3 MX example.com

# upgraded BEFORE: the server of version 1.0.1 has taken the place of process BEFORE.
upgraded() {
	[ "$(machine_run one domain-park version | cut -d' ' -f2)" = 1.0.1 ] || fail 'it was not upgraded'
	[ "$(pid one)" != "$1" ] || fail 'it was not restarted'
	expect '0 .' dig @10.53.0.11 +short +tries=1 +time=3 MX example.com
}
step 'the next version in a repository is taken unattended'
mkdir "$work/one/srv/repository"
cp "$work/1.0.1"/*.deb "$work/one/srv/repository"
(cd "$work/one/srv/repository" && dpkg-scanpackages . >Packages 2>/dev/null && sha256sum Packages | {
	read -r sum _
	printf 'Label: domain-park\nDate: %s\nSHA256:\n %s %s Packages\n' "$(LC_ALL=C date -u -R)" "$sum" "$(stat --format=%s Packages)"
} >Release)
# The only one: Debian's is out of reach.
echo 'deb [trusted=yes] file:/srv/repository ./' >"$work/one/etc/apt/sources.list"
before=$(pid one)
machine_run one systemctl start apt-daily.service # what the timers start
machine_run one unattended-upgrade --dry-run --verbose >"$work/upgrade" 2>&1
grep -q 'Packages that will be upgraded: domain-park$' "$work/upgrade" || fail "unattended-upgrade leaves the package: $(cat "$work/upgrade")"
machine_run one systemctl start apt-daily-upgrade.service
upgraded "$before"

# installed prints a line for each file and directory that a package has brought, and one for each file's content.
installed() {
	(cd "$work/one" && find usr -path '*domain-park*' -printf '%p %y %m %U %G\n' && find usr -path '*domain-park*' -type f -exec sha256sum {} +) | sort
}
step 'purged, it leaves nothing'
machine_run one cp -a /etc/domain-park settings
installed >"$work/deb"
machine_run one apt-get -qq purge --yes domain-park >/dev/null
leavings='/etc/domain-park /var/lib/domain-park /etc/systemd/system/*.wants/domain-park* /etc/systemd/system/domain-park.service.d'
left=$(machine_run one "ls -d $leavings" 2>/dev/null || true)$(installed)
[ -z "$left" ] || fail "purging leaves $left"

step 'the rpm does as the package does'
rpm() { machine_run one rpm --nodeps "$@" 2>&1 | grep -v '^rpm: ' || true; } # of Debian, which advises against it
said=$(rpm --install domain-park-1.0.0-1.x86_64.rpm)
[[ $said == *'systemctl enable --now '* ]] || fail "it does not say what to do: $said"
! machine_run one systemctl --quiet is-enabled domain-park.service || fail 'it is enabled before there are settings'
[ "$(machine_run one stat --format=%U:%G:%a /etc/domain-park /etc/domain-park/domain-park.yaml)" = $'root:domain-park:750\nroot:domain-park:640' ] ||
	fail 'others can read the settings, or the server cannot'
machine_run one cp -a settings/. /etc/domain-park
machine_run one systemctl --quiet enable --now $sockets domain-park.service
expect '0 .' dig @10.53.0.11 +short +tries=1 +time=3 MX example.com
before=$(pid one)
said=$(rpm --upgrade domain-park-1.0.1-1.x86_64.rpm)
[ -z "$said" ] || fail "the upgrade says $said"
upgraded "$before"
said=$(rpm --verify domain-park)
[ -z "$said" ] || fail "not as installed: $said"
installed | diff "$work/deb" - || fail 'the rpm installs something else than the package'
said=$(rpm --erase domain-park)
left=$(machine_run one "ls -d $leavings" 2>/dev/null || true)$(installed)
[ "$left" = $'/etc/domain-park\n/var/lib/domain-park' ] || fail "removing leaves $left, and says $said"
! machine_run one systemctl --quiet is-active $sockets domain-park.service || fail 'the server outlives its package'
