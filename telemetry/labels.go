package telemetry

// Values of the labels that name what a client chose freely: 16 bits of type,
// 12 of rcode. Each is a closed set, so that no client can make metrics grow.

// typeClass is one of typeNames.
type typeClass uint8

const (
	typeNone  typeClass = iota // no question, or none that parses
	typeOther                  // a type without a name of its own here
	firstType
)

// types are those that name servers are asked for on the internet, and those
// that say something about who asks.
var types = [...]struct {
	code uint16
	name string
}{
	{1, "A"}, {2, "NS"}, {5, "CNAME"}, {6, "SOA"}, {12, "PTR"}, {15, "MX"}, {16, "TXT"}, {28, "AAAA"}, {33, "SRV"},
	{35, "NAPTR"}, {43, "DS"}, {48, "DNSKEY"}, {52, "TLSA"}, {64, "SVCB"}, {65, "HTTPS"}, {99, "SPF"},
	{251, "IXFR"}, {252, "AXFR"}, {255, "ANY"}, {257, "CAA"},
}

const typeClasses = firstType + typeClass(len(types))

// highestType is the last type code of types.
const highestType = 257

var typeNames, classOfType = func() (names [typeClasses]string, class [highestType + 1]typeClass) {
	names[typeNone], names[typeOther] = "none", "other"
	for code := range class {
		class[code] = typeOther
	}
	class[0] = typeNone // type 0 is reserved (RFC 6895 §3.1)
	for i, t := range types {
		names[firstType+typeClass(i)] = t.name
		class[t.code] = firstType + typeClass(i)
	}
	return names, class
}()

func typeOf(qtype uint16) typeClass {
	if qtype <= highestType {
		return classOfType[qtype]
	}
	return typeOther
}

// rcodeNames are the response codes that the resolver sends, by number (RFC
// 1035 §4.1.1, RFC 6891 §9, RFC 7873 §8). The others have no name here and are
// counted as rcodeOther.
var rcodeNames = [rcodeOther + 1]string{
	0: "noerror", 1: "formerr", 2: "servfail", 3: "nxdomain", 4: "notimp", 5: "refused",
	16: "badvers", 23: "badcookie", rcodeOther: "other",
}

const rcodeOther = 24

func rcodeOf(rcode uint16) uint16 {
	if rcode < rcodeOther && rcodeNames[rcode] != "" {
		return rcode
	}
	return rcodeOther
}
