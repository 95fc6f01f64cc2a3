package config

import (
	"net/netip"
	"time"

	"go.yaml.in/yaml/v4"
)

// Settings is everything an operator can set, each field named like its key in
// the file (see the table in options.go, which says what each means, its range
// and its default). [Load] returns it complete and checked: addresses parse,
// names are in ASCII and lower case without the final dot, files that are
// named have been read. It is not changed after that.
type Settings struct {
	NameServers []NameServer
	Hostmaster  string // a mailbox; empty: the resolver's default
	Listen      Listen
	TLS         TLS
	Parking     Parking
	Zones       string // a directory; empty: none
	Identity    Identity
	Policy      Policy
	Store       Store
	Telemetry   Telemetry
	Workers     int
	User, Group string
	Sandbox     string // auto or off

	given   map[string]Position   // where each key that the operator set was written
	written map[string]*yaml.Node // and what was written there
	files   []string
}

// Files are the files that were read: the settings file and those that it names.
func (s *Settings) Files() []string { return s.files }

// NameServer is a host that parked domains are delegated to.
type NameServer struct {
	Name      string
	Addresses []netip.Addr
}

// Listen holds host:port lists; an empty list turns a transport off.
type Listen struct {
	UDP, TCP, DoT, DoH, DoQ, HTTP, Admin []string
}

// TLS says where certificates come from; all empty: a self-signed one.
type TLS struct {
	ACME struct {
		Hosts     []string
		Email     string
		Directory string
		Roots     File
	}
	Certificates []Certificate
}

// Certificate is a pair of PEM files.
type Certificate struct {
	Certificate, Key string // paths
}

// File is a file that a setting names, with its content as it was when the
// settings were loaded. Both are empty when the setting is.
type File struct {
	Path string
	Text []byte
}

// Parking says which domains are parked and what is answered for them.
type Parking struct {
	Profile        File
	PublicSuffixes File
	TTL            time.Duration
	DMARC          struct{ RUA, RUF []string }
	IODEF          []string
	Apexes         []string
	Only           []string
	Refuse         []string
}

// Identity is what the server tells of itself.
type Identity struct {
	Version, ID string
}

// Policy says who is answered, and how much.
type Policy struct {
	Allow, Deny, Trust []netip.Prefix
	Requests           struct{ Rate, Burst int }
	Responses          Responses
	Cookies            struct {
		Require bool
		Secret  string // 32 hex digits or empty
	}
	Connections Connections
	Timeouts    Timeouts
}

// Responses is the response-rate limit; rates are answers a second.
type Responses struct {
	Rate, Errors, All      int
	Slip                   int
	IPv4Prefix, IPv6Prefix int
	Table                  int
	DryRun                 bool
}

// Connections bounds connections of all stream transports together.
type Connections struct {
	Total, PerClient        int
	Handshakes, Resumptions int // a second
	Streams, Queries        int
	Age                     time.Duration
}

// Timeouts bound how long a client may keep something busy.
type Timeouts struct {
	Handshake, Message, Idle, Write, Shutdown time.Duration
}

// Store is where certificates and secrets are kept.
type Store struct {
	Directory string
}

// Telemetry is what the server tells its operator.
type Telemetry struct {
	Log     struct{ Level, Format string }
	Queries struct {
		File   string
		Sample float64
	}
	Profiling bool
	DNSTap    string
}

// Given tells whether the operator set key, in the file or by a flag, so that
// its value is not the default.
func (s *Settings) Given(key string) bool {
	_, ok := s.given[key]
	return ok
}

// KeepFixed sets what no reload can change to what it is in the settings that
// are in force, and returns the keys of those that differed.
func (s *Settings) KeepFixed(inForce *Settings) (differed []string) {
	for i := range options {
		o := &options[i]
		if !o.restart {
			continue
		}
		if o.value.take(s, inForce) {
			differed = append(differed, o.key)
		}
		if at, ok := inForce.given[o.key]; ok {
			s.given[o.key], s.written[o.key] = at, inForce.written[o.key]
		} else {
			delete(s.given, o.key)
			delete(s.written, o.key)
		}
	}
	return differed
}

// Option is what programs may know of a setting.
type Option struct {
	Key     string
	Default string // as it would stand in a file; of one that has to be given: an example
	Restart bool   // a reload does not change it, only a start does
}

// Options lists every setting, in the order of the
// sample file.
func Options() (out []Option) {
	for i := range options {
		if o := &options[i]; !o.section() {
			def := o.def
			if o.required {
				def = o.example
			}
			out = append(out, Option{o.key, def, o.restart})
		}
	}
	return out
}

// Problem is what is wrong with the value of key for a reason that only the
// part which uses it can see. It carries the place the value was written at.
func (s *Settings) Problem(key, reason string) Problem {
	return Problem{Position: s.given[key], Key: key, Reason: reason}
}
