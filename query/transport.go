package query

// Transport is the way a query arrived. The zero value is UDP.
type Transport uint8

// The transports, in the order in which metrics list them.
const (
	UDP  Transport = iota // RFC 1035 §4.2.1
	TCP                   // RFC 7766
	DoT                   // RFC 7858
	DoH                   // RFC 8484 over HTTP/1.1 and HTTP/2
	DoH3                  // RFC 8484 over HTTP/3
	DoQ                   // RFC 9250

	// Transports is how many there are, for arrays with one element a transport.
	Transports
)

var transportNames = [Transports]string{"udp", "tcp", "dot", "doh", "doh3", "doq"}

// String is the name that settings, logs and metrics use.
func (t Transport) String() string {
	if t < Transports {
		return transportNames[t]
	}
	return "unknown"
}

// Spoofable tells whether the client's address may be a lie: nothing but plain
// UDP comes without a handshake.
func (t Transport) Spoofable() bool { return t == UDP }

// Stream tells whether messages follow one another behind two-byte lengths on
// one connection that the client may ask to keep open (RFC 7828).
func (t Transport) Stream() bool { return t == TCP || t == DoT }

// Encrypted tells whether an observer sees only lengths, so that padding helps
// (RFC 8467).
func (t Transport) Encrypted() bool { return t >= DoT && t < Transports }
