package resolver

import (
	"net/netip"
	"strings"
	"time"
)

// Config is what a resolver answers from. New and Load copy what they keep;
// the caller's value is never edited.
type Config struct {
	// NameServers are the hosts that parked domains are delegated to, 1 to
	// 13 of them. The first is the MNAME of every SOA record.
	NameServers []NameServer

	// Hostmaster is the mailbox of every SOA record's RNAME, local@domain.
	// Empty: hostmaster@ the registrable domain of the first name server.
	Hostmaster string

	// Profile is the master file of patterns (see parked.zone). A nil Text
	// takes the embedded one.
	Profile Source

	// PublicSuffixes is a public_suffix_list.dat. A nil Text takes the list
	// that is compiled in.
	PublicSuffixes Source

	TTL    time.Duration // of records that the profile gives none; zero: an hour; whole seconds
	RUA    []string      // mailboxes for DMARC aggregate reports, without mailto:
	RUF    []string      // mailboxes for DMARC failure reports
	IODEF  []string      // mailboxes or URLs for CAA reports; a mailbox gets mailto: in front
	Apexes []string      // domains delegated deeper than their registrable domain: each is a base
	Only   []string      // when not empty, only these domains and what lies below are parked
	Refuse []string      // these domains and what lies below are not parked; nil takes DefaultRefuse

	// ACMEHosts are the hosts that certificates are asked for. The parked
	// domains they lie in give no CAA, which would forbid these certificates.
	ACMEHosts []string

	// Zones are answered instead of the profile: of several that a name lies
	// in, the deepest.
	Zones []Zone

	// Include reads the file that an $INCLUDE directive of a zone names, as it
	// stands there. It is called by several goroutines at once. nil: $INCLUDE
	// is a mistake.
	Include func(file string) (Source, error)

	// Verify is how many signatures of each signed zone are verified when it is
	// read, at most; those that are not good are mistakes. Zero: none.
	Verify int

	// Readers is how many goroutines read zones at once; zero: one a CPU.
	Readers int

	Identity Identity
}

// Zone is a zone of the operator's own.
type Zone struct {
	Name string // of its apex, with or without the final dot
	Source
}

// NameServer is a host that parked domains are delegated to.
type NameServer struct {
	Name      string       // a host name, with or without the final dot
	Addresses []netip.Addr // may be empty; IPv4 ones are not IPv6-mapped
}

// Source is a text with the name that errors give it, usually its path.
type Source struct {
	Name string
	Text []byte
}

// Identity is what the server says of itself (RFC 4892, RFC 5001). An empty
// string is not told: REFUSED, and no NSID.
type Identity struct {
	Version string // version.bind. and version.server.; at most 255 bytes
	ID      string // id.server., hostname.bind. and NSID; at most 255 bytes
}

// DefaultRefuse lists the special-use domains that nobody can own (RFC 6761,
// 6762, 7686, 9476, 3172).
var DefaultRefuse = []string{"arpa", "local", "localhost", "onion", "invalid", "alt"}

// Error is one mistake in a Config. New and Load return all of them at once,
// joined.
type Error struct {
	File   string // the Source's name; empty when the mistake is in a field of Config
	Line   int    // 1 for the first line; 0 when File is empty
	Column int    // 1 for the first byte; 0 when not known
	Field  string // which field of Config, when File is empty
	Reason string // what was found and what is expected
}

// maxReasonBytes holds two names with every byte as \DDD, and what is said of
// them.
const maxReasonBytes = 4096

// bounded is a reason that may quote a file without its middle, if it is long:
// what is no zone file at all may be one token, and goes into a log.
func bounded(reason string) string {
	if len(reason) <= maxReasonBytes {
		return reason
	}
	const end = 128
	return strings.ToValidUTF8(reason[:maxReasonBytes-end], "") + " […] " + strings.ToValidUTF8(reason[len(reason)-end:], "")
}
