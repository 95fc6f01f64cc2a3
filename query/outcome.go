package query

// Verdict is how a query ended. Every query that a listener counts as received
// ends in exactly one verdict other than Pending; their counters add up.
type Verdict uint8

// The verdicts.
const (
	Pending  Verdict = iota // not decided yet; a query that ends so is a bug
	Answered                // an answer was sent: NOERROR or NXDOMAIN
	Slipped                 // over a limit: an empty answer with TC=1 was sent
	Dropped                 // over a limit or denied: nothing was sent
	Refused                 // an error was sent: REFUSED, FORMERR, NOTIMP, BADVERS …
	Silent                  // not a query at all: nothing was sent

	// Verdicts is how many there are, for arrays with one element a verdict.
	Verdicts
)

var verdictNames = [Verdicts]string{"pending", "answered", "slipped", "dropped", "refused", "silent"}

// String is the name that logs and metrics use.
func (v Verdict) String() string {
	if v < Verdicts {
		return verdictNames[v]
	}
	return "unknown"
}

// Kind is what sort of answer a query gets. Limits are charged and metrics are
// counted by it, so it is a closed set.
type Kind uint8

// The kinds. The error kinds are those from KindRefused on.
const (
	KindNone      Kind = iota // no answer: silence
	KindAnswer                // NOERROR with records
	KindNoData                // NOERROR without records (RFC 2308 §2.2)
	KindNXDomain              // the name does not exist (RFC 2308 §2.1)
	KindReferral              // a delegation (RFC 1034 §4.3.2)
	KindChaos                 // who the server is (RFC 4892)
	KindCookie                // a cookie alone (RFC 7873 §5.4)
	KindRefused               // REFUSED
	KindFormErr               // FORMERR
	KindNotImp                // NOTIMP
	KindBadVers               // BADVERS (RFC 6891 §6.1.3)
	KindBadCookie             // BADCOOKIE (RFC 7873 §5.2.3)
	KindServFail              // SERVFAIL: a fault of ours

	// Kinds is how many there are, for arrays with one element a kind.
	Kinds
)

var kindNames = [Kinds]string{"none", "answer", "nodata", "nxdomain", "referral", "chaos", "cookie",
	"refused", "formerr", "notimp", "badvers", "badcookie", "servfail"}

// String is the name that logs and metrics use.
func (k Kind) String() string {
	if k < Kinds {
		return kindNames[k]
	}
	return "unknown"
}

// Error tells whether an answer of this kind carries an error code.
func (k Kind) Error() bool { return k >= KindRefused && k < Kinds }
